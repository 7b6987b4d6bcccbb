package changes

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

var nativeEndian = binary.NativeEndian

// namer finds the names of inodes in a subvolume of btrfs, of any number and length, which
// the calls made for it (INO_PATHS, INO_LOOKUP) cut off at 4 KiB.
type namer struct {
	root int
	dirs map[uint64]string // paths of directories
	args *searchArgs
}

var errNames = errors.New("find all names of a file")

const (
	itemInodeRef    = 12
	itemInodeExtref = 13
	firstInode      = 256 // the root of every subvolume
	// maxDirs bounds the remembered directories.
	maxDirs = 4096
)

// searchArgs is struct btrfs_ioctl_search_args_v2.
type searchArgs struct {
	tree, minObj, maxObj, minOff, maxOff, minTransid, maxTransid uint64
	minType, maxType, items, _                                   uint32
	_                                                            [4]uint64
	size                                                         uint64
	buf                                                          [64 << 10]byte
}

// ref is one name of an inode.
type ref struct {
	dir  uint64
	name string
}

// refs answers all names of an inode; the kernel allows 65 535.
func (n *namer) refs(inode uint64) ([]ref, error) {
	if n.args == nil {
		n.args = new(searchArgs)
	}
	a := n.args
	*a = searchArgs{
		minObj: inode, maxObj: inode, maxOff: ^uint64(0), maxTransid: ^uint64(0),
		minType: itemInodeRef, maxType: itemInodeExtref,
	}
	var found []ref
	for {
		a.items, a.size = 1<<20, uint64(len(a.buf))
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(n.root), iocTreeSearch, uintptr(unsafe.Pointer(a))); e != 0 {
			return nil, fmt.Errorf("%w: search inode %d: %w", errNames, inode, e)
		}
		if a.items == 0 {
			return found, nil
		}
		at := 0
		for range a.items {
			if at+32 > len(a.buf) {
				return nil, fmt.Errorf("%w: a search result is cut off", errNames)
			}
			// struct btrfs_ioctl_search_header: transid 8, objectid 8, offset 8, type 4, len 4.
			h := a.buf[at:]
			obj, off := nativeEndian.Uint64(h[8:]), nativeEndian.Uint64(h[16:])
			typ, size := nativeEndian.Uint32(h[24:]), int(nativeEndian.Uint32(h[28:]))
			if size > len(h)-32 {
				return nil, fmt.Errorf("%w: a search result is cut off", errNames)
			}
			at += 32 + size
			a.minType, a.minOff = typ, off+1
			if off == ^uint64(0) {
				a.minType, a.minOff = typ+1, 0
			}
			if obj != inode {
				continue
			}
			var err error
			if found, err = appendRefs(found, typ, off, h[32:32+size]); err != nil {
				return nil, err
			}
		}
		if a.minType > a.maxType {
			return found, nil
		}
	}
}

// appendRefs reads an item of type INODE_REF (off is the directory) or INODE_EXTREF.
func appendRefs(to []ref, typ uint32, off uint64, d []byte) ([]ref, error) {
	for len(d) > 0 {
		r := ref{dir: off}
		head := 10 // index 8, length 2
		if typ == itemInodeExtref {
			head = 18 // directory 8 before them
		}
		if len(d) < head {
			return nil, fmt.Errorf("%w: half a reference", errNames)
		}
		if typ == itemInodeExtref {
			r.dir = binary.LittleEndian.Uint64(d)
		}
		size := int(binary.LittleEndian.Uint16(d[head-2:]))
		if size > len(d)-head {
			return nil, fmt.Errorf("%w: half a name", errNames)
		}
		r.name = string(d[head : head+size])
		to, d = append(to, r), d[head+size:]
	}
	return to, nil
}

// each calls fn with the path of every name of an inode.
func (n *namer) each(inode uint64, fn func(path []byte) error) error {
	refs, err := n.refs(inode)
	if err != nil {
		return err
	}
	for _, r := range refs {
		dir, err := n.dir(r.dir, 0)
		if err != nil {
			return err
		}
		if err := fn(join(dir, r.name)); err != nil {
			return err
		}
	}
	return nil
}

func join(dir, name string) []byte {
	if dir == "" {
		return []byte(name)
	}
	return []byte(dir + "/" + name)
}

// dir is the path of a directory.
func (n *namer) dir(inode uint64, depth int) (string, error) {
	if inode == firstInode {
		return "", nil
	}
	if p, ok := n.dirs[inode]; ok {
		return p, nil
	}
	if depth > maxPath {
		return "", fmt.Errorf("%w: directories in a circle", errNames)
	}
	up, err := n.refs(inode)
	if err != nil {
		return "", err
	}
	if len(up) != 1 {
		return "", fmt.Errorf("%w: directory %d has %d names", errNames, inode, len(up))
	}
	p, err := n.dir(up[0].dir, depth+1)
	if err != nil {
		return "", err
	}
	path := string(join(p, up[0].name))
	if n.dirs == nil || len(n.dirs) >= maxDirs {
		n.dirs = map[uint64]string{}
	}
	n.dirs[inode] = path
	return path, nil
}
