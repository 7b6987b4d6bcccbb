package mount

import (
	"container/list"
	"sync"

	"keepward/internal/repo/seal"
)

// cache keeps opened chunks by their hash: the least recently used go once there are more bytes
// than its limit. A chunk that is being fetched stands in it already, so that it is fetched once.
type cache struct {
	limit int64

	mu    sync.Mutex
	used  int64
	slots map[seal.H]*slot
	order list.List // of *slot, the last used first; only those that are filled
}

// slot is one chunk. Its content is set before ready is closed, and never changes.
type slot struct {
	h     seal.H
	kind  seal.Kind
	point string // for which it is fetched
	ready chan struct{}

	content []byte
	bundle  seal.Bundle // of a bundle, parsed
	err     error

	place *list.Element // nil: not yet filled
}

func newCache(limit int64) *cache { return &cache{limit: limit, slots: map[seal.H]*slot{}} }

// want answers the slots of some chunks. Those in mine are new: the caller fills them.
func (c *cache) want(point string, asked []chunk) (slots, mine []*slot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	slots = make([]*slot, len(asked))
	for i, a := range asked {
		s := c.slots[a.h]
		if s == nil {
			s = &slot{h: a.h, kind: a.kind, point: point, ready: make(chan struct{})}
			c.slots[a.h] = s
			mine = append(mine, s)
		} else if s.place != nil {
			c.order.MoveToFront(s.place)
		}
		slots[i] = s
	}
	return slots, mine
}

// has tells whether a chunk is there or under way.
func (c *cache) has(h seal.H) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.slots[h] != nil
}

// fill ends the waiting for a slot. One that failed is forgotten: the next who wants it tries again.
func (c *cache) fill(s *slot, content []byte, bundle seal.Bundle, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.content, s.bundle, s.err = content, bundle, err
	close(s.ready)
	if err != nil {
		delete(c.slots, s.h)
		return
	}
	s.place = c.order.PushFront(s)
	c.used += int64(cap(content))
	for c.used > c.limit && c.order.Len() > 1 {
		old := c.order.Remove(c.order.Back()).(*slot)
		delete(c.slots, old.h)
		c.used -= int64(cap(old.content))
	}
}
