package server

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

// This file is the update of one agent: it is told what to become, and asked until it is.

const (
	// askEvery is how often an agent is asked how far it is.
	askEvery = 500 * time.Millisecond
	askWait  = 20 * time.Second
	// awayMost is, beside twice the time of a trial, how long an agent may stay away.
	awayMost = 5 * time.Minute
	// restMost is how long a download may stand still.
	restMost = 15 * time.Minute
	// logShown bounds the lines of a version that did not prove itself in a condition.
	logShown = 3
)

// Update has an agent become what an order says. An order that the agent has had before is not given
// again: how it ended counts.
func (r *rollouts) Update(ctx context.Context, o *keepwardv1.UpdateOrder, line func(level, code, text string)) error {
	_, _, trial := r.manager.AgentUpdates()
	f := &following{rollouts: r, o: o, line: line, trial: trial, moved: time.Now()}
	err := f.follow(ctx)
	if ctx.Err() != nil {
		f.cancel(context.WithoutCancel(ctx))
		return ctx.Err()
	}
	if kerr := r.keepOutcome(ctx, o, f, err); err == nil {
		err = kerr
	}
	return err
}

// following is an update that goes on.
type following struct {
	*rollouts
	o     *keepwardv1.UpdateOrder
	line  func(level, code, text string)
	trial time.Duration

	begun  bool // the agent has the order
	seen   string
	have   int64
	moved  time.Time // when anything was seen to move
	result *keepwardv1.UpdateResult
}

// errAsk is an agent that cannot be asked now.
var errAsk = errs.New(errs.Unavailable, "update.away", "ask the agent about its update: it is away")

