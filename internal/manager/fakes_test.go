package manager

import (
	"context"
	"errors"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

// fakeAgent takes orders and does nothing by itself.
type fakeAgent struct {
	w        *world
	name     string
	online   bool
	starts   int // boots
	refuse   error
	hang     bool // orders are not answered until their caller gives up
	stops    []string
	early    []string // told to end early
	backups  map[string]*keepwardv1.StartBackupRequest
	restores map[string]*keepwardv1.StartRestoreRequest
}

func (a *fakeAgent) boot() string { return a.name + string(rune('0'+a.starts)) }

// restart forgets all, as a process that was killed does.
func (a *fakeAgent) restart() {
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	a.starts++
	clear(a.backups)
	clear(a.restores)
}

func (a *fakeAgent) forget(attempt string) { delete(a.backups, attempt); delete(a.restores, attempt) }

func (a *fakeAgent) running() []string {
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	var out []string
	for id := range a.backups {
		out = append(out, id)
	}
	for id := range a.restores {
		out = append(out, id)
	}
	return out
}

// only is the one attempt that runs.
func (a *fakeAgent) only(t *testing.T) string {
	t.Helper()
	list := a.running()
	if len(list) != 1 {
		t.Fatalf("agent %s runs %d attempts, want 1", a.name, len(list))
	}
	return list[0]
}

func (a *fakeAgent) reachable(ctx context.Context) error {
	a.w.mu.Lock()
	online, hang, refuse := a.online, a.hang, a.refuse
	a.w.mu.Unlock()
	if hang {
		<-ctx.Done()
	}
	if !online || hang {
		return errs.New(errs.Unavailable, "", "call agent %s: link lost", a.name)
	}
	return refuse
}

func (a *fakeAgent) StartBackup(ctx context.Context, req *connect.Request[keepwardv1.StartBackupRequest]) (*connect.Response[keepwardv1.StartBackupResponse], error) {
	if err := a.reachable(ctx); err != nil {
		return nil, err
	}
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	a.backups[req.Msg.GetOrder().GetAttempt()] = req.Msg
	return connect.NewResponse(&keepwardv1.StartBackupResponse{}), nil
}

func (a *fakeAgent) StartRestore(ctx context.Context, req *connect.Request[keepwardv1.StartRestoreRequest]) (*connect.Response[keepwardv1.StartRestoreResponse], error) {
	if err := a.reachable(ctx); err != nil {
		return nil, err
	}
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	a.restores[req.Msg.GetOrder().GetAttempt()] = req.Msg
	return connect.NewResponse(&keepwardv1.StartRestoreResponse{}), nil
}

func (a *fakeAgent) StopAttempt(ctx context.Context, req *connect.Request[keepwardv1.StopAttemptRequest]) (*connect.Response[keepwardv1.StopAttemptResponse], error) {
	if err := a.reachable(ctx); err != nil {
		return nil, err
	}
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	id := req.Msg.GetOrder().GetAttempt()
	if a.backups[id] == nil && a.restores[id] == nil {
		return nil, errs.New(errs.NotFound, "attempt.unknown", "stop attempt: unknown")
	}
	if req.Msg.GetCommit() {
		a.early = append(a.early, id)
	} else {
		a.stops = append(a.stops, id)
	}
	return connect.NewResponse(&keepwardv1.StopAttemptResponse{}), nil
}

// fakeTransport has one repository of which only the names of attempts matter.
type fakeTransport struct {
	transportClient // what a test does not foresee is a nil call
	w               *world
	online          bool
	refuse          error // of StartMover
	fenceFails      error
	checkpoint      bool
	stops           []string
	started         []*keepwardv1.StartMoverRequest
	movers          map[string]*keepwardv1.StartMoverRequest
	names           map[string]string // point, partial or tombstone, by attempt
	marks           map[string]*keepwardv1.PointMarkers
	markFails       error // of MarkPoints, after it has marked
	browse          func(*keepwardv1.BrowseMoverRequest) (*keepwardv1.BrowseMoverResponse, error)
}

func (t *fakeTransport) running() []string {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	var out []string
	for id := range t.movers {
		out = append(out, id)
	}
	return out
}

// drop forgets a mover that has ended.
func (t *fakeTransport) drop(attempt string) {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	delete(t.movers, attempt)
}

func (t *fakeTransport) reachable() error {
	if !t.online {
		return errs.New(errs.Unavailable, "", "call transport: link lost")
	}
	return nil
}

func (t *fakeTransport) StartMover(_ context.Context, req *connect.Request[keepwardv1.StartMoverRequest]) (*connect.Response[keepwardv1.StartMoverResponse], error) {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	if err := errors.Join(t.reachable(), t.refuse); err != nil {
		return nil, err
	}
	t.movers[req.Msg.GetOrder().GetAttempt()] = req.Msg
	t.started = append(t.started, req.Msg)
	return connect.NewResponse(&keepwardv1.StartMoverResponse{Mover: &keepwardv1.MoverEndpoint{Address: "host1:7481", TaskKey: []byte("k")}}), nil
}

func (t *fakeTransport) StopMover(_ context.Context, req *connect.Request[keepwardv1.StopMoverRequest]) (*connect.Response[keepwardv1.StopMoverResponse], error) {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	if err := t.reachable(); err != nil {
		return nil, err
	}
	id := req.Msg.GetOrder().GetAttempt()
	if t.movers[id] == nil {
		return nil, errs.New(errs.NotFound, "attempt.unknown", "stop mover: unknown")
	}
	t.stops = append(t.stops, id)
	return connect.NewResponse(&keepwardv1.StopMoverResponse{}), nil
}

func (t *fakeTransport) FenceAttempt(_ context.Context, req *connect.Request[keepwardv1.FenceAttemptRequest]) (*connect.Response[keepwardv1.FenceAttemptResponse], error) {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	if err := errors.Join(t.reachable(), t.fenceFails); err != nil {
		return nil, err
	}
	id := req.Msg.GetOrder().GetAttempt()
	switch {
	case t.names[id] != "":
	case req.Msg.GetCommit() && t.checkpoint:
		t.names[id] = "partial"
	default:
		t.names[id] = "tombstone"
	}
	return connect.NewResponse(&keepwardv1.FenceAttemptResponse{
		Committed: t.names[id] != "tombstone", Partial: t.names[id] == "partial", Checkpoint: t.checkpoint,
	}), nil
}

func (t *fakeTransport) MarkPoints(_ context.Context, req *connect.Request[keepwardv1.MarkPointsRequest]) (*connect.Response[keepwardv1.MarkPointsResponse], error) {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	if err := t.reachable(); err != nil {
		return nil, err
	}
	res := &keepwardv1.MarkPointsResponse{}
	for _, id := range req.Msg.GetPoints() {
		p := &keepwardv1.PointMark{Point: id}
		res.Points = append(res.Points, p)
		if t.names[id] != "point" {
			p.Failure = failure(errs.NotFound, "point.not-found", "transport", "the repository does not hold "+id)
			continue
		}
		m := t.mark(id)
		switch action(req.Msg.GetAction()) {
		case actionDelete:
			m.Deleted, m.DeletedAt, m.DeletedBecause = true, req.Msg.GetTime(), req.Msg.GetReason()
		case actionUndelete:
			m.Deleted, m.DeletedAt, m.DeletedBecause = false, nil, ""
		case actionHold:
			m.Held, m.HoldReason = true, req.Msg.GetReason()
		case actionRelease:
			m.Held, m.HoldReason = false, ""
		}
	}
	if t.markFails != nil {
		return nil, t.markFails
	}
	return connect.NewResponse(res), nil
}

// mark are the markers of a point.
func (t *fakeTransport) mark(id string) *keepwardv1.PointMarkers {
	if t.marks == nil {
		t.marks = map[string]*keepwardv1.PointMarkers{}
	}
	if t.marks[id] == nil {
		t.marks[id] = &keepwardv1.PointMarkers{Point: id}
	}
	return t.marks[id]
}

func (t *fakeTransport) ListMarkers(context.Context, *connect.Request[keepwardv1.ListMarkersRequest]) (*connect.Response[keepwardv1.ListMarkersResponse], error) {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	if err := t.reachable(); err != nil {
		return nil, err
	}
	res := &keepwardv1.ListMarkersResponse{}
	for id := range t.names {
		res.Names = append(res.Names, id)
		if m := t.marks[id]; m != nil {
			res.Marked = append(res.Marked, proto.CloneOf(m))
		}
	}
	return connect.NewResponse(res), nil
}

func (t *fakeTransport) BrowseMover(_ context.Context, req *connect.Request[keepwardv1.BrowseMoverRequest]) (*connect.Response[keepwardv1.BrowseMoverResponse], error) {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	if err := t.reachable(); err != nil {
		return nil, err
	}
	if t.movers[req.Msg.GetAttempt()] == nil {
		return nil, errs.New(errs.NotFound, codeMoverGone, "browse: no such mover")
	}
	res, err := t.browse(req.Msg)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(res), nil
}
