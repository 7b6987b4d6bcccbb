//go:build !unix

package vfs

import "math"

// SyncDir implements FS. There is no such thing here: names are durable with the file system's
// own journal.
func (OS) SyncDir(string) error { return nil }

// Free implements FS. It is not known here, so nothing is refused for it.
func (OS) Free(string) (int64, error) { return math.MaxInt64, nil }
