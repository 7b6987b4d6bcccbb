package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls of linux/btrfs.h that are used, with their numbers.
const (
	btrfsSnapDestroy  = 0x5000940f // struct btrfs_ioctl_vol_args
	btrfsSnapCreateV2 = 0x50009417 // struct btrfs_ioctl_vol_args_v2
	btrfsInoLookup    = 0xd0009412 // struct btrfs_ioctl_ino_lookup_args
	btrfsTreeSearchV2 = 0xc0709411 // struct btrfs_ioctl_search_args_v2
	btrfsGetFlags     = 0x80089419

	btrfsReadOnly   = 1 << 1 // BTRFS_SUBVOL_RDONLY
	btrfsTop        = 5      // the subvolume that all others lie in
	btrfsFirstInode = 256    // of each subvolume: its root
	btrfsRootTree   = 1
	btrfsBackref    = 144 // a subvolume's place in the one above
)

func btrfsCall(fd int, call uintptr, arg unsafe.Pointer) error {
	for {
		_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), call, uintptr(arg))
		switch {
		case e == 0:
			return nil
		case !errors.Is(e, unix.EINTR):
			return e
		}
	}
}

// btrfsSnapshot makes dir/name a read-only snapshot of the subvolume that is open as of.
func btrfsSnapshot(dir, of int, name string) error {
	var a struct {
		fd            int64
		transid, flag uint64
		_             [4]uint64
		name          [4040]byte
	}
	if len(name) >= len(a.name) {
		return unix.ENAMETOOLONG
	}
	a.fd, a.flag = int64(of), btrfsReadOnly
	copy(a.name[:], name)
	return btrfsCall(dir, btrfsSnapCreateV2, unsafe.Pointer(&a))
}

// btrfsDestroy removes the subvolume dir/name.
func btrfsDestroy(dir int, name string) error {
	var a struct {
		fd   int64
		name [4088]byte
	}
	if len(name) >= len(a.name) {
		return unix.ENAMETOOLONG
	}
	copy(a.name[:], name)
	return btrfsCall(dir, btrfsSnapDestroy, unsafe.Pointer(&a))
}

// btrfsPath is where an inode lies in a subvolume, with a slash at its end unless it is its
// root; of subvolume 0, that which fd lies in. It answers the subvolume too.
func btrfsPath(fd int, subvolume, inode uint64) (uint64, string, error) {
	var a struct {
		tree, inode uint64
		name        [4080]byte
	}
	a.tree, a.inode = subvolume, inode
	if err := btrfsCall(fd, btrfsInoLookup, unsafe.Pointer(&a)); err != nil {
		return 0, "", err
	}
	if inode == btrfsFirstInode {
		return a.tree, "", nil
	}
	n := bytes.IndexByte(a.name[:], 0)
	if n < 0 {
		return 0, "", unix.ENAMETOOLONG
	}
	return a.tree, string(a.name[:n]), nil
}

// btrfsIsReadOnly tells whether a subvolume can change.
func btrfsIsReadOnly(fd int) bool {
	var flags uint64
	return btrfsCall(fd, btrfsGetFlags, unsafe.Pointer(&flags)) == nil && flags&btrfsReadOnly != 0
}

// subvolume is one as the one above has it.
type subvolume struct {
	id, parent uint64
	dir        uint64 // the inode in the parent that it lies in
	name       string
}

// btrfsSubvolumes are all subvolumes of a file system but the topmost, by their number.
func btrfsSubvolumes(fd int) (map[uint64]subvolume, error) {
	type key struct {
		tree, minObject, maxObject, minOffset, maxOffset, minTransid, maxTransid uint64
		minType, maxType, items, _                                               uint32
		_                                                                        [4]uint64
	}
	const room = 64 << 10
	a := &struct {
		key  key
		size uint64
		buf  [room]byte
	}{size: room}
	k := key{
		tree: btrfsRootTree, minObject: btrfsFirstInode, maxObject: ^uint64(0) - 255, maxOffset: ^uint64(0),
		maxTransid: ^uint64(0), minType: btrfsBackref, maxType: btrfsBackref,
	}
	out := make(map[uint64]subvolume)
	for {
		k.items = 1 << 16
		a.key, a.size = k, room
		err := btrfsCall(fd, btrfsTreeSearchV2, unsafe.Pointer(a))
		runtime.KeepAlive(a)
		if err != nil {
			return nil, err
		}
		if a.key.items == 0 {
			return out, nil
		}
		b := a.buf[:]
		for range a.key.items {
			le := binary.LittleEndian
			object, offset := le.Uint64(b[8:]), le.Uint64(b[16:])
			typ, length := le.Uint32(b[24:]), int(le.Uint32(b[28:]))
			item := b[32 : 32+length]
			b = b[32+length:]
			if typ == btrfsBackref && length >= 18 {
				n := int(le.Uint16(item[16:]))
				out[object] = subvolume{id: object, parent: offset, dir: le.Uint64(item), name: string(item[18 : 18+n])}
			}
			// A subvolume has one place, so the next item is that of another.
			k.minObject, k.minOffset = object+1, 0
		}
	}
}
