package transport_test

import (
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/mover"
	"keepward/internal/repo/point"
	"keepward/internal/standing"
	"keepward/internal/wire"
)

// issued is an attempt with the half that its agent has.
type issued struct {
	attempt point.Attempt
	half    []byte
	order   *keepwardv1.StandingOrder
}

func (h *host) issue(until time.Time) issued {
	h.t.Helper()
	a := newAttempt()
	i := issued{attempt: a, half: standing.NewHalf()}
	req := h.request(a, mover.ModeBackup)
	req.Order, req.Agent, req.AgentWait = nil, "somebody", durationpb.New(20*time.Second)
	start, err := standing.Seal(i.half, standing.Start, a.String(), req)
	must(h.t, err)
	i.order = &keepwardv1.StandingOrder{
		Attempt: a.String(), Task: "task-" + a.String()[:4], Chain: "docs in main", ValidUntil: timestamppb.New(until),
		RepositoryPath: h.path, RepositoryId: h.id[:], Start: start, Half: standing.NewHalf(),
	}
	return i
}

// put tells the transport what holds for web1.
func (h *host) put(revoked []string, list ...issued) *keepwardv1.PutStandingResponse {
	h.t.Helper()
	req := &keepwardv1.PutStandingRequest{Order: &keepwardv1.Order{Term: 1, Owner: []byte("server")}, Agent: "web1", Revoked: revoked}
	for _, i := range list {
		req.Attempts = append(req.Attempts, i.order)
	}
	l := h.server.Link(wire.RoleTransport, "tr1")
	res, err := keepwardv1connect.NewStandingTransportServiceClient(l.Client(), wire.LinkURL, connect.WithInterceptors(wire.Errors())).PutStanding(h.t.Context(), connect.NewRequest(req))
	must(h.t, err)
	return res.Msg
}

