package manager

import (
	"context"
	"slices"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

// contentKinds are what content is opened for.
var contentKinds = []string{"preview", "download", "tar", "zip"}

// OpenContent answers what opens the content of a point, to who has said of which path and what for: the
// audit log has it by then.
func (m *Manager) OpenContent(ctx context.Context, req *connect.Request[keepwardv1.OpenContentRequest]) (*connect.Response[keepwardv1.OpenContentResponse], error) {
	if !slices.Contains(contentKinds, req.Msg.GetKind()) {
		return nil, errs.New(errs.Invalid, "content.kind", "open content: %q is unknown", req.Msg.GetKind()).WithHint("use one of %v", contentKinds)
	}
	p, err := m.findPoint(ctx, req.Msg.GetPoint(), req.Msg.GetComputer())
	if err != nil {
		return nil, err
	}
	keys, err := m.keysOf(ctx, p.GetRepository())
	if err != nil {
		return nil, err
	}
	m.deps.Log.Info("content of a restore point is opened", "user", m.user(ctx), "computer", p.GetComputer(), "point", p.GetId(), "kind", req.Msg.GetKind())
	return connect.NewResponse(&keepwardv1.OpenContentResponse{Point: p, Keys: keys.forComputer(p.GetComputer())}), nil
}
