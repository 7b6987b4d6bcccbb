package server

import (
	"context"
	"database/sql"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/manager"
	"keepward/internal/wire"
)

const (
	// seenEvery bounds how stale the catalog's "last seen" may be after a crash: every
	// heartbeat of ten thousand agents would be a commit each, hundreds a second.
	seenEvery = 5 * time.Minute
	// saveTimeout bounds the write that a lost link causes.
	saveTimeout = 10 * time.Second
)

// nodeService is what nodes call over their links.
type nodeService struct {
	db      *catalog.DB
	nodes   *nodes
	manager jobManager
	repos   *repositories
}

func (s *nodeService) Heartbeat(ctx context.Context, req *connect.Request[keepwardv1.HeartbeatRequest]) (*connect.Response[keepwardv1.HeartbeatResponse], error) {
	l, err := linkOf(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	var skew time.Duration
	if req.Msg.Clock.IsValid() {
		skew = req.Msg.Clock.AsTime().Sub(now)
	}
	if err := s.nodes.save(ctx, l, req.Msg.Info, now, skew); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		// What stands in the catalog of a node is for people to read. To turn it away for that would
		// end what it does, and show a full disk here as a host that is down there.
		s.nodes.log.Warn("what a node says of itself is not kept", "node", l.peer.String(), "error", err)
	}
	s.manager.Supplied(l.node, req.Msg.GetInfo().GetSupply())
	drop, err := s.manager.Heartbeat(ctx, l.node, req.Msg.Boot, req.Msg.Attempts)
	if err != nil {
		return nil, err
	}
	s.nodes.noteDoors(l, req.Msg.GetInfo().GetAgentDoors())
	if s.nodes.heard(l, now, skew, req.Msg.GetInfo()) {
		s.nodes.twins.came(l.node, boot{req.Msg.Boot, l.peer.Address, req.Msg.Info.GetHostname()}, now)
	}
	return connect.NewResponse(&keepwardv1.HeartbeatResponse{
		Time: timestamppb.Now(), Interval: durationpb.New(s.nodes.heartbeat), Drop: drop, Rates: s.manager.Rates(l.node),
	}), nil
}

// save tells the catalog of a node: at the first heartbeat of a link, and now and then.
func (n *nodes) save(ctx context.Context, l *nodeLink, info *keepwardv1.NodeInfo, now time.Time, skew time.Duration) error {
	n.mu.Lock()
	due := l.saved.IsZero() || now.Sub(l.saved) >= seenEvery
	if due {
		l.saved = now
	}
	n.mu.Unlock()
	if !due {
		return nil
	}
	return n.db.Write(ctx, func(tx *sql.Tx) error {
		if l.node.Role == wire.RoleAgent {
			return catalog.SeeComputer(ctx, tx, catalog.Computer{
				Name: l.node.Name, OS: info.GetOs(), Arch: info.GetArch(), Hostname: info.GetHostname(),
				Version: info.GetVersion(), Address: l.peer.Address, LastSeen: now, Skew: skew, Zone: info.GetZone(),
			})
		}
		return catalog.SeeTransport(ctx, tx, catalog.Transport{
			Name: l.node.Name, Hostname: info.GetHostname(), Version: info.GetVersion(),
			Address: l.peer.Address, DataAddress: info.GetDataAddress(), LastSeen: now,
		})
	})
}

// saveSeen keeps when a node that is gone was last heard of.
func (n *nodes) saveSeen(l *nodeLink, seen time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), saveTimeout)
	defer cancel()
	err := n.db.Write(ctx, func(tx *sql.Tx) error {
		return catalog.NoteSeen(ctx, tx, string(l.node.Role), l.node.Name, seen)
	})
	if err != nil {
		n.log.Warn("last contact not saved", "node", l.peer.String(), "error", err)
	}
}

func (s *nodeService) ReportProgress(ctx context.Context, req *connect.Request[keepwardv1.ReportProgressRequest]) (*connect.Response[keepwardv1.ReportProgressResponse], error) {
	return report(ctx, &keepwardv1.ReportProgressResponse{}, func(n manager.Node) error {
		return s.manager.Progress(ctx, n, req.Msg.Attempt, req.Msg.Progress)
	})
}

func (s *nodeService) ReportEvents(ctx context.Context, req *connect.Request[keepwardv1.ReportEventsRequest]) (*connect.Response[keepwardv1.ReportEventsResponse], error) {
	return report(ctx, &keepwardv1.ReportEventsResponse{}, func(n manager.Node) error {
		return s.manager.Events(ctx, n, req.Msg.Attempt, req.Msg.Events)
	})
}

func (s *nodeService) ReportEnd(ctx context.Context, req *connect.Request[keepwardv1.ReportEndRequest]) (*connect.Response[keepwardv1.ReportEndResponse], error) {
	return report(ctx, &keepwardv1.ReportEndResponse{}, func(n manager.Node) error {
		if n.Role == wire.RoleTransport {
			s.repos.lookSoon()
		}
		return s.manager.End(ctx, n, req.Msg.Attempt, req.Msg.End)
	})
}

func report[T any](ctx context.Context, answer *T, tell func(manager.Node) error) (*connect.Response[T], error) {
	l, err := linkOf(ctx)
	if err != nil {
		return nil, err
	}
	if err := tell(l.node); err != nil {
		return nil, err
	}
	return connect.NewResponse(answer), nil
}
