package agent

import (
	"context"
	"log/slog"
	"path/filepath"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

// LocalConfig is what an agent inside the server's process is started with.
type LocalConfig struct {
	// DataDir has room for scratch files, and nobody else looks into it.
	DataDir     string
	Version     string
	Logger      *slog.Logger
	Credentials wire.Credentials
	// Before makes what is to be backed up. It is called once for every attempt, when the mover is
	// reached: what it makes may be large, and a mover does not wait long for its agent.
	Before func(ctx context.Context) error
	// Events and Progress pass on what an attempt has to say; End how it ended. End is called once
	// for every attempt that has begun, and returns when that is kept.
	Events   func(attempt string, events []*keepwardv1.Event)
	Progress func(attempt string, p *keepwardv1.Progress)
	End      func(attempt string, end *keepwardv1.AttemptEnd) error
}

// Local is an agent without a link: the server's, for the backup of itself. It is called as an
// agent is over its link, and keeps nothing: what the process takes down with it is gone, and the
// server's next heartbeat in its name does not tell of it.
type Local struct {
	keepwardv1connect.AgentServiceClient
	a *agent
}

// NewLocal makes a Local. Its attempts end with ctx.
func NewLocal(ctx context.Context, cfg LocalConfig) *Local {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	a := &agent{
		cfg: Config{DataDir: cfg.DataDir, Version: cfg.Version, Logger: cfg.Logger}, log: cfg.Logger,
		node: localTerm{cfg.Credentials}, reports: localReports{cfg}, ctx: ctx, before: cfg.Before, running: make(map[string]*attempt),
		dryRuns: make(chan struct{}, 1), trails: openTrails(filepath.Join(cfg.DataDir, "trails"), cfg.Logger),
	}
	return &Local{AgentServiceClient: localService{&service{a}}, a: a}
}

// localService is what the server may call of its own agent.
type localService struct{ *service }

// DryRun is refused: what the server backs up of itself is made for the backup.
func (localService) DryRun(context.Context, *connect.Request[keepwardv1.AgentDryRunRequest]) (*connect.ServerStreamForClient[keepwardv1.AgentDryRunResponse], error) {
	return nil, errs.New(errs.Invalid, "dry-run.type", "a backup of the server has nothing that a dry run could look at")
}

// Attempts are those that run.
func (l *Local) Attempts() []*keepwardv1.AttemptState { return l.a.attempts() }

// Drop stops an attempt that nobody wants any more.
func (l *Local) Drop(attempt string) { l.a.drop(attempt) }

// Wait returns when no attempt runs any more; none begins after it.
func (l *Local) Wait() { l.a.wait() }

// localTerm obeys whoever calls: it is the process that it lives in.
type localTerm struct{ credentials wire.Credentials }

func (localTerm) CheckTerm(uint64) error          { return nil }
func (t localTerm) Credentials() wire.Credentials { return t.credentials }

// localReports hands reports on at once.
type localReports struct{ cfg LocalConfig }

func (localReports) Begin(string, string) error             { return nil }
func (localReports) Unfinished() []*keepwardv1.AttemptState { return nil }

func (r localReports) Progress(id string, p *keepwardv1.Progress) { r.cfg.Progress(id, p) }

func (r localReports) Events(id string, events ...*keepwardv1.Event) { r.cfg.Events(id, events) }

func (r localReports) End(id string, end *keepwardv1.AttemptEnd) error { return r.cfg.End(id, end) }

// SetRates changes what attempts may send.
func (l *Local) SetRates(list []*keepwardv1.AttemptRates) { l.a.setRates(list) }
