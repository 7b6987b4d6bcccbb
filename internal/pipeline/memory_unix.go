//go:build unix

package pipeline

import "golang.org/x/sys/unix"

// allocate takes memory from the system.
func allocate(n int) []byte {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return make([]byte, n) // the heap may have room where the system's limits have none
	}
	hint(b)
	return b
}

// giveBack returns memory to the system at once. What came from the heap is none of the
// system's, which says so and does nothing.
func giveBack(b []byte) { _ = unix.Munmap(b) }
