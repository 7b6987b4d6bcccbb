package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/signature"
)

// cutOff is a store that is lost behind a checkpoint.
type cutOff struct {
	*memStore
	after int

	mu       sync.Mutex
	more     sync.Cond
	made     int
	answered map[string]int
}

func newCutOff(m *memStore, after int) *cutOff {
	c := &cutOff{memStore: m, after: after, answered: map[string]int{}}
	c.more.L = &c.mu
	return c
}

func (c *cutOff) lost() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.made < c.after {
		return nil
	}
	return errs.New(errs.Unavailable, "connection.lost", "the mover is gone")
}

func (c *cutOff) Have(ctx context.Context, hs []seal.H) ([]bool, error) {
	if err := c.lost(); err != nil {
		return nil, err
	}
	return c.memStore.Have(ctx, hs)
}

func (c *cutOff) Put(ctx context.Context, record []byte) error {
	if err := c.lost(); err != nil {
		return err
	}
	return c.memStore.Put(ctx, record)
}

func (c *cutOff) Checkpoint(ctx context.Context, d point.Draft) error {
	if err := c.lost(); err != nil {
		return err
	}
	if err := c.memStore.Checkpoint(ctx, d); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made++
	c.more.Broadcast()
	return nil
}

// wait holds a reader up until the checkpoint that it has answered is made.
func (c *cutOff) wait(path []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered[string(path)]++
	for c.made < min(c.answered[string(path)], c.after) {
		c.more.Wait()
	}
}

// interrupted makes a backup that has a checkpoint at every step of reading and is lost behind
// one of them. It answers its name. A step that comes while the checkpoint before it is still being
// made has none, so a slow machine may make fewer than were asked for: then an earlier one will do.
func (s *site) interrupted(parent string, checkpoints int) string {
	s.t.Helper()
	for ; ; checkpoints = (checkpoints + 1) / 2 {
		s.runs++
		s.opts.Attempt, s.opts.Parent = point.Attempt{s.runs}, parent
		s.store.attempt = s.opts.Attempt
		s.count = &Counters{}
		store := newCutOff(s.store, checkpoints)
		opts := s.opts
		opts.Counters, opts.CheckpointEvery, opts.Hooks.Answered = s.count, 1, store.wait
		opts.Workers = 5
		_, err := Run(context.Background(), store, opts)
		switch {
		case errs.CodeOf(err) == "connection.lost":
			return s.opts.Attempt.String()
		case err != nil || checkpoints == 1:
			s.t.Fatalf("the attempt was not interrupted, it made %d checkpoints: %v", store.made, err)
		}
	}
}

// checkpoint reads the last checkpoint of an attempt.
func (s *site) checkpoint(name string) (point.Body, fileindex.Root) {
	s.t.Helper()
	f := &fetcher{store: s.store, keys: s.store.keys}
	defer f.close()
	e, err := openEarlier(context.Background(), s.store, s.store.keys, f, name)
	if err != nil {
		s.t.Fatal(err)
	}
	return e.body, e.root
}

// begunIn is how much of the one file that was being read a checkpoint has.
func (s *site) begunIn(name string) int64 {
	s.t.Helper()
	_, root := s.checkpoint(name)
	var n int64
	for _, tree := range []map[string]*fileindex.Entry{s.entries(seal.KindNode, root.Ahead), s.entries(seal.KindInode, root.AheadInodes)} {
		for _, e := range tree {
			if e.State&fileindex.Incomplete != 0 {
				n += int64(len(s.assemble(e)))
			}
		}
	}
	return n
}

// steps reach far into a large file.
const steps = 20

// readAgain is what a second attempt reads of a file that it goes on with at an offset.
func readAgain(at int64) int64 { return size - at + at%signature.Block }

