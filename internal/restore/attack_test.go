//go:build linux

package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

// asUser runs fn with another user's rights. All threads change, so nothing else may run.
func asUser(t *testing.T, uid int, fn func()) {
	t.Helper()
	must(t, syscall.Setgroups(nil))
	must(t, syscall.Setresgid(uid, uid, 0))
	must(t, syscall.Setresuid(uid, uid, 0))
	defer func() {
		must(t, syscall.Setresuid(0, 0, 0))
		must(t, syscall.Setresgid(0, 0, 0))
	}()
	fn()
}

func TestSymlinksOnTheTargetLeadNowhere(t *testing.T) {
	src := tree(t, map[string]string{"dir/file": "from the point", "file": "from the point", "above/deep/file": "from the point"})
	s := newStore()
	name := s.backup(t, src)
	outside := tree(t, map[string]string{"file": "outside", "deep/file": "outside"})

	t.Run("replaced, not followed", func(t *testing.T) {
		to := tempDir(t)
		must(t, os.Symlink(outside, filepath.Join(to, "dir")))
		must(t, os.Symlink(filepath.Join(outside, "file"), filepath.Join(to, "file")))
		must(t, os.Symlink(outside, filepath.Join(to, "above")))
		var l log
		if n := restoreOK(t, s.options(name, src, to, &l)); n.Errors != 0 {
			t.Errorf("%v", l.events)
		}
		same(t, src, to)
	})
	t.Run("above what is chosen: refused", func(t *testing.T) {
		to := tempDir(t)
		must(t, os.MkdirAll(filepath.Join(to, src), 0o755))
		must(t, os.Symlink(outside, filepath.Join(to, src, "above")))
		var l log
		o := s.options(name, src, to, &l)
		o.Strip, o.Paths = false, [][]byte{[]byte(src + "/above/deep/file")}
		if n := restoreOK(t, o); n.Errors == 0 || len(l.paths("restore.in-the-way")) != 1 {
			t.Errorf("%+v %v", n, l.events)
		}
	})
	if read(t, outside, "file") != "outside" || read(t, outside, "deep/file") != "outside" {
		t.Error("a file outside the target was written")
	}
	if names, _ := os.ReadDir(outside); len(names) != 2 {
		t.Errorf("something was put outside the target: %v", names)
	}
}

// Directories of the target are exchanged for symbolic links all the while.
func TestTargetThatChangesUnderTheRestoreLeadsNowhere(t *testing.T) {
	files := map[string]string{}
	for i := range 200 {
		files[fmt.Sprintf("d%02d/sub/f%d", i%20, i)] = fmt.Sprint(i)
	}
	src := tree(t, files)
	s := newStore()
	name := s.backup(t, src)
	to, outside := tempDir(t), tempDir(t)
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; !stop.Load(); i++ {
			d := filepath.Join(to, fmt.Sprintf("d%02d", i%20))
			if os.Rename(filepath.Join(d, "sub"), filepath.Join(d, "was")) == nil {
				_ = os.Symlink(outside, filepath.Join(d, "sub"))
			}
			_ = os.RemoveAll(filepath.Join(d, "was"))
			runtime.Gosched()
		}
	})
	for range 6 {
		var l log
		o := s.options(name, src, to, &l)
		o.Overwrite, o.DeleteExtra = Always, true
		if _, err := Run(t.Context(), o); err != nil {
			t.Error(err)
		}
	}
	stop.Store(true)
	wg.Wait()
	if names, _ := os.ReadDir(outside); len(names) != 0 {
		t.Errorf("%d files were put outside the target", len(names))
	}
}

// A file index that is forged, though sealed with the right keys, must not lead out.
func TestForgedNamesAreRefused(t *testing.T) {
	s := newStore()
	var es []fileindex.Entry
	for _, p := range []string{"", ".", "..", "../evil", "a", "a/..", "a/../../evil", "a/ok"} {
		typ := fileindex.FIFO
		if p == "" || p == "a" || strings.HasSuffix(p, ".") {
			typ = fileindex.Dir
		}
		es = append(es, fileindex.Entry{Path: []byte(p), Type: typ, Mode: 0o755, UID: uint64(os.Getuid()), GID: uint64(os.Getgid())})
	}
	name := s.pointOf(t, es)
	parent := tempDir(t)
	var l log
	o := Options{Store: s, Keys: s.keys, Point: name, To: filepath.Join(parent, "to"), NoSync: true, Event: l.add}
	n := restoreOK(t, o)
	if n.Errors < 5 || n.NewFiles != 2 || n.DoneFiles != n.TotalFiles {
		t.Errorf("%+v %v", n, l.events)
	}
	if names, _ := os.ReadDir(parent); len(names) != 1 {
		t.Errorf("beside the target: %v", names)
	}
}

// needs answers which data chunks the regular files below dir need, by fetching them.
func (s *store) needs(t *testing.T, name, path string) []seal.ID {
	t.Helper()
	clear(s.gets)
	before := map[seal.ID]bool{}
	var l log
	o := s.options(name, path, tempDir(t), &l)
	restoreOK(t, o)
	var out []seal.ID
	for id := range s.gets {
		r, err := seal.ParseRecord(s.records[id])
		must(t, err)
		if !r.Kind.Meta() && !before[id] {
			out = append(out, id)
		}
	}
	return out
}

