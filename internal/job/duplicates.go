package job

import "slices"

// What happens to a session of a job that has one already. The texts are stored: never rename
// one.
const (
	DuplicatesAllow         = "allow"              // both run; a computer is backed up by one at a time
	DuplicatesQueue         = "queue"              // the new one waits for the old one
	DuplicatesCancelNew     = "cancel new"         // it is refused
	DuplicatesCancelLower   = "cancel lower level" // of a full and an incremental the incremental goes; else it queues
	DuplicatesCancelRunning = "cancel running"     // the old one is killed
)

// DuplicatePolicies has all of them, the default among them.
var DuplicatePolicies = []string{
	DuplicatesAllow, DuplicatesQueue, DuplicatesCancelNew, DuplicatesCancelLower, DuplicatesCancelRunning,
}

// Twin is a session of the same job that is not over.
type Twin struct {
	Session int64
	Full    bool
}

// JudgeDuplicate decides about a new session of a job whose sessions twins are not over: it is
// refused because of one of them (0: it is not), or cancels some.
func JudgeDuplicate(policy string, full bool, twins []Twin) (refusedFor int64, cancel []int64) {
	if len(twins) == 0 {
		return 0, nil
	}
	switch policy {
	case DuplicatesCancelNew:
		return twins[0].Session, nil
	case DuplicatesCancelRunning:
		for _, t := range twins {
			cancel = append(cancel, t.Session)
		}
	case DuplicatesCancelLower:
		if i := slices.IndexFunc(twins, func(t Twin) bool { return t.Full && !full }); i >= 0 {
			return twins[i].Session, nil
		}
		for _, t := range twins {
			if full && !t.Full {
				cancel = append(cancel, t.Session)
			}
		}
	}
	return 0, cancel
}
