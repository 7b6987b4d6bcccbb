package manager

import (
	"testing"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
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
		w.pass(6 * time.Minute)
		if got := w.transports[theNode].stops; len(got) != 1 {
			t.Errorf("the idle mover got %d stop orders, want 1", len(got))
		}
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
		w.end(agentOf("web1"), mover, done(nil))
		w.beatAll()
		if got := w.transports[theNode].running(); len(got) != 1 {
			t.Error("an agent's word had the browse mover dropped")
		}
	})
}
