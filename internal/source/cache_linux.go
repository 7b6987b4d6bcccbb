package source

import "golang.org/x/sys/unix"

// Cached tells whether the system holds any of these bytes of the file in memory; ok is
// false where it does not say (Linux before 6.5, another's file).
func (f File) Cached(offset, length int64) (some, ok bool) {
	var stat unix.Cachestat_t
	r := unix.CachestatRange{Off: uint64(offset), Len: uint64(length)}
	if err := unix.Cachestat(uint(f.fd), &r, &stat, 0); err != nil {
		return false, false
	}
	return stat.Cache > 0, true
}

// Forget tells the system that these bytes need not stay in memory.
func (f File) Forget(offset, length int64) {
	_ = unix.Fadvise(f.fd, offset, length, unix.FADV_DONTNEED) // a hint only
}
