package broker_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"keepward/internal/broker"
)

// model is what the test knows on its own: who asked for what and who was granted.
type model struct {
	b        *broker.Broker
	now      time.Time
	caps     map[broker.ID]int
	asked    map[string][]broker.Need
	held     map[string]broker.Grant
	lowered  bool // a capacity was lowered or a grant adopted: limits may be exceeded
	sequence int
}

func (m *model) learn(t *rapid.T, d broker.Decision) {
	for _, g := range d.Granted {
		set, ok := m.asked[g.Task]
		if !ok {
			if _, again := m.held[g.Task]; !again {
				t.Fatalf("%s was granted without having asked", g.Task)
			}
			continue
		}
		if len(g.Holds) != len(set) {
			t.Fatalf("%s asked for %v and got %v", g.Task, set, g.Holds)
		}
		for i, h := range g.Holds {
			if h.Kind != set[i].Kind || !contains(set[i].AnyOf, h.Name) || (!h.Alone && h.Count != set[i].Count) || h.Alone != set[i].Alone {
				t.Fatalf("%s asked for %v and got %v", g.Task, set[i], h)
			}
		}
		delete(m.asked, g.Task)
		m.held[g.Task] = g
	}
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

var modelIDs = []broker.ID{
	{Kind: broker.Stream, Name: "r1"},
	{Kind: broker.Stream, Name: "r2"},
	{Kind: broker.Writer, Name: "/a"},
	{Kind: broker.Writer, Name: "/b"},
	{Kind: broker.Client, Name: "c1"},
	{Kind: broker.Client, Name: "c2"},
}

func drawNeed(t *rapid.T) broker.Need {
	id := rapid.SampledFrom(modelIDs).Draw(t, "resource")
	n := broker.Need{Kind: id.Kind, AnyOf: []string{id.Name}, Count: rapid.IntRange(1, 3).Draw(t, "count")}
	if id.Kind == broker.Writer && rapid.Bool().Draw(t, "any") {
		n.AnyOf = []string{"/a", "/b"}
	}
	if rapid.IntRange(0, 9).Draw(t, "alone") == 0 {
		n.Alone, n.Count = true, 0
	}
	return n
}

func (m *model) someTask(t *rapid.T) string {
	return fmt.Sprintf("t%d", rapid.IntRange(0, m.sequence).Draw(t, "task"))
}

// TestNeverOverCommittedNoneLost runs random lives against the broker and checks
// after every step what must always hold.
func TestNeverOverCommittedNoneLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{
			now: time.Unix(0, 0), caps: map[broker.ID]int{}, asked: map[string][]broker.Need{}, held: map[string]broker.Grant{},
		}
		m.b = broker.New(func() time.Time { return m.now }, time.Minute)
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) { m.check(t) },
			"capacity": func(t *rapid.T) {
				id := rapid.SampledFrom(modelIDs).Draw(t, "resource")
				c := rapid.IntRange(0, 4).Draw(t, "capacity")
				m.lowered = m.lowered || c < m.caps[id]
				m.caps[id] = c
				m.learn(t, m.b.SetResource(broker.Resource{ID: id, Capacity: c, FreeBytes: rapid.Int64Range(0, 2).Draw(t, "free")}))
			},
			"request": func(t *rapid.T) {
				m.now = m.now.Add(time.Second)
				m.sequence++
				task := fmt.Sprintf("t%d", m.sequence)
				set := rapid.SliceOfN(rapid.Custom(drawNeed), 0, 3).Draw(t, "set")
				m.asked[task] = set
				m.learn(t, m.b.Request(broker.Request{Task: task, Priority: rapid.IntRange(0, 3).Draw(t, "priority"), Set: set}))
			},
			"again": func(t *rapid.T) {
				task := m.someTask(t)
				if set, waits := m.asked[task]; waits {
					m.learn(t, m.b.Request(broker.Request{Task: task, Priority: 0, Set: set}))
				}
			},
			"release": func(t *rapid.T) {
				task := m.someTask(t)
				delete(m.asked, task)
				delete(m.held, task)
				m.learn(t, m.b.Release(task))
			},
		})
	})
}

func (m *model) check(t *rapid.T) {
	s := m.b.Snapshot()
	if len(s.Grants) != len(m.held) || len(s.Waiting) != len(m.asked) {
		t.Fatalf("%d hold and %d wait, want %d and %d", len(s.Grants), len(s.Waiting), len(m.held), len(m.asked))
	}
	used, alone, holders := map[broker.ID]int{}, map[broker.ID]bool{}, map[broker.ID]map[string]bool{}
	for _, g := range s.Grants {
		if _, ok := m.held[g.Task]; !ok {
			t.Fatalf("%s holds, and was never told", g.Task)
		}
		for _, h := range g.Holds {
			used[h.ID] += h.Count
			alone[h.ID] = alone[h.ID] || h.Alone
			if holders[h.ID] == nil {
				holders[h.ID] = map[string]bool{}
			}
			holders[h.ID][g.Task] = true
		}
	}
	for _, r := range s.Resources {
		if r.Used != used[r.ID] {
			t.Fatalf("%v counts %d used, its holders have %d", r.ID, r.Used, used[r.ID])
		}
		if !m.lowered && used[r.ID] > r.Capacity {
			t.Fatalf("%v is over-committed: %d of %d", r.ID, used[r.ID], r.Capacity)
		}
		if alone[r.ID] && len(holders[r.ID]) > 1 {
			t.Fatalf("%v has somebody beside its only holder: %v", r.ID, holders[r.ID])
		}
	}
	m.checkWaiting(t, s, used, holders)
}

// checkWaiting proves that nobody waits without need: the first of the queue whose
// set would fit beside all that is held would have been granted.
func (m *model) checkWaiting(t *rapid.T, s broker.State, used map[broker.ID]int, holders map[broker.ID]map[string]bool) {
	for i, w := range s.Waiting {
		if w.Reason.Zero() {
			t.Fatalf("%s waits without a reason", w.Task)
		}
		if i > 0 && s.Waiting[i-1].Priority > w.Priority {
			t.Fatalf("the queue is out of order at %s", w.Task)
		}
		if len(w.Set) == 1 && len(w.Set[0].AnyOf) == 1 && !w.Set[0].Alone {
			n := w.Set[0]
			id := broker.ID{Kind: n.Kind, Name: n.AnyOf[0]}
			if capacity, ok := m.caps[id]; ok && used[id]+n.Count <= capacity && len(holders[id]) == 0 {
				t.Fatalf("%s waits for %v, which is free", w.Task, n)
			}
		}
	}
}
