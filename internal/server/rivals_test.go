package server

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// These tests are two people who act on one session at once, through the API.

// rivals is a server with two users, and a job whose sessions wait: no node of it is there.
type rivals struct {
	*testServer
	db  *catalog.DB
	who map[string]keepwardv1connect.SessionServiceClient
}

func startRivals(t *testing.T) *rivals {
	t.Helper()
	r := &rivals{testServer: start(t, t.TempDir()), who: map[string]keepwardv1connect.SessionServiceClient{}}
	var err error
	if r.db, err = catalog.Open(t.Context(), filepath.Join(r.dir, catalogFile)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.db.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, now := t.Context(), time.Now()
	err = r.db.Write(ctx, func(tx *sql.Tx) error {
		all := []error{
			catalog.JoinTransport(ctx, tx, "t1", now), catalog.JoinComputer(ctx, tx, "web1", now),
			catalog.AddRepository(ctx, tx, catalog.Repository{Name: "main", ID: [16]byte{1}, Transport: "t1", Path: "/r", Streams: 4, Writers: 4, Master: []byte("m"), Recovery: []byte("r"), Created: now}),
			catalog.PutJob(ctx, tx, &keepwardv1.Job{
				Name: "docs", Type: "backup", Repository: "main", Computers: []string{"web1"}, Duplicates: string(job.DuplicatesAllow),
				Files: &keepwardv1.FileSelection{Include: []string{"/srv"}},
			}, now),
		}
		for _, name := range []string{"ann", "bob"} {
			_, err := catalog.AddUser(ctx, tx, catalog.User{Name: name, Role: "admin", Password: catalog.HashPassword(name), Created: now})
			all = append(all, err)
		}
		return errors.Join(all...)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ann", "bob"} {
		token := must(r.access("").Login(ctx, connect.NewRequest(&keepwardv1.LoginRequest{User: name, Password: name})))(t).Token
		r.who[name] = r.sessions(token)
	}
	return r
}

func (r *rivals) run() int64 {
	r.t.Helper()
	return must(r.jobs().RunJob(r.t.Context(), connect.NewRequest(&keepwardv1.RunJobRequest{Name: "docs"})))(r.t).Session
}

// at once has both act, and answers when both have their answer.
func (r *rivals) atOnce(ann, bob func(ctx context.Context, c keepwardv1connect.SessionServiceClient) error) {
	r.t.Helper()
	g, ctx := errgroup.WithContext(r.t.Context())
	g.Go(func() error { return ann(ctx, r.who["ann"]) })
	g.Go(func() error { return bob(ctx, r.who["bob"]) })
	if err := g.Wait(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rivals) events(id int64) []*keepwardv1.Event {
	r.t.Helper()
	list, err := catalog.Events(r.t.Context(), r.db.Read(), id, 0, 100_000)
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

// did tells whether the log says that somebody brought a session to a status.
func (r *rivals) did(id int64, who string, to job.Status) bool {
	r.t.Helper()
	return slices.ContainsFunc(r.events(id), func(e *keepwardv1.Event) bool { return e.GetActor() == who && job.Status(e.GetTo()) == to })
}

func (r *rivals) says(id int64, text string) bool {
	r.t.Helper()
	return slices.ContainsFunc(r.events(id), func(e *keepwardv1.Event) bool { return strings.Contains(e.GetText(), text) })
}

func (r *rivals) session(id int64) *keepwardv1.Session {
	r.t.Helper()
	return must(r.who["ann"].GetSession(r.t.Context(), connect.NewRequest(&keepwardv1.GetSessionRequest{Id: id})))(r.t).Session
}

func suspend(ctx context.Context, c keepwardv1connect.SessionServiceClient, id int64) (job.Status, error) {
	res, err := c.SuspendSession(ctx, connect.NewRequest(&keepwardv1.SuspendSessionRequest{Id: id}))
	if err != nil {
		return "", err
	}
	return job.Status(res.Msg.Session.Status), nil
}

func resume(ctx context.Context, c keepwardv1connect.SessionServiceClient, id int64) (job.Status, error) {
	res, err := c.ResumeSession(ctx, connect.NewRequest(&keepwardv1.ResumeSessionRequest{Id: id}))
	if err != nil {
		return "", err
	}
	return job.Status(res.Msg.Session.Status), nil
}

func prioritise(ctx context.Context, c keepwardv1connect.SessionServiceClient, id int64, priority int32) error {
	_, err := c.SetSessionPriority(ctx, connect.NewRequest(&keepwardv1.SetSessionPriorityRequest{Id: id, Priority: priority}))
	return err
}

// One kills, the other suspends: the session ends, and who suspended is told no unless the log has it
// that it was suspended by them.
func TestOneKillsWhatAnotherSuspends(t *testing.T) {
	r := startRivals(t)
	refused := 0
	for range 12 {
		id := r.run()
		var over bool
		var no error
		r.atOnce(func(ctx context.Context, c keepwardv1connect.SessionServiceClient) error {
			res, err := c.KillSession(ctx, connect.NewRequest(&keepwardv1.KillSessionRequest{Id: id}))
			over = res != nil && res.Msg.Over
			return err
		}, func(ctx context.Context, c keepwardv1connect.SessionServiceClient) error {
			_, no = suspend(ctx, c, id)
			return nil
		})
		if s := r.session(id); s.Status != string(job.Killed) || over || !r.did(id, "ann", job.KillPending) {
			t.Fatalf("session %d is %s, it was over when ann killed it: %v\n%v", id, s.Status, over, r.events(id))
		}
		switch was := r.did(id, "bob", job.Suspended); {
		case no == nil && !was:
			t.Fatalf("bob was told that session %d pauses, and it never did\n%v", id, r.events(id))
		case no != nil && (was || errs.CodeOf(no) != "session.not-suspended"):
			t.Fatalf("bob was told: %v; suspended by him: %v", no, was)
		case no != nil:
			refused++
		}
	}
	t.Logf("bob was too late %d times of 12", refused)
}

// One suspends, resumes and sets priorities, and so does the other: all is done, in some order.
func TestTwoPeopleActOnOneSessionAtOnce(t *testing.T) {
	r := startRivals(t)
	id := r.run()
	const rounds = 8
	act := func(first int32) func(ctx context.Context, c keepwardv1connect.SessionServiceClient) error {
		return func(ctx context.Context, c keepwardv1connect.SessionServiceClient) error {
			for n := range int32(rounds) {
				paused, err := suspend(ctx, c, id)
				if err != nil {
					return err
				}
				on, err := resume(ctx, c, id)
				if err != nil {
					return err
				}
				for _, status := range []job.Status{paused, on} {
					if !slices.Contains([]job.Status{job.Suspended, job.SuspendPending, job.Queued, job.Waiting}, status) {
						t.Errorf("the answer is %s", status)
					}
				}
				if err := prioritise(ctx, c, id, first+n); err != nil {
					return err
				}
			}
			return nil
		}
	}
	r.atOnce(act(100), act(200))
	// Who only ever did what the other had done already has changed nothing: so each once alone.
	nothing := func(context.Context, keepwardv1connect.SessionServiceClient) error { return nil }
	r.atOnce(act(100), nothing)
	r.atOnce(nothing, act(200))
	for _, name := range []string{"ann", "bob"} {
		if !r.did(id, name, job.SuspendPending) || !r.did(id, name, job.Queued) || !r.says(id, "set by "+name) {
			t.Errorf("the log does not tell what %s did\n%v", name, r.events(id))
		}
	}
	// Whose last act came last has the say: each ends with a resume and its last priority.
	s := r.session(id)
	if st := job.Status(s.Status); st == job.Suspended || st == job.SuspendPending || s.Priority != 100+rounds-1 && s.Priority != 200+rounds-1 {
		t.Errorf("the session is %s with priority %d, which no order of theirs leads to", s.Status, s.Priority)
	}

	kill := func(ctx context.Context, c keepwardv1connect.SessionServiceClient) error {
		_, err := c.KillSession(ctx, connect.NewRequest(&keepwardv1.KillSessionRequest{Id: id}))
		return err
	}
	r.atOnce(kill, kill)
	r.atOnce(kill, kill) // of what is over: nothing changes
	if s := r.session(id); s.Status != string(job.Killed) || r.did(id, "ann", job.KillPending) == r.did(id, "bob", job.KillPending) {
		t.Errorf("the session is %s; killed by ann: %v, by bob: %v", s.Status, r.did(id, "ann", job.KillPending), r.did(id, "bob", job.KillPending))
	}
	r.atOnce(func(ctx context.Context, c keepwardv1connect.SessionServiceClient) error {
		if err := prioritise(ctx, c, id, 1); errs.CodeOf(err) != "session.over" {
			t.Errorf("a priority of what is over: %v", err)
		}
		return nil
	}, func(ctx context.Context, c keepwardv1connect.SessionServiceClient) error {
		if _, err := suspend(ctx, c, id); errs.CodeOf(err) != "session.not-suspended" {
			t.Errorf("suspending what is over: %v", err)
		}
		if _, err := resume(ctx, c, id); errs.CodeOf(err) != "session.not-resumed" {
			t.Errorf("resuming what is over: %v", err)
		}
		return nil
	})
}
