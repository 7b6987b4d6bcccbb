package survey

import (
	"bytes"
	"cmp"
	"container/heap"
	"slices"

	keepwardv1 "keepward/api/keepward/v1"
)

// most is the largest things seen so far, the smallest of them first.
type most []*keepwardv1.DryRunSize

func (m most) Len() int           { return len(m) }
func (m most) Less(i, j int) bool { return m[i].Bytes < m[j].Bytes }
func (m most) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }
func (m *most) Push(x any)        { *m = append(*m, x.(*keepwardv1.DryRunSize)) }
func (m *most) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}

// see takes a thing, if it is one of the largest.
func (m *most) see(path []byte, size int64) {
	if size <= 0 || len(*m) == mostLarge && size <= (*m)[0].Bytes {
		return
	}
	heap.Push(m, &keepwardv1.DryRunSize{Path: append([]byte{'/'}, path...), Bytes: size})
	if len(*m) > mostLarge {
		heap.Pop(m)
	}
}

// sorted is all of them, the largest first.
func (m most) sorted() []*keepwardv1.DryRunSize {
	out := slices.Clone(m)
	slices.SortFunc(out, func(a, b *keepwardv1.DryRunSize) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), bytes.Compare(a.Path, b.Path))
	})
	return out
}

type largest struct{ files, dirs most }

func (l *largest) file(path []byte, size int64) { l.files.see(path, size) }

// trees sums up the directories that a walk is in.
type trees []tree

type tree struct {
	path    []byte
	above   bool  // it only leads to an include path
	bytes   int64 // of all files in it and below
	largest int64 // directory in it
}

// mostlyOne is how many percent of a directory one in it may have: then that one is what counts.
const mostlyOne = 90

// enter comes to a directory.
func (t *trees) enter(path []byte, above bool, to *largest) {
	t.leave(path, to)
	*t = append(*t, tree{path: bytes.Clone(path), above: above})
}

// add takes a file of the directory that the walk is in.
func (t *trees) add(path []byte, size int64, to *largest) {
	t.leave(path, to)
	if n := len(*t); n > 0 {
		(*t)[n-1].bytes += size
	}
}

// leave ends the directories that a path does not lie in.
func (t *trees) leave(path []byte, to *largest) {
	for n := len(*t); n > 0 && !within(path, (*t)[n-1].path); n-- {
		t.pop(to)
	}
}

// finish ends all.
func (t *trees) finish(to *largest) {
	for len(*t) > 0 {
		t.pop(to)
	}
}

func (t *trees) pop(to *largest) {
	n := len(*t) - 1
	last := (*t)[n]
	*t = (*t)[:n]
	if !last.above && last.largest*100 < last.bytes*mostlyOne {
		to.dirs.see(last.path, last.bytes)
	}
	if n > 0 {
		up := &(*t)[n-1]
		up.bytes += last.bytes
		up.largest = max(up.largest, last.bytes)
	}
}
