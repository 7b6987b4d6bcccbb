package fileindex

import (
	"bytes"
	"context"
	"io"
	"sync"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// Fetcher opens chunks. Fetch answers the contents in the order of hs; they belong to the
// caller.
type Fetcher interface {
	Fetch(ctx context.Context, kind seal.Kind, hs []seal.H) ([][]byte, error)
}

// maxAhead is how many leaves are fetched at once when reading on and on: about half a
// megabyte, enough to hide a round trip.
const maxAhead = 16

// walker reads the items of a tree's leaves in order.
type walker struct {
	f    Fetcher
	kind seal.Kind
	tree Tree
	// frames[l] is the node of level l that is being read; frames[0] the leaf.
	frames []frame
	key    []byte
	items  numbers // what is left of the leaf
	left   int     // items not yet passed
	keyed  bool    // key is the next item's
	begun  bool
	done   bool

	batch batch
	next  chan batch // the batch being fetched ahead; nil: none
	wg    sync.WaitGroup
	ahead int
}

type frame struct {
	node *node
	h    seal.H
	pos  int // inner: the child that is being read
}

// batch is some children of one level-1 node, fetched together.
type batch struct {
	parent seal.H
	from   int
	leaves [][]byte
	err    error
}

func newWalker(f Fetcher, kind seal.Kind, tree Tree) *walker {
	return &walker{f: f, kind: kind, tree: tree, frames: make([]frame, int(tree.Level)+1)}
}

// close waits for what was fetched ahead.
func (w *walker) close() {
	w.wg.Wait()
	w.next = nil
}

func (w *walker) fetch(ctx context.Context, h seal.H, level int) (*node, error) {
	cs, err := w.f.Fetch(ctx, w.kind, []seal.H{h})
	if err != nil {
		return nil, err
	}
	return w.parse(cs[0], level)
}

func (w *walker) parse(content []byte, level int) (*node, error) {
	nd, err := parseNode(content)
	if err != nil {
		return nil, err
	}
	if nd.level != level || nd.count == 0 {
		return nil, errs.New(errs.Corrupt, "node.level", "read %s tree: a node of level %d with %d items where level %d is due", w.kind, nd.level, nd.count, level)
	}
	return nd, nil
}

// seek goes to the first item whose key is not below key; nil: to the first of all.
func (w *walker) seek(ctx context.Context, key []byte) error {
	if err := w.descendBy(ctx, key); err != nil || w.done {
		return err
	}
	for {
		k, ok, err := w.peek(ctx)
		if err != nil || !ok || bytes.Compare(k, key) >= 0 {
			return err
		}
		if _, _, _, err := w.take(ctx); err != nil {
			return err
		}
	}
}

// descendBy opens the leaf that key belongs into.
func (w *walker) descendBy(ctx context.Context, key []byte) error {
	return w.open(ctx, func(fr *frame) {
		fr.pos = 0
		for fr.pos+1 < fr.node.count && bytes.Compare(fr.node.childs[fr.pos+1].first, key) <= 0 {
			fr.pos++
		}
	})
}

// open opens a leaf: choose sets the child to go into, of each level from the top down.
func (w *walker) open(ctx context.Context, choose func(*frame)) error {
	w.begun, w.done = true, false
	if w.tree.Empty() {
		w.done = true
		return nil
	}
	h := w.tree.H
	for l := int(w.tree.Level); l >= 0; l-- {
		fr := &w.frames[l]
		if fr.node == nil || fr.h != h {
			nd, err := w.load(ctx, h, l)
			if err != nil {
				w.lose(l)
				return err
			}
			*fr = frame{node: nd, h: h}
		}
		if l > 0 {
			choose(fr)
			h = fr.node.childs[fr.pos].h
		}
	}
	w.openLeaf()
	return nil
}

// lose forgets the nodes from level l down, one of which cannot be read: the next item is
// then the first one behind them.
func (w *walker) lose(l int) {
	for i := range w.frames[:l+1] {
		w.frames[i] = frame{node: &node{}}
	}
	w.left = 0
}

// load fetches a node, a leaf together with its neighbours ahead. When it fails, reading on
// goes behind that node.
func (w *walker) load(ctx context.Context, h seal.H, level int) (*node, error) {
	if level != 0 || w.tree.Level == 0 {
		return w.fetch(ctx, h, level)
	}
	up := &w.frames[1]
	in := func(b *batch) bool {
		return b.parent == up.h && up.pos >= b.from && up.pos < b.from+len(b.leaves)
	}
	if !in(&w.batch) {
		if w.next != nil {
			w.batch = <-w.next
			w.next = nil
		}
		if !in(&w.batch) || w.batch.err != nil {
			sequential := w.batch.parent == up.h && up.pos == w.batch.from+len(w.batch.leaves)
			if !sequential {
				w.ahead = 0
			}
			w.ahead = min(max(1, 2*w.ahead), maxAhead)
			w.batch = w.fetchBatch(ctx, up.node, up.h, up.pos)
			if w.batch.err != nil {
				// One of them is to blame, and it may be another.
				w.batch, w.ahead = batch{}, 0
				return w.fetch(ctx, h, level)
			}
		}
		w.fetchAhead(ctx, up)
	}
	i := up.pos - w.batch.from
	content := w.batch.leaves[i]
	if content == nil {
		return w.fetch(ctx, h, level)
	}
	w.batch.leaves[i] = nil // a leaf is parsed once; its memory is the node's now
	return w.parse(content, level)
}

func (w *walker) fetchBatch(ctx context.Context, parent *node, h seal.H, from int) batch {
	hs := make([]seal.H, 0, w.ahead)
	for i := from; i < parent.count && len(hs) < w.ahead; i++ {
		hs = append(hs, parent.childs[i].h)
	}
	leaves, err := w.f.Fetch(ctx, w.kind, hs)
	return batch{parent: h, from: from, leaves: leaves, err: err}
}

// fetchAhead starts to fetch the batch behind the one in hand, once reading is sequential.
func (w *walker) fetchAhead(ctx context.Context, up *frame) {
	from := w.batch.from + len(w.batch.leaves)
	if w.ahead < 4 || from >= up.node.count {
		return
	}
	w.ahead = maxAhead
	ch := make(chan batch, 1) // one answer, whether or not anyone still wants it
	parent, h := up.node, up.h
	w.wg.Go(func() { ch <- w.fetchBatch(ctx, parent, h, from) })
	w.next = ch
}

func (w *walker) openLeaf() {
	nd := w.frames[0].node
	w.items, w.left, w.key, w.keyed = numbers{b: nd.items}, nd.count, w.key[:0], false
}

// advance goes to the next leaf, or is done.
func (w *walker) advance(ctx context.Context) error {
	for l := 1; l < len(w.frames); l++ {
		fr := &w.frames[l]
		if fr.pos+1 >= fr.node.count {
			continue
		}
		fr.pos++
		return w.descend(ctx, l)
	}
	w.done = true
	return nil
}

// descend loads the nodes below the current child of level l, leftmost, and opens the leaf.
func (w *walker) descend(ctx context.Context, l int) error {
	for ; l > 0; l-- {
		h := w.frames[l].node.childs[w.frames[l].pos].h
		nd, err := w.load(ctx, h, l-1)
		if err != nil {
			return err
		}
		w.frames[l-1] = frame{node: nd, h: h}
	}
	w.openLeaf()
	return nil
}

// peek decodes the key of the next item without passing it; ok is false at the end.
func (w *walker) peek(ctx context.Context) (key []byte, ok bool, err error) {
	if !w.begun {
		if err := w.seek(ctx, nil); err != nil {
			return nil, false, err
		}
	}
	for !w.done && w.left == 0 {
		if err := w.advance(ctx); err != nil {
			return nil, false, err
		}
	}
	if w.done {
		return nil, false, nil
	}
	if !w.keyed {
		if w.key, err = nextKey(&w.items, w.key); err != nil {
			return nil, false, err
		}
		w.keyed = true
	}
	return w.key, true, nil
}

// take answers the next item and passes it; io.EOF at the end. The key is valid until the
// next call, the value as long as it is held.
func (w *walker) take(ctx context.Context) (key, value []byte, tv tableView, err error) {
	key, ok, err := w.peek(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	if !ok {
		return nil, nil, nil, io.EOF
	}
	value = w.items.bytes(w.items.next())
	if w.items.bad {
		return nil, nil, nil, errs.New(errs.Corrupt, "node.value", "read %s tree: the value of %q is cut short", w.kind, key)
	}
	w.left--
	w.keyed = false
	return key, value, w.frames[0].node.table, nil
}

// due is the level of the node that comes next and is not loaded yet; -1: the next item is in
// a loaded leaf, or there is none.
func (w *walker) due() int {
	if !w.begun || w.done || w.left > 0 {
		return -1
	}
	for l := 1; l < len(w.frames); l++ {
		if w.frames[l].pos+1 < w.frames[l].node.count {
			return l - 1
		}
	}
	return -1
}

// skipNode passes the whole node of level l that begins at the next item.
func (w *walker) skipNode(l int) {
	for i := 1; i <= l; i++ {
		w.frames[i].pos = w.frames[i].node.count - 1
	}
	w.left, w.keyed = 0, false
}

// startOf is the highest level whose node begins at the next item, and that node's hash;
// -1: the next item is inside a leaf.
func (w *walker) startOf() (level int, h seal.H) {
	if w.left != w.frames[0].node.count {
		return -1, h
	}
	level = 0
	for level+1 < len(w.frames) && w.frames[level+1].pos == 0 {
		level++
	}
	return level, w.frames[level].h
}
