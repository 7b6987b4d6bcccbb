// Package snapshot keeps the state of one moment of a computer's volumes, so that a backup can
// read for hours what stood there at once. One contract, Provider, stands for every kind; which
// one a volume gets is found out volume by volume (Taker).
//
// It is not for deciding what a backup takes, nor for reading it: source does that, through the
// parts of what is taken here. It writes no log; who calls is told. Providers may be called by
// several goroutines, for one name by one at a time.
package snapshot

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"time"

	"keepward/internal/errs"
)

// Kind is how a snapshot is made.
type Kind string

// The kinds.
const (
	Btrfs Kind = "btrfs"
	LVM   Kind = "lvm"
	ZFS   Kind = "zfs"
	VSS   Kind = "vss"  // shadow copies of Windows
	None  Kind = "none" // files are read as they are
)

// Name names a snapshot of ours, so that ours are told from those of others, and those that are
// kept from left-overs.
type Name struct {
	// Owner is the agent that made it: 16 hexadecimal digits.
	Owner string
	// Kept is what it is kept for beyond its transfer, such as a job: up to 32 hexadecimal
	// digits. Empty: it belongs to one transfer, and is a left-over when that is not known.
	Kept string
	// ID tells those of one transfer from others: up to 32 hexadecimal digits; with Kept empty.
	ID string
}

// of is the name for volume number i of a set: several may lie in one file system or group.
func (n Name) of(i int) Name {
	n.ID += fmt.Sprintf("%04x", i)
	return n
}

// Of tells whether a name is one of the set that was taken under another.
func (n Name) Of(set Name) bool {
	return n.Kept == "" && n.Owner == set.Owner && strings.HasPrefix(n.ID, set.ID)
}

var names = regexp.MustCompile(`^keepward-([0-9a-f]{16})-(run|keep)-([0-9a-f]{1,32})$`)

func (n Name) String() string {
	if n.Kept != "" {
		return prefix + n.Owner + "-keep-" + n.Kept
	}
	return prefix + n.Owner + "-run-" + n.ID
}

// prefix is how all names begin.
const prefix = "keepward-"

// ParseName reads a name; false: it is none of ours.
func ParseName(s string) (Name, bool) {
	m := names.FindStringSubmatch(s)
	switch {
	case m == nil:
		return Name{}, false
	case m[2] == "keep":
		return Name{Owner: m[1], Kept: m[3]}, true
	}
	return Name{Owner: m[1], ID: m[3]}, true
}

// NewID makes an owner or an ID.
func NewID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Snapshot is the state of one moment of a volume.
type Snapshot struct {
	Kind   Kind
	Volume Volume
	Name   Name
	// Taken is a moment right before that of the state.
	Taken time.Time
	// Parts is where it lies; none: the volume is read as it is.
	Parts []Part
}

// Part is a directory of the live tree that has a state of its own.
type Part struct {
	// At is its absolute path in the live tree.
	At string
	// ID says which part of the volume it is: the same in each of its snapshots.
	ID string
	// Path is where it lies below what Open answers.
	Path string
	// Device is the number of the file system that it was taken of, as fsid.Of says it.
	Device uint64
	// Live: it has no snapshot and needs none, and is read at its own place.
	Live bool
}

// Provider makes snapshots of one kind. What all of them promise:
//
//   - What a part shows is what stood in the volume at one moment between the call of Create and
//     its return, written to disk or not, with times, owners and inodes as they are in the volume;
//     nothing that happens later changes it. The volume is not changed for those who use it.
//   - A Create that fails leaves nothing that List does not find, and mostly nothing at all.
//   - Every call ends soon after its context does, and a process that is killed in the middle of
//     one leaves nothing but what List finds and Remove removes.
//   - Remove is done when it returns; what is not there (any more) is removed. It is called when
//     nobody reads, and undoes what the Open of a process has left that was killed.
//   - Nothing of another owner, and nothing that has no name of ours, is listed or touched.
type Provider interface {
	Kind() Kind
	// Fits answers why a volume cannot have a snapshot of this kind: an Unfit; nil: it can.
	Fits(ctx context.Context, v Volume) error
	// Create takes a snapshot. wanted says of a directory in the volume whether it is read at
	// all; a part that is not wanted may be Live, and what lies in it need not be there.
	Create(ctx context.Context, v Volume, n Name, wanted func(path string) bool) (*Snapshot, error)
	// Open makes a snapshot readable: the paths of its parts lie below root, until done is
	// called. Who can read there is no other than who could read the volume.
	Open(ctx context.Context, s *Snapshot) (root string, done func(), err error)
	Remove(ctx context.Context, v Volume, n Name) error
	// List answers the names of an owner's snapshots on the volume, of transfers and kept ones.
	List(ctx context.Context, v Volume, owner string) ([]Name, error)
}

// Keeper is a Provider that can give a snapshot another name: one that is kept until the next
// backup, so that what has changed between the two can be asked for. A snapshot that already has
// the name is removed.
type Keeper interface {
	Keep(ctx context.Context, v Volume, from, to Name) error
}

// Checker is a Provider whose snapshots can end while they are read.
type Checker interface {
	// Check answers an Ended when a snapshot no longer shows its state, or may not have for all of
	// the time since it was taken; another error when that cannot be found out.
	Check(ctx context.Context, s *Snapshot) error
}

// Slow is a Provider that may need longer for a try than others.
type Slow interface {
	TryLimit() time.Duration
}

// Ended is why a snapshot no longer shows its state.
type Ended struct{ Why, Hint string }

func (e *Ended) Error() string { return e.Why }

// Unfit is why a volume cannot have snapshots of a kind.
type Unfit struct {
	Why string
	// Other: it is of another kind altogether, which nobody need be told.
	Other bool
}

func (u *Unfit) Error() string { return u.Why }

func unfit(why string) error { return &Unfit{Why: why} }

// failed is a step that went wrong.
func failed(kind Kind, v Volume, err error) error {
	return errs.New(errs.KindOf(err), "snapshot.failed", "take snapshot (%s) of %s: %w", kind, v.Mount, err)
}
