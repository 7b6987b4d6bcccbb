package vfs

import "golang.org/x/sys/unix"

// StartSync implements Starter. What goes wrong shows at Sync.
func (f osFile) StartSync(offset, size int64) {
	_ = unix.SyncFileRange(int(f.Fd()), offset, size, unix.SYNC_FILE_RANGE_WRITE)
}
