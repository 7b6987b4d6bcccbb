package fileindex

import (
	"errors"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// Member is a member of a bundle that a file needs.
type Member struct {
	Bundle seal.H
	Number uint32
	Len    int64
}

// Members calls fn for the members of bundles that the files of a leaf need, of a path tree, an
// inode table or a content map; an inner node needs none. It is an error if the leaf may need
// others that this version does not understand: then all members of its bundles are needed.
func Members(kind seal.Kind, content []byte, fn func(Member)) error {
	nd, err := parseNode(content)
	if err != nil || nd.level > 0 {
		return err
	}
	known := make(map[seal.H]bool, nd.table.len())
	see := func(list []Extent) {
		for i := range list {
			known[list[i].H] = true
			if list[i].Kind == InBundle {
				fn(Member{list[i].H, list[i].Member, list[i].Len})
			}
		}
	}
	err = leafValues(kind, nd, func(e *Entry) error {
		if len(e.Unknown) > 0 {
			return errs.New(errs.Invalid, "node.fields", "read %s tree: an entry has fields of a later version", kind)
		}
		see(e.Extents)
		for i := range e.Streams {
			see(e.Streams[i].Extents)
		}
		e.Hashes(func(_ seal.Kind, h seal.H) { known[h] = true })
		return nil
	})
	for i := range nd.table.len() {
		h, terr := nd.table.at(uint64(i))
		if err = errors.Join(err, terr); err == nil && !known[h] {
			err = errs.New(errs.Invalid, "node.fields", "read %s tree: no entry tells what a hash is for", kind)
		}
	}
	return err
}

// leafValues calls fn for the values of a leaf; of a content map, as entries that have nothing
// but extents. The entry is valid until fn returns.
func leafValues(kind seal.Kind, nd *node, fn func(e *Entry) error) error {
	n := numbers{b: nd.items}
	var key []byte
	var e Entry
	var xs []Extent
	for range nd.count {
		var err error
		if key, err = nextKey(&n, key); err != nil {
			return err
		}
		value := n.bytes(n.next())
		if n.bad {
			return errs.New(errs.Corrupt, "node.value", "read %s tree: a value is cut short", kind)
		}
		if kind == seal.KindMap {
			if xs, err = decodeExtents(xs[:0], value, nd.table); err != nil {
				return err
			}
			e = Entry{Extents: xs}
		} else if err = e.decode(value, nd.table); err != nil {
			return err
		}
		if err := fn(&e); err != nil {
			return err
		}
	}
	return nil
}
