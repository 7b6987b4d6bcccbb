package server

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/repo/seal"
	"keepward/internal/wire"
	"keepward/internal/words"
)

const (
	// approvalsKept is how long it is known who has asked for what.
	approvalsKept = 400 * 24 * time.Hour
	// approvalsMost bounds how many of one user wait.
	approvalsMost = 50
	// approvalMost bounds the message that is kept with one, and noteMost what is said about it.
	approvalMost = 1 << 20
	noteMost     = 1000
	// approvalExpired is the state of what nobody decided on in time.
	approvalExpired = "expired"
)

// approver keeps calls that need a second person until there is one. It is an interceptor, and safe for
// concurrent use.
type approver struct {
	*server
	now func() time.Time
	api http.Handler // to make calls that were approved
}

// grant is the approval of a call that is made for who asked for it; see guard.callerBy.
type grant struct {
	approval catalog.Approval
	address  string // of who approved
}

type grantKey struct{}

func (a *approver) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		rule, ok := seconds[req.Spec().Procedure]
		c, known := callerOf(ctx)
		if !ok || !known {
			return next(ctx, req)
		}
		what, err := a.needs(ctx, rule, c, req.Any())
		if err != nil {
			return nil, err
		}
		if what == "" {
			return next(ctx, req)
		}
		if g, ok := ctx.Value(grantKey{}).(grant); ok {
			noteApproval(ctx, g.approval.ID)
			if g.approval.What != what {
				return nil, errs.New(errs.Busy, "approval.changed", "make what approval %d is about: it was to %s, and would now %s", g.approval.ID, g.approval.What, what).
					WithHint("ask for it again")
			}
			return next(ctx, req)
		}
		m, ok := req.Any().(proto.Message)
		if !ok {
			return nil, errs.New(errs.Internal, "", "call %s: its message is a %T", callName(req.Spec().Procedure), req.Any())
		}
		digest, err := a.repeats.digest(req.Spec().Procedure, m)
		if err != nil {
			return nil, err
		}
		id, granted, err := a.ask(ctx, c, req.Spec().Procedure, what, digest, m)
		if err != nil {
			return nil, err
		}
		noteApproval(ctx, id)
		if !granted {
			then := "it is done then"
			if rule.again {
				then = "do it again then"
			}
			return nil, errs.New(errs.Denied, "approval.asked", "call %s: another administrator must approve it: it was asked for as approval %d, to %s", callName(req.Spec().Procedure), id, what).
				WithHint("another administrator decides, and %s: keepward approval show %d", then, id)
		}
		res, err := next(ctx, req)
		return res, a.used(ctx, id, err)
	}
}

// needs says what a call would do that needs a second person; empty: nothing.
func (a *approver) needs(ctx context.Context, rule secondRule, c caller, m any) (string, error) {
	on, err := a.manager.SecondPerson(ctx)
	if err != nil {
		return "", err
	}
	if !on {
		if set, ok := m.(*keepwardv1.SetSettingRequest); ok && aboutSetting(set) == secondPersonOn {
			return "", a.enough(ctx)
		}
		return "", nil
	}
	if rule.disk && c.token.Kind == catalog.TokenFile {
		return "", nil
	}
	return rule.what(ctx, a.server, m)
}

// enough refuses to want a second person where there is none.
func (a *approver) enough(ctx context.Context) error {
	n, err := catalog.CountUsers(ctx, a.db.Read(), roleAdmin)
	if err == nil && n < 2 {
		err = errs.New(errs.Denied, "approval.alone", "set %s: there is one administrator only, and nobody else could approve", settingSecondPerson).
			WithHint("make another one first: keepward user create NAME --role %s", roleAdmin)
	}
	return err
}

