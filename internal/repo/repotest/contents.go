package repotest

import (
	"cmp"
	"context"
	"slices"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

// contents stores what is in files and notes where it lies.
func (b *Backup) contents(ctx context.Context, v *Saver, hasher *seal.Hasher, files map[string]string) error {
	b.extents = map[string][]fileindex.Extent{}
	var fresh []string
	for _, path := range sortedPaths(files) {
		if p := b.Parent; p != nil && p.Files[path] == files[path] && p.extents[path] != nil {
			b.extents[path] = p.extents[path]
			continue
		}
		fresh = append(fresh, path)
	}
	if b.Bundle == 0 {
		return b.chunks(ctx, v, hasher, files, fresh)
	}
	for some := range slices.Chunk(fresh, b.Bundle) {
		if err := b.bundle(ctx, v, hasher, files, some); err != nil {
			return err
		}
	}
	return nil
}

func (b *Backup) chunks(ctx context.Context, v *Saver, hasher *seal.Hasher, files map[string]string, paths []string) error {
	for _, path := range paths {
		for _, part := range Cut(files[path], cmp.Or(b.ChunkSize, 1000)) {
			h := hasher.Hash(seal.KindData, []byte(part))
			if err := v.unlessHeld(ctx, seal.KindData, h, []byte(part)); err != nil {
				return err
			}
			b.extents[path] = append(b.extents[path], fileindex.Extent{H: h, Len: int64(len(part))})
		}
	}
	return nil
}

func (b *Backup) bundle(ctx context.Context, v *Saver, hasher *seal.Hasher, files map[string]string, paths []string) error {
	var w seal.BundleWriter
	for _, path := range paths {
		w.Add(hasher, []byte(files[path]))
	}
	content, h := w.Finish(hasher)
	for i, path := range paths {
		b.extents[path] = []fileindex.Extent{{Kind: fileindex.InBundle, H: h, Member: uint32(i), Len: int64(len(files[path]))}}
	}
	return v.unlessHeld(ctx, seal.KindBundle, h, content)
}
