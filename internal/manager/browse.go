package manager

import (
	"context"
	"sync"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/wire"
)

// codeMoverGone is a transport's answer about a mover that it does not have (any more).
const codeMoverGone = "mover.not-found"

// browsers keeps one session of type index-restore for each repository whose file indexes are being
// read: started when it is needed, used again, ended when nobody has asked for a while, which is a
// shorter while where somebody else lacks its stream. Such a session stands in the queue as all do.
type browsers struct {
	m       *Manager
	changed chan struct{} // one signal: the next end may have moved

	mu     sync.Mutex
	byRepo map[string]*browser
	byID   map[string]*browser // until its mover is there, or will not be
}

// browser is one such session, as those that ask see it.
type browser struct {
	id         string // names it in the session's definition
	repository string
	started    chan struct{} // closed when what follows it is set for good

	err       error
	attempt   string
	transport string

	session int64 // 0: not yet submitted; under browsers.mu, as are the next
	users   int
	used    time.Time
	wanted  bool // somebody lacks the stream that it holds
}

func newBrowsers(m *Manager) *browsers {
	return &browsers{m: m, changed: make(chan struct{}, 1), byRepo: map[string]*browser{}, byID: map[string]*browser{}}
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
		b.forget(one)
	}
	return err
}

// acquire waits for a browser of the repository, for as long as somebody who looks at a screen does.
func (b *browsers) acquire(ctx context.Context, repository string) (*browser, error) {
	b.mu.Lock()
	one := b.byRepo[repository]
	starter := one == nil
	if starter {
		one = &browser{id: randomID(), repository: repository, started: make(chan struct{})}
		b.byRepo[repository], b.byID[one.id] = one, one
	}
	one.users++
	b.mu.Unlock()
	if starter {
		b.submit(ctx, one)
	}
	timer := time.NewTimer(b.m.set.BrowseWait)
	defer timer.Stop()
	var err error
	select {
	case <-one.started:
		err = one.err
	case <-timer.C:
		err = b.waiting(one)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		b.release(one)
		return nil, err
	}
	return one, nil
}

// submit starts the session of a browser. It outlives its caller: others wait for it too.
func (b *browsers) submit(ctx context.Context, one *browser) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.m.set.BrowseWait)
	defer cancel()
	id, err := b.session(ctx, one)
	if err != nil {
		b.settle(one.id, "", "", err)
		return
	}
	b.mu.Lock()
	one.session = id
	wanted := b.byRepo[one.repository] == one
	b.mu.Unlock()
	if !wanted { // it was given up meanwhile
		b.m.enough(id)
	}
}

func (b *browsers) session(ctx context.Context, one *browser) (int64, error) {
	r, err := catalog.GetRepository(ctx, b.m.deps.DB.Read(), one.repository)
	if err != nil {
		return 0, err
	}
	if _, err := b.m.transport(r.Transport); err != nil {
		return 0, err // to wait for a host that is off is nothing for who looks at a screen
	}
	return b.m.submit(ctx, request{
		typ: job.IndexRestore, repository: one.repository, by: b.m.user(ctx), computers: []string{""},
		definition: &keepwardv1.BrowseOrder{Repository: one.repository, Browser: one.id},
	})
}

// settle says of a browser that its mover is there, or why it will not be.
func (b *browsers) settle(id, attempt, transport string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	one := b.byID[id]
	if one == nil {
		return
	}
	delete(b.byID, id)
	one.attempt, one.transport, one.err = attempt, transport, err
	if err != nil && b.byRepo[one.repository] == one {
		delete(b.byRepo, one.repository)
	}
	close(one.started)
}

// over notes the end of a browser's session.
func (b *browsers) over(id string, f *keepwardv1.Failure) {
	err := wire.FromFailure(f)
	if err == nil {
		err = errs.New(errs.Unavailable, "browse.ended", "read restore points: the session was ended before it ran")
	}
	b.settle(id, "", "", err)
	b.mu.Lock()
	defer b.mu.Unlock()
	for repository, one := range b.byRepo {
		if one.id == id {
			delete(b.byRepo, repository)
		}
	}
}

// waiting is what somebody is told who has waited long enough. The session goes on waiting.
func (b *browsers) waiting(one *browser) error {
	b.mu.Lock()
	id := one.session
	b.mu.Unlock()
	why := "it is in the queue"
	if s := b.m.liveSession(id); s != nil {
		if text := s.live.Load().GetReason().GetText(); text != "" {
			why = text
		}
	}
	return errs.New(errs.Busy, "browse.waiting", "read restore points of repository %s: session %d waits for it: %s", one.repository, id, why).
		WithHint("ask again: the session keeps its place; keepward session show %d tells more", id)
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

// forget gives a browser up: the next question starts another.
func (b *browsers) forget(one *browser) {
	b.forgetIf(func(other *browser) bool { return other == one })
	b.mu.Lock()
	id := one.session
	b.mu.Unlock()
	b.m.enough(id) // also where another has taken its place already
}

// lost gives up the browsers of a transport that is gone.
func (b *browsers) lost(n Node) {
	b.forgetIf(func(one *browser) bool { return one.transport != "" && transportOf(one.transport) == n })
}

// makeRoom has the browser of a repository end sooner: somebody lacks its stream.
func (b *browsers) makeRoom(repository string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if one := b.byRepo[repository]; one != nil && !one.wanted {
		one.wanted = true
		b.signal()
	}
}

// forgetIf takes browsers out, before anybody can ask them again, and ends their sessions.
func (b *browsers) forgetIf(which func(*browser) bool) {
	b.mu.Lock()
	var ids []int64
	for repository, one := range b.byRepo {
		if which(one) {
			delete(b.byRepo, repository)
			ids = append(ids, one.session)
		}
	}
	b.mu.Unlock()
	for _, id := range ids {
		b.m.enough(id)
	}
}

// serve ends sessions that nobody has asked anything for a while.
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
		now := time.Now()
		b.forgetIf(func(one *browser) bool { return one.users == 0 && !b.idleAt(one).After(now) })
		timer.Stop()
		if next := b.next(); !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// browseLinger is how long a browser whose stream is wanted is kept without a question: who reads
// one folder after the other must not take the stream from the same session each time.
const browseLinger = 30 * time.Second

// idleAt is until when a browser is kept that nobody asks.
func (b *browsers) idleAt(one *browser) time.Time {
	if one.wanted {
		return one.used.Add(min(browseLinger, b.m.set.BrowseIdle))
	}
	return one.used.Add(b.m.set.BrowseIdle)
}

// next is when the next browser may have to end.
func (b *browsers) next() (next time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, one := range b.byRepo {
		if one.users == 0 {
			next = earliest(next, b.idleAt(one))
		}
	}
	return next
}

// enough tells the session of a browser that nobody needs it any more.
func (m *Manager) enough(session int64) {
	if s := m.liveSession(session); s != nil {
		s.post("", evEnough{})
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
