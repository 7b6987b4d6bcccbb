package fileindex

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// Chunk is what a Builder hands out to be stored.
type Chunk struct {
	Kind    seal.Kind
	H       seal.H
	Refs    []seal.H
	Content []byte
}

// Saver stores chunks. Save takes over the chunk's memory and may return before the chunk is
// stored; a later failure must fail the whole backup.
type Saver interface {
	Save(ctx context.Context, c Chunk) error
}

// A node closes behind a key whose keyed hash is 0 modulo BorderOdds, so that its borders do
// not depend on its neighbours, and before it would pass NodeCap. Both are format: another
// value is still readable, but shares no nodes.
const (
	BorderOdds = 256
	NodeCap    = 192 << 10
)

// Builder makes one tree out of entries that come in ascending order of their keys.
type Builder struct {
	kind    seal.Kind
	hasher  *seal.Hasher
	saver   Saver
	levels  []*level
	last    []byte // key of the last item
	started bool
	// floor is what the next key must not be below, once a range was taken over; sealed: there
	// is no next.
	floor  []byte
	sealed bool
	key    []byte // scratch
	border []byte // scratch
	value  []byte // scratch
}

// level is the open node of one level.
type level struct {
	table   table
	items   []byte
	count   int
	first   []byte
	lastKey []byte
	entries int64
	bytes   int64
	closed  int // nodes closed so far
}

// NewBuilder makes a Builder of a path tree (seal.KindNode), an inode table (seal.KindInode)
// or a content map (seal.KindMap).
func NewBuilder(kind seal.Kind, hasher *seal.Hasher, saver Saver) *Builder {
	return &Builder{kind: kind, hasher: hasher, saver: saver}
}

// Add appends an entry to a path tree. Its path must sort behind the one before. The entry
// may be reused afterwards.
func (b *Builder) Add(ctx context.Context, e *Entry) error {
	b.key = append(b.key[:0], e.Path...)
	for i, c := range b.key {
		if c == '/' {
			b.key[i] = 0
		}
	}
	return b.AddKeyed(ctx, b.key, e)
}

// AddKeyed appends an entry under a key of the caller's (inode table).
func (b *Builder) AddKeyed(ctx context.Context, key []byte, e *Entry) error {
	size := int64(0)
	if e.Type == File {
		size = e.Size
	}
	return b.add(ctx, key, size, func(dst []byte, t *table) []byte { return e.encode(dst, t) })
}

// AddExtent appends an extent to a content map; offset is where it begins in the file.
func (b *Builder) AddExtent(ctx context.Context, offset int64, x Extent) error {
	key := binary.BigEndian.AppendUint64(nil, uint64(offset))
	return b.add(ctx, key, x.Len, func(dst []byte, t *table) []byte {
		return encodeExtents(dst, []Extent{x}, t)
	})
}

func (b *Builder) add(ctx context.Context, key []byte, size int64, encode func([]byte, *table) []byte) error {
	if b.started && bytes.Compare(key, b.last) <= 0 {
		return errs.New(errs.Internal, "", "build %s tree: key %q does not follow %q", b.kind, key, b.last)
	}
	if b.sealed || bytes.Compare(key, b.floor) < 0 {
		return errs.New(errs.Internal, "", "build %s tree: key %q lies in what was taken over up to %q", b.kind, key, b.floor)
	}
	b.started, b.last = true, append(b.last[:0], key...)
	l := b.level(0)
	if err := b.closeIfFull(ctx, 0, len(key)); err != nil {
		return err
	}
	b.value = encode(b.value[:0], &l.table)
	l.open(key)
	l.items = binary.AppendUvarint(l.items, uint64(len(b.value)))
	l.items = append(l.items, b.value...)
	l.entries++
	l.bytes += size
	return b.closeAtBorder(ctx, 0, key)
}

func (b *Builder) level(n int) *level {
	for len(b.levels) <= n {
		b.levels = append(b.levels, &level{})
	}
	return b.levels[n]
}

