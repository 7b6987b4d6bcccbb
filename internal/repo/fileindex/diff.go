package fileindex

import (
	"bytes"
	"context"
	"slices"

	"keepward/internal/repo/seal"
)

// Change says how an entry of one tree differs from the other's.
type Change byte

// The changes; as text they are what point diff prints.
const (
	Added    Change = '+' // only in b
	Removed  Change = '-' // only in a
	Content  Change = 'M'
	Metadata Change = 'm'
	Retyped  Change = 'T'
)

// Diff calls fn for every entry that differs between path trees a and b, in order; ea or eb
// is nil where the entry is on one side only. Entries are valid until fn returns. What the
// trees share is passed without being fetched. Change times and inode numbers
// are no difference: they change with every restore.
func Diff(ctx context.Context, f Fetcher, a, b Tree, fn func(c Change, ea, eb *Entry) error) error {
	ca, cb := NewCursor(f, seal.KindNode, a), NewCursor(f, seal.KindNode, b)
	defer ca.Close()
	defer cb.Close()
	for {
		if err := passShared(ctx, ca.w, cb.w); err != nil {
			return err
		}
		ka, err := ca.PeekKey(ctx)
		if err != nil {
			return err
		}
		kb, err := cb.PeekKey(ctx)
		if err != nil {
			return err
		}
		if ka == nil && kb == nil {
			return nil
		}
		order := compareKeys(ka, kb)
		var ea, eb *Entry
		if order <= 0 {
			if ea, err = ca.Next(ctx); err != nil {
				return err
			}
		}
		if order >= 0 {
			if eb, err = cb.Next(ctx); err != nil {
				return err
			}
		}
		if c := compareEntries(ea, eb); c != 0 {
			if err := fn(c, ea, eb); err != nil {
				return err
			}
		}
	}
}

// compareKeys orders keys; nil is the end and sorts last.
func compareKeys(a, b []byte) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	return bytes.Compare(a, b)
}

// passShared passes nodes that both trees have at the same place.
func passShared(ctx context.Context, a, b *walker) error {
	for {
		// The next item decides: it loads the next leaf where one is due.
		_, oka, err := a.peek(ctx)
		if err != nil {
			return err
		}
		_, okb, err := b.peek(ctx)
		if err != nil {
			return err
		}
		if !oka || !okb {
			return nil
		}
		la, _ := a.startOf()
		lb, _ := b.startOf()
		l := min(la, lb)
		for ; l >= 0 && a.frames[l].h != b.frames[l].h; l-- {
			// The nodes of this level differ; those below may not.
		}
		if l < 0 {
			return nil
		}
		a.skipNode(l)
		b.skipNode(l)
	}
}

func compareEntries(a, b *Entry) Change {
	switch {
	case a == nil:
		return Added
	case b == nil:
		return Removed
	case a.Type != b.Type:
		return Retyped
	case a.Size != b.Size && a.Type != Dir, !bytes.Equal(a.Target, b.Target), a.RDev != b.RDev, a.Map.H != b.Map.H,
		!slices.Equal(a.Extents, b.Extents), a.Type == Link && (a.Inode != b.Inode || a.Device != b.Device),
		!slices.EqualFunc(a.Streams, b.Streams, sameStream):
		return Content
	case a.Mode != b.Mode, a.UID != b.UID, a.GID != b.GID, a.MTime != b.MTime, a.Flags != b.Flags,
		!slices.EqualFunc(a.Xattrs, b.Xattrs, sameXattr):
		return Metadata
	}
	return 0
}

func sameStream(x, y Stream) bool {
	return bytes.Equal(x.Name, y.Name) && x.Size == y.Size && slices.Equal(x.Extents, y.Extents)
}

func sameXattr(x, y Xattr) bool {
	return bytes.Equal(x.Name, y.Name) && bytes.Equal(x.Value, y.Value)
}
