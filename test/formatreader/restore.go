package formatreader

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Types of entries.
const (
	typeDirectory, typeFile = 1, 2
	typeSymlink, typeLink   = 3, 8
	stateIncomplete         = 4
)

// walk calls fn for the items in the leaves of a tree, in order. A value names hashes of its
// node by their position.
func (r *Reader) walk(kind byte, h hash, level uint64, fn func(key, value []byte, hashes []hash)) {
	in := input(r.chunk(kind, h))
	head := in.take(2)
	demand(head[0] == 1 && uint64(head[1]) == level, "a node of version %d and level %d", head[0], head[1])
	var hashes []hash
	for n := in.uvarint(); n > 0; n-- {
		hashes = append(hashes, hash(in.take(32)))
	}
	var key []byte
	for i, n := uint64(0), in.uvarint(); i < n; i++ {
		shared := in.uvarint()
		key = append(key[:shared:shared], in.take(in.uvarint())...)
		if level == 0 {
			fn(key, in.take(in.uvarint()), hashes)
			continue
		}
		in.uvarint() // entries
		in.uvarint() // bytes
		r.walk(kind, hashes[i], level-1, fn)
	}
	demand(len(in) == 0, "%d bytes behind a node", len(in))
}

// entry is an entry with the hashes of its node.
type entry struct {
	fields
	hashes []hash
}

// entries walks a tree that the root names, which may be empty.
func (r *Reader) entries(kind byte, tree input, fn func(key string, e entry)) {
	if len(tree) > 0 {
		h := hash(tree.take(32))
		r.walk(kind, h, tree.uvarint(), func(key, value []byte, hashes []hash) { fn(string(key), entry{parseFields(value), hashes}) })
	}
}

// Restore writes the directories, regular files and symbolic links of a point below dir, each
// under its whole path. Names of one inode become names of one inode.
func (r *Reader) Restore(p Point, dir string) (err error) {
	defer caught("restore point "+p.Attempt, &err)
	content := r.chunk(kindRoot, p.root)
	demand(content[0] == 1, "a root of version %d", content[0])
	root := parseFields(content[1:])
	demand(len(root[7]) == 0 && len(root[8]) == 0, "a point has the fields of a checkpoint")
	inodes, first := map[[2]uint64]entry{}, map[[2]uint64]string{}
	r.entries(kindInode, root[2], func(key string, e entry) {
		inodes[[2]uint64{be64([]byte(key)), be64([]byte(key[8:]))}] = e
	})
	r.entries(kindNode, root[1], func(key string, e entry) {
		name := filepath.Join(dir, filepath.FromSlash(strings.ReplaceAll(key, "\x00", "/")))
		err := os.MkdirAll(filepath.Dir(name), 0o700)
		demand(err == nil, "%v", err)
		if e.uint(1) == typeLink {
			inode := [2]uint64{e.uint(15), e.uint(14)}
			if _, ok := inodes[inode]; !ok {
				return // it could not be read
			}
			if first[inode] != "" {
				demand(os.Link(first[inode], name) == nil, "link %s", name)
				return
			}
			first[inode], e = name, inodes[inode]
		}
		switch e.uint(1) {
		case typeDirectory:
			err := os.MkdirAll(name, 0o700)
			demand(err == nil, "%v", err)
		case typeSymlink:
			err := os.Symlink(string(e.fields[20]), name)
			demand(err == nil, "%v", err)
		case typeFile:
			r.file(e, name)
		}
	})
	return nil
}

// RestoreAhead writes the files that a checkpoint has behind its path tree, and its inode table: each
// under its path, or under the two numbers of its inode. It answers those of which there is a beginning
// only.
func (r *Reader) RestoreAhead(p Point, dir string) (begun []string, err error) {
	defer caught("restore what was read ahead in "+p.Attempt, &err)
	root := parseFields(r.chunk(kindRoot, p.root)[1:])
	write := func(name string, e entry) {
		if e.uint(24)&stateIncomplete != 0 {
			begun = append(begun, name)
		}
		name = filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(name), 0o700)
		demand(err == nil && e.uint(1) == typeFile, "%s of type %d: %v", name, e.uint(1), err)
		r.file(e, name)
	}
	r.entries(kindNode, root[7], func(key string, e entry) {
		write(filepath.FromSlash(strings.ReplaceAll(key, "\x00", "/")), e)
	})
	r.entries(kindInode, root[8], func(key string, e entry) {
		write(fmt.Sprintf("%d-%d", be64([]byte(key)), be64([]byte(key[8:]))), e)
	})
	return begun, nil
}

// file writes a file. Holes and zeros both come back as holes.
func (r *Reader) file(e entry, name string) {
	f := must(os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600))
	defer f.Close() //nolint:errcheck // the test compares what is there
	at := uint64(0)
	extents := func(in input, hashes []hash) {
		for len(in) > 0 {
			kind := in.uvarint()
			if kind >= 2 {
				at += in.uvarint()
				continue
			}
			h, second, length := hashes[in.uvarint()], in.uvarint(), in.uvarint()
			var b []byte
			if kind == 0 {
				b = r.chunk(kindData, h)[second:][:length]
			} else {
				b = r.member(h, second)[:length]
			}
			must(f.WriteAt(b, int64(at)))
			at += length
		}
	}
	extents(e.fields[21], e.hashes)
	if in := input(e.fields[22]); len(in) > 0 {
		h := e.hashes[in.uvarint()]
		r.walk(kindMap, h, in.uvarint(), func(key, value []byte, hashes []hash) {
			demand(be64(key) == at, "%s: an extent at %d, not at %d", name, be64(key), at)
			extents(value, hashes)
		})
	}
	incomplete := e.uint(24)&stateIncomplete != 0
	demand(int64(at) == e.signed(7) || incomplete && int64(at) < e.signed(7), "%s: %d bytes, but its size is %d", name, at, e.signed(7))
	err := f.Truncate(int64(at))
	demand(err == nil, "%v", err)
	if position := e.uint(23); position > 0 && at > 0 && !incomplete {
		r.signed(f, e.hashes[position-1], at)
	}
}