// open begins an item: its key.
func (l *level) open(key []byte) {
	if l.count == 0 {
		l.first = append(l.first[:0], key...)
		l.lastKey = l.lastKey[:0]
	}
	shared := sharedLen(l.lastKey, key)
	l.items = binary.AppendUvarint(l.items, uint64(shared))
	l.items = binary.AppendUvarint(l.items, uint64(len(key)-shared))
	l.items = append(l.items, key[shared:]...)
	l.lastKey = append(l.lastKey[:0], key...)
	l.count++
}

func (b *Builder) closeIfFull(ctx context.Context, n, more int) error {
	l := b.levels[n]
	if l.count > 0 && len(l.items)+32*len(l.table.hs)+more > NodeCap {
		return b.close(ctx, n)
	}
	return nil
}

func (b *Builder) closeAtBorder(ctx context.Context, n int, key []byte) error {
	b.border = append(append(b.border[:0], byte(n)), key...)
	if b.hasher.Border(b.border)%BorderOdds != 0 {
		return nil
	}
	return b.close(ctx, n)
}

// close saves the open node of level n and tells the level above.
func (b *Builder) close(ctx context.Context, n int) error {
	l := b.levels[n]
	if l.count == 0 {
		return nil
	}
	c := b.chunk(n)
	if err := b.saver.Save(ctx, c); err != nil {
		return err
	}
	below := child{first: slices.Clone(l.first), h: c.H, entries: l.entries, bytes: l.bytes}
	l.table.reset()
	l.items, l.count, l.entries, l.bytes = l.items[:0], 0, 0, 0
	return b.closed(ctx, n, &below)
}

// closed tells the level above of a node of level n that is with the saver.
func (b *Builder) closed(ctx context.Context, n int, c *child) error {
	b.levels[n].closed++
	up := b.level(n + 1)
	if err := b.closeIfFull(ctx, n+1, len(c.first)+64); err != nil {
		return err
	}
	// A child stands at the position of its hash: no hash can come twice, since no two
	// children begin with the same key.
	up.table.hs = append(up.table.hs, c.h)
	up.open(c.first)
	up.items = binary.AppendUvarint(up.items, uint64(c.entries))
	up.items = binary.AppendUvarint(up.items, uint64(c.bytes))
	up.entries += c.entries
	up.bytes += c.bytes
	return b.closeAtBorder(ctx, n+1, c.first)
}

func (b *Builder) chunk(n int) Chunk {
	l := b.levels[n]
	content := make([]byte, 0, 2+20+32*len(l.table.hs)+len(l.items))
	content = append(content, nodeVersion, byte(n))
	content = binary.AppendUvarint(content, uint64(len(l.table.hs)))
	for i := range l.table.hs {
		content = append(content, l.table.hs[i][:]...)
	}
	content = binary.AppendUvarint(content, uint64(l.count))
	content = append(content, l.items...)
	return Chunk{Kind: b.kind, H: b.hasher.Hash(b.kind, content), Refs: slices.Clone(l.table.hs), Content: content}
}

// Finish saves what is open and answers the tree. The Builder is then empty and may be used
// again.
func (b *Builder) Finish(ctx context.Context) (Tree, error) {
	defer func() { b.levels, b.started, b.floor, b.sealed = nil, false, nil, false }()
	for n := 0; n < len(b.levels); n++ {
		l := b.levels[n]
		top := n == len(b.levels)-1
		if top && n > 0 && l.closed == 0 && l.count == 1 {
			// A single child needs no node above it.
			nd := l.table.hs[0]
			return Tree{H: nd, Level: uint8(n - 1), Entries: l.entries, Bytes: l.bytes}, nil
		}
		if err := b.close(ctx, n); err != nil {
			return Tree{}, err
		}
	}
	if len(b.levels) == 0 {
		return Tree{}, nil
	}
	return Tree{}, errs.New(errs.Internal, "", "build %s tree: it has no top", b.kind)
}

// Snapshot saves a tree of all entries so far, for a checkpoint, and leaves the Builder as
// it was: nodes closed so far are shared with the tree that Finish will make.
func (b *Builder) Snapshot(ctx context.Context) (Tree, error) {
	return b.Clone().Finish(ctx)
}
