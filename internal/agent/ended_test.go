package agent

import (
	"testing"

	"keepward/internal/errs"
)

// A watchdog lets go, thaws and ends. An agent that was slow to look sees all of it at once, and must
// not say that the watchdog was lost.
func TestAWatchdogThatLetGoAndEndedWasNotLost(t *testing.T) {
	h := &hold{a: &agent{}, letting: make(chan struct{}), over: make(chan struct{})}
	close(h.over)
	if got := errs.CodeOf(h.ended()); got != "snapshot.watchdog" {
		t.Errorf("it ended without a word: %s", got)
	}
	close(h.letting)
	if got := errs.CodeOf(h.ended()); got != "snapshot.held" {
		t.Errorf("it let go and ended: %s", got)
	}
}
