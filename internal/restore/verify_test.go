//go:build linux

package restore

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/treegen"
)

func TestVerifyPassesEveryKindOfFile(t *testing.T) {
	src := tempDir(t)
	_, err := treegen.Zoo(src)
	must(t, err)
	s := newStore()
	name := s.backup(t, src)
	var l log
	to := tempDir(t)
	o := s.options(name, src, to, &l)
	o.Verify, o.NoSync = true, false
	n := restoreOK(t, o)
	if n.Mismatched != 0 || n.VerifiedFiles == 0 || n.VerifiedBytes == 0 {
		t.Errorf("%d files, %d bytes are right, %d differ: %v", n.VerifiedFiles, n.VerifiedBytes, n.Mismatched, l.events)
	}
	if got, want := n.VerifiedFiles, n.DoneFiles; got > want {
		t.Errorf("%d files verified, %d restored", got, want)
	}
}

// What stands on the target under the right size and time, but with another content, is found
// by reading it back and by nothing else.
func TestVerifyNamesWhatDiffers(t *testing.T) {
	src := tree(t, map[string]string{"small": "content", "empty": "", "dir/same": "same", "dir/gone": "x"})
	must(t, os.WriteFile(filepath.Join(src, "large"), randomFile(5<<20, 1), 0o644))
	sparse := filepath.Join(src, "sparse")
	must(t, os.WriteFile(sparse, []byte("begin"), 0o644))
	must(t, os.Truncate(sparse, 4<<20))
	must(t, os.Symlink("there", filepath.Join(src, "symlink")))
	must(t, os.Link(filepath.Join(src, "small"), filepath.Join(src, "second")))
	s := newStore()
	name := s.backup(t, src)

	flip := func(at int64) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			st, err := os.Stat(path)
			must(t, err)
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			must(t, err)
			b := make([]byte, 1)
			_, err = f.ReadAt(b, at)
			must(t, err)
			b[0]++
			_, err = f.WriteAt(b, at)
			must(t, err)
			must(t, f.Close())
			must(t, os.Chtimes(path, time.Time{}, st.ModTime()))
		}
	}
	for _, c := range []struct {
		file   string
		policy Overwrite
		spoil  func(t *testing.T, path string)
		want   []string
	}{
		{"dir/same", Different, func(*testing.T, string) {}, nil},
		{"large", Different, flip(4 << 20), []string{"large"}},
		{"dir/same", Different, flip(1), []string{"dir/same"}},
		{"sparse", Different, flip(3 << 20), []string{"sparse"}},
		{"sparse", Always, flip(3 << 20), nil},
		{"large", Never, flip(4 << 20), []string{"large"}},
		// The policy leaves these, so they are not verified.
		{"large", Never, func(t *testing.T, path string) { must(t, os.Truncate(path, 7)) }, nil},
		{"dir/gone", Never, func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte("mine"), 0o600)) }, nil},
	} {
		to := tempDir(t)
		var l log
		o := s.options(name, src, to, &l)
		restoreOK(t, o)
		c.spoil(t, filepath.Join(to, c.file))
		o.Verify, o.NoSync, o.Overwrite = true, false, c.policy
		n := restoreOK(t, o)
		var want []string
		for _, w := range c.want {
			want = append(want, filepath.Join(src, w))
		}
		if d := cmp.Diff(want, l.paths("restore.mismatch")); d != "" {
			t.Errorf("%s, %s: %s", c.file, c.policy, d)
		}
		if n.Mismatched != int64(len(want)) || n.Errors != n.Mismatched {
			t.Errorf("%s, %s: %d differ, %d errors", c.file, c.policy, n.Mismatched, n.Errors)
		}
	}
}
