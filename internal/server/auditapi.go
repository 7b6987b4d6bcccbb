package server

import (
	"context"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/audit"
	"keepward/internal/catalog"
)

// auditService lets administrators read the audit log. Nothing changes it.
type auditService struct{ *server }

const (
	auditListed     = 50
	auditListedMost = 1000
	// auditPage bounds a page of the chain: a row has 10 KiB at most, so that a page is far below the
	// bound of a message.
	auditPage = 500
)

func (s *auditService) ListAudit(ctx context.Context, req *connect.Request[keepwardv1.ListAuditRequest]) (*connect.Response[keepwardv1.ListAuditResponse], error) {
	m := req.Msg
	f := catalog.AuditFilter{User: m.GetUser(), Call: m.GetCall(), Before: m.GetBefore(), Limit: auditListed}
	if n := int(m.GetLimit()); n > 0 {
		f.Limit = min(n, auditListedMost)
	}
	if m.GetSince() != nil {
		f.Since = m.GetSince().AsTime()
	}
	if m.GetUntil() != nil {
		f.Until = m.GetUntil().AsTime()
	}
	calls, err := catalog.AuditedCalls(ctx, s.db.Read(), f)
	if err != nil {
		return nil, err
	}
	res := &keepwardv1.ListAuditResponse{}
	for _, c := range calls {
		res.Calls = append(res.Calls, &keepwardv1.AuditedCall{
			Number: c.Number, Time: timestamppb.New(time.Unix(0, c.Time)), Ended: timestamp(c.Ended), User: []byte(c.User), Token: asText(c.Token), Role: asText(c.Role),
			Address: asText(c.Address), Call: asText(c.Call), Named: namedMessages(c.Named), Answered: namedMessages(c.Answered), Outcome: asText(c.Outcome), Times: c.Times,
		})
	}
	return connect.NewResponse(res), nil
}

func (s *auditService) ReadAudit(ctx context.Context, req *connect.Request[keepwardv1.ReadAuditRequest]) (*connect.Response[keepwardv1.ReadAuditResponse], error) {
	limit := auditPage
	if n := int(req.Msg.GetLimit()); n > 0 {
		limit = min(n, auditPage)
	}
	head, err := catalog.AuditHead(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	rows, err := catalog.AuditRows(ctx, s.db.Read(), req.Msg.GetAfter(), limit)
	if err != nil {
		return nil, err
	}
	res := &keepwardv1.ReadAuditResponse{Head: head.String()}
	for _, r := range rows {
		res.Rows = append(res.Rows, &keepwardv1.AuditRow{
			Number: r.Number, Time: timestamppb.New(time.Unix(0, r.Time)), Kind: asText(r.Kind), Ends: r.Ends, User: []byte(r.User), Token: asText(r.Token),
			Role: asText(r.Role), Address: asText(r.Address), Call: asText(r.Call), Named: namedMessages(r.Named), Outcome: asText(r.Outcome), Times: r.Times,
			Previous: r.Previous[:], Hash: r.Hash[:],
		})
	}
	return connect.NewResponse(res), nil
}

// asText lets a row travel that somebody has altered: what is no text any more differs, and so its
// hash does not fit.
func asText(s string) string { return strings.ToValidUTF8(s, "\ufffd") }

func namedMessages(named []audit.Named) []*keepwardv1.AuditNamed {
	var out []*keepwardv1.AuditNamed
	for _, n := range named {
		out = append(out, &keepwardv1.AuditNamed{Field: asText(n.Field), Value: []byte(n.Value)})
	}
	return out
}
