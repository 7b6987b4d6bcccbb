package agent

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/gentle"
	"keepward/internal/node"
	"keepward/internal/power"
	"keepward/internal/track"
	"keepward/internal/wire"
)

// Run serves until ctx is done. What runs then is stopped, its end is kept and told to the
// server at the next start.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	limitMemory()
	n, err := node.Open(ctx, node.Config{
		Role: wire.RoleAgent, Name: cfg.Name, DataDir: cfg.DataDir, Server: cfg.Server,
		JoinToken: cfg.JoinToken, Version: cfg.Version, Logger: cfg.Logger,
		Listen: cfg.Listen, NoDial: cfg.NoDial, Pair: cfg.Pair, Waiting: cfg.Waiting,
	})
	if err != nil {
		return err
	}
	a := &agent{cfg: cfg, log: cfg.Logger, node: n, reports: n.Reporter(), ctx: ctx, running: make(map[string]*attempt), dryRuns: make(chan struct{}, 1)}
	a.door, a.dialled, a.listening, a.prober = n.Door(), n.Dialled, n.Listening, n
	a.closed = cfg.Answered != nil
	a.trails = openTrails(filepath.Join(cfg.DataDir, "trails"), cfg.Logger)
	a.pace.Failed = func(err error) { a.log.Warn("backups have another priority than they should", "error", err) }
	a.scripts = newScripts(a)
	if a.shots, err = openShots(a, filepath.Join(cfg.DataDir, "snapshots"), cfg.Snapshots); err != nil {
		return err
	}
	a.endLost()
	a.scripts.takeUp()
	a.shots.trackers = track.Open(track.Config{Dir: filepath.Join(cfg.DataDir, "trackers"), Log: cfg.Logger, TrustHidden: cfg.TrustHidden})
	defer a.shots.trackers.Close()
	a.shots.sweep(ctx)
	a.work.Go(func() { a.shots.tend(ctx) })
	if a.standing, err = openStanding(filepath.Join(cfg.DataDir, standingDir), n.Credentials().CA.Raw, cfg.Logger, ownRuns{a}, power.Read); err != nil {
		return err
	}
	a.work.Go(func() { a.standing.serve(ctx) })
	a.restoreMarks().forgetOld(time.Now()) // else only the next restore would, which may never come
	if cfg.Ready != nil {
		cfg.Ready()
	}
	a.attachUpdates()
	err = n.Run(ctx, node.Service{Handler: a.handler(), Info: a.info, Attempts: a.attempts, Drop: a.drop, Rates: a.setRates, Linked: a.linked})
	a.wait()
	if cerr := n.Close(); err == nil {
		err = cerr
	}
	return err
}

// restoreMarks are the restores of this computer that have begun and not ended well.
func (a *agent) restoreMarks() *restoreMarks {
	return &restoreMarks{dir: filepath.Join(a.cfg.DataDir, "restores"), boot: bootID()}
}

// agent is a running agent.
type agent struct {
	cfg     Config
	log     *slog.Logger
	node    term
	reports reporter
	ctx     context.Context // of Run: attempts end with it
	// door is where movers call that dial; nil: the agent does not listen.
	door *wire.Door
	// dialled is the role that dialled the link, listening where the door is; nil: as of tests.
	dialled, listening func() string
	prober             *node.Node // nil: as of tests
	// before, where it is set, makes what is to be backed up, once the mover is reached.
	before func(ctx context.Context) error

	work sync.WaitGroup
	// scripts are those that run here. Its lock may be held when mu is taken, never the other way.
	scripts *scripts

	trails *trails
	// shots are the snapshots that backups are read from; nil: there are none.
	shots *shots

	// pace lets others on this computer go first while there are only backups to do, and keeps to the
	// processors that these may take.
	pace gentle.Pace
	// standing are the jobs that it manages itself; nil: as of tests.
	standing *standing
	// dryRuns has the one that goes on: a second one would only slow it down.
	dryRuns chan struct{}
	// measuring is held while the sizes of volumes are asked for.
	measuring sync.Mutex

	mu     sync.Mutex
	closed bool
	// leaving: it makes place for another version.
	leaving bool
	running map[string]*attempt
	server  *http.Client // of the newest link; nil before it
}

// term is what the agent needs of its node beside reporting.
type term interface {
	CheckTerm(term uint64) error
	Credentials() wire.Credentials
}

// reporter keeps reports until the server has them.
type reporter interface {
	Begin(id, task string) error
	Progress(id string, p *keepwardv1.Progress)
	Events(id string, events ...*keepwardv1.Event)
	End(id string, end *keepwardv1.AttemptEnd) error
	Unfinished() []*keepwardv1.AttemptState
}

// attempt is one try of a task.
type attempt struct {
	task string
	stop context.CancelCauseFunc
	// enough has it end early and keep what it has; nil: it cannot.
	enough func()
	over   chan struct{} // closed when it runs no more
	link   *link
}

// errStopped is why an attempt ends that the server told to stop.
var errStopped = errs.New(errs.Cancelled, "attempt.stopped", "the server told the attempt to stop")

func (a *agent) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(keepwardv1connect.NewAgentServiceHandler(&service{a}, connect.WithInterceptors(wire.Errors())))
	mux.Handle(keepwardv1connect.NewInventoryServiceHandler(&service{a}, connect.WithInterceptors(wire.Errors())))
	if a.prober != nil {
		mux.Handle(keepwardv1connect.NewProbeServiceHandler(node.Prober{Node: a.prober}, connect.WithInterceptors(wire.Errors())))
	}
	mux.Handle(keepwardv1connect.NewStandingAgentServiceHandler(&service{a}, connect.WithInterceptors(wire.Errors())))
	mux.Handle(keepwardv1connect.NewAgentUpdateServiceHandler(&updateService{a}, connect.WithInterceptors(wire.Errors())))
	mux.Handle(keepwardv1connect.NewNodeTrafficServiceHandler(&trafficService{a}, connect.WithInterceptors(wire.Errors())))
	return mux
}

