package mover

import (
	"bytes"
	"context"
	"errors"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/durable"
	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/seal"
	"keepward/internal/storage"
	"keepward/internal/wire"
)

// task is the one task of a mover.
type task struct {
	order   *order
	keys    *seal.Keys
	repo    *repo.Repository
	events  *events
	state   State
	control *control
	agents  []net.Listener
	rates   rates

	refusals atomic.Int64 // connections that were not let in
	told     int          // conditions of the repository that were logged; before and after the work

	mu       sync.Mutex
	phase    string
	counters *keepwardv1.Counters
	stop     context.CancelCauseFunc
	stopped  error // the first order to stop
	end      *keepwardv1.AttemptEnd
}

// start opens everything; when it returns, the mover listens. What it opened is closed by
// close, also after an error.
func start(ctx context.Context, o *order) (t *task, err error) {
	t = &task{order: o, phase: "connect", counters: &keepwardv1.Counters{}}
	t.state = State{
		Attempt: o.attempt.String(), Task: o.GetStart().GetOrder().GetTask(),
		Session: o.GetStart().GetOrder().GetSession(), Mode: o.GetStart().GetMode(),
	}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	if err := t.stamp(); err != nil {
		return t, err
	}
	// From here on a transport that dies finds this process.
	if err := t.writeState(); err != nil {
		return t, err
	}
	if t.events, err = openEvents(o.GetDirectory()); err != nil {
		return t, err
	}
	if err := t.openRepository(ctx); err != nil {
		return t, err
	}
	if o.serves() {
		if err := t.listen(); err != nil {
			return t, err
		}
	}
	if t.control, err = newControl(t); err != nil {
		return t, err
	}
	return t, t.writeState()
}

func (t *task) openRepository(ctx context.Context) error {
	var err error
	if t.keys, err = wire.KeysFromProto(t.order.GetStart().GetKeys()); err != nil {
		return err
	}
	backend, err := storage.OpenDir(t.order.GetStart().GetRepositoryPath())
	if err != nil {
		return err
	}
	t.rates.set(t.order.GetStart().GetRates())
	backend.Hold(t.rates.reading, t.rates.writing)
	if t.repo, err = repo.Open(ctx, backend); err != nil {
		return err
	}
	if t.repo.Config().ID != t.keys.RepositoryID {
		return errs.New(errs.Invalid, "repository.other", "open repository %s: another repository is there now", backend.Location()).
			WithHint("check what is mounted at that path")
	}
	if err := t.obey(ctx); err != nil {
		return err
	}
	t.tellConditions()
	return nil
}

// tellConditions logs what the repository has found amiss since the last time.
func (t *task) tellConditions() {
	all := t.repo.Conditions()
	for _, c := range all[min(t.told, len(all)):] {
		t.events.add("warning", c.Code, c.Object+": "+c.Text)
	}
	t.told = len(all)
}

// obey makes sure that the order comes from the owner of the repository: a server that was
// replaced, or is a clone of the owner, must not go on as if it were.
func (t *task) obey(ctx context.Context) error {
	owner, err := t.repo.Owner(ctx)
	if errs.KindOf(err) == errs.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	o := t.order.GetStart().GetOrder()
	if owner.Term > o.GetTerm() || owner.Term == o.GetTerm() && len(owner.Server) > 0 && !bytes.Equal(owner.Server, o.GetOwner()) {
		return errs.New(errs.Denied, "repository.owner", "open repository %s: another server owns it, by term %d; the order is of term %d", t.repo.Backend().Location(), owner.Term, o.GetTerm()).
			WithHint("only one server may decide about a repository; to make this one the owner: keepward repository take-over NAME")
	}
	return nil
}