var beginnings = []struct {
	name string
	edit func(f *os.File) error // before the first attempt
	next func(f *os.File) error // behind a first backup; nil: there is none
}{
	{"new", nil, nil},
	{"new with zeros", writeAt(1<<20+100, make([]byte, 3<<20)), nil},
	{"new with a hole", func(f *os.File) error { return punch(f, 2<<20, 4<<20) }, nil},
	{"new with a hole at the front", func(f *os.File) error { return punch(f, 0, 1<<20) }, nil},
	{"changed in place", nil, func(f *os.File) error {
		for at := int64(0); at < size; at += 5 * blockSize {
			if _, err := f.WriteAt([]byte{1, 2, 3}, at); err != nil {
				return err
			}
		}
		return nil
	}},
	{"changed once at the front", nil, writeAt(10, []byte("x"))},
	{"rewritten whole", nil, writeAt(0, noise(2, size))},
	{"rewritten in parts", nil, func(f *os.File) error {
		return errors.Join(writeAt(0, noise(2, 3<<20+77))(f), writeAt(4<<20+5, noise(3, 9<<20))(f))
	}},
	{"a row put in", nil, writeAt(0, append([]byte("something new"), noise(1, size-13)...))},
	{"holes beside a parent", func(f *os.File) error { return punch(f, 6<<20, 1<<20) }, writeAt(5<<20, noise(4, 1<<20))},
}

// What an attempt has stored of a large file the next one takes over, whatever kind of reading
// it is, and goes on behind it; what comes of it is right to the last byte.
func TestALargeFileIsGoneOnWith(t *testing.T) {
	for _, tc := range beginnings {
		for _, at := range []int{3, steps} {
			t.Run(fmt.Sprintf("%s/%d", tc.name, at), func(t *testing.T) {
				s := bigSite(t)
				if tc.edit != nil {
					s.edit(tc.edit)
				}
				parent := ""
				if tc.next != nil {
					parent, _ = s.backup("")
					s.edit(tc.next)
				}
				s.opts.Checkpoint = s.interrupted(parent, at)
				begun := s.begunIn(s.opts.Checkpoint)
				_, res := s.backup(parent)
				s.bigSame(res)
				if at == steps && begun == 0 {
					t.Fatal("the checkpoint has nothing of the file")
				}
				var want []string
				if begun > 0 {
					want = []string{"info file.resumed big"}
				}
				if d := cmp.Diff(want, s.codes()); d != "" {
					t.Errorf("events (-want +got):\n%s", d)
				}
				if read := s.count.readBytes.Load(); begun > 0 && read > readAgain(begun)+signature.Block {
					t.Errorf("%d bytes were read, though %d of %d were known", read, begun, size)
				}
			})
		}
	}
}

// The second attempt may be interrupted too.
func TestALargeFileIsReadInManyAttempts(t *testing.T) {
	s := bigSite(t)
	parent, _ := s.backup("")
	s.edit(writeAt(0, noise(2, size)))
	last := int64(0)
	for range 3 {
		s.opts.Checkpoint = s.interrupted(parent, 9)
		begun := s.begunIn(s.opts.Checkpoint)
		if begun <= last {
			t.Errorf("after %d bytes the next attempt has %d", last, begun)
		}
		last = begun
	}
	_, res := s.backup(parent)
	s.bigSame(res)
	if read := s.count.readBytes.Load(); read > readAgain(last)+signature.Block {
		t.Errorf("%d bytes were read, %d were known", read, last)
	}
}

// A file of several names is in the inode table, which is built when the path tree is complete.
func TestALargeFileOfTwoNamesIsGoneOnWith(t *testing.T) {
	s := bigSite(t)
	if err := os.Link(s.path(big), s.path("other")); err != nil {
		t.Fatal(err)
	}
	s.opts.Checkpoint = s.interrupted("", steps)
	begun := s.begunIn(s.opts.Checkpoint)
	if begun == 0 {
		t.Fatal("the checkpoint has nothing of the file")
	}
	_, res := s.backup("")
	if c := s.codes(); len(c) != 1 || !strings.HasPrefix(c[0], "info file.resumed ") {
		t.Errorf("events: %v", c)
	}
	for _, e := range s.entries(seal.KindInode, res.Root.Inodes) {
		want, err := os.ReadFile(s.path(big))
		if err != nil || !bytes.Equal(s.assemble(e), want) {
			t.Errorf("the content differs (%v)", err)
		}
		s.signed(e, want)
	}
}

