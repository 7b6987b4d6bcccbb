package broker_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"keepward/internal/broker"
	"keepward/internal/job"
)

const term = 45 * time.Second

// clock is a time that tests move.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func site(t *testing.T, resources ...broker.Resource) (*broker.Broker, *clock) {
	t.Helper()
	c := &clock{time.Date(2026, 11, 1, 22, 0, 0, 0, time.UTC)}
	b := broker.New(c.Now, term)
	for _, r := range resources {
		b.SetResource(r)
	}
	return b, c
}

func res(kind broker.Kind, name string, capacity int) broker.Resource {
	return broker.Resource{ID: broker.ID{Kind: kind, Name: name}, Capacity: capacity}
}

func backupSet(computer string) []broker.Need {
	return []broker.Need{
		broker.One(broker.Stream, "main"),
		broker.One(broker.Writer, "main:/b"),
		broker.One(broker.Client, computer),
	}
}

func granted(d broker.Decision) []string {
	var names []string
	for _, g := range d.Granted {
		names = append(names, g.Task)
	}
	return names
}

func check(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestWaiterHoldsNothingAndIsServedByPriorityThenAge(t *testing.T) {
	b, c := site(t, res(broker.Stream, "main", 1), res(broker.Writer, "main:/b", 4),
		res(broker.Client, "web1", 1), res(broker.Client, "web2", 1), res(broker.Client, "web3", 1))
	check(t, "first", granted(b.Request(broker.Request{Task: "a", Priority: 166, Set: backupSet("web1")})), []string{"a"})
	c.now = c.now.Add(time.Second)
	b.Request(broker.Request{Task: "old", Priority: 166, Set: backupSet("web2")})
	c.now = c.now.Add(time.Second)
	b.Request(broker.Request{Task: "young", Priority: 166, Set: backupSet("web3")})
	c.now = c.now.Add(time.Second)
	d := b.Request(broker.Request{Task: "urgent", Priority: 66, Set: backupSet("web3")})
	check(t, "delays", d.Delayed, []broker.Delay{{Task: "urgent", Reason: job.Because(job.StreamsShort, "main", "1", "0", "0")}})
	for _, r := range b.Snapshot().Resources {
		if r.Name == "web2" && r.Used != 0 {
			t.Errorf("a waiting task holds its client slot")
		}
	}
	for _, next := range []struct{ end, then string }{{"a", "urgent"}, {"urgent", "old"}, {"old", "young"}} {
		check(t, "after "+next.end, granted(b.Release(next.end)), []string{next.then})
	}
}

func TestSmallSetPassesOneThatStillLacks(t *testing.T) {
	b, _ := site(t, res(broker.Stream, "main", 2), res(broker.Writer, "main:/b", 4), res(broker.Client, "web1", 1), res(broker.Client, "web2", 1))
	b.Request(broker.Request{Task: "a", Priority: 166, Set: backupSet("web1")})
	d := b.Request(broker.Request{Task: "b", Priority: 100, Set: backupSet("web1")})
	check(t, "reason", d.Delayed, []broker.Delay{{Task: "b", Reason: job.Because(job.ClientBusy, "web1", "1", "0")}})
	check(t, "the other computer goes", granted(b.Request(broker.Request{Task: "c", Priority: 966, Set: backupSet("web2")})), []string{"c"})
}

func TestReasons(t *testing.T) {
	down := job.Because(job.TransportOffline, "store1")
	offline := res(broker.Stream, "main", 4)
	offline.Down = &down
	labelled := res(broker.Writer, "main:/b", 0)
	labelled.Label = "/b"
	tests := []struct {
		name      string
		resources []broker.Resource
		set       []broker.Need
		want      job.Reason
	}{
		{"unknown repository", nil, []broker.Need{broker.One(broker.Stream, "x")}, job.Because(job.RepositoryOffline, "x")},
		{"unknown mount path", nil, []broker.Need{broker.One(broker.Writer, "/x")}, job.Because(job.MountPathOffline, "/x")},
		{"unknown computer", nil, []broker.Need{broker.One(broker.Client, "x")}, job.Because(job.AgentOffline, "x")},
		{"no path at all", nil, []broker.Need{{Kind: broker.Writer, Count: 1}}, job.Because(job.MountPathOffline, "")},
		{"its own reason", []broker.Resource{offline}, []broker.Need{broker.One(broker.Stream, "main")}, down},
		{"writers by label", []broker.Resource{labelled}, []broker.Need{broker.One(broker.Writer, "main:/b")}, job.Because(job.WritersLimit, "/b", "0", "")},
		{
			"infrastructure over contention",
			[]broker.Resource{labelled, offline},
			[]broker.Need{broker.One(broker.Writer, "main:/b"), broker.One(broker.Stream, "main")},
			down,
		},
		{
			"more than there is",
			[]broker.Resource{res(broker.Stream, "s", 4)},
			[]broker.Need{{Kind: broker.Stream, AnyOf: []string{"s"}, Count: 5}},
			job.Because(job.StreamsShort, "s", "5", "4", ""),
		},
		{
			"one set, twice the same",
			[]broker.Resource{res(broker.Stream, "s", 1)},
			[]broker.Need{broker.One(broker.Stream, "s"), broker.One(broker.Stream, "s")},
			job.Because(job.StreamsShort, "s", "1", "0", ""),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, _ := site(t, tt.resources...)
			check(t, "delays", b.Request(broker.Request{Task: "a", Set: tt.set}).Delayed, []broker.Delay{{Task: "a", Reason: tt.want}})
		})
	}
}

