package mover

import (
	"context"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/wire"
)

// maxRecords is how many records may be asked for at once: what a message of ids holds many times,
// and far more than anybody wants to wait for.
const maxRecords = 4096

// ReadRecords sends sealed records, those that lie together in one piece; or a point's object.
func (c *control) ReadRecords(ctx context.Context, req *connect.Request[keepwardv1.ReadRecordsMoverRequest], stream *connect.ServerStream[keepwardv1.ReadRecordsResponse]) error {
	done, err := c.browsing()
	if err != nil {
		return err
	}
	defer done()
	m := req.Msg
	if len(m.GetIds()) == 0 {
		a, err := point.ParseAttempt(m.GetPoint())
		if err != nil {
			return err
		}
		content, err := c.t.repo.Point(ctx, a)
		if err != nil {
			return err
		}
		return stream.Send(&keepwardv1.ReadRecordsResponse{Record: content})
	}
	ids, owner, err := recordsAsked(m)
	if err != nil {
		return err
	}
	return readRecords(ctx, c.t.repo, owner, ids, stream.Send)
}

func recordsAsked(m *keepwardv1.ReadRecordsMoverRequest) (ids []seal.ID, owner [16]byte, err error) {
	if len(m.GetOwner()) != len(owner) {
		return nil, owner, errs.New(errs.Invalid, "order.owner", "read records: the owner has %d bytes, not %d", len(m.GetOwner()), len(owner))
	}
	copy(owner[:], m.GetOwner())
	if len(m.GetIds()) > maxRecords {
		return nil, owner, errs.New(errs.Invalid, "request.many", "read records: %d are too many at once, %d are allowed", len(m.GetIds()), maxRecords)
	}
	for _, b := range m.GetIds() {
		if len(b) != len(seal.ID{}) {
			return nil, owner, errs.New(errs.Invalid, "request.id", "read records: an id has %d bytes", len(b))
		}
		ids = append(ids, seal.ID(b))
	}
	return ids, owner, nil
}

func readRecords(ctx context.Context, r *repo.Repository, owner [16]byte, ids []seal.ID, send func(*keepwardv1.ReadRecordsResponse) error) error {
	var buf []byte
	for _, run := range r.Runs(ctx, owner, ids) {
		if cap(buf) < run.Size() {
			buf = make([]byte, run.Size())
		}
		var stop error
		r.ReadRun(ctx, owner, run, buf[:run.Size()], func(i int, rec seal.Record, err error) {
			if stop != nil {
				return
			}
			m := &keepwardv1.ReadRecordsResponse{At: uint32(i)}
			if err != nil {
				m.Failure = wire.ToFailure(err, "mover")
			} else {
				m.Record = rec.Bytes()
			}
			stop = send(m)
		})
		if stop != nil {
			return stop
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}
