package server

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

// What a tracker missed is a condition of its job while one of the newest sessions says so.
func TestMissedChangesAreACondition(t *testing.T) {
	session := func(id, missed int64, ended bool) *keepwardv1.Session {
		s := &keepwardv1.Session{Id: id, Progress: &keepwardv1.Progress{Counters: &keepwardv1.Counters{MissedChanges: missed}}}
		if ended {
			s.Ended = timestamppb.Now()
		}
		return s
	}
	c := missedChanges("docs", []*keepwardv1.Session{session(9, 5, false), session(8, 0, true), session(7, 3, true), session(6, 4, true)})
	if c.GetCode() != "changes.missed" || c.GetSubject() != "docs" || !strings.Contains(c.GetText(), "session 7 of job docs") || !strings.Contains(c.GetText(), "found 3 changes") {
		t.Errorf("condition %v", c)
	}
	if c := missedChanges("docs", []*keepwardv1.Session{session(9, 0, true), {Id: 8}}); c != nil {
		t.Errorf("nothing was missed: %v", c)
	}
}
