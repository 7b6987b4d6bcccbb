// Package changes finds what has changed on a volume since an earlier backup without walking
// it. A Tracker answers a token for a moment of the volume, which the restore point keeps, and
// later the Set of what may differ from that moment. A Set may name too much, never too
// little: what a tracker cannot know is in doubt, up to the whole volume, with the reason.
//
// There are two trackers: Btrfs compares two snapshots, Journal follows the events of a
// running file system. docs/decisions/trackers.md says what each can and cannot see.
//
// It is not for taking snapshots, nor for reading files, nor for deciding what a doubt costs.
// A Tracker may be used by several goroutines; a Moment, a Set's Cursor and a View belong to
// one each.
package changes

import "context"

// Kind names a tracker, in tokens and in the session log.
type Kind string

// The trackers.
const (
	KindBtrfs   Kind = "btrfs"
	KindJournal Kind = "fanotify"
)

// Tracker watches one volume. An implementation MUST put into the Set everything that differs
// between the state that the parent's backup read and the one that this backup reads, and MUST
// answer a Set with a Reason when it cannot.
type Tracker interface {
	Kind() Kind
	// Begin is called before the snapshot is taken, or where there is none before the walk.
	Begin(ctx context.Context) (Moment, error)
}

// Moment is one backup's use of a tracker.
type Moment interface {
	// Since answers what may have changed between the moment of the token parent and the state
	// in view. It is called after the snapshot. Its errors are those of the scratch directory
	// and of ctx: whatever else goes wrong is a doubt, so a Set with a Reason. The caller
	// closes the Set.
	Since(ctx context.Context, parent []byte, view View) (*Set, error)
	// Token answers the token for the restore point that is made of view, nil when the next
	// backup cannot build on this one.
	Token(ctx context.Context, view View) ([]byte, error)
}

// View says where the volume's state is read and how its paths stand in the index.
type View struct {
	// Root is the root of the volume's file system, or of its subvolume, as it is read: in the
	// snapshot, or the live one.
	Root string
	// Prefix is the path of Root in the index, as fileindex.Entry has paths.
	Prefix []byte
	// Links answers the names of an inode in the parent's index as far as its inode table has
	// them, so where it had several. Find calls fn for every name of some inodes (ascending)
	// in the parent's index; it may read all of it, and is asked once at most, and only where
	// Links does not lead to all names. Either may be nil; what is needed then is in doubt.
	Links func(ctx context.Context, inode uint64) ([][]byte, error)
	Find  func(ctx context.Context, inodes []uint64, fn func(inode uint64, path []byte) error) error
	// Scratch is the directory for what does not fit into Memory bytes; empty: the system's.
	Scratch string
	// Memory is about what a Set may take in memory; 0: 16 MiB.
	Memory int
}

func (v *View) memory() int {
	if v.Memory > 0 {
		return v.Memory
	}
	return 16 << 20
}

// path is the path in the index of what lies at rel below the root.
func (v *View) path(rel []byte) []byte {
	switch {
	case len(v.Prefix) == 0:
		return rel
	case len(rel) == 0:
		return v.Prefix
	}
	p := make([]byte, 0, len(v.Prefix)+1+len(rel))
	return append(append(append(p, v.Prefix...), '/'), rel...)
}

// What may have changed at a path.
type What uint16

const (
	// Listing: names in the directory may have come or gone. A name that now stands for
	// another file is there as Replaced.
	Listing What = 1 << iota
	// Content: the bytes of the file; Change.Extents may say which.
	Content
	// Metadata: anything else of the inode, the change time and the number of links included.
	Metadata
	// Replaced: the name may stand for another file than in the parent, so that nothing of
	// what the parent has there may be taken over.
	Replaced
	// Subtree: everything below, however it is called, and the path itself.
	Subtree
	// Open: somebody may write to the file at this moment without being seen. It comes with
	// Content and Metadata. The file's times prove nothing.
	Open
)

// everything is what a name is in doubt about that is new, moved or gone.
const everything = Content | Metadata | Replaced

var whatNames = []string{"listing", "content", "metadata", "replaced", "subtree", "open"}

func (w What) String() string {
	s := ""
	for i, n := range whatNames {
		if w&(1<<i) != 0 {
			if s != "" {
				s += "+"
			}
			s += n
		}
	}
	return s
}

// Change is what may have changed at one path. All names of a file with several are there,
// each as a Change of its own with the same Inode.
type Change struct {
	Path  []byte
	What  What
	Inode uint64 // 0: not known
	// Known: the content differs in no other place than in Extents and behind the end that the
	// file had in the parent. Without it, it may differ anywhere.
	Known   bool
	Extents []Extent // ascending, not touching each other
}

// Reason says why a Set cannot say anything: everything is in doubt. The words are stable.
type Reason string

// The reasons.
const (
	TokenMissing    Reason = "token.missing"       // the parent was made without a tracker
	TokenUnreadable Reason = "token.unreadable"    // its token is damaged or of a later version
	OtherTracker    Reason = "tracker.other"       // it was made with another tracker
	OtherVolume     Reason = "volume.other"        // another file system or subvolume is there now
	OptionsChanged  Reason = "options.changed"     // for callers: what a job takes is not the same
	Unsupported     Reason = "tracker.unsupported" // kernel or rights do not allow it
	Unproved        Reason = "tracker.unproved"    // for callers: no tracker is known to miss nothing on this file system
	NoSnapshot      Reason = "tracker.no-snapshot" // for callers: it is told by snapshots, and the volume is read without one
	NotWhole        Reason = "tracker.not-whole"   // for callers: the snapshot is not kept, or only a directory of the volume is mounted
	TrackerBusy     Reason = "tracker.busy"        // the file system refuses for now (balance, deduplication)
	TrackerFailed   Reason = "tracker.failed"      // a system call failed; Set.Err says which
	TooMany         Reason = "changes.too-many"    // more than fits into the memory allowed

	SnapshotGone    Reason = "snapshot.gone"    // the kept snapshot of the parent is not there
	SnapshotChanged Reason = "snapshot.changed" // somebody wrote into it
	StreamBroken    Reason = "stream.broken"    // the kernel's answer makes no sense

	Rebooted     Reason = "journal.reboot"    // the computer was started again since
	OtherJournal Reason = "journal.gap"       // the agent was not watching for a time
	Unmounted    Reason = "journal.unmounted" // the volume was unmounted in between
	Overflow     Reason = "journal.overflow"  // events came faster than they were read
	SpoolLost    Reason = "journal.lost"      // events could not be written down
	SpoolDamaged Reason = "journal.damaged"   // what was written cannot be read
	Trimmed      Reason = "journal.trimmed"   // the parent is older than what is kept
	Unnamed      Reason = "journal.unnamed"   // a changed file whose name cannot be found
	Unseen       Reason = "writers.unseen"    // who has files open for writing cannot be told
)