func (a *agent) info() *keepwardv1.NodeInfo {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	supply := power.Read(a.ctx)
	info := &keepwardv1.NodeInfo{
		Supply: &keepwardv1.Supply{Battery: supply.Battery, Charge: int32(supply.Charge), Metered: supply.Metered}, Version: a.cfg.Version, Os: runtime.GOOS, Arch: runtime.GOARCH, Hostname: host, Zone: zoneOf(time.Now()),
	}
	if a.listening != nil {
		info.Listen = a.listening()
	}
	return info
}

func (a *agent) attempts() []*keepwardv1.AttemptState {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []*keepwardv1.AttemptState
	for id, at := range a.running {
		out = append(out, &keepwardv1.AttemptState{Attempt: id, Task: at.task})
	}
	return out
}

func (a *agent) drop(id string) { a.stop(id, errStopped) }

// stop stops an attempt if it runs.
func (a *agent) stop(id string, why error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at := a.running[id]; at != nil {
		at.stop(why)
	}
}

// endEarly has an attempt take in no more and keep what it has.
func (a *agent) endEarly(id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := a.running[id]
	switch {
	case at == nil:
		return errs.New(errs.NotFound, "attempt.unknown", "end attempt %s early: it does not run here", id)
	case at.enough == nil:
		return errs.New(errs.Invalid, "attempt.no-early-end", "end attempt %s early: only a backup leaves something that can be kept", id)
	}
	at.enough()
	return nil
}

// endLost ends what an earlier process began and took down with it.
func (a *agent) endLost() {
	lost := errs.New(errs.Unavailable, "agent.restarted", "the agent's process ended while the attempt ran")
	for _, s := range a.reports.Unfinished() {
		a.end(s.GetAttempt(), &keepwardv1.AttemptEnd{Outcome: outcomeFailed, Failure: wire.ToFailure(lost, partAgent)})
	}
}

func (a *agent) end(id string, end *keepwardv1.AttemptEnd) {
	if err := a.reports.End(id, end); err != nil {
		a.log.Error("the end of an attempt could not be kept", "attempt", id, "error", err)
	}
}

// wait returns when no attempt runs any more; none begins after it.
func (a *agent) wait() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.work.Wait()
}

// earlierMost is how long an attempt waits for one before it of the same task: shorter than the
// server waits for the answer to its order.
const earlierMost = 20 * time.Second

// replaced ends attempts of a task that an order is not about, and returns when none of them runs
// any more. The server has cut them off, but one that is held up by a disk may not have noticed, and
// two would write to the same files.
func (a *agent) replaced(ctx context.Context, order *keepwardv1.Order) error {
	late := time.NewTimer(earlierMost)
	defer late.Stop()
	for {
		id, at := a.earlier(order)
		if at == nil {
			return nil
		}
		at.stop(errs.New(errs.Cancelled, "attempt.stopped", "stopped: another attempt of the task begins"))
		select {
		case <-at.over:
		case <-ctx.Done():
			return ctx.Err()
		case <-late.C:
			return errs.New(errs.Busy, "attempt.earlier", "begin attempt %s: attempt %s of the same task was told to end and has not yet", order.GetAttempt(), id).
				WithHint("it waits for a disk or a file system of this computer that does not answer")
		}
	}
}

// earlier is an attempt that runs of the task of an order, and is not its own; nil: there is none.
func (a *agent) earlier(order *keepwardv1.Order) (string, *attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, at := range a.running {
		if at.task == order.GetTask() && id != order.GetAttempt() {
			return id, at
		}
	}
	return "", nil
}

// begin runs an attempt beside the caller. To begin one again that runs is harmless. enough has it
// end early and may be called at any time; nil: it cannot.
func (a *agent) begin(ctx context.Context, order *keepwardv1.Order, enough func(), work gentle.Work, run func(context.Context) *keepwardv1.AttemptEnd) error {
	if err := a.node.CheckTerm(order.GetTerm()); err != nil {
		return err
	}
	if err := a.replaced(ctx, order); err != nil {
		return err
	}
	id := order.GetAttempt()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || a.leaving {
		return errs.New(errs.Unavailable, "agent.stopping", "begin attempt %s: the agent is shutting down", id)
	}
	if a.running[id] != nil {
		return nil
	}
	if err := a.reports.Begin(id, order.GetTask()); err != nil {
		return err
	}
	own, stop := context.WithCancelCause(a.ctx)
	over := make(chan struct{})
	a.running[id] = &attempt{task: order.GetTask(), stop: stop, enough: enough, over: over, link: &link{}}
	a.log.Info("attempt begins", "attempt", id, "task", order.GetTask(), "session", order.GetSession())
	yields := a.pace.Begin(work)
	a.work.Go(func() {
		defer close(over)
		defer stop(nil)
		end := run(own)
		yields()
		// The end is durable before the attempt is no longer among the running ones, so that
		// no heartbeat finds it in neither place.
		a.end(id, end)
		a.log.Info("attempt ended", "attempt", id, "outcome", end.GetOutcome(), "failure", end.GetFailure().GetMessage())
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.running, id)
	})
	return nil
}
