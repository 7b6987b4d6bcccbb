package search

import (
	"bytes"
	"math"
	"slices"
	"sync/atomic"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

// leaf is a leaf of a path tree, one for all points that have it.
type leaf struct {
	h     seal.H
	first []byte // its first key
	// names are what stands in it; nil: not read, or let go again.
	names atomic.Pointer[names]
}

// names are the entries of a leaf, as far as a search looks at all of them.
type names struct {
	// text is the last components, a slash before, between and behind them: what a name begins or
	// ends with can be looked for in all of them at once.
	text []byte
	ends []uint32 // where each name ends in text
	dirs []inDir  // which directory the entries from one on lie in
	// Of one of several names of an inode only the type is known here.
	types  []fileindex.Type
	sizes  []int64
	mtimes []int64 // nanoseconds since 1970, as near as they fit
}

type inDir struct {
	from int
	dir  string
}

// readNames reads a leaf.
func readNames(content []byte) (*names, error) {
	n := &names{text: []byte{'/'}}
	dir, began := []byte(nil), false
	err := fileindex.Visit(seal.KindNode, content, func(fileindex.Child) error { return nil }, func(_ []byte, e *fileindex.Entry) error {
		parent, name := splitPath(e.Path)
		if !began || !bytes.Equal(parent, dir) {
			began, dir = true, append(dir[:0], parent...)
			n.dirs = append(n.dirs, inDir{len(n.ends), string(parent)})
		}
		n.text = append(n.text, name...)
		n.ends = append(n.ends, uint32(len(n.text)))
		n.text = append(n.text, '/')
		n.types = append(n.types, e.Type)
		n.sizes = append(n.sizes, e.Size)
		n.mtimes = append(n.mtimes, nanos(e.MTime))
		return nil
	})
	if err != nil {
		return nil, err
	}
	n.text, n.ends, n.dirs = slices.Clip(n.text), slices.Clip(n.ends), slices.Clip(n.dirs)
	n.types, n.sizes, n.mtimes = slices.Clip(n.types), slices.Clip(n.sizes), slices.Clip(n.mtimes)
	return n, nil
}

func splitPath(path []byte) (parent, name []byte) {
	if i := bytes.LastIndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return nil, path
}

// nanos is a time in nanoseconds; what does not fit is the first or the last that does.
func nanos(t fileindex.Time) int64 {
	const most = math.MaxInt64/1_000_000_000 - 1
	switch {
	case t.Sec > most:
		return math.MaxInt64
	case t.Sec < -most:
		return math.MinInt64
	}
	return t.Sec*1_000_000_000 + int64(t.Nsec)
}

// size is what the names take in memory.
func (n *names) size() int64 {
	size := 200 + cap(n.text) + 4*cap(n.ends) + 24*cap(n.dirs) + cap(n.types) + 8*cap(n.sizes) + 8*cap(n.mtimes)
	for i := range n.dirs {
		size += len(n.dirs[i].dir)
	}
	return int64(size)
}

func (n *names) name(i int) []byte {
	begin := uint32(1)
	if i > 0 {
		begin = n.ends[i-1] + 1
	}
	return n.text[begin:n.ends[i]]
}

// path appends the whole path of an entry to dst.
func (n *names) path(dst []byte, i int) []byte {
	at, found := slices.BinarySearchFunc(n.dirs, i, func(d inDir, i int) int { return d.from - i })
	if !found {
		at--
	}
	if dir := n.dirs[at].dir; dir != "" {
		dst = append(append(dst, dir...), '/')
	}
	return append(dst, n.name(i)...)
}

// search appends the entries that fit to hits.
func (n *names) search(q *Query, hits []int) []int {
	var scratch [512]byte
	check := func(i int) {
		if !q.mayFit(n.types[i], n.sizes[i], n.mtimes[i]) || !q.Pattern.matchName(n.name(i)) {
			return
		}
		if q.Pattern.whole && !q.Pattern.matchPath(n.path(scratch[:0], i)) {
			return
		}
		hits = append(hits, i)
	}
	literal := q.Pattern.literal
	if len(literal) == 0 {
		for i := range n.ends {
			check(i)
		}
		return hits
	}
	for pos := 0; pos < len(n.text); {
		at := bytes.Index(n.text[pos:], literal)
		if at < 0 {
			break
		}
		at += pos
		if literal[0] == '/' {
			at++ // to the name behind the slash
		}
		i, _ := slices.BinarySearch(n.ends, uint32(at))
		if i == len(n.ends) {
			break
		}
		check(i)
		pos = int(n.ends[i]) // the slash before the next name
	}
	return hits
}
