package memfs

import (
	"iter"
	"maps"
	"slices"
)

// node is a file or a directory.
type node struct {
	dir bool

	content   []byte
	synced    int    // bytes of content that are durable, but for what was forgotten
	forgotten []span // what a failed sync dropped

	names   map[string]*node
	durable map[string]*node // names as they were at the last sync
	// pending are what each changed name has stood for since, nil for nothing, in order. Any of
	// them may have reached the disk.
	pending map[string][]*node
}

// span is a part of a file, from and to.
type span struct{ from, to int }

func newDir() *node {
	return &node{dir: true, names: map[string]*node{}, durable: map[string]*node{}, pending: map[string][]*node{}}
}

func keys[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }

// set lets a name of a directory stand for n, or for nothing.
func (d *node) set(name string, n *node) {
	if n == nil {
		delete(d.names, name)
	} else {
		d.names[name] = n
	}
	d.pending[name] = append(d.pending[name], n)
}

func (d *node) syncNames() {
	d.durable = maps.Clone(d.names)
	d.pending = map[string][]*node{}
}

// forget is what a failed sync does to the content that was to be made durable.
func (n *node) forget() {
	if n.synced < len(n.content) {
		n.forgotten = append(n.forgotten, span{n.synced, len(n.content)})
		n.synced = len(n.content)
	}
}

// used are the bytes of content below n, each file once.
func (n *node) used(seen map[*node]bool) int64 {
	if seen[n] {
		return 0
	}
	seen[n] = true
	total := int64(len(n.content))
	for _, c := range n.names {
		total += c.used(seen)
	}
	return total
}

// copyTree copies a directory with all that is durable, pending or to be seen in it.
func copyTree(root *node) *node {
	done := map[*node]*node{nil: nil}
	var visit func(n *node) *node
	visit = func(n *node) *node {
		if c, ok := done[n]; ok {
			return c
		}
		// The copy's content has no room behind it, so that neither appends over the other's.
		c := &node{dir: n.dir, content: slices.Clip(n.content), synced: n.synced, forgotten: slices.Clip(n.forgotten)}
		done[n] = c
		if !n.dir {
			return c
		}
		c.names, c.durable = make(map[string]*node, len(n.names)), make(map[string]*node, len(n.durable))
		c.pending = make(map[string][]*node, len(n.pending))
		for name, e := range n.names {
			c.names[name] = visit(e)
		}
		for name, e := range n.durable {
			c.durable[name] = visit(e)
		}
		for name, es := range n.pending {
			for _, e := range es {
				c.pending[name] = append(c.pending[name], visit(e))
			}
		}
		return c
	}
	return visit(root)
}
