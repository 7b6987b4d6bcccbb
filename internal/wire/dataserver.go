package wire

import (
	"context"
	"crypto/rand"
	"net"
	"sync"
	"time"

	"keepward/internal/errs"
	"keepward/internal/rate"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// DataHandler is what a mover does with the requests of its one task.
//
// Put, Checkpoint and Commit are called one at a time, in the order in which they were
// sent; the others at any time from several goroutines.
type DataHandler interface {
	// Have answers for every h whether the task may rely on the repository having it.
	Have(ctx context.Context, hs []seal.H) ([]bool, error)
	// Put takes one record, which is only valid during the call. An error ends the session.
	Put(ctx context.Context, record []byte) error
	// Get answers the record called id, in dst's memory if that is large enough.
	Get(ctx context.Context, id seal.ID, dst []byte) ([]byte, error)
	// Point answers a restore point or checkpoint object.
	Point(ctx context.Context, name string) ([]byte, error)
	// Checkpoint makes durable what was put and records an unfinished point.
	Checkpoint(ctx context.Context, d point.Draft) error
	// Commit makes durable what was put and then the point.
	Commit(ctx context.Context, d point.Draft) error
}

// Refusal is a connection that was not let in.
type Refusal struct {
	Address string
	Peer    string // role and name, if a certificate told
	Err     error
}

// Arrival is a connection that was let in.
type Arrival struct {
	Address string
	Own     string // address of this end
	Peer    string
	Local   bool // over the unix socket
	Again   bool // the same session after a lost connection
	Dialled bool // by the mover
	// Connections that the session has now.
	Connections int
}

// DataServerConfig is what a mover knows of its one session.
type DataServerConfig struct {
	Credentials Credentials
	// Agent is the certificate name of the only one let in.
	Agent   string
	Attempt point.Attempt
	TaskKey seal.Secret
	// Wait bounds how long the agent may be away, at first and after a lost connection.
	Wait time.Duration
	// Heartbeat is the site's, as the agent is told; zero: the default.
	Heartbeat time.Duration
	// Dial are the addresses of an agent that waits for this mover; none: the agent dials.
	Dial []string
	// Empty: the repository has no chunk yet.
	Empty bool
	// Refused and Arrived are told of connections; they must not block.
	Refused func(Refusal)
	Arrived func(Arrival)
	// Limit is what is sent held to, unless the agent is on this host; nil: to nothing.
	Limit *rate.Limit

	timing timing // for tests; zero: the defaults
}

const (
	// dataCredit bounds the bytes of puts in flight: enough for a gigabit over 250 ms.
	dataCredit = 32 << 20
	// takenEvery is how many bytes are taken between two acknowledgements.
	takenEvery = 1 << 20
	// maxStrangers bounds the connections that are being looked at.
	maxStrangers = 16
	// waitCommitted is how long a session whose work is committed waits for a lost agent,
	// which could only hear so.
	waitCommitted = 15 * time.Second
)

// DataServer is the mover's end of a data connection: one session with one agent.
type DataServer struct {
	cfg     DataServerConfig
	handler DataHandler

	conns     sync.WaitGroup
	strangers chan struct{} // one slot a connection that is being looked at
	ordered   *queue[orderedItem]
	changed   chan struct{}   // capacity 1: the session gained or lost its connection
	over      context.Context // done when the session is
	end       context.CancelCauseFunc

	mu        sync.Mutex
	nonce     seal.Secret
	begun     bool // the task key is used up
	conn      *dataConn
	unreached error  // why the agent was not reached the last time
	received  uint64 // puts
	taken     uint64
	durable   uint64
	backlog   int64 // bytes received and not taken
	unsaid    int64 // bytes taken and not acknowledged
	committed bool
	answers   map[uint64]*orderedAnswer
}

// orderedItem is a put, checkpoint, commit or bye in the order of its arrival.
type orderedItem struct {
	kind    kind
	request uint64
	buf     *buffer
	draft   point.Draft
}

// orderedAnswer is kept for the whole session: an agent that lost its connection asks again
// under the same number and must not have it done twice.
type orderedAnswer struct {
	done bool
	err  error
}

// errBye is the cause of a session that ended in order.
var errBye = errs.New(errs.Cancelled, "", "session ended")

// AbortError is how a session ends whose agent gave up: Err is the agent's reason.
type AbortError struct{ Err error }

func (e *AbortError) Error() string { return e.Err.Error() }
func (e *AbortError) Unwrap() error { return e.Err }

// NewDataServer makes the server of one session.
func NewDataServer(cfg DataServerConfig, handler DataHandler) *DataServer {
	if cfg.timing == (timing{}) {
		cfg.timing = timingOf(cfg.Heartbeat)
	}
	s := &DataServer{
		cfg: cfg, handler: handler,
		strangers: make(chan struct{}, maxStrangers),
		ordered:   newQueue[orderedItem](),
		changed:   make(chan struct{}, 1),
		answers:   map[uint64]*orderedAnswer{},
	}
	// Stop may come before Serve.
	s.over, s.end = context.WithCancelCause(context.Background())
	_, _ = rand.Read(s.nonce[:]) // documented never to fail
	return s
}

// Serve lets the agent in on any of the listeners and answers its requests until it says
// bye (nil), gives up, stays away too long, the handler fails, or caller is done. It closes the
// listeners.
func (s *DataServer) Serve(caller context.Context, listeners ...net.Listener) error {
	unhook := context.AfterFunc(caller, func() { s.end(context.Cause(caller)) })
	defer unhook()
	ctx := s.over
	var own sync.WaitGroup
	for _, l := range listeners {
		own.Go(func() { s.accept(ctx, l) })
	}
	own.Go(func() { s.work(ctx) })
	own.Go(func() { s.watch(ctx) })
	if len(s.cfg.Dial) > 0 {
		own.Go(func() { s.callAgent(ctx) })
	}
	<-ctx.Done()
	for _, l := range listeners {
		_ = l.Close()
	}
	s.ordered.close()
	own.Wait()
	s.conns.Wait()
	if cause := context.Cause(ctx); cause != errBye {
		return cause
	}
	return nil
}

// fail tells the agent why and ends the session; the first cause counts.
func (s *DataServer) fail(err error) {
	s.mu.Lock()
	if s.conn != nil {
		s.conn.failure(0, err)
	}
	s.mu.Unlock()
	s.end(err)
}

// Stop ends the session for a reason that the agent is told.
func (s *DataServer) Stop(err error) { s.fail(err) }

// watch ends the session if the agent is away too long.
func (s *DataServer) watch(ctx context.Context) {
	timer := time.NewTimer(s.cfg.Wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
			s.mu.Lock()
			here, committed := s.conn != nil, s.committed
			s.mu.Unlock()
			timer.Stop()
			if !here && committed {
				timer.Reset(min(s.cfg.Wait, waitCommitted))
			} else if !here {
				timer.Reset(s.cfg.Wait)
			}
		case <-timer.C:
			s.mu.Lock()
			begun, unreached := s.begun, s.unreached
			s.mu.Unlock()
			if len(s.cfg.Dial) > 0 {
				s.end(s.notReached(unreached))
				return
			}
			what := "did not connect"
			if begun {
				what = "did not come back"
			}
			lost := errs.New(errs.Unavailable, "agent.lost", "wait for agent %s: it %s within %v", s.cfg.Agent, what, s.cfg.Wait)
			if !begun {
				lost = lost.WithHint(reachHint)
			}
			s.end(lost)
			return
		}
	}
}

