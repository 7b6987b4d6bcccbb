// Package mount shows the restore points of a computer as a read-only file system: a folder for
// each point, named by its time, with all that the point holds below it.
//
// It reads sealed records from a Store, opens and checks them itself, and keeps what it read in
// memory up to a bound. It does not choose what may be read, and writes nothing.
//
// What the kernel knows of a file is a number: which point, and the file's place in that point's
// index. So nothing is kept for the files that were looked at, however many these are.
package mount

import (
	"context"
	"time"

	"keepward/internal/repo/seal"
)

// Point is a restore point that can be shown.
type Point struct {
	ID         string
	Repository string
	Time       time.Time
	// Partial points are never what `latest` leads to.
	Partial bool
}

// Store is where a mount reads from. Its methods are called from many goroutines at once. They end
// when their context does; what may succeed later is an error of kind Unavailable or Busy.
type Store interface {
	// Points lists the points that there are now.
	Points(ctx context.Context) ([]Point, error)
	// Keys are what opens the points of a repository.
	Keys(ctx context.Context, repository string) (*seal.Keys, error)
	// Object fetches a point's own object.
	Object(ctx context.Context, point string) ([]byte, error)
	// Records fetches sealed records of the point's repository and calls fn once for each, in any
	// order, with the record or why it cannot be had. An error is about those that fn did not get.
	// A point that is deleted is an error of kind NotFound with a code that begins with "point.".
	Records(ctx context.Context, point string, ids []seal.ID, fn func(i int, record []byte, err error)) error
}

// Options say what to show, and how.
type Options struct {
	Store Store
	// Computer is whose points they are, for the table of mounts.
	Computer string
	// Single shows the one point that the Store lists without a folder of its own.
	Single bool
	// AllowOther lets other users in, as far as the modes of the files let them.
	AllowOther bool
	// Zone is that of the names of folders; nil: the local one.
	Zone *time.Location
	// Memory bounds what is kept of contents and of indexes, each; 0: a default.
	Memory int64
	// Patience is how long an operation waits for a store that has just gone; 0: a default.
	Patience time.Duration
	// Tell is told what a person should know, one call at a time; nil: not wanted.
	Tell func(text string)
}

const (
	defaultMemory = 96 << 20
	// storeTimeout is how long the store may take for one answer. defaultPatience bridges the restart
	// of a server; once it is over, and until the store is back, everything fails at once.
	storeTimeout    = 30 * time.Second
	defaultPatience = 15 * time.Second
	// refreshEvery is how often points are listed anew; a listing of the topmost folder does it
	// where the last is older than refreshOld.
	refreshEvery = 15 * time.Second
	refreshOld   = 2 * time.Second
)
