package pipeline

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// endAt has the backup end early when a file is opened.
func (s *site) endAt(name string) {
	enough := make(chan struct{})
	var once sync.Once
	s.opts.Enough = enough
	s.opts.Hooks.Opened = func(path []byte) {
		if strings.HasSuffix(string(path), "/"+name) {
			once.Do(func() { close(enough) })
		}
	}
}

// kind is what stands under an attempt's name.
func (s *site) kind(name string) (point.Type, point.Completeness) {
	s.t.Helper()
	p, err := point.Parse(s.store.points[name])
	if err != nil {
		s.t.Fatal(err)
	}
	body, err := point.OpenBody(s.store.keys.ComputerKey, &p)
	if err != nil {
		s.t.Fatal(err)
	}
	return p.Type, body.Completeness
}

func TestABackupThatIsEndedEarlyKeepsWhatIsComplete(t *testing.T) {
	s := newSite(t)
	for _, name := range []string{"a", "b", "d/c"} {
		s.write(name, noise(1, 100))
	}
	s.write("e-large", noise(2, 3<<20))
	s.endAt("e-large")
	s.opts.Workers = 1 // what comes before it is read before it
	name, res := s.backup("")
	if typ, how := s.kind(name); typ != point.Partial || how != point.Unfinished || !res.Partial {
		t.Fatalf("it made a %s, %s", typ, how)
	}
	s.same(res)
	got := slices.Sorted(maps.Keys(s.own(res)))
	if slices.Contains(got, "e-large") {
		t.Error("a file is in the point that was not read")
	}
	for _, name := range []string{"a", "b", "d", "d/c"} {
		if !slices.Contains(got, name) {
			t.Errorf("%s is not in the point: %q", name, got)
		}
	}
	if codes := s.codes(); len(codes) != 1 || !strings.Contains(codes[0], "backup.partial") {
		t.Errorf("events: %q", codes)
	}
	if s.count.Proto().GetErrors() != 0 {
		t.Errorf("what was left out counts as %d errors", s.count.Proto().GetErrors())
	}
}

// impatientStore gives up on a record whose context ends, as one over a network does. It has the
// backup end early in the middle.
type impatientStore struct {
	*memStore
	once   sync.Once
	enough chan struct{}
}

func (m *impatientStore) Put(ctx context.Context, record []byte) error {
	m.mu.Lock()
	puts := m.puts
	m.mu.Unlock()
	if puts >= 20 {
		m.once.Do(func() { close(m.enough) })
		select { // it is slow, and all wait for it
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return m.memStore.Put(ctx, record)
}

// A worker that waits for memory in the middle of a large file seals what others have read. That
// the file is let go of is no reason to lose theirs.
func TestABackupThatIsEndedEarlyWhileItsStoreIsSlowKeepsWhatIsComplete(t *testing.T) {
	s := newSite(t)
	for _, name := range []string{"a", "b", "c"} {
		s.write(name, noise(1, 100))
	}
	for i := range 3 {
		s.write(fmt.Sprintf("large%d", i), noise(byte(2+i), 64<<20))
	}
	store := &impatientStore{memStore: s.store, enough: make(chan struct{})}
	s.opts.Enough, s.opts.Workers = store.enough, 2
	name, res, err := s.runOn(store, "")
	if err != nil {
		t.Fatalf("it left nothing: %v", err)
	}
	if typ, _ := s.kind(name); typ != point.Partial || !res.Partial {
		t.Errorf("it made a %s", typ)
	}
}

func TestABackupThatIsDoneWhenItShallEndIsComplete(t *testing.T) {
	s := newSite(t)
	s.write("a", noise(1, 100))
	enough := make(chan struct{})
	s.opts.Enough = enough
	var once sync.Once
	s.opts.Hooks.Read = func([]byte) { once.Do(func() { close(enough) }) } // of the last file
	name, res := s.backup("")
	if typ, how := s.kind(name); typ != point.Complete || how != point.Whole || res.Partial {
		t.Errorf("it made a %s, %s", typ, how)
	}
}

func TestABackupThatIsEndedBeforeItBeganMakesNoPoint(t *testing.T) {
	s := newSite(t)
	s.write("a", noise(1, 100))
	enough := make(chan struct{})
	close(enough)
	s.opts.Enough = enough
	if _, _, err := s.run(""); errs.CodeOf(err) != "backup.nothing-yet" {
		t.Errorf("it ended with %v", err)
	}
	if len(s.store.points) != 0 {
		t.Error("there is a point")
	}
}

// A file with several names is read when all names are known: what of these files is unchanged is
// kept, the others are left to the next backup.
func TestFilesWithSeveralNamesInABackupThatIsEndedEarly(t *testing.T) {
	s := newSite(t)
	s.age()
	s.write("old", noise(1, 100))
	if err := os.Link(s.path("old"), s.path("old-too")); err != nil {
		t.Fatal(err)
	}
	first, _ := s.backup("")
	s.write("new", noise(2, 100))
	if err := os.Link(s.path("new"), s.path("new-too")); err != nil {
		t.Fatal(err)
	}
	s.write("z-large", noise(3, 3<<20))
	s.endAt("z-large")
	s.opts.Workers = 1
	_, res := s.backup(first)
	if !res.Partial {
		t.Fatal("the point is complete")
	}
	inodes := s.entries(seal.KindInode, res.Root.Inodes)
	if len(inodes) != 1 {
		t.Errorf("%d files with several names are in the point, want the old one", len(inodes))
	}
	for name, e := range s.own(res) {
		if name != "" && e.Type != fileindex.Link && e.Type != fileindex.Dir {
			t.Errorf("%s is a %s", name, e.Type)
		}
	}
	if d := cmp.Diff(int64(0), s.count.Proto().GetDeletedFiles()); d != "" {
		t.Errorf("files that were not looked at count as deleted (-want +got):\n%s", d)
	}
}
