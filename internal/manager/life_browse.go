package manager

import (
	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/job"
)

// This file is a task of browsing: it runs for as long as somebody asks, and ends when nobody does.

// evEnough: nobody needs the task any more.
type evEnough struct{}

// onEnough ends a task of browsing. Its mover takes the order to stop for the end of its work.
func (t *task) onEnough(x *turn) {
	if t.typ != job.IndexRestore || t.yields {
		return
	}
	switch {
	case active(t.row.Status):
		t.yields = true
		t.stop(x, partMover)
	case t.row.Status.Class() == job.Parked:
		t.onKill(x, bySelf)
	}
}

// browseGone completes a task of browsing whose mover is gone when it is told to stop: it has
// ended by itself, and whoever asked it has had his answer.
func (t *task) browseGone(x *turn) bool {
	if t.typ != job.IndexRestore || !t.yields || !active(t.row.Status) {
		return false
	}
	t.complete(x)
	return true
}

// noteBrowser tells whoever waits for a browser how its start went. A start that failed is told by
// the end of the session.
func (c *call) noteBrowser(endpoint *keepwardv1.MoverEndpoint, err error) {
	if c.typ == job.IndexRestore && err == nil && endpoint != nil {
		c.m.browsers.settle(c.plan.browse.GetBrowser(), c.attempt.ID, c.attempt.Transport, nil)
	}
}

// noteOver tells browsers of the end of their session.
func (m *Manager) noteOver(s *session) {
	if s.row.Type == job.IndexRestore {
		m.browsers.over(s.plan.browse.GetBrowser(), s.row.Failure)
	}
}

// browseOrder is what a session of browsing is about.
func browseOrder(row catalog.Session) (plan, error) {
	o, err := catalog.DefinitionOf(row, &keepwardv1.BrowseOrder{})
	return plan{browse: o, attempts: 1}, err // who waits for it now does not wait for a second try
}
