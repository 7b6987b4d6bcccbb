// Package storage keeps write-once objects for a repository: the contract every backend
// meets, and the backend on a directory.
//
// It is not for anything that is rewritten in place, and it does not know what the objects
// hold. A Backend may be used from any number of goroutines and by any number of processes
// at once; a Writer and a Reader belong to one goroutine at a time, except Reader.ReadAt.
package storage

import (
	"context"
	"io"

	"keepward/internal/errs"
)

// Backend is a store of write-once objects. Names are relative, with slashes.
//
// What every implementation MUST do (the suite in contract/ holds it to that):
//
//   - Put and Writer.Commit are put-if-absent: of any number of callers that put the same
//     name at once exactly one succeeds; the others get an errs.Exists and change nothing.
//   - When they have returned nil, the object survives a loss of power, whole.
//   - When they have failed, or the process died in them, the object is there whole or not
//     there at all, and which of the two may still be open until Sync was called on it.
//   - An object that is visible is whole, but may be lost with the power until somebody
//     called Sync: whoever acts on a listing calls Sync first.
//   - An error is kept apart by its kind: errs.NotFound, errs.Exists, errs.NoSpace.
//   - Nothing is ever rewritten.
type Backend interface {
	// Location says where this is, for messages.
	Location() string
	// Put stores a small object.
	Put(ctx context.Context, name string, content []byte) error
	// Create starts a large object. It is not visible before Commit.
	Create(ctx context.Context, name string) (Writer, error)
	// Open opens an object for reading.
	Open(ctx context.Context, name string) (Reader, error)
	// Get reads a whole object of at most limit bytes; a larger one is errs.Corrupt.
	Get(ctx context.Context, name string, limit int64) ([]byte, error)
	// List calls fn for every object below the folder dir, at any depth, sorted by name. A
	// folder that does not exist is empty. An error of fn ends the listing.
	List(ctx context.Context, dir string, fn func(Info) error) error
	// Sync makes durable what a listing or a Get of names in the folder dir has shown, also that
	// a name was not there. A folder that is gone will stay so.
	Sync(ctx context.Context, dir string) error
}

// Info is one object of a listing.
type Info struct {
	Name string
	Size int64
}

// Writer writes one large object.
type Writer interface {
	// Write appends. After an error nothing more can be written and Commit fails.
	io.Writer
	// Commit makes the object durable, then visible.
	Commit(ctx context.Context) error
	// Abort drops the object, if it was not committed. It may always be called.
	Abort()
}

// Reader reads one object.
type Reader interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Mapper is a Reader that can show its object in memory without reading it first. The bytes
// are valid until Close. A read of them may fault if the disk fails.
type Mapper interface {
	Map() ([]byte, error)
}

// Past is a Backend that can read objects past the system's cache, from where they rest: to
// find out whether they are still good, and without driving out what others need there.
type Past interface {
	// OpenPast opens an object for reading. Reads into memory from vfs.Aligned, of whole
	// multiples of 4096 bytes at such offsets, are the fastest.
	OpenPast(ctx context.Context, name string) (Reader, error)
}

// Exists tells whether an object is there.
func Exists(ctx context.Context, b Backend, name string) (bool, error) {
	var err error
	if s, ok := b.(Stater); ok {
		_, err = s.Stat(ctx, name)
	} else {
		var r Reader
		if r, err = b.Open(ctx, name); err == nil {
			err = r.Close()
		}
	}
	if errs.KindOf(err) == errs.NotFound {
		return false, nil
	}
	return err == nil, err
}

// Stater is a Backend that can tell of an object without opening it.
type Stater interface {
	// Stat answers an object's name and size; one that is not there is errs.NotFound.
	Stat(ctx context.Context, name string) (Info, error)
}

// Deleter is apart from Backend, since only maintenance that was ordered may delete.
type Deleter interface {
	// Delete removes an object; one that is not there is errs.NotFound.
	Delete(ctx context.Context, name string) error
}

// Cleaner removes what an ended process left behind unfinished: objects below dir that were
// started and never committed. It must only be called for folders nobody writes to.
type Cleaner interface {
	Clean(ctx context.Context, dir string) error
}

// Duster removes what ended processes left behind unfinished long ago, where nobody can tell
// whose it was.
type Duster interface {
	// Dust answers how many objects it removed. It may be called while others write: what it
	// removes was begun longer ago than any write lasts, and who finishes such a one after all
	// gets an error.
	Dust(ctx context.Context) (int, error)
}

// Pruner removes a folder that is empty and that nobody will write to again; one that is not
// empty stays, and one that is gone is no error.
type Pruner interface {
	Prune(ctx context.Context, dir string) error
}

// Preparer readies a place for a new repository.
type Preparer interface {
	// Prepare checks that the place is fit: empty, writable, not within a place that holds an
	// object called marker, and that it keeps the contract of Backend. It makes the place if
	// needed, unless dry is set. If it refuses, it has changed nothing.
	Prepare(ctx context.Context, marker string, dry bool) error
	// Unprepare removes empty folders from a place whose creation failed, so that it can be
	// prepared again.
	Unprepare(ctx context.Context) error
}

// Spacer knows how much more fits.
type Spacer interface {
	Free(ctx context.Context) (int64, error)
}
