// Package restore lays a restore point, or a part of it, onto a file system: plan, fetch,
// write. It serves the agent's restore task and `keepward extract` alike.
//
// It does not list or choose points, and it does not talk to a server: records come through
// a Store, what happens goes out through Counters and Events.
//
// Run may be called from several goroutines at once for different targets. The callbacks of
// Options are called from several goroutines, one call at a time.
package restore

import (
	"context"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// Store is where a restore reads from.
type Store interface {
	// Get fetches sealed records by id, in any order, and calls fn once for each as it
	// arrives; fn does not keep rec. A record that is missing or damaged is an error of kind
	// NotFound or Corrupt. Get is called from many goroutines at once.
	Get(ctx context.Context, ids []seal.ID, fn func(i int, rec []byte) error) error
	// Point fetches the object of a restore point by its name.
	Point(ctx context.Context, name string) ([]byte, error)
}

// Locator is a Store that knows how long records are and which lie in one pack.
type Locator interface {
	// Locate answers for each id the bytes of its record, 0 if it is not there, and a number
	// that it shares with what lies in the same pack.
	Locate(ctx context.Context, ids []seal.ID) (sizes, packs []uint32, err error)
}

// Overwrite says what happens to what is already on the target.
type Overwrite string

// The policies.
const (
	Always    Overwrite = "always"    // replace everything
	Different Overwrite = "different" // replace what differs in type, size or mtime; the default
	Newer     Overwrite = "newer"     // replace what is older than in the point
	Never     Overwrite = "never"     // only add what is missing
)

// ParseOverwrite reads a policy; empty means Different.
func ParseOverwrite(s string) (Overwrite, error) {
	switch o := Overwrite(s); o {
	case "":
		return Different, nil
	case Always, Different, Newer, Never:
		return o, nil
	}
	return "", errs.New(errs.Invalid, "restore.overwrite", "overwrite policy %q is unknown", s).
		WithHint("use always, different, newer or never")
}

// Options say what to restore, and how.
type Options struct {
	Store Store
	Keys  *seal.Keys
	// Point is the name of the point: 32 hex digits.
	Point string
	// Paths are what to restore, by full name; empty: everything.
	Paths [][]byte
	// To is the directory under which everything is laid by its full name; it is made when
	// it is missing. Empty: the original place. A symbolic link in To itself is followed,
	// one below it never.
	To string
	// Strip lays the one chosen directory itself at To (a chosen file: into To).
	Strip bool
	// Overwrite is what happens to what is already there; empty: Different.
	Overwrite Overwrite
	// DeleteExtra removes what stands in a restored directory and not in the point.
	DeleteExtra bool
	// Earlier is what is known of attempts before this one; its zero value: nothing.
	Earlier Earlier
	// DryRun changes nothing and reports what would be done, as events.
	DryRun bool
	// Estimate is a dry run that lists nothing, and counts what would be fetched; the Store
	// must be a Locator.
	Estimate bool
	// OwnersByName gives files to the user and group of the same name on this computer, where
	// there is one; else, and everywhere without it, numbers are taken as they are.
	OwnersByName bool
	// Owners say who gets what belonged to whom; the first that fits counts, before names and numbers.
	Owners []OwnerMap
	// Renames lay parts of the point elsewhere. What is said of a file in events is then its new name.
	Renames []PathMap
	// Workers is how many goroutines write; 0: as many as there are processors.
	Workers int
	// Verify reads back from disk what was restored, and compares it with the point.
	Verify bool
	// NoSync leaves out the flush to disk at the end.
	NoSync bool
	// Counters are kept up to date while Run goes on; nil: not wanted.
	Counters *Counters
	// Event is told what happens to single files; nil: not wanted. It must not keep Path.
	Event func(Event)
	// Phase is told what begins after the restoring itself: verify; nil: not wanted.
	Phase func(phase string)
	// Current is told the path in work now and then; nil: not wanted. It must not keep it.
	Current func(path []byte)
}

// OwnerMap says who gets what belonged to a user, or to a group: both are names, or numbers. A name
// to give to is looked up on this computer.
type OwnerMap struct {
	Group    bool
	From, To string
}

// PathMap lays a path and all below it elsewhere: both are full names.
type PathMap struct{ From, To string }

// Event is something worth reporting about one file, or about the whole restore.
type Event struct {
	Level string // info, warning, error
	Code  string // stable, e.g. restore.failed
	Text  string
	Path  []byte // full name in the point; empty when it is about no file
}

// Result is how a restore ended that could be carried out. Files that failed are in
// Counters.Errors, each named by an event.
type Result struct {
	Counters Snapshot
}
