package changes

import "bytes"

// replay follows the names through a send stream. Its commands speak of paths as they are at
// that point of a replay, with temporary names in between, so it keeps a tree of what was
// touched and moves the branches that are renamed. What was not touched is not in it: it is
// where it was in the parent.
type replay struct {
	root  *rnode
	nodes int
	most  int
	// links: details were dropped, so that what changed of files with other names is not known.
	links bool
}

// rnode is a name that the stream has touched.
type rnode struct {
	name   string
	parent *rnode
	kids   map[string]*rnode

	// Where the name was when it was first met; no parent: it was made by the stream.
	fromParent *rnode
	fromName   string
	dir        bool // made as a directory by the stream
	linked     bool // a new name for a file that had others
	whole      bool // everything below is in doubt, and nothing is kept of it

	what    What
	extents []Extent
}

// maxNodes is how many names are followed one by one: some 60 MiB.
const maxNodes = 256 << 10

func newReplay(most int) *replay {
	return &replay{root: &rnode{}, most: most}
}

// lookup answers the node of a path, and makes what is missing. In what is whole it answers
// the node that is.
func (r *replay) lookup(path []byte) *rnode {
	n := r.root
	for len(path) > 0 && !n.whole {
		name, rest, _ := bytes.Cut(path, []byte{'/'})
		path = rest
		kid := n.kids[string(name)]
		if kid == nil {
			kid = &rnode{name: string(name), fromParent: n, fromName: string(name)}
			r.attach(kid, n)
		}
		n = kid
	}
	return n
}

func (r *replay) attach(n, to *rnode) {
	if to.kids == nil {
		to.kids = map[string]*rnode{}
	}
	if old := to.kids[n.name]; old != nil {
		r.detach(old)
	}
	n.parent = to
	to.kids[n.name] = n
	r.nodes += n.count()
}

func (r *replay) detach(n *rnode) {
	delete(n.parent.kids, n.name)
	r.nodes -= n.count()
}

func (n *rnode) count() int {
	c := 1
	for _, k := range n.kids {
		c += k.count()
	}
	return c
}

func split(path []byte) (dir, name []byte) {
	i := bytes.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}

// create puts a new name into its directory and answers it, nil where that is whole.
func (r *replay) create(path []byte) *rnode {
	dir, name := split(path)
	d := r.lookup(dir)
	if d.whole {
		return nil
	}
	d.what |= Listing | Metadata
	n := &rnode{name: string(name)}
	r.attach(n, d)
	return n
}

// apply takes one command.
func (r *replay) apply(s *sent) {
	switch s.cmd {
	case cmdMkdir:
		if n := r.create(s.path); n != nil {
			n.dir = true
		}
	case cmdMkfile, cmdMknod, cmdMkfifo, cmdMksock, cmdSymlink:
		r.create(s.path)
	case cmdLink:
		old := r.lookup(s.link)
		old.what |= Metadata
		if n := r.create(s.path); n != nil {
			n.linked = old.fromParent != nil || old.linked || old.whole
		}
	case cmdUnlink, cmdRmdir:
		dir, name := split(s.path)
		d := r.lookup(dir)
		if d.whole {
			return
		}
		d.what |= Listing | Metadata
		if n := d.kids[string(name)]; n != nil {
			r.detach(n)
		}
	case cmdRename:
		r.rename(s.path, s.to)
	case cmdWrite, cmdClone, cmdUpdateExtent:
		n := r.lookup(s.path)
		n.what |= Content | Metadata
		if !n.whole && s.length > 0 {
			n.extents = addExtent(n.extents, Extent{s.offset, s.length})
		}
	case cmdTruncate:
		r.lookup(s.path).what |= Content | Metadata
	case cmdUtimes:
		// It comes last of every inode that differs in any way. Of a directory it may be all
		// that tells of a nested subvolume that came or went.
		n := r.lookup(s.path)
		n.what |= Metadata | Listing
		r.drop(n)
	case cmdChmod, cmdChown, cmdSetXattr, cmdRemoveXattr:
		r.lookup(s.path).what |= Metadata
	}
	if r.nodes > r.most {
		r.shrink()
	}
}

func (r *replay) rename(from, to []byte) {
	dir, name := split(from)
	d := r.lookup(dir)
	var n *rnode
	if d.whole {
		n = &rnode{linked: true} // what it was is not known: new, whatever it is
	} else {
		d.what |= Listing | Metadata
		if n = d.kids[string(name)]; n == nil {
			n = &rnode{name: string(name), fromParent: d, fromName: string(name)}
		} else {
			r.detach(n)
		}
	}
	dir, name = split(to)
	d = r.lookup(dir)
	for up := d; up != nil; up = up.parent {
		if up == n {
			return // into itself: no kernel says so
		}
	}
	if d.whole {
		if len(n.kids) > 0 || n.what != 0 {
			r.links = true
		}
		return
	}
	d.what |= Listing | Metadata
	n.name = string(name)
	r.attach(n, d)
}

// drop forgets a new file in a new directory: the directory is read anyway.
func (r *replay) drop(n *rnode) {
	if n.parent != nil && n.fromParent == nil && !n.dir && !n.linked && !n.whole && len(n.kids) == 0 &&
		n.parent.dir && n.parent.fromParent == nil {
		r.detach(n)
	}
}

// moved tells whether a name stands where the parent had something else or nothing.
func (n *rnode) moved() bool {
	return n.parent != nil && (n.fromParent != n.parent || n.fromName != n.name)
}

// shrink makes room: directories with much in them become whole, the deepest first.
func (r *replay) shrink() {
	r.links = true
	for _, depth := range []int{16, 8, 4, 3, 2, 1} {
		r.collapse(r.root, 0, depth)
		if r.nodes <= r.most/2 {
			return
		}
	}
	r.whole(r.root)
}

// collapse makes directories from a depth on whole, if that saves much.
func (r *replay) collapse(n *rnode, depth, from int) {
	if depth >= from {
		if n.count() > max(2, r.most/256) {
			r.whole(n)
		}
		return
	}
	for _, k := range n.kids {
		r.collapse(k, depth+1, from)
	}
}

func (r *replay) whole(n *rnode) {
	r.nodes -= n.count() - 1
	n.kids, n.extents = nil, nil
	n.whole = true
	n.what |= Subtree
}

// each calls fn for every name that may have changed, with its path.
func (r *replay) each(fn func(path []byte, n *rnode, what What) error) error {
	return each(r.root, nil, fn)
}

func each(n *rnode, path []byte, fn func([]byte, *rnode, What) error) error {
	what := n.what
	if n.moved() {
		what |= everything
	}
	if what != 0 {
		if err := fn(path, n, what); err != nil {
			return err
		}
	}
	for _, k := range n.kids {
		p := path
		if len(p) > 0 {
			p = append(p, '/')
		}
		if err := each(k, append(p, k.name...), fn); err != nil {
			return err
		}
	}
	return nil
}
