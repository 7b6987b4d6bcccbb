package manager

import (
	"slices"
	"testing"
	"time"

	"keepward/internal/catalog"
	"keepward/internal/job"
)

func TestANodeThatIsBackIsNotSaidToBeAway(t *testing.T) {
	for _, calling := range []bool{false, true} {
		task := &task{
			typ: job.Verify, limit: 3, transport: theNode, settling: calling,
			row: catalog.Task{ID: "t", Session: 1, Repository: theRepo, Status: job.Waiting},
			att: &attempt{row: catalog.Attempt{ID: "a", Task: "t", Transport: theNode}},
		}
		node := transportOf(theNode)
		task.att.mover = side{node: node, heard: true}
		set := Settings{}.withDefaults()
		tell := func(ev any) *turn {
			x := &turn{now: time.Unix(1_000_000, 0), set: &set}
			task.handle(x, ev)
			return x
		}
		tell(evOffline{node})
		task.settle(&turn{set: &set})
		if got := job.Code(task.row.Reason.GetCode()); got != job.TransportOffline {
			t.Fatalf("while its node is away: %s", got)
		}
		x := tell(evOnline{node})
		if got := job.Code(task.row.Reason.GetCode()); got != job.RepositoryOffline {
			t.Errorf("a call under way %v: its node is back, and the reason is %s", calling, got)
		}
		if asked := slices.ContainsFunc(x.orders, func(o order) bool { return o.do == doSettle }); asked == calling {
			t.Errorf("a call under way %v: asked for another %v", calling, asked)
		}
	}
}
