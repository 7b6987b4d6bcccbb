package pipeline

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"keepward/internal/errs"
)

// history changes files at random.
type history struct {
	*tracked
	r *rand.Rand
}

// any is a path below the site's directory that is there, or the directory itself.
func (h *history) any(dirs bool) string {
	at := h.dir
	for h.r.IntN(4) > 0 {
		list, err := os.ReadDir(at)
		if err != nil {
			h.t.Fatal(err)
		}
		if dirs {
			list = slices.DeleteFunc(list, func(e fs.DirEntry) bool { return !e.IsDir() })
		}
		if len(list) == 0 {
			break
		}
		e := list[h.r.IntN(len(list))]
		at = filepath.Join(at, e.Name())
		if !e.IsDir() {
			break
		}
	}
	return at
}

func (h *history) name() string {
	names := []string{"a", "b", "c", "c.", "c-d", "long" + strings.Repeat("x", 200), "t.tmp", "CACHEDIR.TAG"}
	return fmt.Sprintf("%s%d", names[h.r.IntN(len(names)-1)], h.r.IntN(4))
}

func (h *history) content() []byte {
	n := h.r.IntN(20000)
	if h.r.IntN(30) == 0 {
		n = 300_000 + h.r.IntN(100_000)
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(h.r.Uint32())
	}
	return b
}

// step does one thing; what cannot be done is left.
func (h *history) step() {
	at := h.any(false)
	to := filepath.Join(h.any(true), h.name())
	switch h.r.IntN(16) {
	case 0, 1, 2:
		_ = os.WriteFile(to, h.content(), 0o644)
	case 3, 4:
		if fi, err := os.Lstat(at); err == nil && fi.Mode().IsRegular() {
			_ = os.WriteFile(at, h.content(), 0o644)
		}
	case 5:
		_ = os.Mkdir(to, 0o755)
	case 6, 7: // also whole directories, and over files that are there
		if at != h.dir {
			_ = os.Rename(at, to)
		}
	case 8, 9:
		_ = os.Link(at, to)
	case 10:
		if at != h.dir {
			_ = os.Remove(at)
		}
	case 11:
		if at != h.dir && h.r.IntN(3) == 0 {
			_ = os.RemoveAll(at)
		}
	case 12:
		_ = os.Symlink("../"+h.name(), to)
	case 13:
		if fi, err := os.Lstat(at); err == nil && fi.Mode()&fs.ModeSymlink == 0 {
			_ = os.Chmod(at, fi.Mode().Perm()^0o10)
		}
	case 14:
		tag := filepath.Join(h.any(true), "CACHEDIR.TAG")
		if os.Remove(tag) != nil {
			_ = os.WriteFile(tag, []byte("Signature: 8a477f597d28d172789f06886806bc55\n"), 0o644)
		}
	case 15: // two directories change places
		a, b, c := h.any(true), h.any(true), filepath.Join(h.dir, "swap")
		if a != h.dir && b != h.dir && os.Rename(a, c) == nil {
			_ = os.Rename(b, a)
			_ = os.Rename(c, b)
		}
	}
}

// begin makes some files and a first backup of them.
func (h *history) begin() (string, Result) {
	h.opts.Selection.Exclude = []string{"*.tmp*"}
	for range h.r.IntN(150) {
		h.step()
	}
	if h.r.IntN(8) == 0 { // a tree of several nodes
		for i := range 1200 {
			h.write(fmt.Sprintf("many/%d/f%d", i%7, i), nil)
		}
	}
	name, res, err := h.take("", false)
	if err != nil {
		h.t.Fatal(err)
	}
	h.thin = res.Root.Thin
	return name, res
}

func TestNarrowedPointsAreTheSameOverRandomHistories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := &history{newTracked(t), rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 3))}
		h.blind = rapid.Bool().Draw(rt, "blind")
		name, res := h.begin()
		for range 4 {
			for range h.r.IntN(25) {
				h.step()
			}
			name, res = h.both(name)
			h.thin = res.Root.Thin
			if t.Failed() {
				rt.FailNow()
			}
		}
	})
}

// TestNarrowedBackupsGoOn interrupts narrowed backups, changes files meanwhile and goes on from
// the checkpoint.
func TestNarrowedBackupsGoOn(t *testing.T) {
	resumed := 0
	rapid.Check(t, func(rt *rapid.T) {
		h := &history{newTracked(t), rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 4))}
		h.loose = true
		parent, _ := h.begin()
		for range 3 {
			for range 5 + h.r.IntN(40) {
				h.step()
			}
			h.opts.CheckpointBytes, h.opts.Checkpoint = 1, ""
			for range 3 {
				h.store.puts, h.store.putErr = 0, errs.New(errs.Unavailable, "", "the store is gone")
				h.store.failAt, h.broken = 2+h.r.IntN(60), h.r.IntN(2) == 0
				name, _, err := h.take(parent, true)
				h.store.putErr, h.broken = nil, false
				if err == nil {
					break
				}
				if _, there := h.store.points[name]; there {
					h.opts.Checkpoint = name
					resumed++
				}
				for range h.r.IntN(4) {
					h.step()
				}
			}
			var name string
			var want, got Result
			checkpoint := h.opts.Checkpoint
			h.quietly(func() {
				var err error
				h.opts.Checkpoint = ""
				if _, want, err = h.take(parent, false); err != nil {
					t.Fatal(err)
				}
				h.opts.Checkpoint = checkpoint
				if name, got, err = h.take(parent, true); err != nil {
					t.Fatal(err)
				}
			})
			h.equal(want, got)
			parent = name
			if t.Failed() {
				rt.FailNow()
			}
		}
	})
	if resumed == 0 {
		t.Error("no checkpoint was gone on from")
	}
}
