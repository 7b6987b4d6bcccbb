package manager

import (
	"sync"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/job"
)

// endedMost is how many sessions that are over are kept as they were described last: a few pages of a
// list, which every watcher of it asks for at each change of any session.
const endedMost = 1000

// endedSessions keeps descriptions of sessions that are over. They are shared, and must not be changed.
// The zero value is ready to use.
type endedSessions struct {
	mu   sync.Mutex
	seen map[int64]endedSession
}

type endedSession struct {
	state   endedState
	session *keepwardv1.Session
}

// endedState is all that changes of a session that is over: a line comes late, or it is tried again.
type endedState struct {
	status  job.Status
	lastSeq int64
	ended   time.Time
	retryAt time.Time
}

func stateOfEnded(row catalog.Session) endedState {
	return endedState{status: row.Status, lastSeq: row.LastSeq, ended: row.Ended, retryAt: row.RetryAt}
}

// get answers nil for what is not known as it is now.
func (e *endedSessions) get(row catalog.Session) *keepwardv1.Session {
	e.mu.Lock()
	defer e.mu.Unlock()
	if one, ok := e.seen[row.ID]; ok && one.state == stateOfEnded(row) {
		return one.session
	}
	return nil
}

// put keeps a description; which one has to go for it is left to chance.
func (e *endedSessions) put(row catalog.Session, s *keepwardv1.Session) {
	if row.Ended.IsZero() {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.seen == nil {
		e.seen = map[int64]endedSession{}
	}
	for id := range e.seen {
		if len(e.seen) < endedMost {
			break
		}
		delete(e.seen, id)
	}
	e.seen[row.ID] = endedSession{stateOfEnded(row), s}
}
