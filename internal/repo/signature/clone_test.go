package signature

import (
	"math/rand/v2"
	"testing"

	"keepward/internal/repo/seal"
)

func TestACloneIsFinishedWhileTheOriginalGoesOn(t *testing.T) {
	s := newStore(t)
	add := func(w *Writer, from, to int64) {
		for i := from; i < to; i++ {
			if err := w.Add(t.Context(), rand.NewPCG(uint64(i), 1).Uint64()); err != nil {
				t.Fatal(err)
			}
		}
	}
	finish := func(w *Writer) seal.H {
		h, err := w.Finish(t.Context(), w.Blocks()*Block)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	whole := func(blocks int64) seal.H {
		w := NewWriter(testKeys().NewHasher(), s)
		add(w, 0, blocks)
		return finish(w)
	}
	const more = 5
	for _, n := range []int64{1, leafBlocks - 1, leafBlocks, leafBlocks + 1, 3*leafBlocks - 2} {
		w := NewWriter(testKeys().NewHasher(), s)
		add(w, 0, n)
		for range 2 { // one is as good as the other
			if finish(w.Clone()) != whole(n) {
				t.Errorf("the copy made after %d blocks is another one", n)
			}
		}
		add(w, n, n+more)
		if w.Blocks() != n+more || finish(w) != whole(n+more) {
			t.Errorf("the original went astray after %d blocks", n)
		}
	}
}
