package manager

import (
	"slices"
	"testing"
)

// A run that a rule kept back is waited for from the moment in which the rule ends: who looked
// before it did still names the run before.
func TestWhoIsKeptNoLongerIsWaitedFor(t *testing.T) {
	runs := &jobRuns{}
	runs.add(1, false)
	runs.add(3, true)
	runs.add(7, false)
	if got := runs.before(7); got != 1 {
		t.Fatalf("while 3 is kept back, 7 waits for %d", got)
	}
	if got := runs.note(3, false); !slices.Equal(got, []int64{7}) {
		t.Errorf("3 is kept back no longer, and %v look again", got)
	}
	if got := runs.before(7); got != 3 {
		t.Errorf("7 waits for %d", got)
	}
}
