package server

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/notify"
	"keepward/internal/pki"
	"keepward/internal/repo/seal"
)

// notifyService keeps who is told of what.
type notifyService struct{ *server }

// webhookSecretLeast is the least length of a secret that signs: it must not be guessed.
const webhookSecretLeast = 16

func (s *notifyService) SaveNotifyTarget(ctx context.Context, req *connect.Request[keepwardv1.SaveNotifyTargetRequest]) (*connect.Response[keepwardv1.SaveNotifyTargetResponse], error) {
	t, secret := req.Msg.GetTarget(), req.Msg.GetSecret()
	if err := checkTarget(t, secret); err != nil {
		return nil, err
	}
	row := catalog.NotifyTarget{NotifyTarget: &keepwardv1.NotifyTarget{
		Name: t.GetName(), Description: t.GetDescription(), Disabled: t.GetDisabled(), Webhook: t.GetWebhook(), Mail: t.GetMail(),
	}}
	if secret != "" {
		var err error
		if row.Secret, err = s.data.keys.sealNotify(t.GetName(), secret); err != nil {
			return nil, err
		}
	}
	now := timestamppb.New(s.notes.now())
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		had, err := catalog.GetNotifyTarget(ctx, tx, t.GetName())
		if err != nil && errs.KindOf(err) != errs.NotFound {
			return err
		}
		put := row
		put.Created, put.Changed = now, now
		if err == nil {
			put.Created = had.GetCreated()
		}
		if secret == "" && err == nil && destination(had.NotifyTarget) == destination(t) {
			put.Secret = had.Secret
		}
		if needsSecret(t) && len(put.Secret) == 0 {
			return errs.New(errs.Invalid, "notify.secret", "save notification target %s: it needs a secret", t.GetName()).
				WithHint("give it again where the place that it is for has changed")
		}
		row.Created = put.Created
		return catalog.PutNotifyTarget(ctx, tx, put)
	})
	if err != nil {
		return nil, err
	}
	s.notes.poke()
	saved, err := s.target(ctx, t.GetName())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.SaveNotifyTargetResponse{Target: saved}), nil
}

// destination is whom the secret of a target is shown to: it goes nowhere else without being given again.
func destination(t *keepwardv1.NotifyTarget) string {
	if w := t.GetWebhook(); w != nil {
		return "webhook" // it is never shown, it signs
	}
	m := t.GetMail()
	return strings.Join([]string{"mail", net.JoinHostPort(m.GetHost(), strconv.Itoa(int(m.GetPort()))), m.GetSecurity(), m.GetUser(), m.GetCa()}, "\n")
}

func needsSecret(t *keepwardv1.NotifyTarget) bool {
	return t.GetWebhook() != nil || t.GetMail().GetUser() != ""
}

func checkTarget(t *keepwardv1.NotifyTarget, secret string) error {
	if err := pki.CheckName("notification target", t.GetName()); err != nil {
		return errs.New(errs.Invalid, errs.CodeOf(err), "%w", err)
	}
	bad := func(code, format string, args ...any) *errs.Error {
		return errs.New(errs.Invalid, code, "save notification target "+t.GetName()+": "+format, args...)
	}
	if len(t.GetDescription()) > 1024 {
		return bad("notify.field", "its description is too long")
	}
	if len(secret) > secretMost || strings.ContainsFunc(secret, unicode.IsControl) {
		return bad("notify.secret", "its secret must be one line of at most %d bytes", secretMost)
	}
	if (t.GetWebhook() == nil) == (t.GetMail() == nil) {
		return bad("notify.target", "it must be a webhook or mail")
	}
	w := t.GetWebhook()
	if w == nil {
		return notify.Mail{
			Host: t.GetMail().GetHost(), Port: int(t.GetMail().GetPort()), Security: t.GetMail().GetSecurity(), User: t.GetMail().GetUser(),
			From: t.GetMail().GetFrom(), To: t.GetMail().GetTo(), CA: t.GetMail().GetCa(),
		}.Check()
	}
	if err := notify.CheckURL(w.GetUrl(), w.GetPlain()); err != nil {
		return err
	}
	if _, err := notify.Roots(w.GetCa()); err != nil {
		return err
	}
	if secret != "" && len(secret) < webhookSecretLeast {
		return bad("notify.secret", "its secret must have at least %d bytes: who guesses it can forge messages", webhookSecretLeast)
	}
	return nil
}