func (f *following) follow(ctx context.Context) error {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		done, err := f.look(ctx)
		if done || err != nil && errs.CodeOf(err) != errAsk.Code {
			return err
		}
		if rest := time.Since(f.moved); err != nil && rest > 2*f.trial+awayMost {
			return errs.New(errs.Unavailable, "update.lost", "update the agent of %s to %s: it has been away for %s", f.o.GetComputer(), f.o.GetVersion(), rest.Round(time.Second)).
				WithHint("look at the computer: the program before it lies beside the new one, with .previous at the end of its name")
		} else if rest > restMost && f.seen != "waiting" {
			return errs.New(errs.Unavailable, "update.stuck", "update the agent of %s to %s: nothing has moved for %s", f.o.GetComputer(), f.o.GetVersion(), rest.Round(time.Second))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (f *following) client() (keepwardv1connect.AgentUpdateServiceClient, error) {
	l := f.nodes.find(wire.RoleAgent, f.o.GetComputer())
	if l == nil {
		return nil, errAsk
	}
	return l.updates, nil
}

// look asks the agent how it stands, and tells it what to become where it does not know.
func (f *following) look(ctx context.Context) (done bool, err error) {
	c, err := f.client()
	if err != nil {
		return false, err
	}
	call, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	res, err := c.GetUpdate(call, connect.NewRequest(&keepwardv1.GetUpdateRequest{Term: f.data.term.Load()}))
	switch {
	case connect.CodeOf(err) == connect.CodeUnimplemented:
		return false, errs.New(errs.Invalid, "update.too-old", "update the agent of %s: it is too old to update itself", f.o.GetComputer()).
			WithHint("replace its program by hand, this once")
	case err != nil:
		return false, errAsk // its link has just gone, or the call hangs
	}
	m := res.Msg
	switch {
	case m.GetOnTrial():
		f.show("trying", "the new version is answered, and gives back to take the place")
		return false, nil
	case m.GetLast().GetId() == f.o.GetId():
		f.result = m.GetLast()
		return true, f.judge()
	case m.GetId() == f.o.GetId():
		f.progress(m)
		return false, nil
	case m.GetVersion() == f.o.GetVersion() && m.GetId() == "":
		f.line("info", "update.there", fmt.Sprintf("%s is %s already", f.o.GetComputer(), f.o.GetVersion()))
		return true, nil
	}
	return false, f.begin(ctx, c, m)
}

func (f *following) begin(ctx context.Context, c keepwardv1connect.AgentUpdateServiceClient, m *keepwardv1.GetUpdateResponse) error {
	if m.GetManaged() != "" {
		return errs.New(errs.Denied, "update.managed", "update the agent of %s: %s", f.o.GetComputer(), m.GetManaged()).
			WithHint("update the package of the computer; see operator/updates.md")
	}
	list, err := f.packages.list(ctx)
	if err != nil {
		return err
	}
	p, err := pick(list, m.GetOs(), m.GetArch(), f.o.GetVersion())
	if err != nil {
		return err
	}
	call, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	_, err = c.BeginUpdate(call, connect.NewRequest(&keepwardv1.BeginUpdateRequest{
		Term: f.data.term.Load(), Id: f.o.GetId(), Package: p, AllowDowngrade: f.o.GetAllowDowngrade(), Again: f.o.GetAgain(),
		Limit: durationpb.New(f.trial),
	}))
	if errs.KindOf(err) == errs.Unavailable {
		return errAsk
	}
	if err != nil {
		return err
	}
	f.begun, f.moved = true, time.Now()
	f.show("ordered", fmt.Sprintf("the agent of %s, which is %s, was told to become %s", f.o.GetComputer(), m.GetVersion(), f.o.GetVersion()))
	return nil
}

// show writes a line when something is new.
func (f *following) show(what, text string) {
	if f.seen == what {
		return
	}
	f.seen, f.moved = what, time.Now()
	f.line("info", "update.progress", text)
}

func (f *following) progress(m *keepwardv1.GetUpdateResponse) {
	f.begun = true
	if m.GetHaveBytes() != f.have {
		f.have, f.moved = m.GetHaveBytes(), time.Now()
	}
	switch m.GetPhase() {
	case "downloading":
		f.show("downloading", "it fetches the new version")
	case "checking":
		f.show("checking", "it checks the new version")
	case "waiting":
		f.show("waiting", "it waits: "+m.GetWaits())
		f.seen = "waiting"
	case "trying":
		f.show("trying", "the new version is on trial")
	}
}

// judge is how an order ended.
func (f *following) judge() error {
	r := f.result
	if r.GetDone() {
		f.line("info", "update.done", fmt.Sprintf("the agent of %s has become %s; it was %s", f.o.GetComputer(), r.GetVersion(), r.GetFrom()))
		return nil
	}
	for _, l := range r.GetLog() {
		f.line("warning", "update.log", "the new version said: "+l)
	}
	return errs.New(errs.Unavailable, f.code(), "update the agent of %s to %s: it is still %s: %s", f.o.GetComputer(), r.GetVersion(), r.GetFrom(), strings.ToValidUTF8(r.GetReason()[:min(len(r.GetReason()), 4*textMost)], "")).
		WithHint("the version before it goes on; the new one is tried again when it is ordered for this computer by name")
}

// code is that of the agent, where it is one of an update.
func (f *following) code() string {
	if c := f.result.GetCode(); strings.HasPrefix(c, "update.") {
		return c
	}
	return "update.failed"
}

// cancel takes an order back, as far as the agent can still leave it.
func (f *following) cancel(ctx context.Context) {
	c, err := f.client()
	if err != nil || !f.begun {
		return
	}
	call, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	_, err = c.CancelUpdate(call, connect.NewRequest(&keepwardv1.CancelUpdateRequest{Term: f.data.term.Load(), Id: f.o.GetId()}))
	if err != nil {
		f.log.Warn("an update was not taken back", "computer", f.o.GetComputer(), "error", err)
	}
}

// keepOutcome writes down why an update failed, or that the last one went well.
func (r *rollouts) keepOutcome(ctx context.Context, o *keepwardv1.UpdateOrder, f *following, failed error) error {
	return r.db.Write(ctx, func(tx *sql.Tx) error {
		if failed == nil {
			return catalog.ForgetUpdateProblem(ctx, tx, o.GetComputer())
		}
		log := f.result.GetLog()
		for i, l := range log {
			log[i] = strings.ToValidUTF8(l[:min(len(l), textMost)], "")
		}
		return catalog.PutUpdateProblem(ctx, tx, &keepwardv1.UpdateProblem{
			Computer: o.GetComputer(), Version: o.GetVersion(), Code: errs.CodeOf(failed), Reason: failed.Error(),
			Log: log[max(0, len(log)-linesKept):], Since: timestamppb.Now(),
		})
	})
}

// linesKept bounds what is kept of what a version said.
const linesKept = 20

// updateCondition is an update that failed, as long as the agent is another version than it was to be.
func updateCondition(p *keepwardv1.UpdateProblem, c *keepwardv1.Computer) *keepwardv1.Condition {
	if p == nil || c.GetAgentVersion() == p.GetVersion() {
		return nil
	}
	text := fmt.Sprintf("the agent of %s was not updated to %s: %s", p.GetComputer(), p.GetVersion(), p.GetReason())
	if log := p.GetLog(); len(log) > 0 {
		text += "; the new version said last: " + strings.Join(log[max(0, len(log)-logShown):], " | ")
	}
	severity := severityError
	if leavesOut[p.GetCode()] {
		severity = severityWarning
	}
	return &keepwardv1.Condition{
		Code: p.GetCode(), Severity: severity, Subject: p.GetComputer(), Text: text,
		Hint: fmt.Sprintf("it goes on as it was; to try again: keepward computer update %s --version %s", p.GetComputer(), p.GetVersion()), Since: p.GetSince(),
	}
}
