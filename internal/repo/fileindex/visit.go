package fileindex

import (
	"bytes"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// Child is a node below an inner node.
type Child struct {
	First   []byte // the first key below it
	H       seal.H
	Entries int64
}

// Visit calls child for the children of an inner node, or entry for the entries of a leaf of
// a path tree or an inode table. It is for who must go on where a node is damaged; all others
// use a Cursor. Arguments are valid until the callback returns.
func Visit(kind seal.Kind, content []byte, child func(Child) error, entry func(key []byte, e *Entry) error) error {
	nd, err := parseNode(content)
	if err != nil {
		return err
	}
	for _, c := range nd.childs {
		if err := child(Child{First: c.first, H: c.h, Entries: c.entries}); err != nil {
			return err
		}
	}
	if nd.level > 0 {
		return nil
	}
	n := numbers{b: nd.items}
	var key []byte
	var e Entry
	for range nd.count {
		if key, err = nextKey(&n, key); err != nil {
			return err
		}
		value := n.bytes(n.next())
		if n.bad {
			return errs.New(errs.Corrupt, "node.value", "read %s tree: the value of %q is cut short", kind, key)
		}
		if kind == seal.KindNode {
			e.Path = bytes.ReplaceAll(key, []byte{0}, []byte{'/'})
		}
		if err := e.decode(value, nd.table); err != nil {
			return err
		}
		if err := entry(key, &e); err != nil {
			return err
		}
	}
	return nil
}
