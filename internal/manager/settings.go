package manager

import (
	"time"

	"keepward/internal/job"
)

// Settings are the manager's limits; a zero field takes its default.
type Settings struct {
	// Heartbeat is how often nodes say that they are there. What bounds the patience with one
	// that does not follows from it.
	Heartbeat time.Duration
	// Silence is how long a node may be gone before its tasks cannot be verified: three
	// heartbeats.
	Silence time.Duration
	// Lost is how long a node may be gone before its attempts are given up.
	Lost time.Duration
	// Verify is how long tasks wait for their nodes after a start of the server.
	Verify time.Duration
	// Leaving bounds every leaving status.
	Leaving time.Duration
	// Gather is how long the ends of a failed attempt are waited for, so that the first
	// failure, not its echo, is reported.
	Gather time.Duration
	// OtherEnd is how long the second end of a good attempt is waited for.
	OtherEnd time.Duration
	// Again is the shortest time from a failed attempt to the next: a node that has just come
	// back may be still starting.
	Again time.Duration
	// Order bounds one call to a node.
	Order time.Duration
	// BrowseIdle is how long a browse mover is kept without a question.
	BrowseIdle time.Duration
	// BrowseWait is how long a question waits for the session that answers it: longer than from one
	// of its tries for a stream to the next.
	BrowseWait time.Duration
	// AgentWait is how long a mover waits for its agent.
	AgentWait time.Duration
	// Protected is how long a task must have run that its interruptions are no longer in a row.
	Protected time.Duration
	// Quiet is how long nothing must have worked on a repository before its idle time begins.
	Quiet time.Duration
}

func (s Settings) withDefaults() Settings {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&s.Heartbeat, job.DefaultHeartbeat)
	def(&s.Silence, s.Heartbeat*job.DefaultHeartbeatsLost)
	def(&s.Lost, 20*s.Heartbeat)
	def(&s.Verify, 8*s.Heartbeat)
	def(&s.Leaving, job.DefaultLeavingLimit)
	def(&s.Gather, 10*time.Second)
	def(&s.OtherEnd, 4*s.Heartbeat)
	def(&s.Again, 2*time.Second)
	def(&s.Order, 30*time.Second)
	def(&s.BrowseIdle, 5*time.Minute)
	def(&s.AgentWait, 4*s.Heartbeat)
	def(&s.BrowseWait, 150*time.Second)
	def(&s.Protected, job.DefaultProtectedRunning)
	def(&s.Quiet, 5*time.Minute)
	return s
}
