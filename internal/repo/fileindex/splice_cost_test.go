package fileindex

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"keepward/internal/repo/seal"
)

// tally counts what is saved and fetched.
type tally struct {
	*store
	saved, fetched int
}

func (c *tally) Save(ctx context.Context, ch Chunk) error {
	c.saved++
	return c.store.Save(ctx, ch)
}

func (c *tally) Fetch(ctx context.Context, kind seal.Kind, hs []seal.H) ([][]byte, error) {
	c.fetched += len(hs)
	return c.store.Fetch(ctx, kind, hs)
}

// wideModel is n files in directories of 1000.
func wideModel(n int) model {
	m := make(model, n+n/1000)
	for i := range n {
		if i%1000 == 0 {
			m[fmt.Sprintf("srv\x00data\x00d%05d", i/1000)] = &Entry{Type: Dir, Mode: 0o755}
		}
		m[fmt.Sprintf("srv\x00data\x00d%05d\x00f%07d", i/1000, i)] = &Entry{Type: File, Size: int64(i), Mode: 0o644, Inode: uint64(i), Device: 3, Links: 1}
	}
	return m
}

func TestSplicingCostsWhatDiffers(t *testing.T) {
	for _, n := range []int{20_000, 200_000} {
		base := newStore()
		m := wideModel(n)
		keys := m.keys()
		tr := m.build(t, seal.KindNode, base)
		for _, k := range []int{0, 1, 10, 100} {
			r := rand.New(rand.NewPCG(7, uint64(k)))
			next := maps.Clone(m)
			for range k {
				e := next[keys[r.IntN(len(keys))]].Clone()
				e.Mode ^= 1
				at := keys[r.IntN(len(keys))]
				if r.IntN(2) == 0 {
					delete(next, at)
				} else {
					next[at] = e
				}
			}
			c := &tally{store: base}
			splice(t, seal.KindNode, NewDonor(c, seal.KindNode, tr), c, m, next)
			// For each place: its leaf, now and then the leaf before it, and what is above them.
			depth := int(tr.Level) + 1
			if most := depth + 2*k*depth; c.fetched > most || c.saved > most {
				t.Errorf("%d changes among %d entries in %d levels: %d nodes fetched, %d saved, want at most %d", k, n, depth, c.fetched, c.saved, most)
			}
		}
	}
}

func BenchmarkSplice(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		s := newStore()
		m := wideModel(n)
		keys := m.keys()
		tr := m.build(b, seal.KindNode, s)
		for _, k := range []int{0, 1000} {
			r := rand.New(rand.NewPCG(1, 1))
			var edits []string
			for range k {
				edits = append(edits, keys[r.IntN(len(keys))])
			}
			slices.Sort(edits)
			edits = slices.Compact(edits)
			b.Run(fmt.Sprintf("n=%d/k=%d", n, k), func(b *testing.B) {
				c := &tally{store: s}
				for b.Loop() {
					bu, d, from := NewBuilder(seal.KindNode, testHasher(), c), NewDonor(c, seal.KindNode, tr), []byte(nil)
					for _, key := range edits {
						e := m[key].Clone()
						e.Size++
						if _, err := bu.Take(b.Context(), d, Range{From: from, To: []byte(key)}); err != nil {
							b.Fatal(err)
						}
						if err := bu.AddKeyed(b.Context(), []byte(key), e); err != nil {
							b.Fatal(err)
						}
						from = append([]byte(key), 0)
					}
					if _, err := bu.Take(b.Context(), d, Range{From: from}); err != nil {
						b.Fatal(err)
					}
					if _, err := bu.Finish(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(math.Round(float64(c.fetched)/float64(b.N)), "fetched/op")
				b.ReportMetric(math.Round(float64(c.saved)/float64(b.N)), "saved/op")
			})
		}
	}
}
