package pipeline

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

// emptyStore knows that it had nothing, and counts what it is asked for.
type emptyStore struct {
	*memStore
	asked atomic.Int64
}

func (*emptyStore) Empty() bool { return true }

func (e *emptyStore) Have(ctx context.Context, hs []seal.H) ([]bool, error) {
	e.asked.Add(int64(len(hs)))
	return e.memStore.Have(ctx, hs)
}

func TestAnEmptyRepositoryIsNotAsked(t *testing.T) {
	s := newSite(t)
	once := bytes.Repeat([]byte("the same content in two files, "), 20_000)
	s.write("a", once)
	s.write("b", once)
	s.write("small/c", []byte("a small one"))
	store := &emptyStore{memStore: s.store}
	s.opts.Attempt, s.store.attempt = [16]byte{1}, [16]byte{1}
	s.opts.Counters = &Counters{}
	result, err := Run(t.Context(), store, s.opts)
	if err != nil {
		t.Fatal(err)
	}
	if n := store.asked.Load(); n > 0 {
		t.Errorf("it was asked for %d chunks", n)
	}
	if n := s.opts.Counters.duplicates.Load(); n == 0 {
		t.Error("the content that came twice was sent twice")
	}
	if got := s.content(s.own(result)["b"]); !bytes.Equal(got, once) {
		t.Errorf("b reads back as %d bytes", len(got))
	}
}

func TestWhatWasForgottenIsAskedFor(t *testing.T) {
	p := newPool(&emptyStore{memStore: newMemStore(testKeys())}, &Counters{}, 1)
	p.blind = true
	for i := range knownLimit + 2 {
		if err := p.Save(t.Context(), fileindex.Chunk{Kind: seal.KindNode, H: seal.H{byte(i), byte(i >> 8), byte(i >> 16)}}); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.sealing) != knownLimit || len(p.asking) != 2 {
		t.Errorf("%d chunks are sent without asking, %d are asked for; want %d and 2", len(p.sealing), len(p.asking), knownLimit)
	}
}