// opens is an agent opening an attempt at the transport's door.
func (h *host) opens(agent string, i issued) (*keepwardv1.OpenStandingResponse, error) {
	h.t.Helper()
	var door string
	h.server.Await("the transport to say where its door is", func() bool {
		if n := len(h.server.Beats); n > 0 && len(h.server.Beats[n-1].GetInfo().GetAgentDoors()) > 0 {
			door = h.server.Beats[n-1].GetInfo().GetAgentDoors()[0]
		}
		return door != ""
	})
	web := wire.AgentDoorClient(h.server.CA.Issue(h.t, wire.RoleAgent, agent), "tr1")
	res, err := keepwardv1connect.NewStandingDoorServiceClient(web, "https://"+door, connect.WithInterceptors(wire.Errors())).
		OpenStanding(h.t.Context(), connect.NewRequest(&keepwardv1.OpenStandingRequest{Attempt: i.attempt.String(), Half: i.half}))
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

func (h *host) opened(i issued) *keepwardv1.OpenStandingResponse {
	h.t.Helper()
	res, err := h.opens("web1", i)
	must(h.t, err)
	return res
}

func TestAnAgentOpensWhatWasIssuedToItWithoutTheServer(t *testing.T) {
	h := newHost(t)
	soon := time.Now().Add(time.Hour)
	first, second, late := h.issue(soon), h.issue(soon), h.issue(time.Now().Add(-time.Second))
	h.put(nil, first, second, late)
	stolen := first
	stolen.half = standing.NewHalf()
	for name, try := range map[string]struct {
		agent string
		i     issued
		code  string
	}{
		"another agent":            {"web2", first, "standing.unknown"},
		"without its half":         {"web1", stolen, "standing.sealed"},
		"an attempt nobody issued": {"web1", h.issue(soon), "standing.unknown"},
		"too late":                 {"web1", late, "standing.expired"},
	} {
		if _, err := h.opens(try.agent, try.i); errs.CodeOf(err) != try.code {
			t.Errorf("%s: %v, want %s", name, err, try.code)
		}
	}
	open := h.opened(first)
	if again := h.opened(first); string(again.GetMover().GetTaskKey()) != string(open.GetMover().GetTaskKey()) {
		t.Error("an answer that was lost cannot be asked for again")
	}
	c := h.connect(first.attempt, open.GetMover())
	must(t, c.Commit(t.Context(), h.send(c, first.attempt, someFiles, text)))
	must(t, c.Close())
	end := h.server.End(first.attempt.String())
	if !end.GetCommitted() || !end.GetOpened().AsTime().Equal(open.GetOpened().AsTime()) {
		t.Errorf("end: %v", end)
	}
	if _, err := h.opens("web1", first); errs.CodeOf(err) != "attempt.ended" {
		t.Errorf("opened a second time: %v", err)
	}
	// The next one compares with it, although no server has seen it.
	if next := h.opened(second); next.GetParent() != first.attempt.String() {
		t.Errorf("the next run compares with %q", next.GetParent())
	}
}

func TestARunThatDiedIsCutOffByTheNextWhichGoesOnFromItsCheckpoint(t *testing.T) {
	h := newHost(t)
	soon := time.Now().Add(time.Hour)
	first, second := h.issue(soon), h.issue(soon)
	h.put(nil, first, second)
	c := h.connect(first.attempt, h.opened(first).GetMover())
	d := h.send(c, first.attempt, someFiles, text)
	d.Type = point.Checkpoint
	must(t, c.Checkpoint(t.Context(), d))
	h.stop() // the transport starts anew, and knows all the same
	h.server.Set(func() { h.server.Beats = nil })
	h.start()
	open := h.opened(second)
	if open.GetCheckpoint() != first.attempt.String() || open.GetParent() != "" {
		t.Errorf("the next run goes on from %q, compares with %q", open.GetCheckpoint(), open.GetParent())
	}
	d.Type = point.Complete
	if err := c.Commit(t.Context(), d); err == nil {
		t.Error("the run that was cut off made a restore point")
	}
	next := h.connect(second.attempt, open.GetMover())
	if _, err := next.Point(t.Context(), first.attempt.String()); err != nil {
		t.Errorf("the checkpoint cannot be read: %v", err)
	}
	_ = next.Close()
}

func TestARevokedAttemptCommitsNothing(t *testing.T) {
	h := newHost(t)
	soon := time.Now().Add(time.Hour)
	running, unused := h.issue(soon), h.issue(soon)
	h.put(nil, running, unused)
	c := h.connect(running.attempt, h.opened(running).GetMover())
	d := h.send(c, running.attempt, someFiles, text)
	res := h.put([]string{running.attempt.String(), unused.attempt.String()})
	if len(res.GetOpened()) != 1 {
		t.Errorf("opened: %v", res.GetOpened())
	}
	if err := c.Commit(t.Context(), d); err == nil {
		t.Error("a revoked attempt made a restore point")
	}
	if end := h.server.End(running.attempt.String()); end.GetCommitted() || end.GetFailure().GetCode() != "standing.revoked" {
		t.Errorf("end: %v", end)
	}
	for name, i := range map[string]issued{"running": running, "unused": unused} {
		if _, err := h.opens("web1", i); errs.KindOf(err) != errs.Denied {
			t.Errorf("%s: opened after it was revoked: %v", name, err)
		}
	}
}

func TestWhatTheServerLeavesOutIsGoneAndWhatWasOpenedStays(t *testing.T) {
	h := newHost(t)
	soon := time.Now().Add(time.Hour)
	kept, gone, running := h.issue(soon), h.issue(soon), h.issue(soon)
	h.put(nil, kept, gone, running)
	h.opened(running)
	kept.order = &keepwardv1.StandingOrder{Attempt: kept.attempt.String(), Parent: running.attempt.String()}
	res := h.put(nil, kept, issued{order: &keepwardv1.StandingOrder{Attempt: newAttempt().String()}})
	if len(res.GetUnknown()) != 1 || len(res.GetOpened()) != 1 || res.GetOpened()[0] != running.attempt.String() {
		t.Errorf("answer: %v", res)
	}
	if _, err := h.opens("web1", gone); errs.CodeOf(err) != "standing.unknown" {
		t.Errorf("what was left out: %v", err)
	}
	if open := h.opened(kept); open.GetParent() != "" {
		t.Errorf("it is to compare with %s, of which there is no point", open.GetParent())
	}
}
