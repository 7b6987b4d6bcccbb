package server

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/notify"
	"keepward/internal/repo/seal"
	"keepward/internal/words"
)

const (
	notifyEvery = 5 * time.Second
	// laneBatch is how many messages a target gets in one go, and toldBatch how many sessions are
	// looked at in one transaction.
	laneBatch, toldBatch = 50, 200
	// laneRest bounds how long the other messages of a target wait after one was not taken: that one may
	// be the only one that the other side does not like.
	laneRest = time.Minute
)

// notifier turns what happens into messages, and hands them over. Each message is in the outbox in
// the same transaction that notes its event as told, so none is lost or made twice; it is handed
// over again after a server was killed between that and the note of it.
type notifier struct {
	*server
	now   func() time.Time
	every time.Duration
	host  string
	wake  chan struct{} // one signal: there is something to send

	watched time.Time // when conditions were; for its own goroutine

	mu      sync.Mutex
	lanes   map[string]*lane        // by target
	alarms  []*keepwardv1.Condition // found last
	growths map[string]growth       // of repositories, found with them
}

// lane is the way to one target: a slow one holds up nobody else.
type lane struct {
	busy bool
	rest time.Time      // not before then
	sent map[int64]bool // handed over, and not yet noted: the catalog could not be written
}

func newNotifier(s *server) *notifier {
	n := &notifier{server: s, now: s.cfg.now, every: s.cfg.NotifyEvery, wake: make(chan struct{}, 1), lanes: map[string]*lane{}}
	if n.now == nil {
		n.now = time.Now
	}
	if n.every == 0 {
		n.every = notifyEvery
	}
	n.host, _ = os.Hostname() // empty: it has none
	return n
}

func (n *notifier) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *notifier) serve(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		tick := time.NewTicker(n.every)
		defer tick.Stop()
		for {
			if err := n.look(ctx, g); err != nil && ctx.Err() == nil {
				n.log.Error("notifications not made, will try again", "error", err)
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-n.wake:
			case <-tick.C:
			}
		}
	})
	return g.Wait()
}

// look makes messages of what has happened since, and starts to send what is due.
func (n *notifier) look(ctx context.Context, g *errgroup.Group) error {
	if err := n.tellSessions(ctx); err != nil {
		return err
	}
	if err := n.watchConditions(ctx); err != nil {
		return err
	}
	if err := n.sendReports(ctx); err != nil {
		return err
	}
	targets, err := catalog.NotifyTargets(ctx, n.db.Read())
	if err != nil {
		return err
	}
	for _, t := range targets {
		if t.GetDisabled() {
			continue
		}
		l := n.begin(t.GetName())
		if l == nil {
			continue
		}
		// What is due is read by who has the lane: what was read before may have been sent meanwhile.
		due, err := catalog.DueOutgoing(ctx, n.db.Read(), t.GetName(), n.now(), laneBatch)
		if err != nil || len(due) == 0 {
			n.done(l, false)
			if err != nil {
				return err
			}
			continue
		}
		g.Go(func() error {
			defer n.done(l, len(due) == laneBatch)
			n.sendAll(ctx, l, t, due)
			return nil
		})
	}
	return nil
}

// begin takes the lane of a target; nil: it is taken, or rests.
func (n *notifier) begin(target string) *lane {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.lanes[target]
	if l == nil {
		l = &lane{sent: map[int64]bool{}}
		n.lanes[target] = l
	}
	if l.busy || n.now().Before(l.rest) {
		return nil
	}
	l.busy = true
	return l
}

func (n *notifier) done(l *lane, more bool) {
	n.mu.Lock()
	l.busy = false
	n.mu.Unlock()
	if more {
		n.poke()
	}
}

// sendAll hands messages over one after the other, until one is not taken.
func (n *notifier) sendAll(ctx context.Context, l *lane, t catalog.NotifyTarget, due []catalog.Outgoing) {
	sender, err := n.sender(t)
	for _, o := range due {
		if ctx.Err() != nil {
			return
		}
		if again := n.sendOne(ctx, l, sender, err, o); again > 0 {
			n.mu.Lock()
			l.rest = n.now().Add(min(again, laneRest))
			n.mu.Unlock()
			return
		}
	}
}

