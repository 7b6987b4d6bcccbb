package fileindex

import (
	"bytes"
	"encoding/binary"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// Tree names a tree by its topmost node.
type Tree struct {
	H       seal.H
	Level   uint8 // 0: the topmost node is a leaf
	Entries int64
	Bytes   int64 // sum of the sizes of regular files; in a content map, of its extents
}

// Empty tells whether the tree holds nothing.
func (t Tree) Empty() bool { return t.Entries == 0 }

// PathKey is the key of a path in the path tree: '/' becomes 0x00, so that comparing bytes
// compares component by component.
func PathKey(path []byte) []byte {
	return bytes.ReplaceAll(path, []byte{'/'}, []byte{0})
}

// KeyPath is the path of a key.
func KeyPath(key []byte) []byte {
	return bytes.ReplaceAll(key, []byte{0}, []byte{'/'})
}

// ComparePaths orders paths as their keys are ordered.
func ComparePaths(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x == '/' {
			x = 0
		}
		if y == '/' {
			y = 0
		}
		if x < y {
			return -1
		}
		return 1
	}
	return len(a) - len(b)
}

// InodeKey is the key of an inode in the inode table.
func InodeKey(device, inode uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, device), inode)
}

// Node layout: version (1), level, then uvarints and bytes:
//
//	number of hashes, the hashes (32 bytes each); number of items; the items.
//	item: bytes shared with the key before, length of the rest, the rest of the key, then
//	  leaf:  length of the value, the value
//	  inner: entries below, bytes below; its child is the hash of the same position
const nodeVersion = 1

// table collects the hashes a node refers to; each stands once, in the order of first use.
type table struct {
	hs      []seal.H
	at      map[seal.H]int
	scratch []byte
}

func (t *table) reset() {
	t.hs = t.hs[:0]
	clear(t.at)
}

func (t *table) position(h seal.H) int {
	// Neighbours share bundles, so the last hash is the likeliest.
	if n := len(t.hs); n > 0 && t.hs[n-1] == h {
		return n - 1
	}
	if i, ok := t.at[h]; ok {
		return i
	}
	if t.at == nil {
		t.at = make(map[seal.H]int)
	}
	t.at[h] = len(t.hs)
	t.hs = append(t.hs, h)
	return len(t.hs) - 1
}

// tableView reads hashes out of a node.
type tableView []byte

func (t tableView) len() int { return len(t) / 32 }

func (t tableView) at(i uint64) (seal.H, error) {
	if i >= uint64(t.len()) {
		return seal.H{}, errs.New(errs.Corrupt, "node.table", "decode node: hash %d of %d", i, t.len())
	}
	return seal.H(t[i*32 : i*32+32]), nil
}

// node is a decoded node's frame.
type node struct {
	level  int
	table  tableView
	count  int
	items  []byte
	childs []child // inner nodes only
}

// child is an inner node's item.
type child struct {
	first   []byte // the first key below
	h       seal.H
	entries int64
	bytes   int64
}

func parseNode(content []byte) (*node, error) {
	if len(content) < 2 || content[0] != nodeVersion {
		return nil, errs.New(errs.Corrupt, "node.version", "decode node: it is none of version %d", nodeVersion)
	}
	nd := &node{level: int(content[1])}
	n := numbers{b: content[2:]}
	hashes := n.next()
	if hashes > seal.MaxRefs {
		return nil, errs.New(errs.Corrupt, "node.table", "decode node: %d hashes", hashes)
	}
	nd.table = tableView(n.bytes(hashes * 32))
	count := n.next()
	if n.bad || count > uint64(len(n.b)) {
		return nil, errs.New(errs.Corrupt, "node.short", "decode node: cut short")
	}
	nd.count, nd.items = int(count), n.b
	if nd.level == 0 {
		return nd, nil
	}
	if nd.count != nd.table.len() {
		return nil, errs.New(errs.Corrupt, "node.table", "decode node: %d children, %d hashes", nd.count, nd.table.len())
	}
	nd.childs = make([]child, nd.count)
	var key []byte
	for i := range nd.childs {
		var err error
		if key, err = nextKey(&n, key); err != nil {
			return nil, err
		}
		h, err := nd.table.at(uint64(i))
		if err != nil {
			return nil, err
		}
		nd.childs[i] = child{first: bytes.Clone(key), h: h, entries: int64(n.next()), bytes: int64(n.next())}
	}
	if n.bad || len(n.b) != 0 {
		return nil, errs.New(errs.Corrupt, "node.short", "decode node: its items do not fill it")
	}
	return nd, nil
}

// nextKey decodes an item's key into prev's memory.
func nextKey(n *numbers, prev []byte) ([]byte, error) {
	shared := n.next()
	rest := n.bytes(n.next())
	if n.bad || shared > uint64(len(prev)) {
		return nil, errs.New(errs.Corrupt, "node.key", "decode node: a key is cut short")
	}
	key := append(prev[:shared], rest...)
	return key, nil
}

func sharedLen(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
