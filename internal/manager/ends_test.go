package manager

import (
	"testing/synctest"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

// end reports an end and demands that it is answered.
func (w *world) end(n Node, attempt string, e *keepwardv1.AttemptEnd) {
	w.t.Helper()
	if err := w.m.End(w.t.Context(), n, attempt, e); err != nil {
		w.t.Fatalf("end of %s at %s: %v", attempt, n, err)
	}
	synctest.Wait()
}

func done(counters *keepwardv1.Counters) *keepwardv1.AttemptEnd {
	return &keepwardv1.AttemptEnd{Outcome: outcomeDone, Counters: counters}
}

func failed(kind errs.Kind, text string) *keepwardv1.AttemptEnd {
	return &keepwardv1.AttemptEnd{Outcome: outcomeFailed, Failure: &keepwardv1.Failure{Kind: string(kind), Message: text}}
}

// moverCommits puts the point, as a mover does at the end of a backup, and reports it. false: a
// tombstone was quicker.
func (w *world) moverCommits(attempt string) bool {
	w.t.Helper()
	if !w.put(attempt) {
		return false
	}
	w.moverReports(attempt)
	return true
}

func (w *world) put(attempt string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.transports[theNode]
	if t.names[attempt] != "" {
		return false
	}
	t.names[attempt] = "point"
	return true
}

func (w *world) moverReports(attempt string) {
	w.t.Helper()
	w.mu.Lock()
	delete(w.transports[theNode].movers, attempt)
	w.mu.Unlock()
	w.end(transportOf(theNode), attempt, &keepwardv1.AttemptEnd{Outcome: outcomeDone, Committed: true, Counters: &keepwardv1.Counters{StoredBytes: 7}})
}

// moverEnds reports the end of a mover that commits nothing.
func (w *world) moverEnds(attempt string, e *keepwardv1.AttemptEnd) {
	w.t.Helper()
	w.mu.Lock()
	delete(w.transports[theNode].movers, attempt)
	w.mu.Unlock()
	w.end(transportOf(theNode), attempt, e)
}

func (w *world) agentDone(name, attempt string, c *keepwardv1.Counters) {
	w.t.Helper()
	w.mu.Lock()
	w.agents[name].forget(attempt)
	w.mu.Unlock()
	w.end(agentOf(name), attempt, done(c))
}

// finish lets the one running backup of a computer end well.
func (w *world) finish(name string) string {
	w.t.Helper()
	attempt := w.agents[name].only(w.t)
	if !w.moverCommits(attempt) {
		w.t.Fatal("the attempt was fenced")
	}
	w.agentDone(name, attempt, &keepwardv1.Counters{TotalFiles: 3, DoneFiles: 3})
	return attempt
}
