package job

// Switches let job types interrupt their own kind, which they do not by default.
type Switches struct {
	RestoresPreemptBackups bool
	BackupsPreemptBackups  bool
	CopiesPreemptCopies    bool
}

// family is what the rules of preemption tell apart.
type family int

const (
	otherFamily family = iota
	restoreFamily
	backupFamily
	copyFamily
)

func (t Type) family() family {
	switch t {
	case Backup, BackupVolume, BackupDatabase, BackupVM, Archive, SiloBackup:
		return backupFamily
	case Restore, RestoreVM, RestoreDB, RestoreSearch, SiloRestore, IndexRestore:
		return restoreFamily
	case Copy, Migrate, AuxiliaryCopy:
		return copyFamily
	}
	return otherFamily
}

// MayPreempt says whether a task of type t may interrupt one of type victim, as far as the
// types decide: the victim's phase must be preemptable and its priority the higher number too.
func (t Type) MayPreempt(victim Type, s Switches) bool {
	switch t.Row().Preempts {
	case PreemptsYes:
		if victim.family() != backupFamily {
			return true
		}
		return t.family() == restoreFamily && s.RestoresPreemptBackups ||
			t.family() == backupFamily && s.BackupsPreemptBackups
	case PreemptsBySwitch:
		return victim.family() == copyFamily && s.CopiesPreemptCopies
	}
	return false
}
