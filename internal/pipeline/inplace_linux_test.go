package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// edits are what is done to a large file between two backups, and how much of it may be sent.
var edits = []struct {
	name string
	edit func(f *os.File) error
	sent int64
}{
	{"nothing but the time", func(f *os.File) error { return f.Chmod(0o600) }, 20 << 10},
	{"one byte", writeAt(7<<20+11, []byte{1}), 40 << 10},
	{"the first byte", writeAt(0, []byte{1}), 40 << 10},
	{"the last byte", writeAt(size-1, []byte{1}), 40 << 10},
	{"pages", func(f *os.File) error {
		r := rand.New(rand.NewPCG(1, 2))
		for i := range 26 { // one percent
			if _, err := f.WriteAt(noise(byte(i), 8192), r.Int64N(size/8192)*8192); err != nil {
				return err
			}
		}
		return nil
	}, 26*blockSize + 50<<10},
	{"every second block", func(f *os.File) error {
		for at := int64(0); at < size; at += 2 * blockSize {
			if _, err := f.WriteAt([]byte{1, 2, 3}, at+100); err != nil {
				return err
			}
		}
		return nil
	}, size/2 + 200<<10},
	{"runs around the length from which on they are cut", func(f *os.File) error {
		at := int64(5 * blockSize)
		for i, blocks := range []int64{longRun - 1, longRun, longRun + 1, 2} {
			if _, err := f.WriteAt(noise(byte(i), int(blocks*blockSize)), at); err != nil {
				return err
			}
			at += (blocks + minKept - 1 + int64(i)) * blockSize
		}
		return nil
	}, (3*longRun+2+minKept)*blockSize + 100<<10},
	{"a long run in the middle", writeAt(5<<20+3, noise(2, 7<<20)), 7<<20 + 100<<10},
	{"a few bytes appended", writeAt(size, []byte("more")), 40 << 10},
	{"much appended", writeAt(size, noise(2, 3<<20)), 3<<20 + 100<<10},
	{"cut short", func(f *os.File) error { return f.Truncate(16<<20 + 7) }, 40 << 10},
	{"cut at a block", func(f *os.File) error { return f.Truncate(16 << 20) }, 20 << 10},
	{"cut to a small one", func(f *os.File) error { return f.Truncate(2 << 20) }, 2 << 20},
	{"cut to nothing", func(f *os.File) error { return f.Truncate(0) }, 20 << 10},
	{"grown by a hole", func(f *os.File) error { return f.Truncate(40<<20 + 1) }, 40 << 10},
	{"bytes put in at the front", func(f *os.File) error {
		_, err := f.WriteAt(append([]byte("something new"), noise(1, size)...), 0)
		return err
	}, 5 << 20},
	{"blocks put in in the middle", func(f *os.File) error {
		_, err := f.WriteAt(append(noise(9, 3*blockSize), noise(1, size)[4<<20:]...), 4<<20)
		return err
	}, 7 << 20},
	{"zeros over blocks", writeAt(2<<20, make([]byte, 3*blockSize)), 20 << 10},
	{"many zeros", writeAt(2<<20+5, make([]byte, 6<<20)), 60 << 10},
	{"zeros in a long run", func(f *os.File) error {
		content := noise(3, 8<<20)
		clear(content[2<<20 : 4<<20])
		clear(content[5<<20 : 5<<20+2*blockSize])
		_, err := f.WriteAt(content, 4<<20)
		return err
	}, 6<<20 + 100<<10},
	{"all of it", writeAt(0, noise(2, size)), size + 100<<10},
	{"blocks that change places", func(f *os.File) error {
		a, b := make([]byte, blockSize), make([]byte, blockSize)
		_, err1 := f.ReadAt(a, 3*blockSize)
		_, err2 := f.ReadAt(b, 900*blockSize)
		_, err3 := f.WriteAt(b, 3*blockSize)
		_, err4 := f.WriteAt(a, 900*blockSize)
		return errors.Join(err1, err2, err3, err4)
	}, 60 << 10},
}

