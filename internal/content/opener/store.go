package opener

import (
	"context"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/mount"
	"keepward/internal/repo/seal"
	"keepward/internal/wire"
)

// store reads one point through the server: a mount.Store.
type store struct {
	s    *server
	keys *seal.Keys
}

func (*store) Points(context.Context) ([]mount.Point, error) { return nil, nil }

func (s *store) Keys(context.Context, string) (*seal.Keys, error) { return s.keys, nil }

func (s *store) Object(ctx context.Context, point string) (object []byte, err error) {
	var failed error
	err = s.s.want(ctx, nil, func(m *keepwardv1.ReadRecordsResponse) {
		object, failed = m.GetRecord(), wire.FromFailure(m.GetFailure())
	})
	if err == nil {
		err = failed
	}
	if err == nil && object == nil {
		err = errs.New(errs.Unavailable, "browse.broken", "read restore point %s: there was no answer", point)
	}
	return object, err
}

func (s *store) Records(ctx context.Context, _ string, ids []seal.ID, fn func(int, []byte, error)) error {
	asked := make([][]byte, len(ids))
	for i := range ids {
		asked[i] = ids[i][:]
	}
	return s.s.want(ctx, asked, func(m *keepwardv1.ReadRecordsResponse) {
		if int(m.GetAt()) < len(ids) {
			fn(int(m.GetAt()), m.GetRecord(), wire.FromFailure(m.GetFailure()))
		}
	})
}
