package changes

// Why is a Reason with what it means, for logs and documentation.
type Why struct {
	Reason Reason
	Text   string
}

// Whys has every Reason once.
var Whys = []Why{
	{TokenMissing, "the restore point that is compared with was made before anything watched the volume"},
	{TokenUnreadable, "what the restore point that is compared with says of its tracker cannot be read"},
	{OtherTracker, "the restore point that is compared with was made with another tracker"},
	{OtherVolume, "another file system or subvolume is mounted there than when the restore point was made that is compared with"},
	{OptionsChanged, "a symlink above an include path leads elsewhere than before"},
	{Unsupported, "the system does not allow it"},
	{Unproved, "no tracker is proved to miss nothing on this type of file system"},
	{NoSnapshot, "what changes there is told by snapshots, and it is read without one"},
	{NotWhole, "its snapshots are not kept, or only a directory of it is mounted"},
	{TrackerBusy, "the file system refuses to tell for now, because it is being balanced or deduplicated"},
	{TrackerFailed, "a system call of the tracker failed"},
	{TooMany, "more has changed than the tracker follows"},
	{SnapshotGone, "the snapshot that was kept of the backup before is gone"},
	{SnapshotChanged, "somebody wrote into the snapshot that was kept of the backup before"},
	{StreamBroken, "the answer of the file system makes no sense"},
	{Rebooted, "the computer was started again since the backup before"},
	{OtherJournal, "the agent did not run all the time since the backup before"},
	{Unmounted, "the volume was unmounted since the backup before"},
	{Overflow, "events came faster than they could be read"},
	{SpoolLost, "events could not be written down"},
	{SpoolDamaged, "what was written down of the events cannot be read"},
	{Trimmed, "the restore point that is compared with is older than what is kept of the events"},
	{Unnamed, "a file has changed whose name cannot be found"},
	{Unseen, "it cannot be told which files others have open for writing"},
}

// Text says in words why everything is compared.
func (r Reason) Text() string {
	for _, w := range Whys {
		if w.Reason == r {
			return w.Text
		}
	}
	return string(r)
}
