package fileindex

import (
	"bytes"
	"context"
	"encoding/binary"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/tlv"
)

// Root is what a restore point's body names: the trees, and how they were taken.
type Root struct {
	Paths  Tree
	Inodes Tree // inodes with several names
	// Include are the paths that were asked for, as they were given.
	Include []string
	OS      string // GOOS of the agent
	Version string // of the agent
	// Thin is the agent's own note on bundles for the run that has this as its parent.
	Thin []byte
	// Ahead and AheadInodes are a checkpoint's: files behind its last entry that were read
	// already, keyed as in Paths and in Inodes. Of one that is Incomplete the extents are those
	// of its beginning, and its signature covers at least as much.
	Ahead, AheadInodes Tree
	// Dirs is how many directories there are among the entries of Paths; 0: not known.
	Dirs int64
}

// Trees calls fn for every tree of the root, with the kind of its nodes.
func (r *Root) Trees(fn func(kind seal.Kind, t Tree)) {
	for _, t := range []struct {
		kind seal.Kind
		tree Tree
	}{
		{seal.KindNode, r.Paths},
		{seal.KindInode, r.Inodes},
		{seal.KindNode, r.Ahead},
		{seal.KindInode, r.AheadInodes},
	} {
		if !t.tree.Empty() {
			fn(t.kind, t.tree)
		}
	}
}

const rootVersion = 1

// Save encodes the root and hands it to saver.
func (r *Root) Save(ctx context.Context, hasher *seal.Hasher, saver Saver) (seal.H, error) {
	content := []byte{rootVersion}
	var refs []seal.H
	r.Trees(func(_ seal.Kind, t Tree) { refs = append(refs, t.H) })
	content = appendTree(content, 1, r.Paths)
	content = appendTree(content, 2, r.Inodes)
	for _, p := range r.Include {
		content = tlv.Empty(content, 3, p)
	}
	content = tlv.Bytes(content, 4, r.OS)
	content = tlv.Bytes(content, 5, r.Version)
	content = tlv.Bytes(content, 6, r.Thin)
	content = appendTree(content, 7, r.Ahead)
	content = appendTree(content, 8, r.AheadInodes)
	content = tlv.Int(content, 9, r.Dirs)
	h := hasher.Hash(seal.KindRoot, content)
	return h, saver.Save(ctx, Chunk{Kind: seal.KindRoot, H: h, Refs: refs, Content: content})
}

// appendTree appends a tree as a field; an empty one is left out.
func appendTree(content []byte, field int, t Tree) []byte {
	if t.Empty() {
		return content
	}
	v := append([]byte(nil), t.H[:]...)
	v = binary.AppendUvarint(v, uint64(t.Level))
	v = binary.AppendUvarint(v, uint64(t.Entries))
	v = binary.AppendUvarint(v, uint64(t.Bytes))
	return tlv.Bytes(content, field, v)
}

// ParseRoot reads a root chunk's content.
func ParseRoot(content []byte) (Root, error) {
	var r Root
	if len(content) == 0 || content[0] != rootVersion {
		return r, errs.New(errs.Corrupt, "root.version", "read root: it is none of version %d", rootVersion)
	}
	last := 0
	for b := content[1:]; len(b) > 0; {
		f, rest, err := tlv.Next(b, last)
		if err != nil {
			return r, err
		}
		b, last = rest, f.Number
		switch f.Number {
		case 1, 2, 7, 8:
			t, err := parseTree(f.Data)
			if err != nil {
				return r, err
			}
			*map[int]*Tree{1: &r.Paths, 2: &r.Inodes, 7: &r.Ahead, 8: &r.AheadInodes}[f.Number] = t
		case 3:
			r.Include = append(r.Include, string(f.Data))
		case 4:
			r.OS = string(f.Data)
		case 5:
			r.Version = string(f.Data)
		case 6:
			r.Thin = bytes.Clone(f.Data)
		case 9:
			r.Dirs = f.Int()
		}
	}
	return r, nil
}

func parseTree(b []byte) (Tree, error) {
	n := numbers{b: b}
	h := n.bytes(32)
	if n.bad {
		return Tree{}, errs.New(errs.Corrupt, "root.tree", "read root: a tree is cut short")
	}
	t := Tree{H: seal.H(h), Level: uint8(n.next()), Entries: int64(n.next()), Bytes: int64(n.next())}
	if n.bad || t.Level > 16 {
		return Tree{}, errs.New(errs.Corrupt, "root.tree", "read root: a tree is cut short")
	}
	return t, nil
}

// FetchRoot fetches and reads a root.
func FetchRoot(ctx context.Context, f Fetcher, h seal.H) (Root, error) {
	cs, err := f.Fetch(ctx, seal.KindRoot, []seal.H{h})
	if err != nil {
		return Root{}, err
	}
	return ParseRoot(cs[0])
}