func TestAReasonIsToldOnceUntilItChanges(t *testing.T) {
	b, _ := site(t)
	set := []broker.Need{broker.One(broker.Stream, "main")}
	if d := b.Request(broker.Request{Task: "a", Set: set}); len(d.Delayed) != 1 {
		t.Fatalf("not told why it waits: %+v", d)
	}
	if d := b.Release("nobody"); len(d.Delayed) != 0 {
		t.Errorf("told again without a change: %+v", d)
	}
	d := b.SetResource(res(broker.Stream, "main", 0))
	check(t, "changed", d.Delayed, []broker.Delay{{Task: "a", Reason: job.Because(job.StreamsShort, "main", "1", "0", "")}})
	check(t, "raised", granted(b.SetResource(res(broker.Stream, "main", 1))), []string{"a"})
}

func TestAloneSharesWithNobody(t *testing.T) {
	b, _ := site(t, res(broker.Writer, "/b", 3))
	alone := []broker.Need{{Kind: broker.Writer, AnyOf: []string{"/b"}, Alone: true}}
	b.Request(broker.Request{Task: "writer", Set: []broker.Need{broker.One(broker.Writer, "/b")}})
	d := b.Request(broker.Request{Task: "rebuild", Set: alone})
	check(t, "waits", d.Delayed, []broker.Delay{{Task: "rebuild", Reason: job.Because(job.MountPathReserved, "/b", "0")}})
	check(t, "goes", granted(b.Release("writer")), []string{"rebuild"})
	b.SetResource(res(broker.Writer, "/b", 9))
	d = b.Request(broker.Request{Task: "late", Set: []broker.Need{broker.One(broker.Writer, "/b")}})
	check(t, "nobody beside it", d.Delayed, []broker.Delay{{Task: "late", Reason: job.Because(job.MountPathReserved, "/b", "0")}})
	check(t, "then", granted(b.Release("rebuild")), []string{"late"})
}

