package manager

import (
	"context"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
)

// codeMoverGone is a transport's answer about a mover that it does not have (any more).
const codeMoverGone = "mover.not-found"

// browsers keeps one mover for each repository whose file indexes are being read: started
// when it is needed, used again, ended when nobody has asked for a while.
type browsers struct {
	m       *Manager
	changed chan struct{} // one signal: the next end may have moved

	mu     sync.Mutex
	byRepo map[string]*browser
}

// browser is one such mover.
type browser struct {
	attempt   string
	transport string
	started   chan struct{} // closed when err is set for good
	err       error
	users     int
	used      time.Time
}

func newBrowsers(m *Manager) *browsers {
	return &browsers{m: m, changed: make(chan struct{}, 1), byRepo: map[string]*browser{}}
}

// with calls fn with a mover that reads the repository. A mover that turns out to be gone is
// started anew, once.
func (b *browsers) with(ctx context.Context, repository string, fn func(t transportClient, attempt string) error) error {
	var err error
	for range 2 {
		var one *browser
		if one, err = b.acquire(ctx, repository); err != nil {
			return err
		}
		var t transportClient
		if t, err = b.m.transport(one.transport); err == nil {
			err = fn(t, one.attempt)
		}
		b.release(one)
		if errs.KindOf(err) != errs.Unavailable && errs.CodeOf(err) != codeMoverGone {
			return err
		}
		b.forget(repository, one)
	}
	return err
}

func (b *browsers) acquire(ctx context.Context, repository string) (*browser, error) {
	b.mu.Lock()
	one := b.byRepo[repository]
	starter := one == nil
	if starter {
		one = &browser{attempt: randomID(), started: make(chan struct{})}
		b.byRepo[repository] = one
	}
	one.users++
	b.mu.Unlock()
	if starter {
		one.err = b.start(ctx, repository, one)
		close(one.started)
	}
	select {
	case <-one.started:
	case <-ctx.Done():
		b.release(one)
		return nil, ctx.Err()
	}
	if one.err != nil {
		b.release(one)
		b.forget(repository, one)
		return nil, one.err
	}
	return one, nil
}

// start starts a browser's mover. The call outlives its caller: others wait for it too.
func (b *browsers) start(ctx context.Context, repository string, one *browser) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.m.set.Order)
	defer cancel()
	k, err := b.m.keysOf(ctx, repository)
	if err != nil {
		return err
	}
	b.mu.Lock()
	one.transport = k.repository.Transport
	b.mu.Unlock()
	t, err := b.m.transport(k.repository.Transport)
	if err != nil {
		return err
	}
	_, err = t.StartMover(ctx, connect.NewRequest(&keepwardv1.StartMoverRequest{
		Order: &keepwardv1.Order{Attempt: one.attempt, Task: one.attempt, Term: b.m.deps.Term(), Owner: b.m.deps.Owner},
		Mode:  modeBrowse, RepositoryPath: k.repository.Path, Keys: k.forAll(), AgentWait: durationpb.New(b.m.set.AgentWait),
	}))
	return err
}

func (b *browsers) release(one *browser) {
	b.mu.Lock()
	defer b.mu.Unlock()
	one.users--
	one.used = time.Now()
	b.signal()
}

func (b *browsers) signal() {
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// forget gives a browser up, unless another has taken its place already.
func (b *browsers) forget(repository string, one *browser) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byRepo[repository] == one {
		delete(b.byRepo, repository)
	}
}

// owns tells whether an attempt is a browser in use.
func (b *browsers) owns(attempt string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, one := range b.byRepo {
		if one.attempt == attempt {
			return true
		}
	}
	return false
}

// ended forgets a browser whose mover is gone, as its transport says, and tells whether there
// was one.
func (b *browsers) ended(n Node, attempt string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for repository, one := range b.byRepo {
		if one.attempt == attempt && transportOf(one.transport) == n {
			delete(b.byRepo, repository)
			return true
		}
	}
	return false
}

// lost forgets the browsers of a transport that is gone; when it is back it is told to drop
// what is left of them.
func (b *browsers) lost(n Node) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for repository, one := range b.byRepo {
		if transportOf(one.transport) == n {
			delete(b.byRepo, repository)
		}
	}
}

// serve ends movers that nobody has asked anything for a while.
func (b *browsers) serve(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-b.changed:
		case <-timer.C:
		}
		idle, next := b.idle(time.Now())
		for _, one := range idle {
			b.stop(ctx, one)
		}
		timer.Stop()
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// idle takes out the browsers that are to end, and answers when the next one may be.
func (b *browsers) idle(now time.Time) (idle []*browser, next time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for repository, one := range b.byRepo {
		end := one.used.Add(b.m.set.BrowseIdle)
		switch {
		case one.users > 0:
		case end.After(now):
			next = earliest(next, end)
		default:
			delete(b.byRepo, repository)
			idle = append(idle, one)
		}
	}
	return idle, next
}

func (b *browsers) stop(ctx context.Context, one *browser) {
	ctx, cancel := context.WithTimeout(ctx, b.m.set.Order)
	defer cancel()
	t, err := b.m.transport(one.transport)
	if err != nil {
		return // its next heartbeat names the mover, and is told to drop it
	}
	_, err = t.StopMover(ctx, connect.NewRequest(&keepwardv1.StopMoverRequest{
		Order: &keepwardv1.Order{Attempt: one.attempt, Task: one.attempt, Term: b.m.deps.Term(), Owner: b.m.deps.Owner}, Reason: "idle",
	}))
	if err != nil {
		b.m.log.Warn("browse mover not stopped", "transport", one.transport, "attempt", one.attempt, "error", err)
	}
}

// keyOf is the point as a browse mover is asked for it: with the key of its computer.
func (m *Manager) keyOf(ctx context.Context, p *keepwardv1.Point) (*keepwardv1.PointKey, error) {
	r, err := catalog.GetRepository(ctx, m.deps.DB.Read(), p.GetRepository())
	if err != nil {
		return nil, err
	}
	master, err := m.deps.Master(r)
	if err != nil {
		return nil, err
	}
	return &keepwardv1.PointKey{Point: p.GetId(), ComputerKey: (&repositoryKeys{r, master}).computer(p.GetComputer())}, nil
}