// ask finds the approval of a call, or asks for one. granted: it may be made now, once.
func (a *approver) ask(ctx context.Context, c caller, procedure, what string, digest []byte, m proto.Message) (id int64, granted bool, err error) {
	now := a.now()
	row := catalog.Approval{
		UserID: c.user.ID, User: c.user.Name, UserSince: c.user.Created, Call: procedure, What: what, Digest: digest, Again: seconds[procedure].again,
		Asked: now, Expires: now.Add(a.manager.ApprovalWait()), State: catalog.ApprovalWaiting,
	}
	if !row.Again {
		if row.Message, err = a.sealed(m, digest); err != nil {
			return 0, false, err
		}
	}
	err = a.db.Write(ctx, func(tx *sql.Tx) error {
		open, err := catalog.OpenApprovals(ctx, tx, now)
		if err != nil {
			return err
		}
		mine := 0
		for _, o := range open {
			if o.UserID != c.user.ID {
				continue
			}
			mine++
			if string(o.Digest) != string(digest) || o.What != what {
				continue
			}
			id = o.ID
			if o.State == catalog.ApprovalGranted && o.Again {
				o.State = catalog.ApprovalDone
				granted, err = catalog.MoveApproval(ctx, tx, o, catalog.ApprovalGranted)
			}
			return err
		}
		if mine >= approvalsMost {
			return errs.New(errs.Busy, "approval.too-many", "ask for approval: %d calls of user %s wait for one", mine, c.user.Name).
				WithHint("take some back: keepward approval list, keepward approval refuse ID")
		}
		if err := catalog.SweepApprovals(ctx, tx, now, now.Add(-approvalsKept)); err != nil {
			return err
		}
		id, err = catalog.AddApproval(ctx, tx, row)
		return err
	})
	return id, granted, err
}

func (a *approver) sealed(m proto.Message, digest []byte) ([]byte, error) {
	b, err := proto.Marshal(m)
	if err != nil {
		return nil, err
	}
	if len(b) > approvalMost {
		return nil, errs.New(errs.Invalid, "approval.size", "ask for approval: the request has %s, and %s are the most that is kept", words.Size(int64(len(b))), words.Size(approvalMost)).
			WithHint("ask for less at once")
	}
	return seal.SealBytes(a.repeats.seal, b, digest)
}

// used gives an approval back where its call was not done.
func (a *approver) used(ctx context.Context, id int64, err error) error {
	if err == nil {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	back := a.db.Write(ctx, func(tx *sql.Tx) error {
		row, err := catalog.GetApproval(ctx, tx, id)
		if err != nil {
			return err
		}
		row.State = catalog.ApprovalGranted
		_, err = catalog.MoveApproval(ctx, tx, row, catalog.ApprovalDone)
		return err
	})
	if back != nil {
		a.log.Warn("approval not given back: it must be asked for again", "approval", id, "reason", back)
	}
	return err
}

// make makes a call that was approved, for who asked for it. The message goes as the bytes that it was,
// as unknown fields of an empty one, and so does the answer: it is told to nobody.
func (a *approver) make(ctx context.Context, row catalog.Approval, address string) error {
	b, err := seal.OpenBytes(a.repeats.seal, row.Message, row.Digest)
	if err != nil {
		return fmt.Errorf("open what approval %d is about: %w", row.ID, err)
	}
	ctx = context.WithValue(ctx, grantKey{}, grant{row, address})
	web := &http.Client{Transport: wire.InProcess(a.api, func(r *http.Request) { r.RemoteAddr = address })}
	client := connect.NewClient[emptypb.Empty, emptypb.Empty](web, "http://keepward"+row.Call, connect.WithInterceptors(wire.Errors()))
	m := &emptypb.Empty{}
	m.ProtoReflect().SetUnknown(b)
	_, err = client.CallUnary(ctx, connect.NewRequest(m))
	return err
}

// begin fails what was being made when the server ended.
func (a *approver) begin(ctx context.Context) error {
	return a.db.Write(ctx, func(tx *sql.Tx) error {
		n, err := catalog.BrokenApprovals(ctx, tx, "the server ended while it was made: look whether it was done, and ask for it again if not")
		if n > 0 {
			a.log.Warn("it is not known whether what was approved was done", "approvals", n)
		}
		return err
	})
}

func (*approver) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (*approver) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next // a test sees that none needs a second person
}