// What was read behind a large file waits for it, and is in the checkpoint all the same.
func TestFilesBehindALargeOneAreNotReadAgain(t *testing.T) {
	s := bigSite(t)
	for i := range 600 {
		s.write(fmt.Sprintf("small/f%03d", i), noise(byte(i), 3000+i))
	}
	s.write("too", noise(7, size)) // a second large one beside
	s.opts.Checkpoint = s.interrupted("", 2*steps)
	body, root := s.checkpoint(s.opts.Checkpoint)
	known := s.entries(seal.KindNode, root.Ahead)
	var begun, whole int
	for name, e := range known {
		if bytes.Compare(fileindex.PathKey(e.Path), body.Last) <= 0 {
			t.Errorf("%s is in the path tree", name)
		}
		if e.State&fileindex.Incomplete != 0 {
			begun++
		} else {
			whole++
		}
	}
	if begun == 0 || whole == 0 {
		t.Errorf("the checkpoint has %d files in part and %d whole", begun, whole)
	}
	s.opts.Hooks.Opened = func(path []byte) {
		name := strings.TrimPrefix("/"+string(path), s.dir+"/")
		if e := known[name]; e != nil && e.State&fileindex.Incomplete == 0 {
			t.Errorf("%s was opened again", name)
		}
	}
	_, res := s.backup("")
	s.same(res)
}

func TestAFileThatChangedIsReadFromItsBeginning(t *testing.T) {
	for name, change := range map[string]func(s *site){
		"a byte of what was read": func(s *site) { s.edit(writeAt(5, []byte("x"))) },
		"one with the times it had": func(s *site) {
			st, err := os.Stat(s.path(big))
			if err != nil {
				s.t.Fatal(err)
			}
			s.edit(writeAt(5, []byte("x")))
			if err := os.Chtimes(s.path(big), st.ModTime(), st.ModTime()); err != nil {
				s.t.Fatal(err)
			}
		},
		"longer":                     func(s *site) { s.edit(writeAt(size, []byte("x"))) },
		"shorter than what was read": func(s *site) { s.edit(func(f *os.File) error { return f.Truncate(1000) }) },
		"another file": func(s *site) {
			s.write("new", noise(5, size))
			if err := os.Rename(s.path("new"), s.path(big)); err != nil {
				s.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := bigSite(t)
			s.opts.Checkpoint = s.interrupted("", steps)
			change(s)
			_, res := s.backup("")
			s.bigSame(res)
			if len(s.events) > 0 {
				t.Errorf("events: %v", s.codes())
			}
		})
	}
}

// A file that was young when it was begun may have changed without its times.
func TestAYoungFileIsReadFromItsBeginning(t *testing.T) {
	s := bigSite(t)
	st, err := os.Stat(s.path(big))
	if err != nil {
		t.Fatal(err)
	}
	clock := s.opts.Clock
	var ticks atomic.Int64 // a clock that moves, so that checkpoints are due
	s.opts.Clock = func() time.Time { return st.ModTime().Add(time.Duration(ticks.Add(1))) }
	s.opts.Checkpoint = s.interrupted("", steps)
	if s.begunIn(s.opts.Checkpoint) == 0 {
		t.Fatal("the checkpoint has nothing of the file")
	}
	s.opts.Clock = clock
	_, res := s.backup("")
	s.bigSame(res)
	if len(s.events) > 0 {
		t.Errorf("events: %v", s.codes())
	}
}

// A checkpoint that is damaged costs time, not the backup.
func TestADamagedBeginningIsReadAgain(t *testing.T) {
	for name, spoil := range map[string]func(s *site, root *fileindex.Root, e *fileindex.Entry){
		"signature missing": func(s *site, _ *fileindex.Root, e *fileindex.Entry) { delete(s.store.records, e.Signature.ID()) },
		"tree missing":      func(s *site, root *fileindex.Root, _ *fileindex.Entry) { delete(s.store.records, root.Ahead.H.ID()) },
	} {
		t.Run(name, func(t *testing.T) {
			s := bigSite(t)
			s.opts.Checkpoint = s.interrupted("", steps)
			_, root := s.checkpoint(s.opts.Checkpoint)
			spoil(s, &root, s.entries(seal.KindNode, root.Ahead)[big])
			_, res := s.backup("")
			s.bigSame(res)
			if len(s.events) > 0 {
				t.Errorf("events: %v", s.codes())
			}
		})
	}
}
