package transport

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/mover"
	"keepward/internal/repo/point"
	"keepward/internal/standing"
	"keepward/internal/wire"
)

// agentDoor is the port at which agents open attempts that were issued to them beforehand.
type agentDoor struct{ l net.Listener }

// openDoor listens; without an address there is no door, and no job can be managed by an agent.
func openDoor(address string) (*agentDoor, error) {
	if address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, errs.New(errs.KindOf(err), "transport.agents", "listen for agents on %s: %w", address, err).
			WithHint("give another address with --agents HOST:PORT")
	}
	return &agentDoor{l}, nil
}

// doors are the addresses of the door, as agents reach it; none: there is no door.
func (s *Service) doors() []string {
	if s.agents == nil {
		return nil
	}
	at, ok := s.agents.l.Addr().(*net.TCPAddr)
	if !ok {
		return nil
	}
	port := strconv.Itoa(at.Port)
	if !at.IP.IsUnspecified() && s.cfg.Advertise == "" {
		return []string{net.JoinHostPort(at.IP.String(), port)}
	}
	return s.dataAddresses(port)
}

// serveDoor lets agents in until ctx is done.
func (s *Service) serveDoor(ctx context.Context) {
	mux := http.NewServeMux()
	mux.Handle(keepwardv1connect.NewStandingDoorServiceHandler(s, connect.WithInterceptors(wire.Errors(), wire.Only(wire.RoleAgent)), connect.WithReadMaxBytes(doorMessageMost)))
	wire.ServeAgents(ctx, s.agents.l, s.node.Credentials, mux)
}

// doorMessageMost bounds what an agent may send: an attempt and a half.
const doorMessageMost = 4 << 10

// OpenStanding opens an attempt for the agent that it was issued to, and starts its mover. Here it is
// judged whether it still holds, by this host's clock.
func (s *Service) OpenStanding(ctx context.Context, req *connect.Request[keepwardv1.OpenStandingRequest]) (*connect.Response[keepwardv1.OpenStandingResponse], error) {
	peer, _ := wire.Peer(ctx)
	done, err := s.standing.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	r, start, err := s.mayOpen(peer.Name, req.Msg, time.Now())
	if err != nil {
		s.log.Warn("an agent may not open an attempt", "agent", peer.Name, "peer", peer.Address, "attempt", req.Msg.GetAttempt(), "reason", err)
		return nil, err
	}
	id := r.GetOrder().GetAttempt()
	if r.GetOpened() == nil {
		for _, former := range s.standing.open(peer.Name, r.GetOrder().GetChain()) {
			if err := s.cutOff(ctx, former, "the agent has begun another run of the job"); err != nil {
				return nil, err
			}
		}
		r = s.standing.opening(r, time.Now())
		if err := s.stillThere(ctx, r); err != nil {
			return nil, err
		}
		// Durable before anything runs: what a crash leaves is found, and cut off, by the next.
		if err := s.standing.put(r); err != nil {
			return nil, err
		}
	}
	start.Order, start.Mode = s.standing.orderFor(r), mover.ModeBackup
	start.Agent, start.AgentAddresses = peer.Name, nil
	start.ReadablePoints = nil
	for _, p := range []string{r.GetParent(), r.GetCheckpoint()} {
		if p != "" {
			start.ReadablePoints = append(start.ReadablePoints, p)
		}
	}
	start.Time = timestamppb.New(r.GetOpened().AsTime())
	res, err := s.StartMover(ctx, connect.NewRequest(start))
	if err != nil {
		return nil, err
	}
	endpoint := res.Msg.GetMover()
	endpoint.Heartbeat = start.GetHeartbeat()
	s.log.Info("an agent has opened an attempt", "attempt", id, "agent", peer.Name, "peer", peer.Address, "parent", r.GetParent(), "checkpoint", r.GetCheckpoint())
	return connect.NewResponse(&keepwardv1.OpenStandingResponse{
		Mover: endpoint, Half: r.GetOrder().GetHalf(), Term: start.GetOrder().GetTerm(), Opened: r.GetOpened(), Parent: r.GetParent(), Checkpoint: r.GetCheckpoint(),
	}), nil
}

// stillThere takes the parent out of a record if its point is gone: nobody pinned it.
func (s *Service) stillThere(ctx context.Context, r *keepwardv1.StandingRecord) error {
	if r.GetParent() == "" {
		return nil
	}
	a, err := point.ParseAttempt(r.GetParent())
	if err != nil {
		return err
	}
	at, err := open(ctx, r.GetOrder().GetRepositoryPath(), r.GetOrder().GetRepositoryId())
	if err != nil {
		return err
	}
	defer func() { _ = at.Close() }()
	there, err := at.Point(ctx, a)
	if err == nil {
		var p point.Point
		if p, err = point.Parse(there); err == nil && p.Type != point.Tombstone {
			return nil
		}
	}
	if k := errs.KindOf(err); err != nil && k != errs.NotFound && k != errs.Corrupt {
		return err
	}
	s.log.Info("the point to compare with is gone: all is read", "attempt", r.GetOrder().GetAttempt(), "parent", r.GetParent())
	r.Parent = ""
	return nil
}

// mayOpen is the record of an attempt and the order for its mover, if this agent may open it now.
func (s *Service) mayOpen(agent string, m *keepwardv1.OpenStandingRequest, now time.Time) (*keepwardv1.StandingRecord, *keepwardv1.StartMoverRequest, error) {
	r := s.standing.record(m.GetAttempt())
	if r == nil || r.GetAgent() != agent {
		return nil, nil, errs.New(errs.Denied, "standing.unknown", "open attempt %s: it is not issued to the agent of %s, or not any more", m.GetAttempt(), agent).
			WithHint("the job was changed, disabled or deleted, or the computer removed, or the run was taken over; the agent gets new attempts when it reaches its server")
	}
	start := &keepwardv1.StartMoverRequest{}
	if err := standing.Open(m.GetHalf(), r.GetOrder().GetStart(), standing.Start, m.GetAttempt(), start); err != nil {
		return nil, nil, err
	}
	switch until := r.GetOrder().GetValidUntil().AsTime(); {
	case r.GetRevoked():
		return nil, nil, errs.New(errs.Denied, "standing.revoked", "open attempt %s: it was revoked", m.GetAttempt())
	case now.After(until):
		return nil, nil, errs.New(errs.Denied, "standing.expired", "open attempt %s: it held until %s", m.GetAttempt(), until.UTC().Format(time.RFC3339)).
			WithHint("the agent gets new attempts when it reaches its server")
	case r.GetSettled(), r.GetEnded():
		return nil, nil, errs.New(errs.Exists, "attempt.ended", "open attempt %s: it has ended", m.GetAttempt())
	}
	return r, start, nil
}
