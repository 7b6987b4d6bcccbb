// Package sweep gives back the space of what no point needs: it marks what is needed, lets
// others move what is worth moving, condemns packs, waits for those who may rely on them, and
// deletes. The protocol is docs/formats/repository-layout.md, "Deletion"; the table of what may
// run beside what is in table.go.
//
// It decides nothing about points: which may go comes with the order. It needs no key, no
// clock and no lock, and any number of movers may write meanwhile. A Run belongs to one
// goroutine; several at once, in several processes, harm nothing and help nothing.
package sweep

import (
	"context"

	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// Options are all that one run may do.
type Options struct {
	// Attempt is the run's own: its packs and segments, and those of Rewriter and Merger, carry
	// its name.
	Attempt point.Attempt
	// Term is the order's. Nothing is deleted once the repository has an owner of a higher one.
	Term uint64
	// Purge are points whose undelete time is over. One without a delete marker, or held, is
	// not purged and ends in Report.Refused.
	Purge []point.Attempt
	// KeepCheckpoints are attempts whose checkpoints are still wanted, beside those of attempts
	// that are not settled.
	KeepCheckpoints map[point.Attempt]bool
	// Rewriter moves what is live out of packs that are worth it; nil: nothing is moved.
	Rewriter Rewriter
	// Merger joins index segments; nil: they stay.
	Merger Merger
	// DryRun tells what would be done and changes nothing: the points of Purge count as gone, and
	// what a Rewriter would do is not told.
	DryRun bool
	// Progress, if set, is told the step and how far it is; total is 0 where it is not known.
	Progress func(step Step, done, total int64)
	// Event, if set, is told what is worth a line in a log.
	Event func(code, text string)
	// Wait, if set, is called with the bytes that are read next, and before each delete with
	// none: it slows the run down, and ends it with its error.
	Wait func(ctx context.Context, bytes int64) error
}

// Step names a part of a run.
type Step string

// The steps, in their order.
const (
	Purging   Step = "purge"
	Marking   Step = "mark"
	Counting  Step = "count"
	Rewriting Step = "compact"
	Condemn   Step = "condemn"
	Sparing   Step = "mark again"
	Deleting  Step = "delete"
	Merging   Step = "merge"
	Tidying   Step = "tidy"
)

// PackUse is how much of a pack is needed.
type PackUse struct {
	Pack pack.Key
	Size int64 // of the object
	// Records and Bytes are what the index tells of; LiveRecords and LiveBytes the part of it
	// that a point needs at this place: what it needs at another place as well is not counted
	// twice.
	Records, LiveRecords int64
	Bytes, LiveBytes     int64
	// Damaged counts live records at places that are marked as damaged and lie nowhere else:
	// such a pack is neither moved nor condemned.
	Damaged int64
	// Marked counts all records at places that are marked as damaged.
	Marked int64
}

// Rewriter moves live chunks to new packs.
type Rewriter interface {
	// Rewrite may copy what is live in any of the packs to new packs of the run's attempt. It
	// answers those of the packs of which every live record now lies, durably and in a
	// published segment, in another pack that is not doomed as well, for the same owners and
	// with its proof. On a cancelled context it stops between two packs and answers what it has
	// finished with the context's error.
	Rewrite(ctx context.Context, m Movable) (Rewritten, error)
}

// Movable is what a Rewriter may choose from.
type Movable struct {
	// Packs are all that may be moved, in the order of their keys: none of an attempt that is
	// open, and none that is dead.
	Packs []PackUse
	// Live tells whether a point needs a chunk.
	Live func(seal.ID) bool
	// Doomed tells of packs that will be condemned in any case.
	Doomed func(pack.Key) bool
}

// Rewritten is what a Rewriter did.
type Rewritten struct {
	Packs        []pack.Key // nothing in them is needed any more
	ReadBytes    int64      // of whole records, from old packs
	WrittenBytes int64      // into new packs
	Recompressed int64      // bytes saved by it
	Bundles      int64      // of which dead members were taken out
	Punched      int64      // bytes saved by it
}

// Merger joins index segments.
type Merger interface {
	// Merge joins segments where it is worth it, and takes rows out that name packs which are
	// gone. Rows of packs that are there must stay, condemned or not: a sweep may spare them.
	Merge(ctx context.Context) (Merged, error)
}

// Merged is what a Merger did.
type Merged struct {
	Removed int // segments that went into others
	Left    int // segments that there are now
}

// Report is what a run did.
type Report struct {
	// Generation is the list that the run published or went on with; 0: there was nothing to
	// condemn.
	Generation uint64
	// Unsettled are attempts that began before the list and may rely on what it condemns.
	// Nothing was deleted: order the sweep again when they have ended or were fenced.
	Unsettled []point.Attempt
	// Done: no list is open any more.
	Done bool

	Purged  []point.Attempt
	Refused map[point.Attempt]error // points that may not be purged

	DeletedPacks, DeletedBytes int64
	SparedPacks                int64
	CondemnedPacks             int64 // by this run; of a dry run: would be
	CondemnedBytes             int64
	Rewritten                  Rewritten
	Merged                     Merged
	LiveBytes, DeadBytes       int64 // as marked
	RemovedObjects             int64 // checkpoints, markers, old lists
}
