package restore

import (
	"time"

	"keepward/internal/repo/fileindex"
)

// Earlier is what is known of earlier attempts at the same target. Times are this computer's;
// they are held against the change times of files, which nobody can set.
type Earlier struct {
	// Began is when the first attempt of this restore began; zero: this is the first. What has
	// the right size and time and was changed since then is this restore's own work, which
	// the policy Always need not do again.
	Began time.Time
	// Doubt are the times between which restores wrote without a flush to disk, before this
	// computer went down: there a file may have the right size and time and not its content,
	// so it is compared.
	DoubtFrom, DoubtTo time.Time
}

func (e *Earlier) wrote(changed fileindex.Time) bool {
	return !e.Began.IsZero() && !changed.Time().Before(e.Began)
}

func (e *Earlier) doubts(changed fileindex.Time) bool {
	t := changed.Time()
	return !e.DoubtTo.IsZero() && !t.Before(e.DoubtFrom) && !t.After(e.DoubtTo)
}

// correct is act, which the policy says of a, corrected by what earlier attempts did.
func (e *Earlier) correct(act action, policy Overwrite, a *attrs, there *present) action {
	if there == nil || a.typ != fileindex.File || there.typ != fileindex.File || a.size != there.size || a.mtime != there.mtime {
		return act
	}
	switch {
	case act == metadata && e.doubts(there.ctime):
		return compare
	case act == leave && policy == Newer && e.doubts(there.ctime):
		return compare
	case act == replace && policy == Always && e.wrote(there.ctime) && !e.doubts(there.ctime) && (a.links > 1 || there.links <= 1):
		return metadata
	}
	return act
}