// listen opens the doors for the agent: a port, and where it can be had a unix socket.
func (t *task) listen() error {
	if len(t.order.GetStart().GetAgentAddresses()) == 0 { // else the agent waits, and the mover dials
		l, err := Listen(t.order.GetListen())
		if err != nil {
			return err
		}
		t.agents = append(t.agents, l)
		t.state.Address = l.Addr().String()
	}
	path := filepath.Join(t.order.GetDirectory(), SocketAgent)
	if u, err := wire.ListenUnix(path); err == nil {
		t.agents = append(t.agents, u)
		t.state.Socket = path
	}
	return nil
}

// run does the work of the mode and answers how it ended.
func (t *task) run(ctx context.Context) *keepwardv1.AttemptEnd {
	term, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	t.mu.Lock()
	t.stop = cancel
	if t.stopped != nil {
		cancel(t.stopped)
	}
	t.mu.Unlock()
	var served sync.WaitGroup
	served.Go(t.control.serve)
	defer served.Wait()
	defer t.control.close()
	end := &keepwardv1.AttemptEnd{}
	var err error
	switch t.order.GetStart().GetMode() {
	case ModeBackup:
		err = t.backup(term, end)
	case ModeRestore:
		err = t.restore(term)
	case ModeBrowse:
		err = t.browse(term)
	case ModeCheck:
		err = t.check(term, end)
	case ModeRebuild:
		err = t.rebuild(term, end)
	case ModeSweep:
		err = t.sweep(term, end)
	case ModeReconcile:
		err = t.reconcile(term, end)
	}
	t.tellConditions()
	end = t.outcome(term, end, err)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = end // before the control socket closes, which says it last
	return end
}

// outcome puts the end into words.
func (t *task) outcome(ctx context.Context, end *keepwardv1.AttemptEnd, err error) *keepwardv1.AttemptEnd {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = stopReason(ctx)
	}
	end.Failure = wire.ToFailure(err, "mover")
	switch {
	case err == nil:
		end.Outcome = OutcomeDone
	case errs.KindOf(err) == errs.Cancelled:
		end.Outcome = OutcomeAborted
	default:
		end.Outcome = OutcomeFailed
	}
	var abort *wire.AbortError
	if errors.As(err, &abort) || errs.CodeOf(err) == "agent.lost" {
		end.Failure.Part = "agent"
	}
	end.Counters = t.progress().GetCounters()
	if end.Point != nil {
		end.Point.Counters = end.GetCounters()
	}
	return end
}

// conclude puts the end on disk. Without it the transport has to call the mover lost, so a
// full disk is tried for a while.
func (t *task) conclude(end *keepwardv1.AttemptEnd) error {
	b, err := proto.Marshal(end)
	if err != nil {
		return errs.New(errs.Internal, "", "write mover's end: %w", err)
	}
	const tries = 10
	for i := range tries {
		if err = durable.WriteFile(filepath.Join(t.order.GetDirectory(), FileEnd), b, 0o600); err == nil {
			return nil
		}
		if i < tries-1 {
			time.Sleep(time.Second)
		}
	}
	return errs.New(errs.KindOf(err), "mover.end", "write mover's end: %w", err)
}

// quit asks the task to end; the first reason counts.
func (t *task) quit(reason error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped == nil {
		t.stopped = reason
	}
	if t.stop != nil {
		t.stop(t.stopped)
	}
	t.rates.letGo()
}

func (t *task) enter(phase string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.phase = phase
}

// count changes the counters under the lock.
func (t *task) count(change func(*keepwardv1.Counters)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(t.counters)
}

// progress is a copy of phase and counters as of now.
func (t *task) progress() *keepwardv1.Progress {
	peak, cpu := usage()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counters.PeakRssBytes, t.counters.CpuMillis = peak, cpu.Milliseconds()
	return &keepwardv1.Progress{Phase: t.phase, Counters: proto.CloneOf(t.counters), Meter: t.rates.meter()}
}

func (t *task) close() {
	for _, l := range t.agents {
		_ = l.Close()
	}
	if t.control != nil {
		t.control.close()
	}
	if t.repo != nil {
		_ = t.repo.Close()
	}
	if t.events != nil {
		t.events.close()
	}
}
