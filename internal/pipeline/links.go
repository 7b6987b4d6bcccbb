package pipeline

import (
	"cmp"
	"slices"

	"keepward/internal/source"
)

// linkTable collects the names of files that have several. It belongs to one goroutine.
type linkTable struct{ names []linkName }

type linkName struct {
	device, inode uint64
	dir           *source.Dir
	name          []byte
}

func (n *linkName) path() []byte {
	p := n.dir.Path()
	if len(p) > 0 {
		p = append(p, '/')
	}
	return append(p, n.name...)
}

func (t *linkTable) add(st *source.Stat, dir *source.Dir, name []byte) {
	t.names = append(t.names, linkName{device: st.Device, inode: st.Inode, dir: dir, name: slices.Clone(name)})
}

// each calls fn for every inode with its names, in the order of the inode table.
func (t *linkTable) each(fn func(names []linkName) error) error {
	// Names of one inode keep the order of the walk.
	slices.SortStableFunc(t.names, func(a, b linkName) int {
		return cmp.Or(cmp.Compare(a.device, b.device), cmp.Compare(a.inode, b.inode))
	})
	for from := 0; from < len(t.names); {
		to := from + 1
		for to < len(t.names) && t.names[to].device == t.names[from].device && t.names[to].inode == t.names[from].inode {
			to++
		}
		if err := fn(t.names[from:to]); err != nil {
			return err
		}
		from = to
	}
	return nil
}
