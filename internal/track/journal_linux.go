package track

import "keepward/internal/changes"

func openJournal(mount, spool string, trustHidden bool) (watcher, error) {
	o := changes.JournalOptions{Mount: mount, Spool: spool}
	if trustHidden {
		o.Trust = func(int) bool { return true }
	}
	j, err := changes.OpenJournal(o)
	if err != nil {
		return nil, err // not a watcher that is nil and does not look it
	}
	return j, nil
}

// snapshots is the tracker of a volume of which the snapshot of the parent is kept.
func snapshots(kept func() (string, error)) changes.Tracker {
	return &changes.Btrfs{Kept: func([16]byte) (string, error) { return kept() }}
}
