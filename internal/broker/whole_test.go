package broker

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"keepward/internal/job"
)

// world drives a Broker with random calls. After each it judges everybody anew: what a call
// looked at must have been enough.
type world struct {
	b     *Broker
	now   time.Time
	count int
}

var (
	worldTypes = []job.Type{job.Backup, job.Restore, job.Verify, job.Sweep, job.Copy, job.AuxiliaryCopy, job.SyntheticFull}
	worldIDs   = []ID{{Stream, "s1"}, {Stream, "s2"}, {Writer, "w1"}, {Writer, "w2"}, {Client, "c1"}, {Client, "c2"}, {Drive, "d1"}, {Drive, "d2"}, {Drive, "d3"}}
)

func drawNeed(t *rapid.T) Need {
	id := rapid.SampledFrom(worldIDs).Draw(t, "resource")
	n := Need{Kind: id.Kind, AnyOf: []string{id.Name}, Count: rapid.IntRange(0, 3).Draw(t, "count")}
	switch {
	case id.Kind == Writer && rapid.Bool().Draw(t, "any"):
		n.AnyOf = []string{"w1", "w2"}
	case id.Kind == Drive:
		n.AnyOf, n.Spread, n.Group = []string{"d1", "d2", "d3"}, true, "pool"
	case rapid.IntRange(0, 9).Draw(t, "alone") == 0:
		n.Alone, n.Count = true, 0
	}
	return n
}

func (w *world) task(t *rapid.T) string {
	return fmt.Sprintf("t%d", rapid.IntRange(0, w.count).Draw(t, "task"))
}

func (w *world) request(t *rapid.T) Request {
	w.count++
	return Request{
		Task: fmt.Sprintf("t%d", w.count), Session: int64(w.count), Type: rapid.SampledFrom(worldTypes).Draw(t, "type"),
		Priority: rapid.IntRange(0, 3).Draw(t, "priority"), Set: rapid.SliceOfN(rapid.Custom(drawNeed), 1, 3).Draw(t, "set"),
		Preemptions: rapid.IntRange(0, 3).Draw(t, "preemptions"),
	}
}

func TestEveryCallLooksAtAllWhomItConcerns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{now: time.Unix(0, 0)}
		w.b = New(func() time.Time { return w.now }, time.Minute)
		w.b.SetPolicy(Policy{Switches: job.Switches{RestoresPreemptBackups: true}, ClaimAfter: time.Minute, InARow: 2, Protect: time.Minute})
		lowered := false
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) { w.check(t, lowered) },
			"resource": func(t *rapid.T) {
				id := rapid.SampledFrom(worldIDs).Draw(t, "resource")
				r := Resource{ID: id, Capacity: rapid.IntRange(0, 4).Draw(t, "capacity"), FreeBytes: rapid.Int64Range(0, 2).Draw(t, "free")}
				if rapid.IntRange(0, 4).Draw(t, "down") == 0 {
					why := job.Because(job.HostOffline, "h")
					r.Down = &why
				}
				if at := w.b.resources[id]; at != nil && at.used > r.Capacity {
					lowered = true
				}
				w.b.SetResource(r)
			},
			"remove":  func(t *rapid.T) { w.b.RemoveResource(rapid.SampledFrom(worldIDs).Draw(t, "resource")); lowered = true },
			"request": func(t *rapid.T) { w.b.Request(w.request(t)) },
			"more": func(t *rapid.T) {
				q := w.request(t)
				if q.Task = w.task(t); w.b.grants[q.Task] != nil {
					q.More = true
					w.b.Request(q)
				}
			},
			"release": func(t *rapid.T) { w.b.Release(w.task(t)) },
			"update": func(t *rapid.T) {
				w.b.Update(w.task(t), Standing{Preemptable: rapid.Bool().Draw(t, "preemptable"), Checkpoint: w.now})
			},
			"priority": func(t *rapid.T) { w.b.Reprioritise(w.task(t), rapid.IntRange(0, 3).Draw(t, "priority")) },
			"time": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 90).Draw(t, "seconds")) * time.Second)
				w.b.Tick()
			},
		})
	})
}

func (w *world) check(t *rapid.T, lowered bool) {
	w.checkCounts(t, lowered)
	for _, one := range w.b.waiting {
		v := w.b.judge(one, w.now)
		infra := infrastructure(one.told)
		switch {
		case v.holds != nil:
			t.Fatalf("%s waits (%s) for what is free: %v", one.Task, one.told.Text(), v.holds)
		case len(v.victims) > 0:
			t.Fatalf("%s waits (%s), and nobody told %s to let go", one.Task, one.told.Text(), v.victims[0].Task)
		case v.why.Zero() || one.told.Zero():
			t.Fatalf("%s waits without a reason", one.Task)
		case infrastructure(v.why) != infra:
			t.Fatalf("%s was told %q, and it is %q", one.Task, one.told.Text(), v.why.Text())
		}
		if g := w.b.grants[one.Task]; (g != nil) != one.More {
			t.Fatalf("%s waits with a first set: %v, want %v", one.Task, g != nil, one.More)
		}
	}
	r := w.b.round()
	for _, g := range w.b.stuck(r) {
		t.Fatalf("%s is in a circle that nobody broke", g.Task)
	}
}

// checkCounts proves that what is counted is what is held, and never more than there is.
func (w *world) checkCounts(t *rapid.T, lowered bool) {
	used, alone := map[ID]int{}, map[ID]int{}
	for _, g := range w.b.grants {
		for _, h := range g.Holds {
			used[h.ID] += h.Count
			if h.Alone {
				alone[h.ID]++
			}
			if w.b.resources[h.ID].holders[g.Task] == nil {
				t.Fatalf("%s holds %v, and is not among its holders", g.Task, h)
			}
		}
	}
	for id, r := range w.b.resources {
		if r.used != used[id] || r.alone != alone[id] {
			t.Fatalf("%v counts %d used and %d alone, its holders have %d and %d", id, r.used, r.alone, used[id], alone[id])
		}
		if !lowered && r.used > max(r.Capacity, 0) {
			t.Fatalf("%v is over-committed: %d of %d", id, r.used, r.Capacity)
		}
		if r.alone > 0 && len(r.holders) > 1 {
			t.Fatalf("%v has somebody beside its only holder", id)
		}
		for _, q := range []queue{r.blocked, r.claims} {
			if !slices.IsSortedFunc(q, order) {
				t.Fatalf("the queue of %v is out of order", id)
			}
			for _, one := range q {
				if w.b.waiting[one.Task] != one {
					t.Fatalf("%s stands in a queue of %v and does not wait", one.Task, id)
				}
			}
		}
	}
}