// sendOne hands a message over; it answers after how long to try again, 0 if it has arrived.
func (n *notifier) sendOne(ctx context.Context, l *lane, sender notify.Sender, err error, o catalog.Outgoing) time.Duration {
	var m notify.Message
	if err == nil {
		m, err = notify.Decode(o.Message)
	}
	if err == nil && !l.sent[o.ID] {
		_, err = sender.Send(ctx, m)
	}
	if ctx.Err() != nil && err != nil {
		return 0 // the server ends; the next one tries
	}
	now := n.now()
	again, keep := time.Duration(0), true
	if err != nil {
		again, keep = notify.Pause(o.Tries+1, now.Sub(o.Created), mathrand.Float64())
		n.log.Warn("message not delivered", "target", o.Target, "kind", o.Kind, "event", o.Event, "tries", o.Tries+1, "again", keep, "error", err)
	} else {
		l.sent[o.ID] = true
	}
	noted := n.db.Write(ctx, func(tx *sql.Tx) error {
		switch {
		case err == nil:
			return catalog.NoteDelivered(ctx, tx, o.ID, now)
		case keep:
			return catalog.PutOffOutgoing(ctx, tx, o.ID, err.Error(), now.Add(again))
		}
		return catalog.GiveUpOutgoing(ctx, tx, o.ID, err.Error(), now)
	})
	if noted != nil {
		n.log.Error("it cannot be noted that a message was sent", "target", o.Target, "event", o.Event, "error", noted)
		return max(again, n.every)
	}
	delete(l.sent, o.ID)
	return again
}

// sender is how a target is reached.
func (n *notifier) sender(t catalog.NotifyTarget) (notify.Sender, error) {
	secret := ""
	if len(t.Secret) > 0 {
		b, err := seal.OpenBytes(n.data.keys.key, t.Secret, []byte("notify:"+t.GetName()))
		if err != nil {
			return nil, fmt.Errorf("open the secret of notification target %s: %w", t.GetName(), err)
		}
		secret = string(b)
	}
	if w := t.GetWebhook(); w != nil {
		return notify.Webhook{URL: w.GetUrl(), Secret: secret, CA: w.GetCa(), Now: n.now}, nil
	}
	return mailOf(t, secret), nil
}

// event is a new one.
func (n *notifier) event(kind, severity string) notify.Event {
	var id [16]byte
	_, _ = rand.Read(id[:]) // documented never to fail
	return notify.Event{ID: hex.EncodeToString(id[:]), Kind: kind, Severity: severity, Time: n.now(), Server: n.host}
}

// rulesInForce are the rules that are not disabled.
func (n *notifier) rulesInForce(ctx context.Context) ([]*keepwardv1.NotifyRule, error) {
	rules, err := catalog.NotifyRules(ctx, n.db.Read())
	return slices.DeleteFunc(rules, func(r *keepwardv1.NotifyRule) bool { return r.GetDisabled() }), err
}

// groupsOf tells which groups some computers are members of; it is asked only where a rule goes by them.
func (n *notifier) groupsOf(ctx context.Context, rules []*keepwardv1.NotifyRule) (func([]string) []string, error) {
	if !slices.ContainsFunc(rules, func(r *keepwardv1.NotifyRule) bool { return len(r.GetGroups()) > 0 }) {
		return func([]string) []string { return nil }, nil
	}
	v, err := n.lookAtViews(ctx)
	if err != nil {
		return nil, err
	}
	return func(computers []string) (out []string) {
		for _, c := range computers {
			out = append(out, v.groups[c]...)
		}
		return out
	}, nil
}

// put makes the messages of an event, one for each target however many rules name it: the first one
// by name writes it. tx is that in which the event is noted as told.
func (n *notifier) put(ctx context.Context, tx *sql.Tx, e notify.Event, rules []*keepwardv1.NotifyRule, groups []string) error {
	for _, r := range rules {
		rule := notify.Rule{Events: r.GetEvents(), Severity: r.GetSeverity(), Jobs: r.GetJobs(), Groups: r.GetGroups()}
		if !rule.Takes(e, groups) {
			continue
		}
		m := notify.NewMessage(e, r.GetSubject(), r.GetBody(), time.Local)
		if err := n.putMessage(ctx, tx, m, r.GetTargets()); err != nil {
			return err
		}
	}
	return nil
}

