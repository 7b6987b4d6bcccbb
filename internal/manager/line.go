package manager

import (
	"context"
	"slices"
	"sync"
	"time"
)

// This file is how sessions get to work: one that has mail is lined up, a worker takes it, reads
// its mail and lets it go again. A session that waits has no goroutine, so that a hundred thousand
// of them cost their memory and nothing else.

// workers is how many sessions work at once. They mostly wait for the catalog, which writes for
// all that wait with one sync: as many as share one.
const workers = 64

// line is the sessions that have mail and that nobody works on, in the order in which it came:
// first those with a letter that somebody or something waits for. A session may stand in both
// lists; who comes to it second finds nothing to do.
type line struct {
	mu     sync.Mutex
	urgent []*session
	others []*session
	// ready has a signal for every session that came, as many as there are workers at most: a
	// worker goes on until nobody is left.
	ready chan struct{}
}

func newLine() *line { return &line{ready: make(chan struct{}, workers)} }

func (l *line) add(s *session, at place) {
	l.mu.Lock()
	switch at {
	case urgent:
		l.urgent = append(l.urgent, s)
	case usual:
		l.others = append(l.others, s)
	}
	l.mu.Unlock()
	select {
	case l.ready <- struct{}{}:
	default:
	}
}

// next is the first session in the line, which leaves it, and where it stood; nil: there is none.
func (l *line) next() (*session, place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := first(&l.urgent); s != nil {
		return s, urgent
	}
	return first(&l.others), usual
}

func first(list *[]*session) *session {
	if len(*list) == 0 {
		*list = nil // the memory of a long line is not kept for the next
		return nil
	}
	s := (*list)[0]
	(*list)[0] = nil
	*list = (*list)[1:]
	return s
}

// work is one worker.
func (m *Manager) work(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-m.line.ready:
		}
		for s, at := m.line.next(); s != nil; s, at = m.line.next() {
			if s.work(ctx, at); ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
}

// place is where in the line a session stands, or is to stand.
type place int

const (
	nowhere place = iota
	urgent
	usual
)

// urgent tells whether somebody waits for the answer, or resources for their use: a stream that
// was given must not stand idle behind a hundred thousand sessions whose transport has come online.
func (l letter) urgent() bool {
	switch l.ev.(type) {
	case evGrantNote, evInterrupt:
		return true
	}
	return l.done != nil
}

// inbox is a session's mail. Who posts never waits: it may hold a lock or be the reader itself. It
// is bounded by what its writers wait for: nodes wait for the answer to a report, and a deed under
// way posts once.
type inbox struct {
	mu      sync.Mutex
	letters []letter
	closed  bool
	working bool // somebody reads: he looks for more when he is done
	urgent  bool // the session stands in this list of the line
	usual   bool // likewise
}

// post adds a letter. It tells whether anybody will read it, and where the session must be lined
// up for that.
func (b *inbox) post(l letter) (took bool, at place) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false, nowhere
	}
	b.letters = append(b.letters, l)
	if b.working {
		return true, nowhere
	}
	return true, b.lineUp(l.urgent())
}

// lineUp is where the session must be lined up now, who may stand there already.
func (b *inbox) lineUp(soon bool) place {
	switch {
	case b.urgent, b.usual && !soon:
		return nowhere
	case soon:
		b.urgent = true
		return urgent
	}
	b.usual = true
	return usual
}

// begin empties the inbox for a worker who found the session in the line; nothing where another
// has been quicker.
func (b *inbox) begin(at place) []letter {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at == urgent {
		b.urgent = false
	} else {
		b.usual = false
	}
	if b.working || len(b.letters) == 0 {
		return nil
	}
	b.working = true
	letters := b.letters
	b.letters = nil
	return letters
}

// rest ends a worker's work, and says where the session must be lined up if more has come.
func (b *inbox) rest() place {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.working = false
	if len(b.letters) == 0 {
		return nowhere
	}
	return b.lineUp(slices.ContainsFunc(b.letters, letter.urgent))
}

// close empties the inbox and refuses what comes after.
func (b *inbox) close() []letter {
	b.mu.Lock()
	defer b.mu.Unlock()
	letters := b.letters
	b.closed, b.letters = true, nil
	return letters
}

// send hands the session a letter, and tells whether it still takes any.
func (s *session) send(l letter) bool {
	took, at := s.mail.post(l)
	if at != nowhere {
		s.m.line.add(s, at)
	}
	return took
}

// work reads the session's mail. Only one worker has a session at a time.
func (s *session) work(ctx context.Context, at place) {
	letters := s.mail.begin(at)
	if len(letters) == 0 {
		return
	}
	for _, l := range letters {
		switch l.ev.(type) {
		case evShow:
			s.seen.timer = nil
			continue
		case evTick:
			s.overdue(ctx)
		}
		s.deliver(ctx, l)
	}
	if s.row.Status.Final() {
		s.publish(true)
		s.finish()
		return
	}
	s.publish(false)
	s.arm()
	if at := s.mail.rest(); at != nowhere {
		s.m.line.add(s, at)
	}
}

// finish ends a session whose tasks are over.
func (s *session) finish() {
	s.m.forget(s)
	s.close(nil)
	s.m.noteOver(s)
	s.m.afterSession(s)
	s.m.followUp(s)
	if !s.row.RetryAt.IsZero() {
		s.m.noteRetry()
	}
}

// close refuses further letters; those that are waiting are told to come again, by the way
// for sessions that are over.
func (s *session) close(err error) {
	if err == nil {
		err = errClosed
	}
	for _, l := range s.mail.close() {
		if l.done != nil {
			l.done <- err
		}
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	if s.seen.timer != nil {
		s.seen.timer.Stop()
	}
	if s.hangUp != nil {
		s.hangUp()
	}
}

// arm has the session looked at when the next of its deadlines is over.
func (s *session) arm() {
	next := s.overdueAt()
	for _, t := range s.tasks {
		next = earliest(next, t.deadline(s.m.settings()))
	}
	switch {
	case next.IsZero() && s.timer != nil:
		s.timer.Stop()
	case next.IsZero():
	case s.timer == nil:
		s.timer = time.AfterFunc(time.Until(next), func() { s.post("", evTick{}) })
	default:
		s.timer.Reset(time.Until(next))
	}
}

// beside makes a call beside the session. Its context ends with the session, if not before.
func (s *session) beside(ctx context.Context, call func(ctx context.Context)) {
	ctx = s.callsIn(ctx)
	s.m.calls.Go(func() { call(ctx) })
}

// callsIn is the context of the session's calls.
func (s *session) callsIn(ctx context.Context) context.Context {
	if s.calling == nil {
		s.calling, s.hangUp = context.WithCancel(ctx)
	}
	return s.calling
}

// closeAll ends what is left when the manager's work is over: the catalog has it.
func (m *Manager) closeAll(err error) {
	m.mu.Lock()
	left := make([]*session, 0, len(m.live))
	for _, s := range m.live {
		left = append(left, s)
	}
	m.mu.Unlock()
	for _, s := range left {
		s.close(err)
	}
	m.calls.Wait()
}
