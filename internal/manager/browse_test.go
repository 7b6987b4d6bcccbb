package manager

import (
	"context"
	"database/sql"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
)

func (w *world) browse() (*keepwardv1.BrowseResponse, error) {
	res, err := w.m.Browse(w.t.Context(), connect.NewRequest(&keepwardv1.BrowseRequest{Point: "latest", Computer: "web1", Path: []byte("/srv")}))
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

// readable makes a site with one point that can be browsed.
func readable(w *world) (point string) {
	w.transports[theNode].browse = func(r *keepwardv1.BrowseMoverRequest) (*keepwardv1.BrowseMoverResponse, error) {
		return &keepwardv1.BrowseMoverResponse{Self: &keepwardv1.Entry{Path: r.GetPath()}}, nil
	}
	w.connect()
	w.run()
	return w.finish("web1")
}

func TestOneMoverServesAllBrowsing(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		readable(w)
		for range 3 {
			if _, err := w.browse(); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.transports[theNode].running(); len(got) != 1 {
			t.Errorf("%d movers run, want 1", len(got))
		}
		w.beatAll() // it is somebody's, so it is not dropped
		if got := w.transports[theNode].running(); len(got) != 1 {
			t.Errorf("the browse mover was dropped")
		}
		w.expect(2, job.Running, "")
		w.pass(5 * time.Minute)
		if got := w.transports[theNode].stops; len(got) == 0 {
			t.Error("the idle mover was not told to stop")
		}
		w.end(transportOf(theNode), w.transports[theNode].running()[0], done(nil))
		w.expect(2, job.Completed, "")
	})
}

func TestBrowseMoverThatIsGoneIsStartedAnew(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		readable(w)
		if _, err := w.browse(); err != nil {
			t.Fatal(err)
		}
		clear(w.transports[theNode].movers)
		res, err := w.browse()
		if err != nil || string(res.GetSelf().GetPath()) != "/srv" {
			t.Errorf("browse answered %v, %v", res, err)
		}
		w.expect(2, job.Completed, "") // nobody waits for the one that is gone
		w.expect(3, job.Running, "")
	})
}

func TestBrowseWithoutATransportSaysSo(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		readable(w)
		w.transportDown()
		if _, err := w.browse(); errs.KindOf(err) != errs.Unavailable {
			t.Errorf("browse answered %v", err)
		}
		w.transportUp()
		if _, err := w.browse(); err != nil {
			t.Errorf("browse does not work after the transport came back: %v", err)
		}
	})
}

func TestErrorOfTheQuestionDoesNotCostTheMover(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		readable(w)
		w.transports[theNode].browse = func(*keepwardv1.BrowseMoverRequest) (*keepwardv1.BrowseMoverResponse, error) {
			return nil, errs.New(errs.NotFound, "path.unknown", "browse: there is no /srv")
		}
		if _, err := w.browse(); errs.CodeOf(err) != "path.unknown" {
			t.Errorf("browse answered %v", err)
		}
		if got := w.transports[theNode].running(); len(got) != 1 {
			t.Errorf("%d movers run, want 1", len(got))
		}
	})
}

func TestBrowseMoverIsNotEndedByAStranger(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		readable(w)
		if _, err := w.browse(); err != nil {
			t.Fatal(err)
		}
		mover := w.transports[theNode].running()[0]
		if err := w.m.End(t.Context(), agentOf("web1"), mover, done(nil)); errs.KindOf(err) != errs.Denied {
			t.Errorf("an agent's word about the browse mover was taken: %v", err)
		}
		w.beatAll()
		if got := w.transports[theNode].running(); len(got) != 1 {
			t.Error("an agent's word had the browse mover dropped")
		}
	})
}

// occupied makes a site with one point, whose only stream a check holds.
func occupied(w *world) (check int64) {
	readable(w)
	w.streams(1)
	check, err := w.m.Check(w.t.Context(), &keepwardv1.CheckRepositoryRequest{Name: theRepo})
	if err != nil {
		w.t.Fatal(err)
	}
	w.expect(check, job.Running, "")
	return check
}

// streams sets how many streams the repository has.
func (w *world) streams(n int32) {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE repositories SET streams = ?`, n)
		return err
	})
	w.m.ConfigChanged()
	synctest.Wait()
}

func TestBrowsingTakesTheStreamOfACheck(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		check := occupied(w)
		answer := make(chan error, 1)
		go func() { _, err := w.browse(); answer <- err }()
		synctest.Wait()
		w.expect(check, job.InterruptPending, "")
		mover := w.transports[theNode].running()[0]
		w.end(transportOf(theNode), mover, &keepwardv1.AttemptEnd{Outcome: outcomeAborted})
		w.transports[theNode].drop(mover)
		if err := <-answer; err != nil {
			t.Errorf("browse answered %v", err)
		}
		w.expect(3, job.Running, "")
		// The check lacks the stream that nobody uses now, and gets it back before its time.
		w.pass(45 * time.Second)
		mover = w.transports[theNode].running()[0]
		if !slices.Contains(w.transports[theNode].stops, mover) {
			t.Error("the mover that nobody asks was not told to make room")
		}
		w.end(transportOf(theNode), mover, done(nil))
		w.transports[theNode].drop(mover)
		w.expect(3, job.Completed, "")
		w.expect(check, job.Running, "")
	})
}

func TestBrowsingThatWaitsTooLongSaysWhatFor(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		readable(w)
		w.streams(1)
		backup := w.run() // no browsing takes a backup's stream
		w.expect(backup, job.Running, "")
		_, err := w.browse()
		if errs.CodeOf(err) != "browse.waiting" || errs.KindOf(err) != errs.Busy {
			t.Errorf("browse answered %v", err)
		}
		w.expect(3, job.Waiting, job.StreamsShort)
		w.finish("web1")
		if _, err := w.browse(); err != nil {
			t.Errorf("the session did not keep its place: %v", err)
		}
		w.expect(3, job.Running, "")
	})
}

func TestBrowsingThatNobodyWaitsForAnyMoreLeavesTheQueue(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		readable(w)
		w.streams(1)
		w.run()
		if _, err := w.browse(); errs.CodeOf(err) != "browse.waiting" {
			t.Errorf("browse answered %v", err)
		}
		w.pass(6 * time.Minute)
		w.expect(3, job.Killed, "")
	})
}

func TestBrowsingEndsWithTheServerThatAskedForIt(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		readable(w)
		if _, err := w.browse(); err != nil {
			t.Fatal(err)
		}
		w.reopen()
		w.connect()
		w.pass(15 * time.Second)
		if len(w.transports[theNode].stops) == 0 {
			t.Error("the mover was not told to stop")
		}
		w.end(transportOf(theNode), w.transports[theNode].running()[0], done(nil))
		w.expect(2, job.Completed, "")
	})
}
