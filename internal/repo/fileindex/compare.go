package fileindex

import (
	"bytes"
	"context"
	"slices"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// compare tells how entries that stand in themselves differ; 0: not at all.
func (d *differ) compare(ctx context.Context, a, b *Entry) (Change, error) {
	switch {
	case a == nil:
		return Added, nil
	case b == nil:
		return Removed, nil
	case a.Type != b.Type:
		return Retyped, nil
	}
	if same, err := d.sameContent(ctx, a, b); err != nil || !same {
		return Content, err
	}
	if a.Mode != b.Mode || a.UID != b.UID || a.GID != b.GID || a.MTime != b.MTime || a.Flags != b.Flags ||
		!slices.EqualFunc(a.Xattrs, b.Xattrs, sameXattr) {
		return Metadata, nil
	}
	return 0, nil
}

// SameContent tells whether two entries of one type hold the same: bytes, target or device. It looks
// into bundles where it must.
func SameContent(ctx context.Context, f Fetcher, a, b *Entry) (bool, error) {
	d := &differ{f: f, a: &side{}, b: &side{}}
	return d.sameContent(ctx, a, b)
}

func (d *differ) sameContent(ctx context.Context, a, b *Entry) (bool, error) {
	if a.Size != b.Size && a.Type != Dir || !bytes.Equal(a.Target, b.Target) || a.RDev != b.RDev || a.Map.H != b.Map.H ||
		len(a.Streams) != len(b.Streams) {
		return false, nil
	}
	if same, err := d.sameExtents(ctx, a.Extents, b.Extents); err != nil || !same {
		return false, err
	}
	for i := range a.Streams {
		x, y := &a.Streams[i], &b.Streams[i]
		if !bytes.Equal(x.Name, y.Name) || x.Size != y.Size {
			return false, nil
		}
		if same, err := d.sameExtents(ctx, x.Extents, y.Extents); err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

// sameExtents looks into bundles where it must: a small file that was read anew may stand in
// another one with the same bytes, or, once it has several names, in a chunk of its own.
func (d *differ) sameExtents(ctx context.Context, a, b []Extent) (bool, error) {
	if !slices.EqualFunc(a, b, maySame) {
		return false, nil
	}
	for i := range a {
		if a[i] == b[i] {
			continue
		}
		x, err := d.a.content(ctx, d.f, a[i])
		if err != nil {
			return false, err
		}
		y, err := d.b.content(ctx, d.f, b[i])
		if err != nil || x != y || x == (seal.H{}) {
			return false, err
		}
	}
	return true, nil
}

// maySame tells whether extents can hold the same bytes: they are equal, or one is a member
// of a bundle and the other such a member, too, or as long a chunk.
func maySame(x, y Extent) bool {
	whole := func(x Extent) bool { return x.Kind == InBundle || x.Kind == InChunk && x.Offset == 0 }
	return x == y || x.Len == y.Len && whole(x) && whole(y) && (x.Kind == InBundle || y.Kind == InBundle)
}

// content is the hash, as of a data chunk, of what an extent holds; none if it cannot be read.
func (s *side) content(ctx context.Context, f Fetcher, x Extent) (h seal.H, err error) {
	if x.Kind == InChunk {
		return x.H, nil
	}
	if s.bundle != x.H {
		s.bundle, s.members = x.H, seal.Bundle{}
		contents, err := f.Fetch(ctx, seal.KindBundle, []seal.H{x.H})
		if err == nil {
			s.members, err = seal.ParseBundle(contents[0])
		}
		if kind := errs.KindOf(err); err != nil && kind != errs.NotFound && kind != errs.Corrupt {
			s.bundle = seal.H{}
			return h, err
		}
	}
	if int(x.Member) < s.members.Len() {
		h = s.members.Hash(int(x.Member))
	}
	return h, nil
}

func sameXattr(x, y Xattr) bool {
	return bytes.Equal(x.Name, y.Name) && bytes.Equal(x.Value, y.Value)
}