func TestChoosesMountPathWithMostSpaceThenFewestWriters(t *testing.T) {
	path := func(name string, free int64) broker.Resource {
		r := res(broker.Writer, name, 2)
		r.FreeBytes = free
		return r
	}
	b, _ := site(t, path("/a", 10), path("/b", 20), path("/c", 20))
	var got []string
	for _, task := range []string{"1", "2", "3", "4", "5", "6"} {
		d := b.Request(broker.Request{Task: task, Set: []broker.Need{{Kind: broker.Writer, AnyOf: []string{"/a", "/b", "/c"}, Count: 1}}})
		p, _ := d.Granted[0].Holding(broker.Writer)
		got = append(got, p)
	}
	check(t, "paths", got, []string{"/b", "/c", "/b", "/c", "/a", "/a"})
}

func TestLeaseExpiresUnlessRenewedAndIsKeptUntilReleased(t *testing.T) {
	b, c := site(t, res(broker.Stream, "main", 2))
	set := []broker.Need{broker.One(broker.Stream, "main")}
	for _, task := range []string{"dead", "alive"} {
		b.Request(broker.Request{Task: task, Set: set})
	}
	c.now = c.now.Add(term - 1)
	if !b.Renew("alive") || b.Renew("nobody") {
		t.Error("Renew does not say who has a lease")
	}
	check(t, "a moment before", b.Expired(), []string(nil))
	c.now = c.now.Add(1)
	check(t, "expired", b.Expired(), []string{"dead"})
	if d := b.Request(broker.Request{Task: "next", Set: set}); len(d.Granted) != 0 {
		t.Error("an expired lease was given away before its holder was released")
	}
	check(t, "released", granted(b.Release("dead")), []string{"next"})
}

func TestRequestIsIdempotentAndKeepsItsAge(t *testing.T) {
	b, c := site(t, res(broker.Stream, "main", 1))
	set := []broker.Need{broker.One(broker.Stream, "main")}
	b.Request(broker.Request{Task: "holder", Set: set})
	check(t, "again", granted(b.Request(broker.Request{Task: "holder", Set: set})), []string{"holder"})
	c.now = c.now.Add(time.Minute)
	b.Request(broker.Request{Task: "old", Priority: 1, Set: set})
	c.now = c.now.Add(time.Minute)
	b.Request(broker.Request{Task: "young", Priority: 1, Set: set})
	b.Request(broker.Request{Task: "old", Priority: 1, Set: set})
	check(t, "old first", granted(b.Release("holder")), []string{"old"})
}

func TestAdoptedHoldsCountEvenAboveTheLimit(t *testing.T) {
	b, _ := site(t, res(broker.Stream, "main", 1))
	hold := []broker.Hold{{ID: broker.ID{Kind: broker.Stream, Name: "main"}, Count: 1}}
	b.Adopt(broker.Grant{Task: "a", Holds: hold})
	b.Adopt(broker.Grant{Task: "b", Holds: hold})
	b.Adopt(broker.Grant{Task: "b", Holds: hold})
	b.Request(broker.Request{Task: "c", Set: []broker.Need{broker.One(broker.Stream, "main")}})
	check(t, "one back", granted(b.Release("a")), []string(nil))
	check(t, "both back", granted(b.Release("b")), []string{"c"})
}

func TestRemovedResourceIsRememberedWhileHeld(t *testing.T) {
	b, _ := site(t, res(broker.Stream, "main", 1))
	set := []broker.Need{broker.One(broker.Stream, "main")}
	b.Request(broker.Request{Task: "a", Set: set})
	b.RemoveResource(broker.ID{Kind: broker.Stream, Name: "main"})
	d := b.Request(broker.Request{Task: "b", Set: set})
	check(t, "delay", d.Delayed, []broker.Delay{{Task: "b", Reason: job.Because(job.RepositoryOffline, "main")}})
	b.SetResource(res(broker.Stream, "main", 1))
	check(t, "still held", b.Snapshot().Resources[0].Holders, []string{"a"})
	b.RemoveResource(broker.ID{Kind: broker.Stream, Name: "main"})
	b.Release("a")
	check(t, "forgotten", len(b.Snapshot().Resources), 0)
}
