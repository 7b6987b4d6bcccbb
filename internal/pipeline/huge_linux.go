package pipeline

import "golang.org/x/sys/unix"

// hint asks for large pages where a buffer fills whole ones: 4 faults instead of 2048, and
// what hashes and compresses misses fewer translations.
func hint(b []byte) {
	if len(b) == maxBuffer {
		_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // a hint only
	}
}
