package manager

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
)

// This file is when the tasks of a session may start: at once as a rule, else each at its moment,
// or when the sessions of another job are over.

// startsAt is when the task of a computer may start; zero: at once.
func (r *request) startsAt(computer string) time.Time {
	if r.planned.IsZero() || r.jitter <= 0 {
		return r.startAt
	}
	return r.planned.Add(spread(r.job, computer, r.jitter))
}

// spread is the place of a computer within a time: the same at every run of a job, and as good as
// evenly over all computers. Each job has its own, so that a computer of two jobs at the same hour
// does not start both at once.
func spread(jobName, computer string, over time.Duration) time.Duration {
	if over <= 0 {
		return 0
	}
	sum := sha256.Sum256([]byte(jobName + "\x00" + computer))
	share := float64(binary.BigEndian.Uint64(sum[:8])>>11) / (1 << 53)
	return time.Duration(share * float64(over)).Truncate(time.Second)
}

// request is the session of a scheduled run: its computers, each at its own moment. What was missed
// is spread from now on: after a night without a server, all of it would come at once.
func (r due) request(now time.Time) request {
	q := request{by: bySchedule, computers: r.computers, planned: r.at}
	if r.missed {
		q.planned = now
	}
	return q
}

// behind is what a session keeps of its job, if it waits for the older ones of another.
func behind(j *keepwardv1.Job, other string) *keepwardv1.Job {
	if other == "" {
		return j
	}
	j = proto.CloneOf(j)
	j.StartAfter = other
	return j
}

// openBefore is the newest session of a job that is not over and older than a session; 0: none.
// m.mu must be held.
func (m *Manager) openBefore(jobName string, session int64) int64 {
	var found int64
	for id, s := range m.live {
		if s.row.Job == jobName && id < session && id > found {
			found = id
		}
	}
	return found
}

// release notes that the sessions are over that a task waits for, if they are; m.mu must be held.
func (m *Manager) release(t *task) {
	if t.after != "" && m.openBefore(t.after, t.row.Session) == 0 {
		t.after = ""
		m.gate.Follow(t.row.ID, "")
	}
}
