package job

import "time"

// Step says how a task behaves that lacks what it needs.
type Step struct {
	Takes string
	// Infrastructure is the status when something is switched off or unreachable,
	// Contention when something is in use. Where both apply, infrastructure decides.
	Infrastructure, Contention Status
	// Every is the time between tries; 0 means on every release that matters.
	Every time.Duration
	// Tries is how often at most; 0 means without end.
	Tries int
	// Holds says what it keeps meanwhile; empty means nothing.
	Holds string
	// Then is the status when the tries are used up: Failed, or Pending, which goes by the rules of
	// restart.
	Then Status
	// LetsGo are the reasons for which it keeps nothing, but begins again with the first step.
	LetsGo []Code
}

// Reservation is the row of some job types: what they take, in one step or two.
type Reservation struct {
	Types []Type
	A     Step
	// B is the second step, taken while the set of A is kept; nil for most.
	B *Step
}

// Reservations has every job type in exactly one row.
var Reservations = []Reservation{
	{
		types(Backup, BackupVolume, BackupDatabase, BackupVM, Archive, SiloBackup),
		step("stream + active medium + drive (tape), stream + writer (disk, cloud)", Waiting, Waiting), nil,
	},
	{
		types(Restore, RestoreVM, RestoreSearch, SiloRestore),
		step("drive + source medium, or stream", Pending, Pending), nil,
	},
	{
		types(RestoreDB),
		step("drive, or stream", Failed, Running).every(2*time.Minute, 0), nil,
	},
	{
		types(IndexRestore),
		step("two drives + destination medium, or stream", Pending, Waiting).every(2*time.Minute, 0),
		sourceMedium("the two drives and the destination medium, as long as it is not interrupted and the source medium exists", Failed, MediaOutsideLibrary, MediaNotInSlot, MediaExported),
	},
	{
		types(SyntheticFull),
		step("streams + two drives + destination medium; the active medium is marked full in the transaction that grants the set", Waiting, Waiting),
		sourceMedium("the two drives and the destination medium, as long as it is not interrupted", Pending),
	},
	{
		types(AuxiliaryCopy, Copy, Migrate),
		step("read side and write side together", Waiting, Waiting), nil,
	},
	{
		types(MediaRefresh),
		step("source + destination medium, two drives", Waiting, Waiting), nil,
	},
	{
		types(Verify, Retention, Sweep, Compaction, Reconcile, ContentIndex),
		step("stream (read) or stream + writer", Waiting, Waiting), nil,
	},
	{
		types(RebuildIndex),
		step("the repository, alone for writing", Waiting, Waiting), nil,
	},
	{
		types(MediaExport, MediaErase, MediaInventory),
		step("library, drive, medium", Pending, Pending), nil,
	},
	{
		types(ServerBackup, UpdateDownload, UpdateInstall, Rescan),
		step("stream; for an update of an agent its computer, alone; else none", Waiting, Waiting), nil,
	},
}

func types(t ...Type) []Type { return t }

func step(takes string, e1, e2 Status) Step {
	return Step{Takes: takes, Infrastructure: e1, Contention: e2}
}

func (s Step) every(d time.Duration, tries int) Step {
	s.Every, s.Tries = d, tries
	return s
}

// sourceMedium is the second step of the two job types that have one: the status is
// Waiting when asked, Running during a try and Pending between tries. The number of
// tries makes two days.
func sourceMedium(holds string, then Status, letsGo ...Code) *Step {
	s := step("source medium", Waiting, Waiting).every(20*time.Minute, 144)
	s.Holds, s.Then, s.LetsGo = holds, then, letsGo
	return &s
}

// Reservation is the row of t.
func (t Type) Reservation() Reservation { return reservationOf[t] }

var reservationOf = func() map[Type]Reservation {
	m := make(map[Type]Reservation)
	for _, r := range Reservations {
		for _, t := range r.Types {
			m[t] = r
		}
	}
	return m
}()

// StatusFor is where a task of step s stands that lacks something for reason r.
func (s Step) StatusFor(r Reason) Status {
	if row, ok := r.Code.Row(); ok && row.Group == Infrastructure {
		return s.Infrastructure
	}
	return s.Contention
}
