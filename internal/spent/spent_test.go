package spent

import (
	"fmt"
	"testing"
	"time"
)

func TestAThingIsSpentOnceAndForgottenWhenItHasEnded(t *testing.T) {
	var s Set
	now := time.Date(2026, 11, 24, 4, 0, 0, 0, time.UTC)
	for i, want := range []bool{true, false, false} {
		if got := s.Spend("a", now, now.Add(time.Minute)); got != want {
			t.Errorf("shown the %d. time: %t", i+1, got)
		}
	}
	if !s.Spend("b", now, now.Add(time.Hour)) || s.Len() != 2 {
		t.Errorf("%d are remembered", s.Len())
	}
	now = now.Add(sweepEvery + 1)
	if s.Spend("b", now, now.Add(time.Hour)) || s.Len() != 1 {
		t.Errorf("what has not ended counts again, or %d are remembered", s.Len())
	}
	for i := range 3 {
		s.Spend(fmt.Sprint(i), now, now)
	}
	if s.Len() != 4 {
		t.Errorf("%d are remembered", s.Len())
	}
}
