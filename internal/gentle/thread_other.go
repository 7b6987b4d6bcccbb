//go:build !linux

package gentle

// Thread does nothing here: a thread has no rank of its own.
func Thread() {}
