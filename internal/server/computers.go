package server

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/errs"
	"keepward/internal/manager"
	"keepward/internal/wire"
)

// The statuses of a node.
const (
	statusOnline  = "online"
	statusOffline = "offline"
	statusNever   = "never connected"
)

type computerService struct{ *server }

func (s *computerService) ListComputers(ctx context.Context, req *connect.Request[keepwardv1.ListComputersRequest]) (*connect.Response[keepwardv1.ListComputersResponse], error) {
	if req.Msg.GetLimit() < 0 {
		return nil, errs.New(errs.Invalid, "computer.limit", "list computers: a limit of %d makes no sense", req.Msg.GetLimit())
	}
	list, err := s.computersIn(ctx, req.Msg.View, req.Msg.Group)
	if err != nil {
		return nil, err
	}
	if text := strings.ToLower(req.Msg.GetText()); text != "" {
		list = slices.DeleteFunc(list, func(c *keepwardv1.Computer) bool { return !strings.Contains(wordsOf(c), text) })
	}
	res := &keepwardv1.ListComputersResponse{Found: int64(len(list))}
	if after := req.Msg.GetAfter(); after != "" {
		list = slices.DeleteFunc(list, func(c *keepwardv1.Computer) bool { return c.GetName() <= after })
	}
	if most := int(req.Msg.GetLimit()); most > 0 && len(list) > most {
		list, res.More = list[:most], true
	}
	res.Computers = list
	return connect.NewResponse(res), nil
}

// wordsOf is what a computer is found by.
func wordsOf(c *keepwardv1.Computer) string {
	return strings.ToLower(strings.Join(slices.Concat([]string{c.GetName(), c.GetHostname()}, c.GetGroups(), c.GetTags()), "\n"))
}

func (s *computerService) GetComputer(ctx context.Context, req *connect.Request[keepwardv1.GetComputerRequest]) (*connect.Response[keepwardv1.GetComputerResponse], error) {
	row, err := catalog.GetComputer(ctx, s.db.Read(), req.Msg.Name)
	if err != nil {
		return nil, err
	}
	res := &keepwardv1.GetComputerResponse{}
	if res.Computer, err = s.computerMessage(ctx, row); err != nil {
		return nil, err
	}
	if res.Points, err = s.manager.PointsOf(ctx, row.Name); err != nil {
		return nil, err
	}
	if res.Jobs, err = catalog.JobsWith(ctx, s.db.Read(), row.Name); err != nil {
		return nil, err
	}
	if res.Inventory, err = catalog.GetInventory(ctx, s.db.Read(), row.Name); err != nil {
		return nil, err
	}
	v, err := s.lookAtViews(ctx)
	if err != nil {
		return nil, err
	}
	v.put(res.Computer)
	return connect.NewResponse(res), s.describe(ctx, res.Jobs)
}

// RemoveComputer must work at once, whatever refers to the computer: it is what is done when
// a key was stolen. Jobs lose the computer; one that has no other is disabled.
func (s *computerService) RemoveComputer(ctx context.Context, req *connect.Request[keepwardv1.RemoveComputerRequest]) (*connect.Response[keepwardv1.RemoveComputerResponse], error) {
	name, now := req.Msg.Name, time.Now()
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		if _, err := catalog.GetComputer(ctx, tx, name); err != nil {
			return err
		}
		if err := takeFromJobs(ctx, tx, name, now); err != nil {
			return err
		}
		if _, err := catalog.RevokeCertificates(ctx, tx, string(wire.RoleAgent), name, "the computer was removed", now); err != nil {
			return err
		}
		if err := catalog.RevokeJoinTokensOf(ctx, tx, string(wire.RoleAgent), name); err != nil {
			return err
		}
		if err := catalog.ForgetLevel(ctx, tx, "computer/"+name, now); err != nil {
			return err
		}
		if err := catalog.LeaveGroups(ctx, tx, name); err != nil {
			return err
		}
		if err := catalog.RemoveComputer(ctx, tx, name); err != nil {
			return err
		}
		return noteMembers(ctx, tx, now)
	})
	if err != nil {
		return nil, err
	}
	s.dialler.look()
	s.nodes.cut(wire.RoleAgent, name)
	s.nodes.twins.forget(manager.Node{Role: wire.RoleAgent, Name: name})
	s.manager.ConfigChanged()
	s.audit(ctx, "computer removed", "computer", name)
	return connect.NewResponse(&keepwardv1.RemoveComputerResponse{}), nil
}

