package manager

import (
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// restore starts a restore of the newest point of web1.
func (w *world) restore(r *keepwardv1.RestoreFilesRequest) int64 {
	w.t.Helper()
	res, err := w.m.RestoreFiles(w.t.Context(), connect.NewRequest(r))
	if err != nil {
		w.t.Fatal(err)
	}
	w.pass(0)
	return res.Msg.GetSession()
}

func TestRestoreToAnotherComputer(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.run()
		id := w.finish("web1")
		session := w.restore(&keepwardv1.RestoreFilesRequest{
			Computer: "web1", Point: id[:6], TargetComputer: "web2", To: []byte("/out"), Paths: [][]byte{[]byte("/srv/\xff")}, Strip: true,
		})
		w.expect(session, job.Running, "")
		attempt := w.agents["web2"].only(t)
		order, mover := w.agents["web2"].restores[attempt], w.transports[theNode].movers[attempt]
		if order.GetPoint() != id || string(order.GetTo()) != "/out" || order.GetOverwrite() != "different" || !order.GetStrip() || string(order.GetPaths()[0]) != "/srv/\xff" {
			t.Errorf("the agent's order is %v", order)
		}
		if mover.GetMode() != "restore" || mover.GetAgent() != "web2" || mover.GetComputer() != "web1" || cmp.Diff(mover.GetReadablePoints(), []string{id}) != "" {
			t.Errorf("the mover's order is %v", mover)
		}
		k := repositoryKeys{master: w.master}
		if string(order.GetKeys().GetComputerKey()) != string(k.computer("web1")) {
			t.Error("the target was not given the key of the point's computer")
		}
		w.agentDone("web2", attempt, &keepwardv1.Counters{DoneFiles: 1})
		w.expect(session, job.Running, "")
		w.moverEnds(attempt, done(nil))
		w.expect(session, job.Completed, "")
	})
}

// The agent has restored all and says so first. What the mover found amiss as it read, what went
// wrong with it then, and that it never said how it ended is in the log and in the status.
func TestARestoreWaitsForWhatItsMoverHasToSay(t *testing.T) {
	for name, c := range map[string]struct {
		then func(w *world, attempt string)
		want job.Status
		says string
	}{
		"nothing": {func(w *world, attempt string) { w.moverEnds(attempt, done(nil)) }, job.Completed, ""},
		"a warning": {func(w *world, attempt string) {
			w.must(w.m.Events(w.t.Context(), transportOf(theNode), attempt, []*keepwardv1.Event{{Level: levelWarning, Code: "chunk.mended", Text: "parity made good what was read"}}))
			w.moverEnds(attempt, done(nil))
		}, job.CompletedWithWarnings, "parity made good what was read"},
		"a failure": {func(w *world, attempt string) {
			w.moverEnds(attempt, failed(errs.Internal, "the mover tripped"))
		}, job.CompletedWithWarnings, "all was restored; then the mover failed: the mover tripped"},
		"its end, after the server was started anew": {func(w *world, attempt string) {
			w.reopen()
			w.agentUp("web1")
			w.expect(1, job.Completed, "")
			w.expect(2, job.RunningUnverified, job.HeartbeatLost)
			w.transportUp()
			w.moverEnds(attempt, done(nil))
		}, job.Completed, ""},
		"that it is gone": {func(w *world, attempt string) {
			w.mu.Lock()
			delete(w.transports[theNode].movers, attempt)
			w.mu.Unlock()
			w.pass(time.Minute)
		}, job.CompletedWithWarnings, "the mover's final report did not arrive"},
		"no end": {func(w *world, _ string) {
			w.pass(w.m.set.OtherEnd + time.Second)
		}, job.CompletedWithWarnings, "the mover's final report did not arrive"},
	} {
		t.Run(name, func(t *testing.T) {
			site(t, func(t *testing.T, w *world) {
				w.connect()
				w.run()
				w.finish("web1")
				id := w.restore(&keepwardv1.RestoreFilesRequest{Computer: "web1", Point: "latest"})
				w.expect(id, job.Running, "")
				attempt := w.agents["web1"].only(t)
				w.agentDone("web1", attempt, nil)
				w.expect(id, job.Running, "")
				c.then(w, attempt)
				w.expect(id, c.want, "")
				if log := w.log(id); !strings.Contains(log, c.says) {
					t.Errorf("the log does not say %q:\n%s", c.says, log)
				}
				if told := len(w.transports[theNode].stops) > 0; told != (name == "no end") {
					t.Errorf("the mover was told to stop: %t", told)
				}
			})
		})
	}
}

