package job

// Type names what a job or a session does. The texts are stored and sent: never
// rename one.
type Type string

// The job types that have a row in Types.
const (
	Backup         Type = "backup"
	BackupVolume   Type = "backup-volume"
	BackupDatabase Type = "backup-database"
	BackupVM       Type = "backup-vm"
	Archive        Type = "archive"
	SiloBackup     Type = "silo-backup"
	SiloRestore    Type = "silo-restore"
	Restore        Type = "restore"
	RestoreVM      Type = "restore-vm"
	RestoreDB      Type = "restore-database"
	RestoreSearch  Type = "restore-search"
	IndexRestore   Type = "index-restore"
	Copy           Type = "copy"
	Migrate        Type = "migrate"
	AuxiliaryCopy  Type = "auxiliary-copy"
	SyntheticFull  Type = "synthetic-full"
	Verify         Type = "verify"
	MediaRefresh   Type = "media-refresh"
	MediaExport    Type = "media-export"
	MediaErase     Type = "media-erase"
	MediaInventory Type = "media-inventory"
	ContentIndex   Type = "content-index"
	Reconcile      Type = "reconcile"
	RebuildIndex   Type = "rebuild-index"
	Retention      Type = "retention"
	Sweep          Type = "sweep"
	Compaction     Type = "compaction"
	ServerBackup   Type = "server-backup"
	UpdateDownload Type = "update-download"
	UpdateInstall  Type = "update-install"
	Rescan         Type = "rescan"
)

// Phase is one step of a task. Preemptable implies restartable: what is preemptable
// goes on from its checkpoint, what is only restartable starts again from its beginning.
type Phase struct {
	Name        string
	Preemptable bool
	Restartable bool
	// Only says when the phase exists; empty means always.
	Only string
	// ByAgent: for databases the row of the agent decides Preemptable.
	ByAgent bool
}

// The names of phases.
const (
	PhasePrepare  = "prepare"
	PhaseTransfer = "transfer"
	PhaseIndex    = "index"
	PhaseFinish   = "finish"
	PhasePlan     = "plan"
	PhaseRestore  = "restore"
	PhaseCheck    = "check"
	PhaseRebuild  = "rebuild"
	PhaseAge      = "age"
	PhaseSweep    = "sweep"

	PhaseBrowse    = "browse"
	PhaseReconcile = "reconcile"
	PhaseDump      = "dump"
	PhaseRescan    = "rescan"
	PhaseInstall   = "install"
)

// Preempts says whether a job type may take resources from others.
type Preempts string

// The values of Preempts.
const (
	PreemptsYes      Preempts = "yes"
	PreemptsNo       Preempts = "no"
	PreemptsBySwitch Preempts = "only by its switch"
)

// TypeRow is what there is to know of one job type.
type TypeRow struct {
	Type   Type
	Title  string
	Phases []Phase
	// Operation is the first digit of the priority.
	Operation   int
	Preempts    Preempts
	Implemented bool
	Note        string
}

func preemptable(name string) Phase {
	return Phase{Name: name, Preemptable: true, Restartable: true}
}
func restartable(name string) Phase                 { return Phase{Name: name, Restartable: true} }
func neither(name string) Phase                     { return Phase{Name: name} }
func (p Phase) only(w string) Phase                 { p.Only = w; return p }
func (p Phase) byAgent() Phase                      { p.ByAgent = true; return p }
func phases(p ...Phase) []Phase                     { return p }
func one(f func(string) Phase, name string) []Phase { return []Phase{f(name)} }

