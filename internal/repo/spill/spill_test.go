package spill

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Whatever fits in memory, all records come back in order, and no folder keeps any of it.
func TestRecordsComeBackInOrder(t *testing.T) {
	for _, test := range []struct {
		name   string
		n      int
		memory int
		dir    bool
	}{
		{"none", 0, 100, true},
		{"one", 1, 100, true},
		{"all in memory", 1000, 1 << 20, true},
		{"no folder", 1000, 100, false},
		{"many runs", 5000, 900, true},
		{"a run for each record", 40, 1, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := ""
			if test.dir {
				dir = t.TempDir()
			}
			const size = 9
			s := New(dir, size, test.memory)
			defer s.Close()
			rng := rand.New(rand.NewPCG(4, 2))
			var want [][]byte
			for range test.n {
				r := make([]byte, size)
				for i := range r {
					r[i] = byte(rng.IntN(4)) // some come more than once
				}
				want = append(want, bytes.Clone(r))
				if err := s.Add(r); err != nil {
					t.Fatal(err)
				}
				clear(r) // it was copied
			}
			slices.SortFunc(want, bytes.Compare)
			r, err := s.Merge()
			if err != nil || s.Len() != int64(test.n) {
				t.Fatalf("%d, %v", s.Len(), err)
			}
			for i, w := range want {
				if !bytes.Equal(r.Peek(), w) {
					t.Fatalf("record %d is %v, want %v, %v", i, r.Peek(), w, r.Err())
				}
				r.Next()
			}
			if r.Peek() != nil || r.Err() != nil {
				t.Fatalf("more came: %v, %v", r.Peek(), r.Err())
			}
			if !test.dir {
				return
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Fatalf("left in the folder: %v, %v", left, err)
			}
		})
	}
}

func TestWhatIsSpilledCannotBeRead(t *testing.T) {
	s := New(t.TempDir(), 16, 16)
	defer s.Close()
	secret := []byte("a secret of 16 b")
	for range 3 {
		if err := s.Add(secret); err != nil {
			t.Fatal(err)
		}
	}
	var seen [][]byte
	for _, f := range s.runs {
		b := make([]byte, 16)
		if _, err := f.ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(b, secret) || slices.ContainsFunc(seen, func(o []byte) bool { return bytes.Equal(o, b) }) {
			t.Fatalf("%q is on the disk", b)
		}
		seen = append(seen, b)
	}
	if len(seen) < 2 {
		t.Fatal("nothing was spilled: the test proves nothing")
	}
}

func TestAFolderThatIsGoneIsAnError(t *testing.T) {
	s := New(filepath.Join(t.TempDir(), "gone"), 4, 4)
	defer s.Close()
	if err := s.Add([]byte("1234")); err != nil {
		t.Fatal(err)
	}
	if err := s.Add([]byte("5678")); err == nil {
		t.Fatal("spilled into a folder that is not there")
	}
}
