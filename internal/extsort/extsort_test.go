package extsort

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// records are n random ones of up to most bytes, some of them equal or empty.
func records(n, most int) [][]byte {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	out := make([][]byte, n)
	for i := range out {
		out[i] = make([]byte, r.IntN(most+1))
		for j := range out[i] {
			out[i][j] = "\x00ab\xff"[r.IntN(4)]
		}
	}
	return out
}

func TestSortedIsWhatCameInOrder(t *testing.T) {
	for name, tc := range map[string]struct{ n, most, limit int }{
		"nothing":              {0, 1, 1 << 20},
		"in memory":            {1000, 20, 1 << 20},
		"a few runs":           {1000, 20, 8 << 10},
		"a run for each":       {50, 20, 1},
		"longer than a buffer": {20, 40 << 10, 64 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := New(dir, tc.limit)
			in := records(tc.n, tc.most)
			for _, rec := range in {
				if err := s.Add(rec); err != nil {
					t.Fatal(err)
				}
			}
			slices.SortFunc(in, bytes.Compare)
			for range 2 {
				out := make([][]byte, 0, len(in))
				if err := s.Each(func(rec []byte) error { out = append(out, bytes.Clone(rec)); return nil }); err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(in, out, cmp.Comparer(func(a, b []byte) bool { return bytes.Equal(a, b) })); d != "" {
					t.Fatal(d)
				}
			}
			s.Close()
			if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestEachEndsWithItsCallersError(t *testing.T) {
	s := New(t.TempDir(), 100)
	defer s.Close()
	for _, rec := range records(100, 10) {
		if err := s.Add(rec); err != nil {
			t.Fatal(err)
		}
	}
	enough := errors.New("enough")
	if err := s.Each(func([]byte) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("it ended with %v", err)
	}
}

func TestWhatCannotBeWrittenIsTold(t *testing.T) {
	s := New(filepath.Join(t.TempDir(), "missing"), 10)
	defer s.Close()
	var err error
	for _, rec := range records(10, 10) {
		err = errors.Join(err, s.Add(rec))
	}
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it failed with %v", err)
	}
}

func BenchmarkSort(b *testing.B) {
	in := records(200_000, 60)
	for name, limit := range map[string]int{"memory": 1 << 30, "disk": 1 << 20} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s := New(b.TempDir(), limit)
				for _, rec := range in {
					if err := s.Add(rec); err != nil {
						b.Fatal(err)
					}
				}
				if err := s.Each(func([]byte) error { return nil }); err != nil {
					b.Fatal(err)
				}
				s.Close()
			}
			b.ReportMetric(float64(len(in))*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}
