package agent

import (
	"context"
	"crypto/x509"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/update"
	"keepward/internal/wire"
)

// This file is the agent as internal/update needs it, and as the server asks it about updates.

const (
	// readWait bounds the call for one part of a package.
	readWait = time.Minute
	// trialMost bounds what the server may allow a new version.
	trialLeast, trialMost, trialUsual = time.Second, time.Hour, 2 * time.Minute
)

// linked is told that the server has answered over a link.
func (a *agent) linked(client *http.Client) {
	a.mu.Lock()
	a.server = client
	a.mu.Unlock()
	for _, tell := range []func(){a.cfg.Linked, a.cfg.Answered} {
		if tell != nil {
			tell()
		}
	}
}

// attachUpdates lets the updater work with this agent.
func (a *agent) attachUpdates() {
	if a.cfg.Updates == nil {
		return
	}
	a.cfg.Updates.Attach(update.Hooks{
		Authority: func() *x509.Certificate { return a.node.Credentials().CA },
		Source:    a.readPackage,
		Drain:     a.drain,
		Resume:    a.resume,
	})
}

// readPackage asks the server for a part of a package, over the newest link.
func (a *agent) readPackage(ctx context.Context, sha256 string, offset int64) ([]byte, error) {
	a.mu.Lock()
	client := a.server
	a.mu.Unlock()
	if client == nil {
		return nil, errs.New(errs.Unavailable, "link.lost", "read package: there is no link to the server")
	}
	ctx, cancel := context.WithTimeout(ctx, readWait)
	defer cancel()
	packages := keepwardv1connect.NewPackageServiceClient(client, wire.LinkURL, connect.WithInterceptors(wire.Errors()), connect.WithReadMaxBytes(8<<20))
	res, err := packages.ReadPackage(ctx, connect.NewRequest(&keepwardv1.ReadPackageRequest{Sha256: sha256, Offset: offset}))
	if err != nil {
		return nil, err
	}
	return res.Msg.GetData(), nil
}

// drain returns when no attempt and no script runs, and lets none begin any more.
func (a *agent) drain(ctx context.Context, told func(waits string)) error {
	for {
		waits, over := a.working()
		if over == nil {
			return nil
		}
		told(waits)
		select {
		case <-over:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// working says what runs here, and is closed when one of it is over; nil: nothing does, and nothing
// begins any more.
func (a *agent) working() (what string, over <-chan struct{}) {
	a.scripts.mu.Lock()
	defer a.scripts.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	var names []string
	for id, at := range a.running {
		names, over = append(names, "attempt "+id), at.over
	}
	for k, r := range a.scripts.running {
		names, over = append(names, "script "+string(k.place)), r.over
	}
	a.leaving = over == nil
	slices.Sort(names)
	return strings.Join(names, ", ") + " on this computer", over
}

// resume has things begin again: no other version takes over.
func (a *agent) resume() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leaving = false
}

// beginsNothing tells whether what is asked for now is refused: the agent makes place for another
// version, or is one on trial.
func (a *agent) beginsNothing() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.closed || a.leaving
}

// updateService is what the server calls about updates.
type updateService struct{ a *agent }

func (s *updateService) BeginUpdate(_ context.Context, req *connect.Request[keepwardv1.BeginUpdateRequest]) (*connect.Response[keepwardv1.BeginUpdateResponse], error) {
	m := req.Msg
	if err := s.a.node.CheckTerm(m.GetTerm()); err != nil {
		return nil, err
	}
	if s.a.cfg.Updates == nil {
		return nil, errs.New(errs.Denied, "update.managed", "update: %s", s.a.unmanaged())
	}
	p, limit := m.GetPackage(), m.GetLimit().AsDuration()
	if limit <= 0 {
		limit = trialUsual
	}
	err := s.a.cfg.Updates.Begin(update.Order{
		ID:        m.GetId(),
		Package:   update.Package{OS: p.GetOs(), Arch: p.GetArch(), Version: p.GetVersion(), Size: p.GetSizeBytes(), SHA256: p.GetSha256()},
		Signature: p.GetSignature(), Limit: min(max(limit, trialLeast), trialMost),
	}, m.GetAgain(), m.GetAllowDowngrade())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.BeginUpdateResponse{}), nil
}

// unmanaged is why an agent without an updater is not updated.
func (a *agent) unmanaged() string {
	if a.cfg.Answered != nil {
		return "this version is on trial"
	}
	return "this agent runs within another program"
}

func (s *updateService) GetUpdate(_ context.Context, req *connect.Request[keepwardv1.GetUpdateRequest]) (*connect.Response[keepwardv1.GetUpdateResponse], error) {
	if err := s.a.node.CheckTerm(req.Msg.GetTerm()); err != nil {
		return nil, err
	}
	out := &keepwardv1.GetUpdateResponse{Version: s.a.cfg.Version, Os: runtime.GOOS, Arch: runtime.GOARCH, OnTrial: s.a.cfg.Answered != nil}
	if s.a.cfg.Updates == nil {
		out.Managed = s.a.unmanaged()
		return connect.NewResponse(out), nil
	}
	st := s.a.cfg.Updates.Status()
	out.Managed, out.Id, out.Phase, out.Waits, out.HaveBytes = st.Managed, st.ID, st.Phase, st.Waits, st.Have
	if r := st.Last; r != nil {
		out.Last = &keepwardv1.UpdateResult{Id: r.ID, From: r.From, Version: r.Version, Done: r.Done, Code: r.Code, Reason: r.Reason, Log: r.Log}
	}
	return connect.NewResponse(out), nil
}

func (s *updateService) CancelUpdate(_ context.Context, req *connect.Request[keepwardv1.CancelUpdateRequest]) (*connect.Response[keepwardv1.CancelUpdateResponse], error) {
	if err := s.a.node.CheckTerm(req.Msg.GetTerm()); err != nil {
		return nil, err
	}
	if s.a.cfg.Updates != nil {
		s.a.cfg.Updates.Cancel(req.Msg.GetId())
	}
	return connect.NewResponse(&keepwardv1.CancelUpdateResponse{}), nil
}
