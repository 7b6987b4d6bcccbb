package wire

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/rate"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// DialConfig is what an agent knows of its mover.
type DialConfig struct {
	Credentials Credentials
	Endpoint    *keepwardv1.MoverEndpoint
	Attempt     string // 32 hex digits
	// Connected is told how a connection was made, also of each that was made again; it
	// must not block.
	Connected func(Arrival)
	// Door is where a mover calls that dials; nil: the agent does not wait for any.
	Door *Door
	// Limit is what is sent held to, unless the mover is on this host; nil: to nothing.
	Limit  *rate.Limit
	Logger *slog.Logger

	timing    timing        // for tests; zero: the defaults
	reconnect time.Duration // for tests; zero: reconnectFor
}

const (
	// recordWindow bounds the bytes of records on their way to an agent.
	recordWindow = 32 << 20
	// creditEvery is how many bytes are consumed between two credits.
	creditEvery = 1 << 20
	// closeTimeout bounds the orderly end.
	closeTimeout = 30 * time.Second
)

// DataClient is the agent's end of a data connection. A lost connection is made again
// behind the callers' backs; they see an error only when that fails for good. After an
// error of Put every call answers it.
type DataClient struct {
	cfg     DialConfig
	attempt point.Attempt
	key     seal.Secret

	credit *semaphore.Weighted // bytes of puts the mover can hold
	slots  *semaphore.Weighted // requests
	done   context.Context     // over when the session is
	end    context.CancelCauseFunc
	own    sync.WaitGroup

	calls *expectation // of a mover that dials; nil: this end does

	sent  atomic.Int64 // bytes of records put
	empty bool         // the repository was, at the beginning

	mu       sync.Mutex
	nonce    seal.Secret
	conn     *frameConn // nil while there is none
	puts     []pendingPut
	seq      uint64 // of the last put
	taken    uint64
	durable  uint64
	requests map[uint64]*request
	number   uint64 // of the last request
	bye      bool
}

// pendingPut is a put the mover has not taken: it is sent again on a new connection.
type pendingPut struct {
	seq uint64
	buf *buffer
}

// request waits for an answer; it is sent again on a new connection.
type request struct {
	kind    kind
	body    []byte
	answer  chan answer // one answer; room for it, so that reading never waits
	records chan record // of a get: room for all
	// missing are the indexes of a get's ids not yet answered, in the order of the newest
	// sending; guarded by DataClient.mu.
	missing []int
	ids     []seal.ID
	got     []bool
}

type answer struct {
	body []byte
	err  error
}

type record struct {
	index int
	buf   *buffer
	from  *frameConn // whose window it used
}

// DialData connects to the task's mover: over its unix socket when the mover is on this
// host, else by TLS. ctx bounds the dialling only.
func DialData(ctx context.Context, cfg DialConfig) (*DataClient, error) {
	attempt, err := point.ParseAttempt(cfg.Attempt)
	if err != nil {
		return nil, err
	}
	key := cfg.Endpoint.GetTaskKey()
	if len(key) != len(seal.Secret{}) {
		return nil, errs.New(errs.Invalid, "order.key", "connect to the mover: the order has no task key")
	}
	if cfg.timing == (timing{}) {
		cfg.timing = timingOf(cfg.Endpoint.GetHeartbeat().AsDuration())
	}
	if cfg.reconnect == 0 {
		cfg.reconnect = reconnectFor(cfg.Endpoint.GetHeartbeat().AsDuration())
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c := &DataClient{cfg: cfg, attempt: attempt, key: seal.Secret(key), slots: semaphore.NewWeighted(maxRequests / 2), requests: map[uint64]*request{}}
	c.done, c.end = context.WithCancelCause(context.Background())
	forget, err := c.expect()
	if err != nil {
		return nil, err
	}
	fc, w, err := c.dial(ctx)
	if err != nil {
		forget()
		c.end(err)
		return nil, err
	}
	c.nonce, c.empty = w.nonce, w.capabilities&capabilityEmpty != 0
	c.credit = semaphore.NewWeighted(int64(w.credit))
	c.resume(fc, w)
	c.own.Go(func() {
		defer forget()
		c.run(fc)
	})
	return c, nil
}

// Sent is how many bytes of records were put.
func (c *DataClient) Sent() int64 { return c.sent.Load() }

// Local tells whether the mover was reached on this host.
func (c *DataClient) Local() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn != nil && c.conn.low == nil
}