func TestDamagedChunkCostsOnlyTheFilesThatNeedIt(t *testing.T) {
	src := tree(t, map[string]string{"a/large": large("a"), "b/large": large("b"), "b/small": "small", "c": "c"})
	s := newStore()
	name := s.backup(t, src)
	bad := s.needs(t, name, src+"/a/large")
	if len(bad) < 2 {
		t.Fatalf("the large file has %d chunks", len(bad))
	}
	for what, harm := range map[string]func(id seal.ID){
		"missing": func(id seal.ID) { delete(s.records, id) },
		"altered": func(id seal.ID) {
			b := []byte(string(s.records[id]))
			b[len(b)-20] ^= 1
			s.records[id] = b
		},
		"on a bad place of the disk": func(bad seal.ID) {
			s.onGet = func(id seal.ID) error {
				if id == bad {
					return errs.New(errs.Unavailable, "repository.io", "read pack: input/output error")
				}
				return nil
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			whole := s.records[bad[0]]
			harm(bad[0])
			defer func() { s.records[bad[0]], s.onGet = whole, nil }()
			to := tree(t, map[string]string{"a/large": "the old one"})
			var l log
			n := restoreOK(t, s.options(name, src, to, &l))
			if n.Errors != 1 || n.DoneFiles != n.TotalFiles {
				t.Errorf("%+v", n)
			}
			for _, e := range l.events {
				if e.Code != "restore.did" && (e.Level != "error" || string(e.Path) != src+"/a/large") {
					t.Errorf("%s %q %s", e.Level, e.Path, e.Text)
				}
			}
			if read(t, to, "a/large") != "the old one" {
				t.Error("the old file was touched")
			}
			if names, _ := os.ReadDir(filepath.Join(to, "a")); len(names) != 1 {
				t.Errorf("left behind: %v", names)
			}
			if read(t, to, "b/large") != large("b") || read(t, to, "b/small") != "small" || read(t, to, "c") != "c" {
				t.Error("another file has another content")
			}
		})
	}
}

func TestStoreThatGoesAwayEndsTheRestore(t *testing.T) {
	files := map[string]string{"large": large("a")}
	for i := range 12 {
		files[fmt.Sprintf("d%d/large", i)] = large(fmt.Sprint(i))
	}
	src := tree(t, files)
	s := newStore()
	name := s.backup(t, src)
	to := tree(t, map[string]string{"large": "the old one"})
	var n atomic.Int64
	gone := errs.New(errs.Unavailable, "mover.lost", "the mover is gone")
	t.Run("or when its disk has gone", func(t *testing.T) {
		r := readers{}
		io := errs.New(errs.Unavailable, "repository.io", "read pack: input/output error")
		for i := range maxBadReads + 1 {
			if got := r.fatal(io); got != (i == maxBadReads) {
				t.Errorf("read %d: fatal %v", i, got)
			}
		}
		if r.good(); r.fatal(io) {
			t.Error("a good read does not count")
		}
	})
	s.onGet = func(seal.ID) error {
		if n.Add(1) > 12 {
			return gone
		}
		return nil
	}
	var l log
	_, err := Run(t.Context(), s.options(name, src, to, &l))
	if !errors.Is(err, gone) {
		t.Fatalf("ended with %v", err)
	}
	if len(l.paths("restore.failed")) != 0 {
		t.Errorf("files are blamed: %v", l.events)
	}
	leftovers, err := filepath.Glob(filepath.Join(to, "*", ".keepward-*"))
	must(t, err)
	if len(leftovers) != 0 {
		t.Errorf("left behind: %v", leftovers)
	}
	// Going on with the rest.
	s.onGet = nil
	restoreOK(t, s.options(name, src, to, &l))
	same(t, src, to)
}

func TestKilledRestoreLosesNothingAndGoesOn(t *testing.T) {
	files := map[string]string{}
	for i := range 6 {
		files[fmt.Sprintf("d%d/large", i%3)+fmt.Sprint(i)] = large(fmt.Sprint(i))
		files[fmt.Sprintf("d%d/small%d", i%3, i)] = fmt.Sprint(i)
	}
	src := tree(t, files)
	s := newStore()
	name := s.backup(t, src)
	old := map[string]string{}
	for f := range files {
		old[f] = "old " + f
	}
	to := tree(t, old)
	for at := int64(2); at < 24; at += 4 {
		// A context that ends is the nearest to a kill in one process: whatever stage each
		// file is in, it stays there.
		ctx, cancel := context.WithCancel(t.Context())
		var n atomic.Int64
		s.onGet = func(seal.ID) error {
			if n.Add(1) == at {
				cancel()
			}
			return nil
		}
		var l log
		if _, err := Run(ctx, s.options(name, src, to, &l)); err != nil && errs.KindOf(err) != errs.Cancelled {
			t.Fatal(err)
		}
		cancel()
		for f, want := range files {
			if got := read(t, to, f); got != want && got != old[f] {
				t.Fatalf("after a stop at chunk %d, %s is neither the old file nor the new one", at, f)
			}
		}
	}
	s.onGet = nil
	var l log
	n := restoreOK(t, s.options(name, src, to, &l))
	if n.SkippedFiles == 0 {
		t.Error("nothing was taken over from the earlier runs")
	}
	if d := cmp.Diff(map[string]int{}, l.codes()); d != "" {
		t.Error(d)
	}
	same(t, src, to)
}
