package restore

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// nodes is the fileindex.Fetcher over a Store.
type nodes struct {
	store Store

	mu     sync.Mutex // guards opener; taken per record, never while waiting for the store
	opener *seal.Opener
}

func newNodes(store Store, keys *seal.Keys) (*nodes, error) {
	o, err := seal.NewOpener(keys)
	if err != nil {
		return nil, err
	}
	return &nodes{store: store, opener: o}, nil
}

func (n *nodes) close() { n.opener.Close() }

// Fetch answers the contents of hs in their order.
func (n *nodes) Fetch(ctx context.Context, kind seal.Kind, hs []seal.H) ([][]byte, error) {
	ids := make([]seal.ID, len(hs))
	for i, h := range hs {
		ids[i] = h.ID()
	}
	out := make([][]byte, len(hs))
	var mu sync.Mutex // fn may be called from several goroutines
	var bad error
	err := n.store.Get(ctx, ids, func(i int, rec []byte) error {
		content, err := n.open(kind, rec, hs[i])
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			bad = err
			return err
		}
		out[i] = content
		return nil
	})
	if bad != nil {
		return nil, bad
	}
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

func (n *nodes) open(kind seal.Kind, rec []byte, h seal.H) ([]byte, error) {
	r, err := seal.ParseRecord(rec)
	if err != nil {
		return nil, err
	}
	if r.Kind != kind {
		return nil, errs.New(errs.Corrupt, "chunk.kind", "open chunk %s: it is a %s, not a %s", r.ID, r.Kind, kind)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.opener.Open(nil, &r, h)
}

// openPoint fetches a point's object and opens what is sealed for its computer.
func openPoint(ctx context.Context, o *Options) (point.Body, error) {
	raw, err := o.Store.Point(ctx, o.Point)
	if err != nil {
		return point.Body{}, fmt.Errorf("fetch restore point %s: %w", o.Point, err)
	}
	p, err := point.Parse(bytes.Clone(raw))
	if err != nil {
		return point.Body{}, fmt.Errorf("restore point %s: %w", o.Point, err)
	}
	if p.Type == point.Tombstone {
		return point.Body{}, errs.New(errs.NotFound, "point.fenced", "restore point %s was never completed: its attempt was cut off (%s)", o.Point, p.Reason)
	}
	if p.RepositoryID != o.Keys.RepositoryID {
		return point.Body{}, errs.New(errs.Invalid, "point.repository", "restore point %s belongs to another repository", o.Point)
	}
	if p.Attempt.String() != o.Point {
		return point.Body{}, errs.New(errs.Corrupt, "point.name", "restore point %s calls itself %s", o.Point, p.Attempt)
	}
	return point.OpenBody(o.Keys.ComputerKey, &p)
}

// unpacker opens data chunks into memory of its own, valid until the next. Holding one is also the right to use a processor: there are as
// many as workers.
type unpacker struct {
	opener  *seal.Opener
	buf     []byte
	members []uint32
}

func newUnpackers(keys *seal.Keys, n int) (chan *unpacker, error) {
	pool := make(chan *unpacker, n) // holds all of them when nobody works
	for range n {
		o, err := seal.NewOpener(keys)
		if err != nil {
			return nil, err
		}
		pool <- &unpacker{opener: o}
	}
	return pool, nil
}

func (u *unpacker) parse(rec []byte, kind seal.Kind) (seal.Record, error) {
	r, err := seal.ParseRecord(rec)
	if err == nil && r.Kind != kind {
		err = errs.New(errs.Corrupt, "chunk.kind", "open chunk %s: it is a %s, not a %s", r.ID, r.Kind, kind)
	}
	return r, err
}
