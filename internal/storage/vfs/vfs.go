// Package vfs is the little of a file system that the directory backend needs, so that its
// order of writes, syncs and links can be tried against an invented disk that loses power.
//
// It is not a general file system: no seeking, no overwriting, no renaming. An FS may be used
// by any number of goroutines; a File belongs to one, except for ReadAt.
package vfs

import (
	"io"
	"time"
)

// FS is a file system. Names are paths as the system takes them.
type FS interface {
	// Create makes a new file; one that exists is fs.ErrExist.
	Create(name string) (File, error)
	Open(name string) (File, error)
	// Link gives a file a second name; one that exists is fs.ErrExist.
	Link(old, new string) error
	Remove(name string) error
	// Mkdir makes one directory; one that exists is fs.ErrExist.
	Mkdir(name string) error
	// ReadDir lists a directory, sorted by name.
	ReadDir(name string) ([]Entry, error)
	Stat(name string) (Entry, error)
	// SyncDir makes the names in a directory durable.
	SyncDir(name string) error
	// Free is how many bytes more fit.
	Free(name string) (int64, error)
}

// Identifier is an FS that can tell directories apart: two of different identity are not the
// same, whatever their names say.
type Identifier interface {
	ID(dir string) (string, error)
}

// Timed is an FS that tells when a file was written last, by the clock of whoever keeps the
// files.
type Timed interface {
	Written(name string) (time.Time, error)
}

// File is an open file.
type File interface {
	io.Writer
	io.ReaderAt
	io.Closer
	// Sync makes the content durable; the name needs SyncDir of its directory.
	Sync() error
	Size() (int64, error)
}

// Mapper is a File whose content can be mapped into memory. Unmap ends it.
type Mapper interface {
	Map(size int64) ([]byte, error)
	Unmap([]byte) error
}

// Starter is a File that can begin to write some of its content to the disk, so that a later
// Sync has less to wait for. It promises nothing.
type Starter interface {
	StartSync(offset, size int64)
}

// Entry is one name of a directory.
type Entry struct {
	Name string
	Dir  bool
	Size int64
}