func TestRestoreWaitsAsPending(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.run()
		w.finish("web1")
		w.agentDown("web1")
		id := w.restore(&keepwardv1.RestoreFilesRequest{Computer: "web1", Point: "latest"})
		w.expect(id, job.Pending, job.AgentOffline)
		w.reopen()
		w.expect(id, job.Pending, job.TransportOffline)
		w.connect()
		w.expect(id, job.Running, "")
	})
}

func TestRestoreGoesOnWhenItsAgentIsBack(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.run()
		w.finish("web1")
		id := w.restore(&keepwardv1.RestoreFilesRequest{Computer: "web1", Point: "latest"})
		w.agentDown("web1")
		w.agents["web1"].restart()
		w.agentUp("web1")
		w.pass(15 * time.Second)
		w.expect(id, job.Running, "")
		attempt := w.agents["web1"].only(t)
		w.agentDone("web1", attempt, nil)
		w.moverEnds(attempt, done(nil))
		w.expect(id, job.Completed, "")
	})
}

// A restore of files lets go, and is tried again. What brings back a database, or feeds a command, is not.
func TestWhatIsRestoredOnceIsNeitherInterruptedNorTriedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		request *keepwardv1.RestoreFilesRequest
		says    string
	}{
		"files":    {&keepwardv1.RestoreFilesRequest{}, ""},
		"database": {&keepwardv1.RestoreFilesRequest{To: []byte("/out"), Application: &keepwardv1.ApplicationRestore{Kind: job.PostgreSQL}}, "a database"},
		"command":  {&keepwardv1.RestoreFilesRequest{Paths: [][]byte{[]byte("/dump")}, Command: &keepwardv1.CommandTarget{Path: "/load"}}, "a command"},
	} {
		t.Run(name, func(t *testing.T) {
			site(t, func(t *testing.T, w *world) {
				w.connect()
				w.run()
				w.finish("web1")
				r := proto.CloneOf(c.request)
				r.Computer, r.Point = "web1", "latest"
				id := w.restore(r)
				w.expect(id, job.Running, "")
				attempt := w.agents["web1"].only(t)
				if c.says != "" {
					if err := w.suspend(id); errs.CodeOf(err) != "session.not-suspended" || !strings.Contains(err.Error(), c.says) {
						t.Errorf("a pause: %v", err)
					}
					w.expect(id, job.Running, "")
				}
				w.agents["web1"].restart()
				w.end(agentOf("web1"), attempt, failed(errs.Unavailable, "the connection is gone"))
				w.end(transportOf(theNode), attempt, failed(errs.Cancelled, "the agent gave up"))
				w.pass(15 * time.Second)
				if c.says == "" {
					w.expect(id, job.Pending, job.RestartAt)
					return
				}
				w.expect(id, job.Failed, "")
			})
		})
	}
}

func TestRestoreOfNothingIsRefused(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.run()
		w.finish("web1")
		for _, c := range []struct {
			name string
			req  *keepwardv1.RestoreFilesRequest
			want errs.Kind
		}{
			{"unknown computer", &keepwardv1.RestoreFilesRequest{Computer: "wbe1", Point: "latest"}, errs.NotFound},
			{"unknown target", &keepwardv1.RestoreFilesRequest{Computer: "web1", Point: "latest", TargetComputer: "web3"}, errs.NotFound},
			{"unknown point", &keepwardv1.RestoreFilesRequest{Computer: "web1", Point: "0123abcd"}, errs.NotFound},
			{"a point of another computer", &keepwardv1.RestoreFilesRequest{Computer: "web2", Point: w.points()[0].GetId()}, errs.NotFound},
			{"before the first point", &keepwardv1.RestoreFilesRequest{Computer: "web1", Point: "1990-01-01"}, errs.NotFound},
			{"latest of nobody", &keepwardv1.RestoreFilesRequest{Point: "latest"}, errs.Invalid},
			{"a relative directory", &keepwardv1.RestoreFilesRequest{Computer: "web1", Point: "latest", To: []byte("tmp/back")}, errs.Invalid},
			{"unknown policy", &keepwardv1.RestoreFilesRequest{Computer: "web1", Point: "latest", Overwrite: "sometimes"}, errs.Invalid},
		} {
			if _, err := w.m.RestoreFiles(t.Context(), connect.NewRequest(c.req)); errs.KindOf(err) != c.want {
				t.Errorf("%s: %v, want %s", c.name, err, c.want)
			}
		}
	})
}