func (s *server) targets(ctx context.Context) ([]*keepwardv1.NotifyTarget, error) {
	rows, err := catalog.NotifyTargets(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	states, err := catalog.OutboxStates(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	out := make([]*keepwardv1.NotifyTarget, len(rows))
	for i, r := range rows {
		st := states[r.GetName()]
		out[i] = r.NotifyTarget
		out[i].Waiting, out[i].Problem, out[i].Delivered = st.Waiting, st.Problem, timestamp(st.Delivered)
	}
	return out, nil
}

func (s *server) target(ctx context.Context, name string) (*keepwardv1.NotifyTarget, error) {
	list, err := s.targets(ctx)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(list, func(t *keepwardv1.NotifyTarget) bool { return t.GetName() == name }); i >= 0 {
		return list[i], nil
	}
	return nil, catalog.NotFound("notification target", name, nil) // it was deleted at once
}

func (s *notifyService) ListNotifyTargets(ctx context.Context, _ *connect.Request[keepwardv1.ListNotifyTargetsRequest]) (*connect.Response[keepwardv1.ListNotifyTargetsResponse], error) {
	list, err := s.targets(ctx)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.ListNotifyTargetsResponse{Targets: list}), nil
}

func (s *notifyService) DeleteNotifyTarget(ctx context.Context, req *connect.Request[keepwardv1.DeleteNotifyTargetRequest]) (*connect.Response[keepwardv1.DeleteNotifyTargetResponse], error) {
	name := req.Msg.GetName()
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		if _, err := catalog.GetNotifyTarget(ctx, tx, name); err != nil {
			return err
		}
		rules, err := catalog.NotifyRules(ctx, tx)
		if err != nil {
			return err
		}
		for _, r := range rules {
			if slices.Contains(r.GetTargets(), name) {
				return errs.New(errs.Busy, "notify.used", "delete notification target %q: rule %s names it", name, r.GetName())
			}
		}
		reports, err := catalog.Reports(ctx, tx)
		if err != nil {
			return err
		}
		for _, r := range reports {
			if slices.Contains(r.GetTargets(), name) {
				return errs.New(errs.Busy, "notify.used", "delete notification target %q: report %s goes to it", name, r.GetName())
			}
		}
		return catalog.DeleteNotifyTarget(ctx, tx, name)
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.DeleteNotifyTargetResponse{}), nil
}

// TestNotifyTarget sends past the outbox: who tests wants to see it fail at once.
func (s *notifyService) TestNotifyTarget(ctx context.Context, req *connect.Request[keepwardv1.TestNotifyTargetRequest]) (*connect.Response[keepwardv1.TestNotifyTargetResponse], error) {
	row, err := catalog.GetNotifyTarget(ctx, s.db.Read(), req.Msg.GetName())
	if err != nil {
		return nil, err
	}
	sender, err := s.notes.sender(row)
	if err != nil {
		return nil, err
	}
	e := s.notes.event(notify.Test, notify.Info)
	e.Title, e.Text = "Test of target "+row.GetName(), "This is a test. Whoever reads it is told of what rules say that name this target."
	answer, err := sender.Send(ctx, notify.NewMessage(e, "", "", time.Local))
	res := &keepwardv1.TestNotifyTargetResponse{Delivered: err == nil, Answer: answer, Event: e.ID}
	if err != nil {
		res.Answer = err.Error()
	}
	return connect.NewResponse(res), nil
}

func (s *notifyService) SaveNotifyRule(ctx context.Context, req *connect.Request[keepwardv1.SaveNotifyRuleRequest]) (*connect.Response[keepwardv1.SaveNotifyRuleResponse], error) {
	in := req.Msg.GetRule()
	r := &keepwardv1.NotifyRule{
		Name: in.GetName(), Description: in.GetDescription(), Disabled: in.GetDisabled(), Targets: in.GetTargets(), Events: in.GetEvents(),
		Severity: in.GetSeverity(), Jobs: in.GetJobs(), Groups: in.GetGroups(), Subject: in.GetSubject(), Body: in.GetBody(),
	}
	if err := checkNotifyRule(r); err != nil {
		return nil, err
	}
	now := timestamppb.New(s.notes.now())
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		had, err := catalog.GetNotifyRule(ctx, tx, r.GetName())
		if err != nil && errs.KindOf(err) != errs.NotFound {
			return err
		}
		r.Created, r.Changed = cmp.Or(had.GetCreated(), now), now
		if err := namedByRule(ctx, tx, r); err != nil {
			return err
		}
		return catalog.PutNotifyRule(ctx, tx, r)
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.SaveNotifyRuleResponse{Rule: r}), nil
}

// namedByRule makes sure that what a rule names is there.
func namedByRule(ctx context.Context, q catalog.Queryer, r *keepwardv1.NotifyRule) error {
	for _, name := range r.GetTargets() {
		if _, err := catalog.GetNotifyTarget(ctx, q, name); err != nil {
			return err
		}
	}
	for _, name := range r.GetJobs() {
		if _, err := catalog.GetJob(ctx, q, name); err != nil {
			return err
		}
	}
	for _, name := range r.GetGroups() {
		if _, err := catalog.GetGroup(ctx, q, name); err != nil {
			return err
		}
	}
	return nil
}