// noteApproval puts into the row of a call which approval it is about.
func noteApproval(ctx context.Context, id int64) {
	if c, ok := ctx.Value(auditedKey{}).(*auditedCall); ok {
		c.approval = id
	}
}

type approvalService struct{ *approver }

func approvalMessage(a catalog.Approval, now time.Time) *keepwardv1.Approval {
	m := &keepwardv1.Approval{
		Id: a.ID, User: a.User, Call: callName(a.Call), What: a.What, Asked: timestamp(a.Asked), State: a.State, Expires: timestamp(a.Expires),
		Again: a.Again, DecidedBy: a.DecidedBy, Decided: timestamp(a.Decided), Note: a.Note, Error: a.Error,
	}
	if (a.State == catalog.ApprovalWaiting || a.State == catalog.ApprovalGranted && a.Again) && !a.Open(now) {
		m.State = approvalExpired
	}
	return m
}

func (s *approvalService) ListApprovals(ctx context.Context, req *connect.Request[keepwardv1.ListApprovalsRequest]) (*connect.Response[keepwardv1.ListApprovalsResponse], error) {
	const few, most = 100, 1000
	limit := int(req.Msg.GetLimit())
	if limit < 0 {
		return nil, errs.New(errs.Invalid, "approval.limit", "list approvals: limit is %d", limit)
	}
	if limit == 0 {
		limit = few
	}
	rows, err := catalog.Approvals(ctx, s.db.Read(), min(limit, most))
	if req.Msg.GetWaiting() {
		rows, err = catalog.OpenApprovals(ctx, s.db.Read(), s.now())
	}
	if err != nil {
		return nil, err
	}
	on, err := s.manager.SecondPerson(ctx)
	if err != nil {
		return nil, err
	}
	res := &keepwardv1.ListApprovalsResponse{On: on}
	for _, row := range rows {
		if m := approvalMessage(row, s.now()); !req.Msg.GetWaiting() || m.GetState() == catalog.ApprovalWaiting {
			res.Approvals = append(res.Approvals, m)
		}
	}
	return connect.NewResponse(res), nil
}

func (s *approvalService) GetApproval(ctx context.Context, req *connect.Request[keepwardv1.GetApprovalRequest]) (*connect.Response[keepwardv1.GetApprovalResponse], error) {
	row, err := catalog.GetApproval(ctx, s.db.Read(), req.Msg.GetId())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.GetApprovalResponse{Approval: approvalMessage(row, s.now())}), nil
}

// decide takes an approval from waiting to a decision by who calls.
func (s *approvalService) decide(ctx context.Context, doing string, id int64, note string, by func(c caller, a *catalog.Approval) error) (row catalog.Approval, err error) {
	c, _ := callerOf(ctx)
	if len(note) > noteMost {
		return row, errs.New(errs.Invalid, "approval.note", "%s approval %d: the note is longer than %d bytes", doing, id, noteMost)
	}
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		if row, err = catalog.GetApproval(ctx, tx, id); err != nil {
			return err
		}
		now := s.now()
		if m := approvalMessage(row, now); m.GetState() != catalog.ApprovalWaiting {
			return errs.New(errs.Busy, "approval.decided", "%s approval %d: it is %s", doing, id, m.GetState())
		}
		row.DecidedBy, row.Decided, row.Note = c.user.Name, now, note
		if err := by(c, &row); err != nil {
			return err
		}
		_, err := catalog.MoveApproval(ctx, tx, row, catalog.ApprovalWaiting)
		return err
	})
	return row, err
}

