package fileindex

import (
	"bytes"
	"context"
	"encoding/binary"
	"sort"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// Donor is a tree that ranges are taken over from by a Builder: of one that differs in k places
// it reads the nodes around these, and no others. Ranges must ascend, or nodes are fetched more
// than once. It belongs to one goroutine.
type Donor struct {
	// Taken, if it is set, is told of each node that a Builder takes over unread.
	Taken func(ctx context.Context, h seal.H) error

	f    Fetcher
	kind seal.Kind
	tree Tree
	// path is the node of each level that was read last.
	path    []donorNode
	fetched int64
}

type donorNode struct {
	h    seal.H
	node *node
}

// NewDonor makes a Donor of a tree.
func NewDonor(f Fetcher, kind seal.Kind, tree Tree) *Donor {
	return &Donor{f: f, kind: kind, tree: tree, path: make([]donorNode, int(tree.Level)+1)}
}

// Fetched is how many nodes were fetched so far.
func (d *Donor) Fetched() int64 { return d.fetched }

// Part is what lies in a range of a tree.
type Part struct {
	Entries int64
	Bytes   int64 // as in Tree
}

// Range is the keys from From on and below To; a To of nil is above all keys.
type Range struct{ From, To []byte }

// Below is the range of all that lies below the directory that key names; its own entry is not
// in it.
func Below(key []byte) Range {
	if len(key) == 0 {
		return Range{From: []byte{1}} // behind the root's own entry, whose key is empty
	}
	return Range{From: append(bytes.Clone(key), 0), To: behind(key)}
}

// Behind is the first key that can follow key and all that lies below it; nil: none can, since
// everything lies below the root.
func Behind(key []byte) []byte {
	if len(key) == 0 {
		return nil
	}
	return behind(key)
}

// Take appends all entries of d that lie in a range, as if each was added. The tree comes out
// byte for byte as if it was built of the entries, since where a node closes depends on nothing
// but the keys and values from its first item on to the key behind its last: a node of d is
// taken over unread if the Builder has no node open at its level or below, and the range holds
// the whole node and the key behind it. All others, at most two of each level for a range, and
// those between an edit and the next border, are read and built anew.
//
// Nothing below a node that is taken over is looked at, so whoever takes over must know that the
// tree of d is whole and stays: docs/formats/repository-layout.md, "Why nothing is lost", has why
// that holds of a parent. What went wrong in reading d is a DonorError; the Builder is of no use then.
func (b *Builder) Take(ctx context.Context, d *Donor, r Range) (Part, error) {
	if d.kind != b.kind {
		return Part{}, errs.New(errs.Internal, "", "build %s tree: take over from a %s tree", b.kind, d.kind)
	}
	if b.sealed || b.started && bytes.Compare(r.From, b.last) <= 0 || bytes.Compare(r.From, b.floor) < 0 {
		return Part{}, errs.New(errs.Internal, "", "build %s tree: the range from %q on begins before the end of what is there", b.kind, r.From)
	}
	t := taking{d: d, b: b, r: r}
	if err := t.all(ctx); err != nil {
		return Part{}, err
	}
	if r.To == nil {
		b.sealed = true
	} else {
		b.floor = append(b.floor[:0], r.To...)
	}
	return t.part, nil
}

// Count tells what lies in a range; it reads the nodes at the range's ends only.
func (d *Donor) Count(ctx context.Context, r Range) (Part, error) {
	t := taking{d: d, r: r}
	err := t.all(ctx)
	return t.part, err
}

// Last is the last key in a range; nil: the range is empty.
func (d *Donor) Last(ctx context.Context, r Range) ([]byte, error) {
	if d.tree.Empty() {
		return nil, nil
	}
	return d.last(ctx, d.tree.H, int(d.tree.Level), r)
}

func (d *Donor) last(ctx context.Context, h seal.H, level int, r Range) ([]byte, error) {
	nd, err := d.load(ctx, h, level)
	if err != nil {
		return nil, err
	}
	if level == 0 {
		var last []byte
		err := d.items(nd, r, func(key, _ []byte) error {
			last = append(last[:0], key...)
			return nil
		})
		if len(last) == 0 && err == nil && nd.count > 0 && len(r.From) == 0 {
			last = []byte{} // the root's own entry
		}
		return last, err
	}
	// The first child that begins behind the range, and from there back: where the range begins
	// within a child there may be none of its entries in it.
	n := len(nd.childs)
	if r.To != nil {
		n = sort.Search(n, func(i int) bool { return bytes.Compare(nd.childs[i].first, r.To) >= 0 })
	}
	for i := n - 1; i >= 0; i-- {
		last, err := d.last(ctx, nd.childs[i].h, level-1, r)
		if last != nil || err != nil || bytes.Compare(nd.childs[i].first, r.From) <= 0 {
			return last, err
		}
	}
	return nil, nil
}

// DonorError is a failure to read the tree that is taken over from.
type DonorError struct{ Err error }

func (e DonorError) Error() string { return "take over from a tree: " + e.Err.Error() }

func (e DonorError) Unwrap() error { return e.Err }

// load answers a node, which is fetched if it is not the one of its level that was read last.
func (d *Donor) load(ctx context.Context, h seal.H, level int) (*node, error) {
	at := &d.path[level]
	if at.node != nil && at.h == h {
		return at.node, nil
	}
	cs, err := d.f.Fetch(ctx, d.kind, []seal.H{h})
	if err != nil {
		return nil, DonorError{err}
	}
	d.fetched++
	nd, err := parseNode(cs[0])
	if err == nil && (nd.level != level || nd.count == 0) {
		err = errs.New(errs.Corrupt, "node.level", "read %s tree: a node of level %d with %d items where level %d is due", d.kind, nd.level, nd.count, level)
	}
	if err != nil {
		return nil, DonorError{err}
	}
	*at = donorNode{h: h, node: nd}
	return nd, nil
}

// items calls fn for the items of a leaf that lie in a range. The key is valid until the next.
func (d *Donor) items(nd *node, r Range, fn func(key, value []byte) error) error {
	n := numbers{b: nd.items}
	var key []byte
	for range nd.count {
		var err error
		if key, err = nextKey(&n, key); err != nil {
			return DonorError{err}
		}
		value := n.bytes(n.next())
		if n.bad {
			return DonorError{errs.New(errs.Corrupt, "node.value", "read %s tree: the value of %q is cut short", d.kind, key)}
		}
		if bytes.Compare(key, r.From) < 0 {
			continue
		}
		if r.To != nil && bytes.Compare(key, r.To) >= 0 {
			return nil
		}
		if err := fn(key, value); err != nil {
			return err
		}
	}
	return nil
}

// taking is one range on its way from a Donor.
type taking struct {
	d    *Donor
	b    *Builder // nil: it is only counted
	r    Range
	part Part

	entry   Entry
	extents []Extent
}

func (t *taking) all(ctx context.Context) error {
	if t.d.tree.Empty() {
		return nil
	}
	return t.node(ctx, t.d.tree.H, int(t.d.tree.Level), nil)
}

// node takes what of a node's entries lies in the range; after is the key behind its last, nil
// at the end of the tree.
func (t *taking) node(ctx context.Context, h seal.H, level int, after []byte) error {
	nd, err := t.d.load(ctx, h, level)
	if err != nil {
		return err
	}
	if level == 0 {
		return t.leaf(ctx, nd)
	}
	// Children that end before the range begins are passed.
	i := max(0, sort.Search(len(nd.childs), func(i int) bool { return bytes.Compare(nd.childs[i].first, t.r.From) > 0 })-1)
	for ; i < len(nd.childs); i++ {
		c := &nd.childs[i]
		if t.r.To != nil && bytes.Compare(c.first, t.r.To) >= 0 {
			return nil
		}
		behind := after
		if i+1 < len(nd.childs) {
			behind = nd.childs[i+1].first
		}
		if t.whole(c, behind) && (t.b == nil || t.b.closedBelow(level-1)) {
			err = t.adopt(ctx, c, level-1)
		} else {
			err = t.node(ctx, c.h, level-1, behind)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// whole tells whether a node lies in the range, with the key behind it: whether that is there
// decides whether a node that is nearly full closes before it. To be counted it need not be.
func (t *taking) whole(c *child, behind []byte) bool {
	if bytes.Compare(c.first, t.r.From) < 0 {
		return false
	}
	if t.r.To == nil || behind == nil {
		return t.r.To == nil
	}
	order := bytes.Compare(behind, t.r.To)
	return order < 0 || order == 0 && t.b == nil
}

func (t *taking) adopt(ctx context.Context, c *child, level int) error {
	t.part.Entries += c.entries
	t.part.Bytes += c.bytes
	if t.b == nil {
		return nil
	}
	if t.d.Taken != nil {
		if err := t.d.Taken(ctx, c.h); err != nil {
			return err
		}
	}
	t.b.level(level)
	t.b.started, t.b.last = true, append(t.b.last[:0], c.first...)
	return t.b.closed(ctx, level, c)
}

// closedBelow tells whether there is no open node at level n and below.
func (b *Builder) closedBelow(n int) bool {
	for i := range min(n+1, len(b.levels)) {
		if b.levels[i].count > 0 {
			return false
		}
	}
	return true
}

// leaf takes the items of a leaf one by one.
func (t *taking) leaf(ctx context.Context, nd *node) error {
	return t.d.items(nd, t.r, func(key, value []byte) error {
		if t.d.kind == seal.KindMap {
			return t.extent(ctx, key, value, nd.table)
		}
		if err := t.entry.decode(value, nd.table); err != nil {
			return DonorError{err}
		}
		t.part.Entries++
		if t.entry.Type == File {
			t.part.Bytes += t.entry.Size
		}
		if t.b == nil {
			return nil
		}
		return t.b.AddKeyed(ctx, key, &t.entry)
	})
}

func (t *taking) extent(ctx context.Context, key, value []byte, tv tableView) (err error) {
	if t.extents, err = decodeExtents(t.extents[:0], value, tv); err == nil && (len(t.extents) != 1 || len(key) != 8) {
		err = errs.New(errs.Corrupt, "entry.map", "read content map: %d extents under a key of %d bytes", len(t.extents), len(key))
	}
	if err != nil {
		return DonorError{err}
	}
	t.part.Entries++
	t.part.Bytes += t.extents[0].Len
	if t.b == nil {
		return nil
	}
	return t.b.AddExtent(ctx, int64(binary.BigEndian.Uint64(key)), t.extents[0])
}
