package server

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
)

// updating is a manager that wants agents updated by themselves, and notes the sessions that it is to
// begin.
type updating struct {
	jobManager
	begun []string
	fails string // the computer for which none can be begun
}

func (u *updating) AgentUpdates() (byThemselves bool, atOnce int, trial time.Duration) {
	return true, 2, time.Minute
}

func (u *updating) InstallUpdate(_ context.Context, o *keepwardv1.UpdateOrder, _ string) (int64, error) {
	if o.GetComputer() == u.fails {
		return 0, errs.New(errs.Unavailable, "", "no session today")
	}
	u.begun = append(u.begun, o.GetComputer())
	return int64(1000 + len(u.begun)), nil
}

// withOldAgents is a server of version 2.0.0 that does nothing by itself, and has computers that are
// online with version 1.0.0.
func withOldAgents(t *testing.T, names ...string) (*server, *updating) {
	t.Helper()
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	data, err := openDataDir(t.Context(), dir, "2.0.0", log)
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(Config{DataDir: dir, Version: "2.0.0", Logger: log}, data)
	t.Cleanup(func() {
		s.updates.packages.close()
		if err := data.close(); err != nil {
			t.Error(err)
		}
	})
	u := &updating{jobManager: s.manager}
	s.manager = u
	err = s.db.Write(t.Context(), func(tx *sql.Tx) error {
		for _, name := range names {
			err := errors.Join(catalog.JoinComputer(t.Context(), tx, name, time.Now()), catalog.SeeComputer(t.Context(), tx, catalog.Computer{
				Name: name, OS: runtime.GOOS, Arch: runtime.GOARCH, Version: "1.0.0", LastSeen: time.Now(),
			}))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		s.nodes.links[agentNode(name)] = &nodeLink{node: agentNode(name), online: true}
	}
	return s, u
}

// known are the statuses of all rollouts, the newest first.
func (r *rollouts) known(t *testing.T) string {
	t.Helper()
	list, err := catalog.Rollouts(t.Context(), r.db.Read(), "")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, ro := range list {
		out = append(out, ro.GetVersion()+" "+ro.GetStatus())
	}
	return strings.Join(out, ", ")
}

func (r *rollouts) put(t *testing.T, ro *keepwardv1.Rollout) {
	t.Helper()
	err := r.db.Write(t.Context(), func(tx *sql.Tx) error {
		if ro.GetId() == 0 {
			return catalog.AddRollout(t.Context(), tx, ro)
		}
		return catalog.PutRollout(t.Context(), tx, ro)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A version that fails is not tried on some more computers every minute: a day later at most, and not at
// all where a person has stopped it.
func TestAStoppedRolloutIsNotFollowedAtOnceByItself(t *testing.T) {
	s, _ := withOldAgents(t, "a", "b")
	r := s.updates
	look := func(want string) {
		t.Helper()
		if err := r.byThemselves(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.known(t); got != want {
			t.Errorf("there are %q, want %q", got, want)
		}
	}
	look("2.0.0 active")
	look("2.0.0 active")
	first, err := catalog.GetRollout(t.Context(), r.db.Read(), 1)
	if err != nil {
		t.Fatal(err)
	}
	first.Status, first.Reason, first.Members[0].Status = catalog.RolloutStopped, "the update of a failed", memberFailed
	first.Ended = timestamppb.New(time.Now().Add(time.Minute - restsFor))
	r.put(t, first)
	look("2.0.0 stopped")
	r.put(t, &keepwardv1.Rollout{Version: "1.5.0", Status: catalog.RolloutDone}) // of another version says nothing
	look("1.5.0 done, 2.0.0 stopped")
	r.put(t, &keepwardv1.Rollout{Version: "2.0.0", Status: catalog.RolloutDone, User: "ann"})
	look("2.0.0 active, 2.0.0 done, 1.5.0 done, 2.0.0 stopped")
	last, err := catalog.NewestRollout(t.Context(), r.db.Read(), "2.0.0")
	if err != nil || last.GetId() != 4 {
		t.Fatalf("the newest is %v, %v", last, err)
	}
	last.Status, last.Reason, last.Ended = catalog.RolloutStopped, "stopped by ann", timestamppb.New(time.Now().Add(-2*restsFor))
	r.put(t, last)
	look("2.0.0 stopped, 2.0.0 done, 1.5.0 done, 2.0.0 stopped")
	last.Members[0].Status = memberFailed // not by ann, then
	r.put(t, last)
	look("2.0.0 active, 2.0.0 stopped, 2.0.0 done, 1.5.0 done, 2.0.0 stopped")
}

// What has begun is written down although the next cannot begin, or it would begin anew every second.
func TestWhatHasBegunOfARolloutDoesNotBeginAgain(t *testing.T) {
	s, u := withOldAgents(t, "a", "b")
	r := s.updates
	u.fails = "b"
	r.put(t, &keepwardv1.Rollout{Version: "2.0.0", Status: catalog.RolloutActive, AtOnce: 2, Members: []*keepwardv1.RolloutMember{
		{Computer: "gone", Status: memberToDo}, {Computer: "a", Status: memberToDo}, {Computer: "b", Status: memberToDo},
	}})
	for range 2 {
		one, err := catalog.GetRollout(t.Context(), r.db.Read(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(u.begun) > 0 { // as if it had not ended yet: there is no such session
			one.Members[1].Status = memberUpdated
		}
		if err := r.advance(t.Context(), one); errs.KindOf(err) != errs.Unavailable {
			t.Fatalf("it says %v", err)
		}
		if one, err = catalog.GetRollout(t.Context(), r.db.Read(), 1); err != nil {
			t.Fatal(err)
		}
		if m := one.GetMembers(); m[0].Status != memberLeftOut || m[1].Status == memberToDo || m[2].Status != memberToDo {
			t.Errorf("written down is %v", m)
		}
	}
	if len(u.begun) != 1 {
		t.Errorf("begun are %v", u.begun)
	}
}
