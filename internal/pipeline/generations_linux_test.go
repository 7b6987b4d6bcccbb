package pipeline

import (
	"context"
	"math/rand/v2"
	"os"
	"testing"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

// amplification is how many bytes have to be opened to read a file back, by its size.
func (s *site) amplification(e *fileindex.Entry) float64 {
	s.t.Helper()
	f := &fetcher{store: s.store, keys: s.store.keys}
	defer f.close()
	seen, sum := map[seal.H]bool{}, 0
	err := fileindex.ForEachExtent(context.Background(), f, e, func(_ int64, x fileindex.Extent) error {
		if x.Kind > fileindex.InBundle || seen[x.H] {
			return nil
		}
		seen[x.H] = true
		r, err := seal.ParseRecord(s.store.records[x.H.ID()])
		sum += r.RawLen
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return float64(sum) / float64(e.Size)
}

// A file of which some blocks change every day, at random, is written anew bit by bit: no day
// stores much more than twice of what has changed, and what has to be opened to read one back
// does not grow from generation to generation.
func TestGenerationsStayCheapToStoreAndToReadBack(t *testing.T) {
	const blocks, changed, generations = size / blockSize, 55, 40
	s := bigSite(t)
	s.opts.Compression = seal.CompressNone
	r := rand.New(rand.NewPCG(1, 1))
	parent, res := s.backup("")
	worst := 0.0
	for g := range generations {
		s.edit(func(f *os.File) error {
			for i := range changed {
				if _, err := f.WriteAt(noise(byte(g), 100+i), r.Int64N(blocks)*blockSize+int64(r.IntN(8000))); err != nil {
					return err
				}
			}
			return nil
		})
		parent, res = s.backup(parent)
		worst = max(worst, s.amplification(s.tree(res)[big]))
		if sent := s.count.Proto().GetSentBytes(); sent > 2*changed*blockSize+freeCredit(size) {
			t.Errorf("generation %d: %d bytes were sent for %d that have changed", g, sent, changed*blockSize)
		}
	}
	s.bigSame(res)
	t.Logf("at most %.2f bytes are opened for one", worst)
	if worst > 1.7 {
		t.Errorf("%.2f bytes are opened for one", worst)
	}
}
