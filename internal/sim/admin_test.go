package sim

import (
	"context"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
)

// This file is the work of the job types of administration: a transport downloads an update, whose
// row is there before its work is, and the server has agents install it, which start anew by it.

// someUpdate downloads a new version, or installs what there is.
func (s *site) someUpdate() {
	if len(s.activeIDs()) >= most {
		return
	}
	if k := find(job.UpdateDownload, false); s.rnd.IntN(3) == 0 {
		s.submit(k, placesOfKind(k, s.rnd.IntN))
		return
	}
	k := find(job.UpdateInstall, false)
	s.submit(k, placesOfKind(k, s.rnd.IntN), s.someComputers()...)
}

// administer notes the work that the end of an attempt says is done; s.mu is held.
func (s *site) administer(n *node, w *work) {
	k := s.known[w.session]
	if k == nil || len(k.typ.Needs().A) > 0 {
		return
	}
	n.admin[w.session] = true
}

// updates has agents become what they are.
type updates struct{ s *site }

func (u updates) Update(ctx context.Context, o *keepwardv1.UpdateOrder, line func(level, code, text string)) error {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	if n := u.s.nodes[agentNode(o.GetComputer())]; n != nil {
		u.s.count.installs++
		n.anew = u.s.unquiet && u.s.rnd.IntN(2) == 0
	}
	line("info", "update.done", "it is another version now")
	return ctx.Err()
}

// startAnew starts an agent again that an installation has ended. What it had to report is kept.
func (s *site) startAnew(n *node) {
	if !n.anew {
		return
	}
	n.anew = false
	linked := n.online
	s.note("%s starts anew by what was installed", n)
	s.die(n)
	if linked {
		s.up(n)
	}
}

// checkAdmin: who wants nothing waits for nothing that others hold.
func (s *site) checkAdmin(id int64, t *keepwardv1.Task) {
	s.t.Helper()
	k, status := s.known[id], job.Status(t.GetStatus())
	if len(k.typ.Needs().A) > 0 {
		return
	}
	if row, _ := job.Code(t.GetReason().GetCode()).Row(); status == job.Waiting && kindOf(row.Group) == job.Contention {
		s.fail("session %d (%s) wants nothing, and waits: %s", id, k.typ, t.GetReason().GetText())
	}
}

// checkDone: the work of a session that is over was done by whom it was wanted of.
func (s *site) checkDone(id int64) {
	s.t.Helper()
	if len(s.known[id].typ.Needs().A) > 0 || s.known[id].typ == job.Rescan {
		return // the work of a rescan is the server's own
	}
	for _, c := range s.computersOf(id, func(st job.Status) bool { return st == job.Completed }) {
		n := s.nodes[agentNode(c)]
		if c == "" {
			n = s.hostOf(mainRepo)
		}
		if !n.admin[id] {
			s.fail("session %d (%s) is over, and %s has not done its work\n%s", id, s.known[id].typ, n, s.log(id))
		}
	}
}