func (s *approvalService) GrantApproval(ctx context.Context, req *connect.Request[keepwardv1.GrantApprovalRequest]) (*connect.Response[keepwardv1.GrantApprovalResponse], error) {
	const doing = "grant"
	row, err := s.decide(ctx, doing, req.Msg.GetId(), req.Msg.GetNote(), func(c caller, a *catalog.Approval) error {
		switch {
		case a.UserID == c.user.ID:
			return errs.New(errs.Denied, "approval.own", "grant approval %d: user %s has asked for it, and another one must approve", a.ID, a.User)
		case c.token.Kind == catalog.TokenAPI:
			return errs.New(errs.Denied, "approval.by-token", "grant approval %d: an API token may not, for a person must have looked", a.ID).
				WithHint("log in first: keepward login HOST:PORT --user %s", c.user.Name)
		}
		a.State = catalog.ApprovalGranted
		if a.Again {
			a.Expires = a.Decided.Add(s.manager.ApprovalWait())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.audit(ctx, "call approved", "approval", row.ID, "call", callName(row.Call), "asked_by", row.User)
	if !row.Again {
		row = s.made(context.WithoutCancel(ctx), row, req.Peer().Addr)
	}
	return connect.NewResponse(&keepwardv1.GrantApprovalResponse{Approval: approvalMessage(row, s.now())}), nil
}

// made makes the call, and keeps how it ended.
func (s *approvalService) made(ctx context.Context, row catalog.Approval, address string) catalog.Approval {
	err := s.make(ctx, row, address)
	row.State, row.Message = catalog.ApprovalDone, nil
	if err != nil {
		row.State, row.Error = catalog.ApprovalFailed, err.Error()
	}
	if err := s.db.Write(ctx, func(tx *sql.Tx) error {
		_, err := catalog.MoveApproval(ctx, tx, row, catalog.ApprovalGranted)
		return err
	}); err != nil {
		s.log.Error("what became of an approved call is not written", "approval", row.ID, "state", row.State, "reason", err)
	}
	return row
}

func (s *approvalService) RefuseApproval(ctx context.Context, req *connect.Request[keepwardv1.RefuseApprovalRequest]) (*connect.Response[keepwardv1.RefuseApprovalResponse], error) {
	row, err := s.decide(ctx, "refuse", req.Msg.GetId(), req.Msg.GetNote(), func(c caller, a *catalog.Approval) error {
		a.State, a.Message = catalog.ApprovalRefused, nil
		if a.UserID == c.user.ID {
			a.State = catalog.ApprovalWithdrawn
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.audit(ctx, "approval refused", "approval", row.ID, "call", callName(row.Call), "asked_by", row.User, "state", row.State)
	return connect.NewResponse(&keepwardv1.RefuseApprovalResponse{Approval: approvalMessage(row, s.now())}), nil
}

// waitingApprovals are conditions, for somebody waits for somebody who does not know.
func (s *server) waitingApprovals(ctx context.Context, now time.Time) (out []*keepwardv1.Condition, err error) {
	rows, err := catalog.OpenApprovals(ctx, s.db.Read(), now)
	for _, a := range rows {
		if a.State != catalog.ApprovalWaiting {
			continue
		}
		out = append(out, &keepwardv1.Condition{
			Code: "approval.waiting", Severity: severityWarning, Subject: fmt.Sprint(a.ID), Since: timestamp(a.Asked),
			Text: fmt.Sprintf("user %s asks for another administrator's approval, to %s", a.User, a.What),
			Hint: fmt.Sprintf("look at it and decide, before %s: keepward approval show %d", a.Expires.Local().Format(time.DateTime), a.ID),
		})
	}
	return out, err
}

// newApprover needs the API that is around it; see apiHandler.
func newApprover(s *server) *approver {
	a := &approver{server: s, now: s.cfg.now}
	if a.now == nil {
		a.now = time.Now
	}
	return a
}