func TestPointByTimeAndPrefix(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.run()
		first := w.finish("web1")
		between := time.Now().Add(time.Minute)
		time.Sleep(time.Hour)
		w.run()
		second := w.finish("web1")
		for name, want := range map[string]string{
			"latest": second, first: first, second[:4]: second, strings.ToUpper(first[:8]): first,
			between.Format(time.RFC3339): first, time.Now().UTC().Format("2006-01-02 15:04"): second,
		} {
			p, err := w.m.findPoint(t.Context(), name, "web1")
			if err != nil || p.GetId() != want {
				t.Errorf("%s is %s (%v), want %s", name, p.GetId(), err, want)
			}
		}
	})
}

func TestCheckThatFindsNothing(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id, err := w.m.Check(t.Context(), &keepwardv1.CheckRepositoryRequest{Name: theRepo, ReadData: true})
		if err != nil {
			t.Fatal(err)
		}
		w.expect(id, job.Running, "")
		attempt := w.transports[theNode].running()[0]
		order := w.transports[theNode].movers[attempt]
		if order.GetMode() != "check" || !order.GetReadData() || order.GetKeys().GetIssueKey() == nil || order.GetKeys().GetComputersKey() == nil || order.GetAgent() != "" {
			t.Errorf("the mover's order is %v", order)
		}
		w.end(transportOf(theNode), attempt, &keepwardv1.AttemptEnd{Outcome: outcomeDone, Check: &keepwardv1.CheckReport{Packs: 3}})
		w.expect(id, job.Completed, "")
	})
}

func TestCheckThatFindsDamageFails(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id, err := w.m.Check(t.Context(), &keepwardv1.CheckRepositoryRequest{Name: theRepo, ReadData: true})
		if err != nil {
			t.Fatal(err)
		}
		w.expect(id, job.Running, "")
		w.end(transportOf(theNode), w.transports[theNode].running()[0], &keepwardv1.AttemptEnd{
			Outcome: outcomeDone,
			Check: &keepwardv1.CheckReport{Findings: []*keepwardv1.CheckFinding{{
				Object: "chunk", Name: "packs/ab/1", Chunk: "c0ffee", Text: "checksum differs",
				Affected: []*keepwardv1.AffectedFile{{Point: "p1", Computer: "web1", Path: []byte("srv/a")}}, AffectedTotal: 5,
			}}},
		})
		w.expect(id, job.Failed, "")
		s := w.session(id)
		if s.GetFailure().GetKind() != string(errs.Corrupt) || !strings.Contains(s.GetFailure().GetMessage(), "1 damaged object") {
			t.Errorf("the failure is %v", s.GetFailure())
		}
		if log := w.log(id); !strings.Contains(log, "needs chunk c0ffee in packs/ab/1") || !strings.Contains(log, "4 more files") {
			t.Errorf("the log does not name what is lost:\n%s", log)
		}
		events, err := catalog.Events(t.Context(), w.db.Read(), id, 0, 100)
		if err != nil || !slices.ContainsFunc(events, func(e *keepwardv1.Event) bool { return string(e.GetPath()) == "/srv/a" }) {
			t.Errorf("no line is about /srv/a (%v):\n%s", err, w.log(id))
		}
	})
}

func TestCheckThatRepairsIsAWarning(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id, err := w.m.Check(t.Context(), &keepwardv1.CheckRepositoryRequest{Name: theRepo})
		if err != nil {
			t.Fatal(err)
		}
		w.expect(id, job.Running, "")
		w.end(transportOf(theNode), w.transports[theNode].running()[0], &keepwardv1.AttemptEnd{
			Outcome: outcomeDone,
			Check:   &keepwardv1.CheckReport{Findings: []*keepwardv1.CheckFinding{{Object: "segment", Name: "index/1", Text: "checksum differs", Repaired: "rebuilt"}}},
		})
		w.expect(id, job.CompletedWithWarnings, "")
	})
}

func TestCheckWhoseTransportIsLostIsTriedAgain(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id, err := w.m.Check(t.Context(), &keepwardv1.CheckRepositoryRequest{Name: theRepo})
		if err != nil {
			t.Fatal(err)
		}
		w.expect(id, job.Running, "")
		w.transportDown()
		w.pass(7 * time.Minute)
		w.expect(id, job.Pending, job.RestartAt)
		w.transportUp()
		w.pass(3 * time.Second)
		w.expect(id, job.Running, "")
	})
}
