//go:build !linux

package fsid

// Of answers 0: only Linux says.
func Of(int) uint64 { return 0 }
