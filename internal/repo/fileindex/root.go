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
}

const rootVersion = 1

// Save encodes the root and hands it to saver.
func (r *Root) Save(ctx context.Context, hasher *seal.Hasher, saver Saver) (seal.H, error) {
	content := []byte{rootVersion}
	var refs []seal.H
	for i, t := range []Tree{r.Paths, r.Inodes} {
		if t.Empty() {
			continue
		}
		refs = append(refs, t.H)
		v := append([]byte(nil), t.H[:]...)
		v = binary.AppendUvarint(v, uint64(t.Level))
		v = binary.AppendUvarint(v, uint64(t.Entries))
		v = binary.AppendUvarint(v, uint64(t.Bytes))
		content = tlv.Bytes(content, i+1, v)
	}
	for _, p := range r.Include {
		content = tlv.Empty(content, 3, p)
	}
	content = tlv.Bytes(content, 4, r.OS)
	content = tlv.Bytes(content, 5, r.Version)
	content = tlv.Bytes(content, 6, r.Thin)
	h := hasher.Hash(seal.KindRoot, content)
	return h, saver.Save(ctx, Chunk{Kind: seal.KindRoot, H: h, Refs: refs, Content: content})
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
		case 1, 2:
			t, err := parseTree(f.Data)
			if err != nil {
				return r, err
			}
			if f.Number == 1 {
				r.Paths = t
			} else {
				r.Inodes = t
			}
		case 3:
			r.Include = append(r.Include, string(f.Data))
		case 4:
			r.OS = string(f.Data)
		case 5:
			r.Version = string(f.Data)
		case 6:
			r.Thin = bytes.Clone(f.Data)
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
