package source

import (
	"strconv"

	"golang.org/x/sys/unix"
)

const errNoAttr = unix.ENODATA

// keptFlags are the flags that say something of the user's will. Others (extents, inline data,
// indexed) are how a file system keeps the file, and no restore could set them.
const keptFlags = 0x000380ff | // FS_FL_USER_MODIFIABLE
	0x00004000 | // journalled data
	0x00800000 | // no copy on write
	0x02000000 | // DAX
	0x20000000 | // project inherited
	0x40000000 // names without case

// Flags answers the file's flags (lsattr); 0 where the file system has none.
func (f File) Flags() uint32 {
	v, err := unix.IoctlGetUint32(f.fd, unix.FS_IOC_GETFLAGS)
	if err != nil {
		return 0
	}
	return v & keptFlags
}

// Flags answers the directory's own flags.
func (d *Dir) Flags() uint32 {
	fd, err := d.acquire()
	if err != nil {
		return 0
	}
	defer d.release()
	return File{fd: fd}.Flags()
}

// pathAt is a short path of name in the open directory fd: the calls for extended attributes
// know no descriptors, and the directory's own path may be longer than they take.
func pathAt(fd int, _ *Dir, name []byte) string {
	return "/proc/self/fd/" + strconv.Itoa(fd) + "/" + string(name)
}
