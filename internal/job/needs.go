package job

// Kind is a sort of resource that a task may have to hold. The words are the broker's too.
type Kind string

// The kinds.
const (
	KindStream     Kind = "stream"
	KindWriter     Kind = "writer"
	KindLibrary    Kind = "library"
	KindDrivePool  Kind = "drive-pool"
	KindDrive      Kind = "drive"
	KindMedium     Kind = "medium"
	KindMediaGroup Kind = "media-group"
	KindSpare      Kind = "spare"
	KindCopy       Kind = "copy"
	KindWorkerSlot Kind = "worker-slot"
	KindClient     Kind = "client"
)

// Side is one end of a task: where it writes to or what it is about, or what it reads besides.
type Side string

// The sides.
const (
	Target Side = "target"
	Source Side = "source"
)

// Storage is what a side of a task lies on.
type Storage string

// The storages. A cloud counts as a disk: it has streams and writers, no drives.
const (
	AnyStorage Storage = ""
	Disk       Storage = "disk"
	Tape       Storage = "tape"
)

// Need is one line of the set that a step takes: how much of what, of which side. A line for one
// storage is no part of the set where the side lies on another.
type Need struct {
	Kind Kind
	Side Side
	On   Storage
	// Count is how much is taken. 0 takes nothing: it asks only that the thing is there.
	Count int
	// Alone asks for all of it, with nobody beside.
	Alone bool
	// Spread lets the count come from several things, as two drives do.
	Spread bool
}

// NeedRow is what tasks of some types take: A in their first step, B in the second, where the
// set has lines for it.
type NeedRow struct {
	Types []Type
	A, B  []Need
}

// NeedRows has every job type in exactly one row. Nothing but this table says what a task of a
// type must hold to run; the words for people are in Reservations.
var NeedRows = []NeedRow{
	{types(Backup, BackupVolume, BackupDatabase, Archive, SiloBackup), set(writes(Target), client), nil},
	{types(BackupVM), set(writes(Target), worker), nil},
	{types(Restore, RestoreSearch, SiloRestore), set(reads(Target), client), nil},
	{types(RestoreVM), set(reads(Target), worker), nil},
	{types(RestoreDB), set(takes(KindStream, Target, Disk), there(KindLibrary, Target), takes(KindDrive, Target, Tape), client), nil},
	{
		types(IndexRestore),
		set(takes(KindStream, Target, Disk), there(KindLibrary, Target), twoDrives(Target), takes(KindMedium, Target, Tape)),
		set(takes(KindMedium, Source, Tape)),
	},
	{
		types(SyntheticFull),
		set(takes(KindStream, Target, AnyStorage), takes(KindWriter, Target, Disk), there(KindLibrary, Target), group(Target), twoDrives(Target), takes(KindMedium, Target, Tape)),
		set(takes(KindMedium, Source, Tape)),
	},
	{types(Copy, Migrate), set(reads(Source), writes(Target)), nil},
	{types(AuxiliaryCopy), set(wholeCopy, reads(Source), writes(Target)), nil},
	{types(MediaRefresh), set(there(KindLibrary, Target), twoDrives(Target), takes(KindMedium, Source, Tape), takes(KindMedium, Target, Tape)), nil},
	{types(Verify, Retention, Reconcile, ContentIndex), set(takes(KindStream, Target, AnyStorage)), nil},
	{types(Sweep, Compaction), set(takes(KindStream, Target, AnyStorage), takes(KindWriter, Target, Disk)), nil},
	{types(RebuildIndex), set(takes(KindStream, Target, AnyStorage), aloneOn(KindWriter, Target, Disk)), nil},
	{types(MediaExport, MediaErase, MediaInventory), set(there(KindLibrary, Target), takes(KindDrive, Target, Tape), takes(KindMedium, Target, Tape)), nil},
	{types(ServerBackup), set(takes(KindStream, Target, AnyStorage), client), nil},
	{types(UpdateInstall), aloneOn(KindClient, "", AnyStorage), nil},
	{types(UpdateDownload, Rescan), nil, nil},
}

var (
	client    = []Need{{Kind: KindClient, Count: 1}}
	worker    = []Need{{Kind: KindWorkerSlot, Count: 1}}
	wholeCopy = []Need{{Kind: KindCopy, Side: Target, Count: 1, Alone: true}}
)

func set(lines ...[]Need) []Need {
	var all []Need
	for _, l := range lines {
		all = append(all, l...)
	}
	return all
}

func takes(k Kind, s Side, on Storage) []Need { return []Need{{Kind: k, Side: s, On: on, Count: 1}} }

func aloneOn(k Kind, s Side, on Storage) []Need {
	return []Need{{Kind: k, Side: s, On: on, Count: 1, Alone: true}}
}

// there asks only that something of a library is there.
func there(k Kind, s Side) []Need { return []Need{{Kind: k, Side: s, On: Tape}} }

// group is what a task that writes to tape asks of its media group: that the group can be used,
// and can be refilled when its medium is full.
func group(s Side) []Need { return set(there(KindMediaGroup, s), there(KindSpare, s)) }

// writes is a stream, and a writer of a mount path or a drive with the active medium.
func writes(s Side) []Need {
	return set(takes(KindStream, s, AnyStorage), takes(KindWriter, s, Disk), there(KindLibrary, s), group(s),
		takes(KindDrivePool, s, Tape), takes(KindDrive, s, Tape), takes(KindMedium, s, Tape))
}

// reads is a stream, or a drive with the medium that is read.
func reads(s Side) []Need {
	return set(takes(KindStream, s, Disk), there(KindLibrary, s), takes(KindDrive, s, Tape), takes(KindMedium, s, Tape))
}

func twoDrives(s Side) []Need {
	return []Need{{Kind: KindDrivePool, Side: s, On: Tape, Count: 2}, {Kind: KindDrive, Side: s, On: Tape, Count: 2, Spread: true}}
}

// Needs is the row of t.
func (t Type) Needs() NeedRow { return needsOf[t] }

var needsOf = func() map[Type]NeedRow {
	m := make(map[Type]NeedRow)
	for _, r := range NeedRows {
		for _, t := range r.Types {
			m[t] = r
		}
	}
	return m
}()

// MainPhase is the phase of t in which its attempts work, and for which its set is reserved: the
// first that may be preempted, else the last.
func (t Type) MainPhase() string {
	phases := t.Row().Phases
	for _, p := range phases {
		if p.Preemptable || p.ByAgent {
			return p.Name
		}
	}
	if len(phases) == 0 {
		return ""
	}
	return phases[len(phases)-1].Name
}

// LetsGoQuietly says that an interrupted task of t has no status for letting go: it is Running
// until it has, and Waiting then.
func (t Type) LetsGoQuietly() bool { return t == MediaRefresh }