// Empty tells whether the repository had no chunk when the session began.
func (c *DataClient) Empty() bool { return c.empty }

// Durable is how many puts the mover has said to be durable.
func (c *DataClient) Durable() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.durable
}

// Have answers for each h whether the repository has the chunk and this task may rely on it.
func (c *DataClient) Have(ctx context.Context, hs []seal.H) ([]bool, error) {
	if len(hs) > MaxHave {
		return nil, errs.New(errs.Internal, "", "ask for %d chunks at once, %d are allowed", len(hs), MaxHave)
	}
	if len(hs) == 0 {
		return nil, nil
	}
	bits, err := c.call(ctx, kindHave, appendIDs(make([]byte, 0, len(hs)*idSize), hs))
	if err != nil {
		return nil, err
	}
	if len(bits) != (len(hs)+7)/8 {
		return nil, protocolError("%d bytes answer %d hashes", len(bits), len(hs))
	}
	have := make([]bool, len(hs))
	for i := range have {
		have[i] = bits[i/8]&(1<<(i%8)) != 0
	}
	return have, nil
}

// Put queues one sealed record, as soon as the mover's credit allows. The record may be
// reused after it returns. Its failure may only show in a later call.
func (c *DataClient) Put(ctx context.Context, rec []byte) error {
	if len(rec) > seal.MaxRecord {
		return errs.New(errs.Internal, "", "put record of %d bytes, %d are allowed", len(rec), seal.MaxRecord)
	}
	if err := c.acquire(ctx, c.credit, int64(len(rec))); err != nil {
		return err
	}
	buf := newBuffer(len(rec))
	copy(buf.b, rec)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	c.puts = append(c.puts, pendingPut{c.seq, buf})
	c.sent.Add(int64(len(rec)))
	if c.conn != nil {
		c.conn.send(outFrame{header: header{kind: kindPut, request: c.seq}, body: buf.b})
	}
	return nil
}

// acquire waits for room, for ctx, or for the end of the session.
func (c *DataClient) acquire(ctx context.Context, s *semaphore.Weighted, n int64) error {
	if err := c.failed(); err != nil {
		return err
	}
	if s.TryAcquire(n) {
		return nil
	}
	both, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(c.done, cancel)
	defer stop()
	if err := s.Acquire(both, n); err != nil {
		if ferr := c.failed(); ferr != nil {
			return ferr
		}
		return errs.New(errs.KindOf(err), "", "wait for the mover: %w", err)
	}
	return nil
}

func (c *DataClient) failed() error {
	if c.done.Err() == nil {
		return nil
	}
	return context.Cause(c.done)
}

// Point fetches a restore point or checkpoint object that the task may read.
func (c *DataClient) Point(ctx context.Context, name string) ([]byte, error) {
	return c.call(ctx, kindPoint, []byte(name))
}

// Checkpoint makes all that was put durable and records an unfinished point.
func (c *DataClient) Checkpoint(ctx context.Context, d point.Draft) error {
	_, err := c.call(ctx, kindCheckpoint, appendDraft(nil, &d))
	return err
}

// Commit makes all that was put durable, in order, and then the point. It returns nil only
// when the mover has said that the point is committed.
func (c *DataClient) Commit(ctx context.Context, d point.Draft) error {
	_, err := c.call(ctx, kindCommit, appendDraft(nil, &d))
	return err
}

// Abort tells the mover that the agent gives up, and why, and ends the session. The mover
// reports the same reason, so that it does not matter whose report comes first.
func (c *DataClient) Abort(why error) {
	c.mu.Lock()
	if c.conn != nil && c.done.Err() == nil {
		c.conn.send(outFrame{header: header{kind: kindAbort}, body: encodeFailure(why, "agent")})
	}
	c.mu.Unlock()
	c.end(errs.New(errs.Cancelled, "agent.aborted", "the data connection was given up: %w", why))
	c.own.Wait()
}

// Close ends the session in order, after all that was put is taken.
func (c *DataClient) Close() error {
	late := time.AfterFunc(closeTimeout, func() {
		c.end(errs.New(errs.Unavailable, "connection.lost", "close data connection: the mover does not answer"))
	})
	defer late.Stop()
	c.mu.Lock()
	c.bye = true
	if c.conn != nil {
		c.conn.send(outFrame{header: header{kind: kindBye}})
	}
	c.mu.Unlock()
	c.own.Wait()
	if cause := context.Cause(c.done); !errors.Is(cause, errBye) {
		return cause
	}
	return nil
}
