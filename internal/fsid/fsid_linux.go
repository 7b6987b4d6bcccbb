package fsid

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

const zfsMagic = 0x2fc12fc1

// Of is the number of the file system of an open file, of btrfs of its subvolume; 0 where it has
// no name that lasts.
func Of(fd int) uint64 {
	var st unix.Statfs_t
	if unix.Fstatfs(fd, &st) != nil {
		return 0
	}
	switch uint32(st.Type) {
	case unix.BTRFS_SUPER_MAGIC, unix.EXT4_SUPER_MAGIC, zfsMagic:
		// They make it of their UUID, btrfs of the subvolume's number too.
		var b [12]byte
		binary.LittleEndian.PutUint32(b[:], uint32(st.Type))
		binary.LittleEndian.PutUint32(b[4:], uint32(st.Fsid.Val[0]))
		binary.LittleEndian.PutUint32(b[8:], uint32(st.Fsid.Val[1]))
		if binary.LittleEndian.Uint64(b[4:]) != 0 {
			return number(b[:])
		}
	}
	if uuid, ok := uuidOf(fd); ok {
		return number(uuid[:])
	}
	if uint32(st.Type) == unix.XFS_SUPER_MAGIC {
		if uuid, ok := uuidOfXFS(fd); ok {
			return number(uuid[:])
		}
	}
	return 0
}

const (
	getUUID     = 0x80111500 // FS_IOC_GETFSUUID: since Linux 6.9
	xfsGeometry = 0x80705864 // XFS_IOC_FSGEOMETRY_V1
)

func uuidOf(fd int) (uuid [16]byte, ok bool) {
	var a struct {
		length uint8
		uuid   [16]uint8
	}
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), getUUID, uintptr(unsafe.Pointer(&a)))
	return a.uuid, e == 0 && a.length == 16 && a.uuid != [16]byte{}
}

func uuidOfXFS(fd int) (uuid [16]byte, ok bool) {
	var a [112]byte // struct xfs_fsop_geom_v1: the UUID stands behind eight words and four long ones
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), xfsGeometry, uintptr(unsafe.Pointer(&a)))
	uuid = [16]byte(a[64:80])
	return uuid, e == 0 && uuid != [16]byte{}
}
