package manager

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/job"
)

// The mover is told how far to go, the server's time, and since when the session lasts: what an
// attempt that was lost had proved is not read by the next.
func TestACheckIsOrderedWithTheServersTime(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		began := time.Now()
		id, err := w.m.Check(t.Context(), &keepwardv1.CheckRepositoryRequest{
			Name: theRepo, ReadData: true, Sample: 0.1, Budget: durationpb.New(time.Hour), OlderThan: durationpb.New(48 * time.Hour), Rate: 7,
		})
		if err != nil {
			t.Fatal(err)
		}
		w.expect(id, job.Running, "")
		order := func() *keepwardv1.CheckOrder {
			return w.transports[theNode].movers[w.transports[theNode].running()[0]].GetCheck()
		}
		first := order()
		if first.GetSample() != 0.1 || first.GetBudget().AsDuration() != time.Hour || first.GetOlderThan().AsDuration() != 48*time.Hour || first.GetRate() != 7 {
			t.Errorf("order %v", first)
		}
		if d := first.GetTime().AsTime().Sub(began); d < 0 || d > time.Minute {
			t.Errorf("its time is %v after the start", d)
		}
		// As TestCheckWhoseTransportIsLostIsTriedAgain has it.
		w.transportDown()
		w.pass(7 * time.Minute)
		w.transportUp()
		w.pass(25 * time.Minute)
		w.expect(id, job.Running, "")
		second := order()
		if !second.GetSince().AsTime().Equal(first.GetSince().AsTime()) || !second.GetTime().AsTime().After(first.GetTime().AsTime()) {
			t.Errorf("first %v, then %v", first, second)
		}
	})
}

func TestARepositoryIsKeptProvedByOneCheckADay(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		row := catalog.Repository{Name: theRepo, Proofs: catalog.Proofs{Days: 30}}
		keep := func(now time.Time) int64 {
			t.Helper()
			id, err := w.m.KeepProved(t.Context(), row, now)
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
		id := keep(time.Now())
		w.expect(id, job.Running, "")
		if keep(time.Now().Add(48*time.Hour)) != 0 {
			t.Error("a second one began beside the first")
		}
		attempt := w.transports[theNode].running()[0]
		start := w.transports[theNode].movers[attempt]
		if o := start.GetCheck(); o.GetProofDays() != 30 || o.GetBudget().AsDuration() != job.DefaultProofBudget || !start.GetReadData() {
			t.Errorf("order %v", start)
		}
		w.end(transportOf(theNode), attempt, &keepwardv1.AttemptEnd{Outcome: outcomeDone, Check: &keepwardv1.CheckReport{}})
		w.expect(id, job.Completed, "")
		if s := w.session(id); s.GetUser() != byProofs {
			t.Errorf("by %q", s.GetUser())
		}
		for _, c := range []struct {
			after time.Duration
			due   bool
		}{{time.Hour, false}, {23 * time.Hour, false}, {25 * time.Hour, true}} {
			now := time.Now().Add(c.after)
			if c.due != (keep(now) != 0) {
				t.Errorf("after %s", c.after)
			}
		}
	})
}

// Of what a check did not list it is said that there is more.
func TestFindingsBeyondTheListCount(t *testing.T) {
	f := damageOf(&keepwardv1.CheckReport{MoreFindings: 5})
	if f == nil || f.GetCode() != codeDamaged {
		t.Fatalf("%v", f)
	}
}
