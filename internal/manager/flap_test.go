package manager

import (
	"testing"
	"time"

	"keepward/internal/catalog"
	"keepward/internal/job"
)

func TestAnAgentThatComesAndGoesLeavesItsTransportTheTimeItHas(t *testing.T) {
	l := &lone{now: time.Unix(1_000_000, 0), set: Settings{}.withDefaults()}
	l.task = &task{
		typ: job.Backup, limit: 10, interval: 20 * time.Minute, transport: theNode, lacking: true,
		row: catalog.Task{ID: "t", Session: 1, Repository: theRepo, Computer: "web1", Status: job.Waiting},
	}
	mover, agent := transportOf(theNode), agentOf("web1")
	l.tell(evGranted{attempt: "a1", moverBoot: "b", agent: "web1", agentBoot: "c"})
	l.tell(evOrdered{attempt: "a1", part: partMover})
	l.tell(evOrdered{attempt: "a1", part: partAgent})
	l.tell(evOffline{mover})
	gone := l.now
	l.tick(t)
	l.want(t, job.RunningUnverified)
	l.tell(evOffline{agent})
	l.tell(evOnline{agent})
	l.tell(evHeartbeat{attempt: "a1", boot: "c", node: agent, named: true})
	for l.row.Status == job.RunningUnverified {
		l.tick(t)
	}
	if took := l.now.Sub(gone); took != l.set.Lost {
		t.Errorf("its transport was given up after %s, and it has %s: %s", took, l.set.Lost, l.att.row.Failure.GetMessage())
	}
}
