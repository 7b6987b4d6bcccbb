package sim

import (
	"fmt"
	"testing/synctest"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/broker"
	"keepward/internal/job"
	"keepward/internal/wire"
)

// This file is reservations as leases: those that nobody stands behind, and those of nodes that are
// silent or cut off; and what of their work can still count.

const (
	leaseTerm = job.DefaultHeartbeat * job.DefaultHeartbeatsLost
	// lostAfter is how long a node may be cut off before its work is given up.
	lostAfter = 20 * job.DefaultHeartbeat
)

// someStray leaves a stream to a task that nobody has heard of.
func (s *site) someStray() {
	name := []string{mainRepo, second}[s.rnd.IntN(2)]
	id := broker.ID{Kind: broker.Stream, Name: name}
	for _, r := range s.m.Holdings().Resources {
		if r.ID != id || r.Used >= r.Capacity || r.Down != nil {
			continue
		}
		task := fmt.Sprintf("stray-%d", s.count.strays)
		s.count.strays++
		s.note("%s holds a stream of %s", task, name)
		// One look comes when the lease has run out, at most a term later.
		s.strays[task] = time.Now().Add(2*leaseTerm + time.Second)
		s.must(s.m.Strand(broker.Grant{Task: task, Type: job.Backup, Holds: []broker.Hold{{ID: id, Count: 1}}}))
		synctest.Wait()
	}
}

// stray tells whether a task is one of those, and may still hold what it was left.
func (s *site) stray(task string) bool {
	until, ok := s.strays[task]
	return ok && !time.Now().After(until)
}

// someSilence loses the heartbeats of a node for a time, or of all: links stand, and work goes on.
func (s *site) someSilence() {
	one, until := s.someNode(), time.Now().Add(time.Duration(1+s.rnd.IntN(6))*time.Minute)
	if s.rnd.IntN(2) == 0 {
		one = nil
	}
	for _, n := range s.sorted() {
		if one == nil || n == one {
			n.mute = until
		}
	}
	s.note("%v: no heartbeat until %s", one, until.Format(time.TimeOnly))
}

// someCut cuts a node off that works, for longer than a lease or not, and sees what that does to its
// work meanwhile.
func (s *site) someCut() {
	n, _, ok := s.someAttempt()
	if !ok || !n.online {
		return
	}
	d := time.Duration(s.rnd.IntN(14)) * 30 * time.Second
	s.note("%s is cut off for %v", n, d)
	for s.down(n); d > 0; d -= 30 * time.Second {
		s.pass(30 * time.Second)
		s.check()
	}
	s.up(n)
}

// checkLeases: whose nodes are linked keeps its lease, with or without heartbeats; whose nodes are
// cut off is not said to run for longer than it may.
func (s *site) checkLeases(p *picture) {
	s.t.Helper()
	now := time.Now()
	linked, cut := map[string]bool{}, map[string]time.Time{}
	s.mu.Lock()
	for _, n := range s.nodes {
		for _, w := range n.work {
			if n.online {
				linked[w.task] = true
			} else if at, ok := cut[w.task]; !ok || n.since.Before(at) {
				cut[w.task] = n.since
			}
		}
	}
	s.mu.Unlock()
	for id, session := range p.active {
		for _, t := range session.GetTasks() {
			status := job.Status(t.GetStatus())
			g, holds := p.grants[t.GetId()]
			since, isCut := cut[t.GetId()]
			switch {
			case !isCut && holds && linked[t.GetId()] && status.Class() == job.Active && now.Sub(g.Expires) > leaseTerm+time.Second:
				s.fail("session %d: the lease of a task that is %s ran out at %v, and its nodes are linked\n%s", id, status, g.Expires, s.log(id))
			case isCut && status == job.Running && now.After(s.latest(since, id, t, status).Add(leaseTerm+time.Second)),
				isCut && status == job.RunningUnverified && now.After(s.latest(since, id, t, status).Add(lostAfter+time.Second)):
				s.fail("session %d is still %s, and a node of it is cut off since %v\n%s", id, status, since, s.log(id))
			}
		}
	}
}

// latest is the latest of a moment, that in which a task came to its status, and the last start of
// the server: while that was away nobody counted.
func (s *site) latest(at time.Time, id int64, t *keepwardv1.Task, status job.Status) time.Time {
	if s.back.After(at) {
		at = s.back
	}
	for _, e := range s.events(id) {
		if e.GetTask() == t.GetId() && job.Status(e.GetTo()) == status && e.GetTime().AsTime().After(at) {
			at = e.GetTime().AsTime()
		}
	}
	return at
}

// checkFences: no two attempts of one backup can still commit.
func (s *site) checkFences() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	able := map[string]int{}
	points := map[string]int{}
	for _, n := range s.nodes {
		if n.Role != wire.RoleTransport {
			continue
		}
		for id, w := range n.work {
			if w.backup && n.names[id] == "" {
				able[w.task]++
			}
		}
		for id, task := range n.tasks {
			if n.names[id] == "point" {
				points[task]++
			}
		}
	}
	for task, count := range able {
		if count > 1 {
			s.fail("%d attempts of task %s can still commit", count, task)
		}
	}
	for task, count := range points {
		if count > 1 {
			s.fail("task %s has made %d restore points", task, count)
		}
	}
}