func checkNotifyRule(r *keepwardv1.NotifyRule) error {
	if err := pki.CheckName("notification rule", r.GetName()); err != nil {
		return errs.New(errs.Invalid, errs.CodeOf(err), "%w", err)
	}
	bad := func(format string, args ...any) *errs.Error {
		return errs.New(errs.Invalid, "notify.rule", "save notification rule "+r.GetName()+": "+format, args...)
	}
	if len(r.GetTargets()) == 0 {
		return bad("it names no target")
	}
	if len(r.GetDescription()) > 1024 {
		return bad("its description is too long")
	}
	for _, want := range r.GetEvents() {
		if !notify.KnownKind(want) {
			var known []string
			for _, k := range notify.Kinds {
				known = append(known, k.Kind)
			}
			return bad("there is no kind of event %q", want).WithHint("there is %s, and the first words of them", strings.Join(known, ", "))
		}
	}
	if r.GetSeverity() != "" && !slices.Contains(notify.Severities, r.GetSeverity()) {
		return bad("there is no severity %q", r.GetSeverity()).WithHint("there is %s", strings.Join(notify.Severities, ", "))
	}
	return notify.CheckTemplates(r.GetSubject(), r.GetBody())
}

func (s *notifyService) ListNotifyRules(ctx context.Context, _ *connect.Request[keepwardv1.ListNotifyRulesRequest]) (*connect.Response[keepwardv1.ListNotifyRulesResponse], error) {
	list, err := catalog.NotifyRules(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.ListNotifyRulesResponse{Rules: list}), nil
}

func (s *notifyService) DeleteNotifyRule(ctx context.Context, req *connect.Request[keepwardv1.DeleteNotifyRuleRequest]) (*connect.Response[keepwardv1.DeleteNotifyRuleResponse], error) {
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		if _, err := catalog.GetNotifyRule(ctx, tx, req.Msg.GetName()); err != nil {
			return err
		}
		return catalog.DeleteNotifyRule(ctx, tx, req.Msg.GetName())
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.DeleteNotifyRuleResponse{}), nil
}

// notificationsMost bounds a list of what was sent.
const notificationsMost = 1000

func (s *notifyService) ListNotifications(ctx context.Context, req *connect.Request[keepwardv1.ListNotificationsRequest]) (*connect.Response[keepwardv1.ListNotificationsResponse], error) {
	if name := req.Msg.GetTarget(); name != "" {
		if _, err := catalog.GetNotifyTarget(ctx, s.db.Read(), name); err != nil {
			return nil, err
		}
	}
	most := min(int(req.Msg.GetLimit()), notificationsMost)
	if most <= 0 {
		most = 100
	}
	list, err := catalog.Outgoings(ctx, s.db.Read(), req.Msg.GetTarget(), most)
	if err != nil {
		return nil, err
	}
	res := &keepwardv1.ListNotificationsResponse{}
	for _, o := range list {
		n := &keepwardv1.Notification{
			Id: o.ID, Event: o.Event, Target: o.Target, Kind: o.Kind, Subject: o.Subject, Status: o.Status, Tries: int32(min(o.Tries, 1<<30)),
			Problem: o.Problem, Created: timestamp(o.Created), Delivered: timestamp(o.Delivered),
		}
		if o.Status == catalog.OutboxWaiting {
			n.Next = timestamp(o.Next)
		}
		res.Notifications = append(res.Notifications, n)
	}
	return connect.NewResponse(res), nil
}

func (k *keyring) sealNotify(name, secret string) ([]byte, error) {
	return seal.SealBytes(k.key, []byte(secret), []byte("notify:"+name))
}

func mailOf(t catalog.NotifyTarget, password string) notify.Mail {
	m := t.GetMail()
	return notify.Mail{
		Host: m.GetHost(), Port: int(m.GetPort()), Security: m.GetSecurity(), User: m.GetUser(), Password: password,
		From: m.GetFrom(), To: m.GetTo(), CA: m.GetCa(),
	}
}

// notifyConditions are targets that messages do not reach.
func (s *server) notifyConditions(ctx context.Context) ([]*keepwardv1.Condition, error) {
	states, err := catalog.OutboxStates(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	var out []*keepwardv1.Condition
	for _, name := range slices.Sorted(maps.Keys(states)) {
		st := states[name]
		if st.Problem == "" {
			continue
		}
		out = append(out, &keepwardv1.Condition{
			Code: "notify.undelivered", Severity: severityError, Subject: name,
			Text: fmt.Sprintf("messages for notification target %s do not arrive: %s", name, st.Problem),
			Hint: fmt.Sprintf("put it right, and then: keepward notify test %s", name), Since: timestamp(st.Since),
		})
	}
	return out, nil
}
