package manager

import (
	"context"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

// GetPointKeys hands out what opens the records of a computer's points in one repository. The
// server passes records on without opening them, so who reads a point needs its keys.
func (m *Manager) GetPointKeys(ctx context.Context, req *connect.Request[keepwardv1.GetPointKeysRequest]) (*connect.Response[keepwardv1.GetPointKeysResponse], error) {
	computer := req.Msg.GetComputer()
	if computer == "" {
		return nil, errs.New(errs.Invalid, "point.computer", "read keys: it is not said of which computer").WithHint("add --computer NAME")
	}
	if err := m.knownComputer(ctx, computer); err != nil {
		return nil, err
	}
	keys, err := m.keysOf(ctx, req.Msg.GetRepository())
	if err != nil {
		return nil, err
	}
	m.deps.Log.Info("keys of restore points handed out", "user", m.user(ctx), "computer", computer, "repository", req.Msg.GetRepository())
	return connect.NewResponse(&keepwardv1.GetPointKeysResponse{Keys: keys.forComputer(computer)}), nil
}

// ReadRecords passes sealed records of a point's repository on. The point is looked up at each
// call: once it is deleted, nobody goes on reading it.
func (m *Manager) ReadRecords(ctx context.Context, req *connect.Request[keepwardv1.ReadRecordsRequest], stream *connect.ServerStream[keepwardv1.ReadRecordsResponse]) error {
	p, err := m.findPoint(ctx, req.Msg.GetPoint(), "")
	if err != nil {
		return err
	}
	keys, err := m.keysOf(ctx, p.GetRepository())
	if err != nil {
		return err
	}
	return m.browsers.with(ctx, p.GetRepository(), func(t transportClient, attempt string) error {
		in, err := t.ReadRecordsMover(ctx, connect.NewRequest(&keepwardv1.ReadRecordsMoverRequest{
			Attempt: attempt, Owner: keys.owner(p.GetComputer()), Point: p.GetId(), Ids: req.Msg.GetIds(),
		}))
		if err != nil {
			return wire.FromConnect(err)
		}
		sent := false
		for in.Receive() {
			sent = true
			if err := stream.Send(in.Msg()); err != nil {
				return endStream(in, err, true)
			}
		}
		return endStream(in, in.Err(), sent)
	})
}
