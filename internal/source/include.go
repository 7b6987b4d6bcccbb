package source

import (
	"bytes"
	"slices"
)

// branch is one directory of the tree that the include paths span. Everything the walk takes
// lies below a branch with include set.
type branch struct {
	name     []byte
	include  bool
	children []*branch // sorted by name
}

// add puts a path (as Item.Path) into the tree.
func (b *branch) add(path []byte) {
	for len(path) > 0 {
		var name []byte
		name, path = cutComponent(path)
		i, found := slices.BinarySearchFunc(b.children, name, func(c *branch, n []byte) int { return bytes.Compare(c.name, n) })
		if !found {
			b.children = slices.Insert(b.children, i, &branch{name: bytes.Clone(name)})
		}
		b = b.children[i]
	}
	b.include = true
}

func (b *branch) child(name []byte) *branch {
	if b == nil {
		return nil
	}
	for _, c := range b.children {
		if bytes.Equal(c.name, name) {
			return c
		}
	}
	return nil
}
