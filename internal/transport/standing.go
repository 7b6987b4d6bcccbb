package transport

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/durable"
	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/wire"
)

// standings are the attempts that were issued beforehand and that agents may open by themselves,
// D/standing/<attempt>.pb each, and the newest server's order, D/standing/order.pb. One that nobody
// has opened is nothing but its file: no mover runs for it, and its repository does not know of it.
//
// Lock order: turn, changing, mu. turn is held over work on a repository, changing over a write.
type standings struct {
	dir string
	// turn is one token: who has it may open, cut off or replace attempts.
	turn     chan struct{}
	changing sync.Mutex

	mu      sync.Mutex
	records map[string]*keepwardv1.StandingRecord // by attempt; what is in it is never changed, but replaced
	order   *keepwardv1.Order                     // term and owner of the newest server
}

const (
	standingOrder = "order.pb"
	standingEnd   = ".pb"
	// standingGrace is how long an attempt that was opened in time may go on after its time.
	standingGrace = 24 * time.Hour
	// standingEvery is how often those that run are looked at.
	standingEvery = time.Minute
)

func openStandings(dir string) (*standings, error) {
	st := &standings{dir: dir, turn: make(chan struct{}, 1), records: map[string]*keepwardv1.StandingRecord{}, order: &keepwardv1.Order{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, errs.New(errs.KindOf(err), "datadir.create", "create the directory of issued attempts: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, errs.New(errs.KindOf(err), "datadir.read", "read issued attempts: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		b, err := os.ReadFile(filepath.Join(dir, name))
		switch {
		case strings.HasPrefix(name, ".") || err != nil:
			continue // a write that a crash cut off
		case name == standingOrder:
			if proto.Unmarshal(b, st.order) != nil {
				st.order = &keepwardv1.Order{} // the server tells it again
			}
			continue
		}
		r := &keepwardv1.StandingRecord{}
		if proto.Unmarshal(b, r) == nil && r.GetOrder().GetAttempt()+standingEnd == name {
			st.records[r.GetOrder().GetAttempt()] = r
		}
	}
	return st, nil
}

func (st *standings) begin(ctx context.Context) (done func(), err error) {
	select {
	case st.turn <- struct{}{}:
		return func() { <-st.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (st *standings) record(attempt string) *keepwardv1.StandingRecord {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.records[attempt]
}

// ofAgent are all records of an agent.
func (st *standings) ofAgent(agent string) []*keepwardv1.StandingRecord {
	st.mu.Lock()
	defer st.mu.Unlock()
	var out []*keepwardv1.StandingRecord
	for _, r := range st.records {
		if r.GetAgent() == agent {
			out = append(out, r)
		}
	}
	return out
}

// put makes a record durable before it counts.
func (st *standings) put(r *keepwardv1.StandingRecord) error {
	st.changing.Lock()
	defer st.changing.Unlock()
	return st.write(r)
}

// write is put with changing held.
func (st *standings) write(r *keepwardv1.StandingRecord) error {
	id := r.GetOrder().GetAttempt()
	b, err := proto.Marshal(r)
	if err == nil {
		err = durable.WriteFile(filepath.Join(st.dir, id+standingEnd), b, 0o600)
	}
	if err != nil {
		return errs.New(errs.KindOf(err), "datadir.write", "keep issued attempt %s: %w", id, err)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.records[id] = r
	return nil
}

// change replaces a record by what it shall be.
func (st *standings) change(attempt string, do func(*keepwardv1.StandingRecord)) error {
	st.changing.Lock()
	defer st.changing.Unlock()
	r := st.record(attempt)
	if r == nil {
		return nil
	}
	r = proto.CloneOf(r)
	do(r)
	return st.write(r)
}

func (st *standings) forget(attempt string) error {
	st.changing.Lock()
	defer st.changing.Unlock()
	if err := os.Remove(filepath.Join(st.dir, attempt+standingEnd)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errs.New(errs.KindOf(err), "datadir.write", "forget issued attempt %s: %w", attempt, err)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	delete(st.records, attempt)
	return nil
}

// obey keeps term and owner of the server that orders, for what is opened while it is away.
func (st *standings) obey(o *keepwardv1.Order) error {
	st.mu.Lock()
	same := st.order.GetTerm() == o.GetTerm() && string(st.order.GetOwner()) == string(o.GetOwner())
	st.mu.Unlock()
	if same {
		return nil
	}
	kept := &keepwardv1.Order{Term: o.GetTerm(), Owner: o.GetOwner()}
	b, err := proto.Marshal(kept)
	if err == nil {
		err = durable.WriteFile(filepath.Join(st.dir, standingOrder), b, 0o600)
	}
	if err != nil {
		return errs.New(errs.KindOf(err), "datadir.write", "keep the server's term: %w", err)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.order = kept
	return nil
}

// orderFor is the order by which an attempt is opened or cut off while the server is away.
func (st *standings) orderFor(r *keepwardv1.StandingRecord) *keepwardv1.Order {
	st.mu.Lock()
	defer st.mu.Unlock()
	return &keepwardv1.Order{Attempt: r.GetOrder().GetAttempt(), Task: r.GetOrder().GetTask(), Term: st.order.GetTerm(), Owner: st.order.GetOwner()}
}

// PutStanding takes over which attempts of an agent hold. New ones are durable when it answers, and
// those that it revokes can commit nothing any more.
func (s *Service) PutStanding(ctx context.Context, req *connect.Request[keepwardv1.PutStandingRequest]) (*connect.Response[keepwardv1.PutStandingResponse], error) {
	m, st := req.Msg, s.standing
	if err := s.node.CheckTerm(m.GetOrder().GetTerm()); err != nil {
		return nil, err
	}
	done, err := st.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := st.obey(m.GetOrder()); err != nil {
		return nil, err
	}
	res := &keepwardv1.PutStandingResponse{}
	named := map[string]bool{}
	for _, id := range m.GetRevoked() {
		named[id] = true
		if err := s.revoke(ctx, id); err != nil {
			return nil, err
		}
	}
	for _, o := range m.GetAttempts() {
		named[o.GetAttempt()] = true
		known, err := st.take(m.GetAgent(), o)
		if err != nil {
			return nil, err
		}
		if !known {
			res.Unknown = append(res.Unknown, o.GetAttempt())
		}
	}
	for _, r := range st.ofAgent(m.GetAgent()) {
		id := r.GetOrder().GetAttempt()
		switch {
		case r.GetOpened() != nil && (named[id] || s.find(id) != nil):
			res.Opened = append(res.Opened, id)
		case r.GetOpened() != nil && s.reporter.Ended(id): // its end is on its way, and the server is to know whose it is
			res.Opened = append(res.Opened, id)
		case named[id]:
		default:
			if err := st.forget(id); err != nil {
				return nil, err
			}
		}
	}
	return connect.NewResponse(res), nil
}

// take keeps an attempt that is new, or what has changed of one that nobody has opened.
func (st *standings) take(agent string, o *keepwardv1.StandingOrder) (known bool, err error) {
	if _, err := point.ParseAttempt(o.GetAttempt()); err != nil {
		return false, err // it names a file
	}
	had := st.record(o.GetAttempt())
	switch {
	case had == nil && len(o.GetStart()) == 0:
		return false, nil
	case had == nil:
		return true, st.put(&keepwardv1.StandingRecord{Order: o, Agent: agent})
	case had.GetAgent() != agent:
		return false, errs.New(errs.Denied, "standing.unknown", "take over attempt %s: it was issued to another agent", o.GetAttempt())
	case had.GetOpened() != nil || had.GetOrder().GetParent() == o.GetParent():
		return true, nil
	}
	return true, st.change(o.GetAttempt(), func(r *keepwardv1.StandingRecord) { r.Order.Parent = o.GetParent() })
}

// revoke makes sure that an attempt commits nothing any more: nobody can open it, and the mover of
// one that was opened finds a tombstone under its name.
func (s *Service) revoke(ctx context.Context, attempt string) error {
	r := s.standing.record(attempt)
	switch {
	case r == nil:
		return nil
	case r.GetOpened() == nil:
		return s.standing.forget(attempt)
	}
	if !r.GetRevoked() {
		if err := s.standing.change(attempt, func(r *keepwardv1.StandingRecord) { r.Revoked = true }); err != nil {
			return err
		}
	}
	return s.cutOff(ctx, attempt, "it was revoked: its computer, or its job, is managed by its agent no longer")
}

// cutOff settles an attempt that was opened, unless that is done.
func (s *Service) cutOff(ctx context.Context, attempt, why string) error {
	r := s.standing.record(attempt)
	if r.GetSettled() {
		return nil
	}
	res, err := s.FenceAttempt(ctx, connect.NewRequest(&keepwardv1.FenceAttemptRequest{
		RepositoryPath: r.GetOrder().GetRepositoryPath(), RepositoryId: r.GetOrder().GetRepositoryId(),
		Order: s.standing.orderFor(r), Reason: why,
	}))
	if err != nil {
		return err
	}
	s.log.Info("an attempt that an agent has opened is settled", "attempt", attempt, "agent", r.GetAgent(), "committed", res.Msg.GetCommitted(), "reason", why)
	return s.standing.change(attempt, func(r *keepwardv1.StandingRecord) {
		r.Settled, r.Committed, r.Checkpointed = true, res.Msg.GetCommitted() && !res.Msg.GetPartial(), res.Msg.GetCheckpoint() || res.Msg.GetPartial()
	})
}

// standingEnded adds to the end of an attempt that an agent has opened what the server cannot know.
func (s *Service) standingEnded(attempt string, end *keepwardv1.AttemptEnd) *keepwardv1.AttemptEnd {
	r := s.standing.record(attempt)
	if r.GetOpened() == nil {
		return end
	}
	end = proto.CloneOf(end)
	end.Opened, end.Parent = r.GetOpened(), r.GetParent()
	if r.GetRevoked() && !end.GetCommitted() {
		end.Failure = wire.ToFailure(errs.New(errs.Denied, "standing.revoked", "attempt %s was revoked while it ran: it has made no restore point", attempt), "mover")
	}
	whole := end.GetCommitted() && !end.GetPoint().GetPartial()
	err := s.standing.change(attempt, func(r *keepwardv1.StandingRecord) {
		r.Ended, r.Settled, r.Committed = true, r.GetSettled() || whole, r.GetCommitted() || whole
	})
	if err != nil {
		s.log.Warn("how an attempt ended is not kept; its repository tells it again", "attempt", attempt, "error", err)
	}
	return end
}

// tendStandings ends what goes on long after its time: a server that is away for good cannot.
func (s *Service) tendStandings(ctx context.Context) {
	tick := time.NewTicker(standingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, id := range s.standing.late(time.Now()) {
			if p := s.find(id); p != nil {
				s.stop(p, "the time for which the attempt was issued is over")
			}
		}
	}
}

// late are the attempts that were opened, and should have ended by now.
func (st *standings) late(now time.Time) (out []string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for id, r := range st.records {
		if r.GetOpened() != nil && now.After(r.GetOrder().GetValidUntil().AsTime().Add(standingGrace)) {
			out = append(out, id)
		}
	}
	return out
}

// opening is a record as it will be once the attempt is opened: what it compares with is the newest
// point of its chain, and what it goes on from the checkpoint of the attempt before it.
func (st *standings) opening(r *keepwardv1.StandingRecord, now time.Time) *keepwardv1.StandingRecord {
	st.mu.Lock()
	defer st.mu.Unlock()
	out := proto.CloneOf(r)
	out.Opened, out.Parent = timestamppb.New(now), r.GetOrder().GetParent()
	var newest, point time.Time
	for id, o := range st.records {
		if o.GetOpened() == nil || o.GetAgent() != r.GetAgent() || o.GetOrder().GetChain() != r.GetOrder().GetChain() || id == r.GetOrder().GetAttempt() {
			continue
		}
		at := o.GetOpened().AsTime()
		if o.GetCommitted() && at.After(point) {
			point, out.Parent = at, id
		}
		if at.After(newest) {
			newest, out.Checkpoint = at, ""
			if o.GetCheckpointed() {
				out.Checkpoint = id
			}
		}
	}
	return out
}

// open are the attempts of a chain that were opened, and whose end is not known for good.
func (st *standings) open(agent, chain string) (out []string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for id, r := range st.records {
		if r.GetOpened() != nil && !r.GetSettled() && r.GetAgent() == agent && r.GetOrder().GetChain() == chain {
			out = append(out, id)
		}
	}
	return out
}
