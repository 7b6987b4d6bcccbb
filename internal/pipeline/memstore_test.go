package pipeline

import (
	"bytes"
	"context"
	"sync"

	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// memStore is a Store in memory, with what a mover promises: what was put is there, a commit
// needs all that the root refers to.
type memStore struct {
	mu      sync.Mutex
	records map[seal.ID][]byte
	points  map[string][]byte
	first   []byte // the first checkpoint
	puts    int
	keys    *seal.Keys
	attempt point.Attempt
	// putErr is answered by every Put from the failAt-th on.
	putErr error
	failAt int
}

func newMemStore(keys *seal.Keys) *memStore {
	return &memStore{records: make(map[seal.ID][]byte), points: make(map[string][]byte), keys: keys}
}

func (m *memStore) Have(_ context.Context, hs []seal.H) ([]bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]bool, len(hs))
	for i, h := range hs {
		_, out[i] = m.records[h.ID()]
	}
	return out, nil
}

func (m *memStore) Put(_ context.Context, record []byte) error {
	r, err := seal.ParseRecord(bytes.Clone(record))
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.puts++
	if m.putErr != nil && m.puts >= m.failAt {
		return m.putErr
	}
	m.records[r.ID] = r.Bytes()
	return nil
}

func (m *memStore) Get(_ context.Context, ids []seal.ID, fn func(int, []byte) error) error {
	for i, id := range ids {
		m.mu.Lock()
		rec, ok := m.records[id]
		m.mu.Unlock()
		if !ok {
			return errs.New(errs.NotFound, "chunk.missing", "get %s: it is not there", id)
		}
		if err := fn(i, rec); err != nil {
			return err
		}
	}
	return nil
}

func (m *memStore) Point(_ context.Context, name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.points[name]
	if !ok {
		return nil, errs.New(errs.NotFound, "point.not-found", "restore point %s is not there", name)
	}
	return p, nil
}

func (m *memStore) Checkpoint(_ context.Context, d point.Draft) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.record(d)
	if err == nil && m.first == nil {
		m.first = m.points[m.attempt.String()]
	}
	return err
}

func (m *memStore) Commit(_ context.Context, d point.Draft) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.record(d)
}

// record keeps the object if all that it refers to is there, to the last chunk.
func (m *memStore) record(d point.Draft) error {
	seen := map[seal.ID]bool{}
	for todo := append([]seal.ID{d.RootID}, d.Refs...); len(todo) > 0; {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[id] {
			continue
		}
		seen[id] = true
		rec, ok := m.records[id]
		if !ok {
			return errs.New(errs.Corrupt, "commit.missing", "commit: chunk %s was never put", id)
		}
		r, err := seal.ParseRecord(rec)
		if err != nil {
			return err
		}
		for i := range r.NumRefs() {
			todo = append(todo, r.Ref(i))
		}
	}
	m.points[m.attempt.String()] = point.Encode(m.keys.RepositoryID, m.attempt, d, nil)
	return nil
}