func TestEveryEditOfALargeFileIsStored(t *testing.T) {
	s := bigSite(t)
	original := noise(1, size)
	first, _ := s.backup("")
	for _, tc := range edits {
		t.Run(tc.name, func(t *testing.T) {
			s.t = t
			s.write(big, original) // into the same inode
			s.edit(tc.edit)
			second, res := s.backup(first)
			s.bigSame(res)
			if len(s.events) > 0 {
				t.Errorf("events: %v", s.events)
			}
			if sent := s.count.Proto().GetSentBytes(); sent > tc.sent {
				t.Errorf("%d bytes were sent, %d would do", sent, tc.sent)
			}
			// On top of what lies in pieces now.
			s.edit(writeAt(1<<20, []byte(tc.name)))
			_, res = s.backup(second)
			s.bigSame(res)
		})
	}
}

// Zeros are equal to zeros, but a block that has grown is not the parent's.
func TestShortBlockOfZerosGrows(t *testing.T) {
	s := bigSite(t)
	s.edit(writeAt(zeroTail, make([]byte, 5000)))
	first, _ := s.backup("")
	s.edit(writeAt(size, make([]byte, 3*blockSize)))
	_, res := s.backup(first)
	s.bigSame(res)
}

// Edits at random, one after the other, over generations.
func TestAnyEditsOverGenerationsAreStored(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			s := bigSite(t)
			if seed%2 == 1 {
				s.edit(func(f *os.File) error { return errors.Join(f.Truncate(0), f.Truncate(size)) })
			}
			parent, _ := s.backup("")
			for range 6 {
				s.edit(func(f *os.File) error { return scribble(f, r) })
				name, res := s.backup(parent)
				s.bigSame(res)
				parent = name
			}
		})
	}
}