// Types has one row for every job type. Scripts run in prepare, before anything is
// reserved, so that a slow script holds no stream; the set is reserved for transfer
// and kept through finish.
var Types = []TypeRow{
	{Backup, "backup, files", phases(restartable(PhasePrepare), restartable("system state").only("the platform has one"), preemptable(PhaseTransfer), restartable(PhaseIndex), restartable(PhaseFinish)), 1, PreemptsYes, true, ""},
	{BackupVolume, "backup, volumes", phases(restartable("scan").only("SAN volumes"), restartable(PhasePrepare), preemptable(PhaseTransfer), restartable(PhaseIndex), restartable(PhaseFinish)), 1, PreemptsYes, false, ""},
	{BackupDatabase, "backup, database agent", phases(restartable(PhasePrepare), restartable(PhaseTransfer).byAgent(), restartable(PhaseIndex), restartable(PhaseFinish)), 1, PreemptsYes, false, "transfer is preemptable as the agent's row says"},
	{BackupVM, "backup, virtual machine", phases(restartable("discover"), restartable(PhasePrepare), preemptable(PhaseTransfer), restartable(PhaseIndex), restartable(PhaseFinish)), 1, PreemptsYes, false, "through a worker"},
	{Archive, "archive", phases(restartable(PhasePrepare), restartable("scan"), preemptable(PhaseTransfer), preemptable("archive index"), preemptable("content index")), 1, PreemptsYes, false, ""},
	{SiloBackup, "silo backup", one(preemptable, PhaseTransfer), 1, PreemptsYes, false, ""},
	{SiloRestore, "silo restore", one(preemptable, PhaseRestore), 0, PreemptsYes, false, ""},
	{Restore, "restore, files or volumes", phases(restartable(PhasePlan), preemptable(PhaseRestore)), 0, PreemptsYes, true, "files; volumes are not implemented"},
	{RestoreVM, "restore, virtual machine", phases(restartable(PhasePlan), preemptable(PhaseRestore)), 0, PreemptsYes, false, "through a worker"},
	{RestoreDB, "restore, database", one(neither, PhaseRestore), 0, PreemptsYes, false, ""},
	{RestoreSearch, "restore from a search", phases(restartable(PhasePlan), restartable(PhaseRestore)), 0, PreemptsYes, false, ""},
	{IndexRestore, "index restore (browse)", one(neither, PhaseBrowse), 0, PreemptsYes, true, "brings a restore point's file index back to where it can be browsed"},
	{Copy, "copy", copyPhases, 3, PreemptsNo, false, "local: one mover with both repositories, nothing on the network; remote: the reader dials the writer"},
	{Migrate, "migrate", copyPhases, 3, PreemptsNo, false, "a copy that then lets go of the source"},
	{AuxiliaryCopy, "auxiliary copy", copyPhases, 3, PreemptsBySwitch, false, "all restore points that a secondary copy still lacks"},
	{SyntheticFull, "synthetic full", phases(preemptable("merge"), restartable(PhaseIndex), restartable(PhaseFinish)), 9, PreemptsNo, false, "reads a chain, writes a full; the computer is not contacted"},
	{Verify, "verify", one(preemptable, PhaseCheck), 5, PreemptsNo, true, "re-hashes content"},
	{MediaRefresh, "media refresh", one(preemptable, "refresh"), 6, PreemptsNo, false, ""},
	{MediaExport, "media export", one(neither, "export"), 4, PreemptsNo, false, ""},
	{MediaErase, "media erase", one(neither, "erase"), 4, PreemptsNo, false, ""},
	{MediaInventory, "media inventory", one(neither, "inventory"), 4, PreemptsNo, false, ""},
	{ContentIndex, "content index (offline)", one(preemptable, "content index"), 7, PreemptsNo, false, ""},
	{Reconcile, "mount path reconciliation", one(preemptable, PhaseReconcile), 8, PreemptsNo, true, "finds packs that no index knows, and index rows with no pack"},
	{RebuildIndex, "index reconstruction (deduplication database)", one(preemptable, PhaseRebuild), 2, PreemptsNo, true, ""},
	{Retention, "retention (data aging)", one(preemptable, PhaseAge), 8, PreemptsNo, true, "marks points as deleted; the space comes back with the sweep"},
	{Sweep, "sweep", one(preemptable, PhaseSweep), 8, PreemptsNo, true, "backups go on meanwhile"},
	{Compaction, "compaction", one(preemptable, "compact"), 8, PreemptsNo, false, ""},
	{ServerBackup, "server backup (configuration database, catalog)", one(restartable, PhaseDump), 0, PreemptsNo, true, "a restore point of the server itself, with its keys"},
	{UpdateDownload, "admin: download updates", one(restartable, "download"), 5, PreemptsNo, false, ""},
	{UpdateInstall, "admin: install updates on agents, workers", one(restartable, PhaseInstall), 5, PreemptsNo, true, "agents; one computer each, with nothing beside it there"},
	{Rescan, "admin: rescan of protection groups", one(restartable, PhaseRescan), 5, PreemptsNo, true, "reads the lists of groups again, and asks computers what they are"},
}

var copyPhases = phases(restartable("select"), preemptable(PhaseTransfer), restartable(PhaseFinish))

var typeRows = func() map[Type]TypeRow {
	m := make(map[Type]TypeRow, len(Types))
	for _, r := range Types {
		m[r.Type] = r
	}
	return m
}()

// Row is the row of t; the zero row when t is no job type.
func (t Type) Row() TypeRow { return typeRows[t] }

// Known says whether t is a row of Types.
func (t Type) Known() bool { _, ok := typeRows[t]; return ok }

// Phase finds a phase of t by name.
func (t Type) Phase(name string) (Phase, bool) {
	for _, p := range t.Row().Phases {
		if p.Name == name {
			return p, true
		}
	}
	return Phase{}, false
}
