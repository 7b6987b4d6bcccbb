//go:build !linux

package vfs

// Aligned is memory of n bytes.
func Aligned(n int) []byte { return make([]byte, n) }

// OpenPast implements Past: here through the cache.
func (fsys OS) OpenPast(name string) (File, error) { return fsys.Open(name) }