// scribble makes some edits at random.
func scribble(f *os.File, r *rand.Rand) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	length := max(st.Size(), 1)
	for range 1 + r.IntN(12) {
		at, n := r.Int64N(length), int64(1)<<r.IntN(23)
		if r.IntN(2) == 0 {
			at, n = at/blockSize*blockSize, max(n, blockSize)
		}
		switch r.IntN(12) {
		case 0:
			err = f.Truncate(length + r.Int64N(4<<20) - 2<<20)
		case 1:
			_, err = f.WriteAt(make([]byte, n), at)
		case 2:
			err = punch(f, at, n)
		case 3:
			moved := make([]byte, n)
			_, _ = f.ReadAt(moved, at) // as much as there is
			_, err = f.WriteAt(moved, r.Int64N(length))
		default:
			_, err = f.WriteAt(noise(byte(r.Uint32()), int(n)), at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func TestSecondGenerationKeepsWhatItEquals(t *testing.T) {
	s := bigSite(t)
	first, _ := s.backup("")
	s.edit(writeAt(9<<20, []byte("x")))
	_, res := s.backup(first)
	s.bigSame(res)
	c := s.count.Proto()
	if c.GetReadBytes() != size || c.GetKeptBytes() != size-blockSize {
		t.Errorf("%d bytes were read and %d kept of %d", c.GetReadBytes(), c.GetKeptBytes(), size)
	}
}

func TestFullComparesWithNothing(t *testing.T) {
	s := bigSite(t)
	first, _ := s.backup("")
	s.opts.Full = true
	_, res := s.backup(first)
	s.bigSame(res)
	if kept := s.count.keptBytes.Load(); kept != 0 {
		t.Errorf("%d bytes were taken over from the parent", kept)
	}
}

func TestUnusableSignatureMeansReadingAnew(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(s *site, e *fileindex.Entry)
	}{
		"missing": {func(s *site, e *fileindex.Entry) { delete(s.store.records, e.Signature.ID()) }},
		"damaged": {func(s *site, e *fileindex.Entry) {
			rec := s.store.records[e.Signature.ID()]
			rec[len(rec)-20] ^= 1
		}},
		"content map missing": {func(s *site, e *fileindex.Entry) { delete(s.store.records, e.Map.H.ID()) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := bigSite(t)
			s.edit(writeAt(size, noise(8, 8<<20))) // so large that it has a content map
			first, res := s.backup("")
			e := s.tree(res)[big]
			tc.spoil(s, e)
			s.edit(writeAt(9<<20, []byte("x")))
			_, res = s.backup(first)
			e = s.tree(res)[big]
			want, err := os.ReadFile(s.path(big))
			if err != nil || !bytes.Equal(s.assemble(e), want) {
				t.Errorf("the content differs (%v)", err)
			}
			s.signed(e, want)
			if c := s.codes(); len(c) != 1 || c[0] != "warning signature.unusable big" {
				t.Errorf("events: %v", c)
			}
		})
	}
}

func TestSignatureOfAnotherSizeIsRefused(t *testing.T) {
	s := bigSite(t)
	_, res := s.backup("")
	e := s.tree(res)[big]
	f := &fetcher{store: s.store, keys: s.store.keys}
	defer f.close()
	if _, err := openParent(t.Context(), f, e); err != nil {
		t.Fatal(err)
	}
	e.Size--
	if _, err := openParent(t.Context(), f, e); errs.CodeOf(err) != "signature.damaged" {
		t.Errorf("error: %v", err)
	}
}

// restless changes a file when the store is first asked, while it is being read.
type restless struct {
	*memStore
	once   sync.Once
	change func()
}

func (r *restless) Have(ctx context.Context, hs []seal.H) ([]bool, error) {
	r.once.Do(r.change)
	return r.memStore.Have(ctx, hs)
}

// The point of a file that changes while it is read may hold a mixture, but the signature must
// be of that mixture: else the next backup takes for stored what is not.
func TestSignatureIsOfWhatIsStored(t *testing.T) {
	for name, change := range map[string]func(f *os.File) error{
		"rewritten": writeAt(3<<20, noise(7, 12<<20)),
		"cut short": func(f *os.File) error { return f.Truncate(12<<20 + 77) },
		"grown":     func(f *os.File) error { return f.Truncate(30 << 20) },
		"punched":   func(f *os.File) error { return punch(f, 1<<20, 15<<20) },
	} {
		for _, first := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/first=%v", name, first), func(t *testing.T) {
				// The change comes with the first question to the store. That may be behind the
				// last byte of the file, where there is little to ask about.
				for range 20 {
					if changedWhileRead(t, first, change) {
						return
					}
				}
				t.Error("the file was never changed while it was read")
			})
		}
	}
}

// changedWhileRead backs up a large file that changes meanwhile, and tells whether the backup
// noticed; if not, the change came too late. What it stored must be right in either case.
func changedWhileRead(t *testing.T, first bool, change func(f *os.File) error) bool {
	t.Helper()
	s := bigSite(t)
	s.edit(func(f *os.File) error { return punch(f, 16<<20, 1<<20) })
	if !first {
		s.opts.Parent, _ = s.backup("")
	}
	s.edit(writeAt(1000, noise(9, 3<<20)))
	s.opts.Attempt = point.Attempt{100}
	s.store.attempt = s.opts.Attempt
	s.events = nil
	store := &restless{memStore: s.store, change: func() { s.edit(change) }}
	res, err := Run(t.Context(), store, s.opts)
	if err != nil {
		t.Fatal(err)
	}
	e := s.tree(res)[big]
	s.signed(e, s.assemble(e))
	noticed := len(s.events) > 0
	if noticed && e.State&fileindex.Racy == 0 {
		t.Errorf("state %v, events %v", e.State, s.events)
	}
	_, res = s.backup(s.opts.Attempt.String())
	s.bigSame(res)
	return noticed
}