func (n *notifier) putMessage(ctx context.Context, tx *sql.Tx, m notify.Message, targets []string) error {
	b, err := m.Encode()
	if err != nil {
		return err
	}
	for _, target := range targets {
		if _, err := catalog.GetNotifyTarget(ctx, tx, target); errs.KindOf(err) == errs.NotFound {
			continue // it was deleted since the rules were read
		} else if err != nil {
			return err
		}
		waiting, err := catalog.CountWaiting(ctx, tx, target)
		if err != nil {
			return err
		}
		if waiting >= notify.WaitingMost {
			n.log.Error("message dropped: too many wait for its target", "target", target, "event", m.Event.ID, "kind", m.Event.Kind, "subject", m.Subject)
			continue
		}
		_, err = catalog.PutOutgoing(ctx, tx, catalog.Outgoing{
			Event: m.Event.ID, Target: target, Kind: m.Event.Kind, Subject: m.Subject, Message: b, Created: n.now(),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// tellSessions makes messages of the sessions that are over.
func (n *notifier) tellSessions(ctx context.Context) error {
	for {
		ids, err := catalog.UntoldSessions(ctx, n.db.Read(), toldBatch)
		if err != nil || len(ids) == 0 {
			return err
		}
		rules, err := n.rulesInForce(ctx)
		if err != nil {
			return err
		}
		groups, err := n.groupsOf(ctx, rules)
		if err != nil {
			return err
		}
		err = n.db.Write(ctx, func(tx *sql.Tx) error {
			for _, id := range ids {
				if len(rules) > 0 {
					if err := n.tellSession(ctx, tx, id, rules, groups); err != nil {
						return err
					}
				}
				if err := catalog.ToldSession(ctx, tx, id); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || len(ids) < toldBatch {
			return err
		}
	}
}

func (n *notifier) tellSession(ctx context.Context, tx *sql.Tx, id int64, rules []*keepwardv1.NotifyRule, groups func([]string) []string) error {
	row, err := catalog.GetSession(ctx, tx, id)
	if errs.KindOf(err) == errs.NotFound {
		return nil // its history is over
	}
	if err != nil || row.Ended.IsZero() || !row.RetryAt.IsZero() || row.Type == job.IndexRestore {
		return err // one that is tried again is told of by its last retry; one that browses is nobody's news
	}
	tasks, err := catalog.Tasks(ctx, tx, id)
	if err != nil {
		return err
	}
	e := n.sessionEvent(row, tasks)
	if e.Kind != notify.SessionSuccess {
		if retried, err := catalog.RetriedBy(ctx, tx, row); err != nil || retried {
			return err
		}
	}
	return n.put(ctx, tx, e, rules, groups(e.Computers))
}

// ends says how the result of a session is told.
var ends = map[job.Result]struct{ kind, severity, word string }{
	job.ResultSuccess: {notify.SessionSuccess, notify.Info, "was completed"},
	job.ResultWarning: {notify.SessionWarning, notify.Warning, "left something out"},
	job.ResultFailed:  {notify.SessionFailed, notify.Error, "failed"},
}

func (n *notifier) sessionEvent(row catalog.Session, tasks []catalog.Task) notify.Event {
	end, ok := ends[row.Status.Result()]
	if !ok {
		end = ends[job.ResultFailed]
	}
	e := n.event(end.kind, end.severity)
	e.Time, e.Job, e.Repository = row.Ended, row.Job, row.Repository
	e.Session = &notify.Session{ID: row.ID, Type: string(row.Type), Status: string(row.Status), Started: row.Started, Ended: row.Ended, By: row.StartedBy, Retry: row.Retry}
	var bad []string
	for _, t := range tasks {
		if t.Computer == "" {
			continue
		}
		e.Computers = append(e.Computers, t.Computer)
		if t.Status.Result() == job.ResultFailed {
			bad = append(bad, t.Computer)
		}
	}
	what := string(row.Type)
	if row.Job != "" {
		what = "job " + words.Safe(row.Job)
	}
	e.Title = fmt.Sprintf("session %d of %s %s", row.ID, what, end.word)
	e.Text = fmt.Sprintf("It ended as %s.", row.Status)
	if n := len(e.Computers); n > 1 && len(bad) > 0 {
		e.Text += fmt.Sprintf(" It failed at %d of %d computers.", len(bad), n)
	}
	if row.Failure.GetMessage() != "" {
		e.Code, e.Text = row.Failure.GetCode(), e.Text+" "+words.Safe(row.Failure.GetMessage())
	}
	if row.Failure.GetHint() != "" {
		e.Hint = words.Safe(row.Failure.GetHint())
	}
	if row.Retry > 0 {
		e.Text += fmt.Sprintf(" It was retry %d.", row.Retry)
	}
	if e.Hint == "" && end.kind != notify.SessionSuccess {
		e.Hint = fmt.Sprintf("keepward session log %d", row.ID)
	}
	return e
}
