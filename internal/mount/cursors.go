package mount

import (
	"sync"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

// maxCursors is how many cursors that nobody uses are kept, with the nodes that they stand at: a few
// for each who walks through a point.
const maxCursors = 32

// cursors lends cursors, best one that has stood in the same tree before.
type cursors struct {
	mu   sync.Mutex
	idle []lent // the last used at the end
}

type lent struct {
	t    *tree
	kind seal.Kind
	c    *fileindex.Cursor
}

// with calls fn with a cursor that nobody else uses.
func (p *cursors) with(t *tree, kind seal.Kind, root fileindex.Tree, fn func(*fileindex.Cursor) error) error {
	c := p.take(t, kind)
	if c == nil {
		c = fileindex.NewCursor(nodesOf{t.r, t.point.ID}, kind, root)
	}
	err := fn(c)
	p.put(lent{t, kind, c})
	return err
}

func (p *cursors) take(t *tree, kind seal.Kind) *fileindex.Cursor {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.idle) - 1; i >= 0; i-- {
		if l := p.idle[i]; l.t == t && l.kind == kind {
			p.idle = append(p.idle[:i], p.idle[i+1:]...)
			return l.c
		}
	}
	return nil
}

func (p *cursors) put(l lent) {
	p.mu.Lock()
	p.idle = append(p.idle, l)
	var old *fileindex.Cursor
	if len(p.idle) > maxCursors {
		old = p.idle[0].c
		p.idle = append(p.idle[:0], p.idle[1:]...)
	}
	p.mu.Unlock()
	if old != nil {
		old.Close()
	}
}

func (p *cursors) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.idle {
		l.c.Close()
	}
	p.idle = nil
}
