package pipeline

import (
	"context"
	"sync"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// fetcher opens chunks of the parent's file index. It may be used by several goroutines.
type fetcher struct {
	store Store
	keys  *seal.Keys

	mu   sync.Mutex
	idle []*seal.Opener
}

// Fetch answers the contents of hs in their order.
func (f *fetcher) Fetch(ctx context.Context, kind seal.Kind, hs []seal.H) ([][]byte, error) {
	o, err := f.opener()
	if err != nil {
		return nil, err
	}
	defer f.giveBack(o)
	ids := make([]seal.ID, len(hs))
	for i := range hs {
		ids[i] = hs[i].ID()
	}
	out := make([][]byte, len(hs))
	var mu sync.Mutex // records may arrive on several goroutines
	err = f.store.Get(ctx, ids, func(i int, rec []byte) error {
		r, err := seal.ParseRecord(rec)
		if err != nil {
			return err
		}
		if r.Kind != kind {
			return errs.New(errs.Corrupt, "chunk.kind", "fetch chunk %s: it is a %s, not a %s", r.ID, r.Kind, kind)
		}
		mu.Lock()
		defer mu.Unlock()
		out[i], err = o.Open(nil, &r, hs[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := range out {
		if out[i] == nil {
			return nil, errs.New(errs.Internal, "", "fetch %s %s: the store answered without it", kind, ids[i])
		}
	}
	return out, nil
}

func (f *fetcher) opener() (*seal.Opener, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.idle); n > 0 {
		o := f.idle[n-1]
		f.idle = f.idle[:n-1]
		return o, nil
	}
	return seal.NewOpener(f.keys)
}

func (f *fetcher) giveBack(o *seal.Opener) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.idle = append(f.idle, o)
}

func (f *fetcher) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.idle {
		o.Close()
	}
	f.idle = nil
}