// work does what must be done in order.
func (s *DataServer) work(ctx context.Context) {
	for {
		item, ok := s.ordered.pop()
		if !ok {
			return
		}
		switch item.kind {
		case kindPut:
			if err := s.handler.Put(ctx, item.buf.b); err != nil {
				s.fail(err)
				return
			}
			s.tookPut(int64(len(item.buf.b)))
			item.buf.free()
		case kindCheckpoint:
			s.answer(item.request, s.handler.Checkpoint(ctx, item.draft))
		case kindCommit:
			err := s.handler.Commit(ctx, item.draft)
			if err == nil {
				s.mu.Lock()
				s.committed = true
				s.mu.Unlock()
			}
			s.answer(item.request, err)
		case kindBye:
			s.mu.Lock()
			if s.conn != nil {
				s.conn.fc.send(outFrame{header: header{kind: kindBye}})
			}
			s.mu.Unlock()
			s.end(errBye)
			return
		}
	}
}

func (s *DataServer) tookPut(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken++
	s.backlog -= n
	s.unsaid += n
	if s.unsaid >= takenEvery || s.backlog == 0 {
		s.sayTaken()
	}
}

// sayTaken is called with the lock held.
func (s *DataServer) sayTaken() {
	s.unsaid = 0
	if s.conn != nil {
		s.conn.taken(s.taken, s.durable)
	}
}

func (s *DataServer) answer(request uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.answers[request]
	a.done, a.err = true, err
	if err == nil {
		s.durable = s.taken
		s.sayTaken()
	}
	if s.conn != nil {
		s.conn.result(request, err)
	}
}
