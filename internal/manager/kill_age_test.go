package manager

import (
	"testing"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
)

func TestARetentionThatIsKilledSaysWhatItHasDone(t *testing.T) {
	l := loneVerify()
	l.task = &task{
		typ: job.Retention, limit: 1, lacking: true, row: catalog.Task{ID: "t", Session: 1, Repository: theRepo, Status: job.Waiting},
	}
	l.tell(evGranted{attempt: "a1"})
	l.want(t, job.Running)
	x := l.tell(evKill{"ann"})
	l.want(t, job.KillPending) // it is in the middle of marking points
	if len(x.orders) != 1 || x.orders[0].do != doStopAge {
		t.Errorf("it is not told to stop: %v", x.orders)
	}
	x = l.tell(evAged{
		attempt: "a1", report: &keepwardv1.RetentionReport{Deleted: 7}, lines: []*keepwardv1.Event{{Code: "retention.deleted"}},
		failure: failure(errs.Cancelled, "", partServer, "cancelled"),
	})
	if l.row.Report.GetRetention().GetDeleted() != 7 || x.events[0].GetCode() != "retention.deleted" {
		t.Errorf("what it has deleted is not told: %v, %v", l.row.Report, x.events)
	}
	for _, o := range x.orders {
		if o.do == doSettle {
			l.tell(evSettled{attempt: "a1"})
		}
	}
	l.want(t, job.Killed)
}