func takeFromJobs(ctx context.Context, tx *sql.Tx, computer string, now time.Time) error {
	jobs, err := catalog.JobsOfComputer(ctx, tx, computer)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		j.Computers = slices.DeleteFunc(j.Computers, func(c string) bool { return c == computer })
		config.WithoutStrangers(j)
		j.Disabled = j.Disabled || len(j.Computers)+len(j.Groups) == 0
		if err := catalog.PutJob(ctx, tx, j, now); err != nil {
			return err
		}
	}
	return nil
}

// computerMessages are all computers, with what decides which views they are in.
func (s *server) computerMessages(ctx context.Context) ([]*keepwardv1.Computer, *views, error) {
	rows, err := catalog.Computers(ctx, s.db.Read())
	if err != nil {
		return nil, nil, err
	}
	special, err := catalog.Connections(ctx, s.db.Read())
	if err != nil {
		return nil, nil, err
	}
	connections := make(map[string]catalog.Connection, len(special))
	for _, c := range special {
		connections[c.Computer] = c
	}
	newest, err := catalog.NewestPoints(ctx, s.db.Read())
	if err != nil {
		return nil, nil, err
	}
	last := make(map[string]time.Time, len(newest))
	for _, p := range newest {
		last[p.Computer] = p.Time
	}
	v, err := s.lookAtViews(ctx)
	if err != nil {
		return nil, nil, err
	}
	out := make([]*keepwardv1.Computer, len(rows))
	for i, row := range rows {
		connection, ok := connections[row.Name]
		if !ok {
			connection = catalog.UsualConnection(row.Name)
		}
		out[i] = s.messageOf(row, connection, last[row.Name])
		v.put(out[i])
	}
	return out, v, nil
}

func (s *server) computerMessage(ctx context.Context, row catalog.Computer) (*keepwardv1.Computer, error) {
	connection, err := catalog.ConnectionOf(ctx, s.db.Read(), row.Name)
	if err != nil {
		return nil, err
	}
	last, err := s.manager.LastPoint(ctx, row.Name)
	if err != nil {
		return nil, err
	}
	return s.messageOf(row, connection, last), nil
}

// messageOf tells of a computer whose newest point is of last; zero: it has none.
func (s *server) messageOf(row catalog.Computer, connection catalog.Connection, last time.Time) *keepwardv1.Computer {
	live := s.nodes.liveness(manager.Node{Role: wire.RoleAgent, Name: row.Name})
	if live.Online {
		row.Address, row.LastSeen, row.Skew = live.Address, live.Seen, live.Skew
	}
	unreached := ""
	if err := s.dialler.failure(row.Name); err != nil && !live.Online {
		unreached = err.Error()
	}
	return &keepwardv1.Computer{
		Connection: connectionMessage(connection), DialledBy: string(live.By), ControlError: unreached, Supply: live.Supply,
		Name: row.Name, Status: nodeStatus(live.Online, row.LastSeen), Os: row.OS, Arch: row.Arch, Hostname: row.Hostname, Zone: row.Zone,
		AgentVersion: row.Version, Address: row.Address, Joined: timestamp(row.Joined), LastSeen: timestamp(row.LastSeen),
		Skew: durationpb.New(row.Skew), LastPoint: timestamp(last), Conditions: append(computerConditions(row, live.Online), s.nodes.twins.conditions(row.Name, time.Now())...),
	}
}

func nodeStatus(online bool, seen time.Time) string {
	switch {
	case online:
		return statusOnline
	case seen.IsZero():
		return statusNever
	}
	return statusOffline
}

func (s *server) transportMessages(ctx context.Context) ([]*keepwardv1.Transport, error) {
	rows, err := catalog.Transports(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	out := make([]*keepwardv1.Transport, len(rows))
	for i, row := range rows {
		live := s.nodes.liveness(manager.Node{Role: wire.RoleTransport, Name: row.Name})
		if live.Online {
			row.LastSeen = live.Seen
		}
		out[i] = &keepwardv1.Transport{
			Name: row.Name, Status: nodeStatus(live.Online, row.LastSeen), Address: row.DataAddress, Version: row.Version, LastSeen: timestamp(row.LastSeen),
		}
	}
	return out, nil
}
