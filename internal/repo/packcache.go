package repo

import (
	"container/list"
	"context"
	"sync"

	"keepward/internal/storage"
)

// maxOpenPacks bounds the packs kept open for reading: far below the usual limit of 1024
// open files, and enough for sixteen reads in flight over neighbouring packs.
const maxOpenPacks = 64

// packCache keeps packs open that were read lately.
type packCache struct {
	b storage.Backend

	mu     sync.Mutex
	open   map[string]*list.Element
	recent *list.List // of *openPack, the latest in front
	closed bool
}

type openPack struct {
	name   string
	reader storage.Reader
	users  int
	gone   bool // no longer in the cache: the last user closes it
}

func newPackCache(b storage.Backend) *packCache {
	return &packCache{b: b, open: map[string]*list.Element{}, recent: list.New()}
}

// acquire opens a pack or finds it open. Release it.
func (c *packCache) acquire(ctx context.Context, name string) (*openPack, error) {
	c.mu.Lock()
	if e, ok := c.open[name]; ok {
		p := e.Value.(*openPack)
		p.users++
		c.recent.MoveToFront(e)
		c.mu.Unlock()
		return p, nil
	}
	c.mu.Unlock()
	// Not under the lock: an open may take its time on a network file system.
	reader, err := c.b.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	p := &openPack{name: name, reader: reader, users: 1}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.open[name]; ok || c.closed {
		p.gone = true // another goroutine was faster: this one is for its opener alone
		return p, nil
	}
	c.open[name] = c.recent.PushFront(p)
	for c.recent.Len() > maxOpenPacks {
		c.evict(c.recent.Back())
	}
	return p, nil
}

// evict takes a pack out of the cache; c.mu is held.
func (c *packCache) evict(e *list.Element) {
	p := c.recent.Remove(e).(*openPack)
	delete(c.open, p.name)
	p.gone = true
	if p.users == 0 {
		_ = p.reader.Close() // only read
	}
}

func (c *packCache) release(p *openPack) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.users--
	if p.users == 0 && p.gone {
		_ = p.reader.Close() // only read
	}
}

func (c *packCache) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for c.recent.Len() > 0 {
		c.evict(c.recent.Back())
	}
	return nil
}
