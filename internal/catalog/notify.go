package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
)

// NotifyTarget is where messages go. Its secret is sealed.
type NotifyTarget struct {
	*keepwardv1.NotifyTarget
	Secret []byte
}

func scanNotifyTarget(row interface{ Scan(...any) error }) (t NotifyTarget, err error) {
	var text string
	if err := row.Scan(&text, &t.Secret); err != nil {
		return t, err
	}
	t.NotifyTarget, err = fromJSON(text, &keepwardv1.NotifyTarget{})
	return t, err
}

// NotifyTargets lists all by name.
func NotifyTargets(ctx context.Context, q Queryer) ([]NotifyTarget, error) {
	rows, err := q.QueryContext(ctx, `SELECT definition, secret FROM notify_targets ORDER BY name`)
	out, err := collect(rows, err, func(r *sql.Rows) (NotifyTarget, error) { return scanNotifyTarget(r) })
	if err != nil {
		return nil, fmt.Errorf("list notification targets: %w", err)
	}
	return out, nil
}

// GetNotifyTarget finds one, or answers errs.NotFound with the nearest names.
func GetNotifyTarget(ctx context.Context, q Queryer, name string) (NotifyTarget, error) {
	t, err := scanNotifyTarget(q.QueryRowContext(ctx, `SELECT definition, secret FROM notify_targets WHERE name = ?`, name))
	return orNearest(ctx, q, t, err, "notification target", "notify_targets", name)
}

// PutNotifyTarget adds one, or replaces the one of the same name.
func PutNotifyTarget(ctx context.Context, tx *sql.Tx, t NotifyTarget) error {
	text, err := toJSON(t.NotifyTarget)
	if err != nil {
		return err
	}
	if t.Secret == nil {
		t.Secret = []byte{}
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO notify_targets (name, definition, secret) VALUES (?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET definition = excluded.definition, secret = excluded.secret`, t.GetName(), text, t.Secret)
	if err != nil {
		return fmt.Errorf("write notification target %s: %w", t.GetName(), err)
	}
	return nil
}

// DeleteNotifyTarget forgets one, and what waits for it.
func DeleteNotifyTarget(ctx context.Context, tx *sql.Tx, name string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM notify_targets WHERE name = ?`, name); err != nil {
		return fmt.Errorf("delete notification target %s: %w", name, err)
	}
	return nil
}

// NotifyRules lists all by name.
func NotifyRules(ctx context.Context, q Queryer) ([]*keepwardv1.NotifyRule, error) {
	rows, err := q.QueryContext(ctx, `SELECT definition FROM notify_rules ORDER BY name`)
	return documents(rows, err, "notification rules", func() *keepwardv1.NotifyRule { return &keepwardv1.NotifyRule{} })
}

// GetNotifyRule finds one, or answers errs.NotFound with the nearest names.
func GetNotifyRule(ctx context.Context, q Queryer, name string) (*keepwardv1.NotifyRule, error) {
	var text string
	err := q.QueryRowContext(ctx, `SELECT definition FROM notify_rules WHERE name = ?`, name).Scan(&text)
	if text, err = orNearest(ctx, q, text, err, "notification rule", "notify_rules", name); err != nil {
		return nil, err
	}
	return fromJSON(text, &keepwardv1.NotifyRule{})
}

// PutNotifyRule adds one, or replaces the one of the same name.
func PutNotifyRule(ctx context.Context, tx *sql.Tx, r *keepwardv1.NotifyRule) error {
	text, err := toJSON(r)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO notify_rules (name, definition) VALUES (?, ?)
		ON CONFLICT (name) DO UPDATE SET definition = excluded.definition`, r.GetName(), text)
	if err != nil {
		return fmt.Errorf("write notification rule %s: %w", r.GetName(), err)
	}
	return nil
}

// DeleteNotifyRule forgets one.
func DeleteNotifyRule(ctx context.Context, tx *sql.Tx, name string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM notify_rules WHERE name = ?`, name); err != nil {
		return fmt.Errorf("delete notification rule %s: %w", name, err)
	}
	return nil
}

// UntoldSessions are sessions that are over and of which nobody has been told, the first first.
func UntoldSessions(ctx context.Context, q Queryer, most int) ([]int64, error) {
	rows, err := q.QueryContext(ctx, `SELECT session FROM notify_ended ORDER BY session LIMIT +?`, most)
	out, err := collect(rows, err, func(r *sql.Rows) (id int64, err error) { return id, r.Scan(&id) })
	if err != nil {
		return nil, fmt.Errorf("list sessions that nobody was told of: %w", err)
	}
	return out, nil
}

// ToldSession notes that everybody who is to has been told of a session, or will be by the outbox.
func ToldSession(ctx context.Context, tx *sql.Tx, id int64) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM notify_ended WHERE session = ?`, id); err != nil {
		return fmt.Errorf("note that session %d was told: %w", id, err)
	}
	return nil
}

// RetriedBy tells whether a later session has taken on what failed in a session.
func RetriedBy(ctx context.Context, q Queryer, s Session) (bool, error) {
	var n int
	err := q.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT 1 FROM sessions WHERE job = ? AND id > ? AND origin = ? LIMIT 1)`, s.Job, s.ID, s.ID).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("find retry of session %d: %w", s.ID, err)
	}
	return n > 0, nil
}

// The statuses of a message in the outbox.
const (
	OutboxWaiting   = "waiting"
	OutboxDelivered = "delivered"
	OutboxGivenUp   = "given up"
)

// Outgoing is a message to one target.
type Outgoing struct {
	ID                           int64
	Event, Target, Kind, Subject string
	Message                      []byte // only of what waits
	Status                       string
	Tries                        int
	Problem                      string
	Created, Next, Delivered     time.Time
}

const outgoingColumns = `id, event, target, kind, subject, status, tries, problem, created, next, delivered`

func scanOutgoing(r *sql.Rows, more ...any) (o Outgoing, err error) {
	var created, next, delivered int64
	err = r.Scan(append([]any{&o.ID, &o.Event, &o.Target, &o.Kind, &o.Subject, &o.Status, &o.Tries, &o.Problem, &created, &next, &delivered}, more...)...)
	o.Created, o.Next, o.Delivered = timeOf(created), timeOf(next), timeOf(delivered)
	return o, err
}

// PutOutgoing has a message sent, and answers whether it is new: an event goes to a target once,
// however many rules say so.
func PutOutgoing(ctx context.Context, tx *sql.Tx, o Outgoing) (bool, error) {
	res, err := tx.ExecContext(ctx, `INSERT INTO notify_outbox (event, target, kind, subject, message, status, created, next) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (event, target) DO NOTHING`, o.Event, o.Target, o.Kind, o.Subject, o.Message, OutboxWaiting, nanos(o.Created), nanos(o.Created))
	if err != nil {
		return false, fmt.Errorf("put message for %s into the outbox: %w", o.Target, err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// DueOutgoing are the messages for a target whose moment has come, the first first.
func DueOutgoing(ctx context.Context, q Queryer, target string, now time.Time, most int) ([]Outgoing, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+outgoingColumns+`, message FROM notify_outbox WHERE status = 'waiting' AND target = ? AND next <= ? ORDER BY id LIMIT +?`,
		target, nanos(now), most)
	out, err := collect(rows, err, func(r *sql.Rows) (Outgoing, error) {
		var message []byte
		o, err := scanOutgoing(r, &message)
		o.Message = message
		return o, err
	})
	if err != nil {
		return nil, fmt.Errorf("read outbox of %s: %w", target, err)
	}
	return out, nil
}

// Outgoings are messages, the newest first: of a target, or of all.
func Outgoings(ctx context.Context, q Queryer, target string, most int) ([]Outgoing, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+outgoingColumns+` FROM notify_outbox WHERE ? = '' OR target = ? ORDER BY id DESC LIMIT +?`, target, target, most)
	out, err := collect(rows, err, func(r *sql.Rows) (Outgoing, error) { return scanOutgoing(r) })
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	return out, nil
}

// NoteDelivered notes that a message has arrived.
func NoteDelivered(ctx context.Context, tx *sql.Tx, id int64, now time.Time) error {
	return settleOutgoing(ctx, tx, id, OutboxDelivered, "", now)
}

// GiveUpOutgoing notes that a message is not tried any more.
func GiveUpOutgoing(ctx context.Context, tx *sql.Tx, id int64, problem string, now time.Time) error {
	return settleOutgoing(ctx, tx, id, OutboxGivenUp, problem, now)
}

func settleOutgoing(ctx context.Context, tx *sql.Tx, id int64, status, problem string, now time.Time) error {
	_, err := tx.ExecContext(ctx, `UPDATE notify_outbox SET status = ?, problem = ?, tries = tries + 1, delivered = ?, message = x'' WHERE id = ?`, status, problem, nanos(now), id)
	if err != nil {
		return fmt.Errorf("note that message %d is %s: %w", id, status, err)
	}
	return nil
}

// PutOffOutgoing notes that a try went wrong, and when the next is.
func PutOffOutgoing(ctx context.Context, tx *sql.Tx, id int64, problem string, next time.Time) error {
	_, err := tx.ExecContext(ctx, `UPDATE notify_outbox SET tries = tries + 1, problem = ?, next = ? WHERE id = ?`, problem, nanos(next), id)
	if err != nil {
		return fmt.Errorf("put off message %d: %w", id, err)
	}
	return nil
}

// ForgetOutgoings drops what arrived, or was given up, before a moment.
func ForgetOutgoings(ctx context.Context, tx *sql.Tx, before time.Time) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM notify_outbox WHERE status <> 'waiting' AND delivered < ?`, nanos(before)); err != nil {
		return fmt.Errorf("forget old messages: %w", err)
	}
	return nil
}

// OutboxState is how it stands with the messages for a target.
type OutboxState struct {
	Target    string
	Waiting   int64
	Delivered time.Time // the last one; zero: none
	Problem   string    // of what waits or was given up last; empty: none
	Since     time.Time // the oldest with a problem
}

// OutboxStates are those of all targets. A status asks for them, so the work does not grow with what was delivered.
func OutboxStates(ctx context.Context, q Queryer) (map[string]OutboxState, error) {
	const of = ` FROM notify_outbox AS o WHERE o.target = t.name AND o.status `
	rows, err := q.QueryContext(ctx, `SELECT t.name, (SELECT count(*)`+of+`= 'waiting'), (SELECT coalesce(max(delivered), 0)`+of+`= 'delivered'),
		(SELECT coalesce(max(problem), '')`+of+`= 'waiting'), (SELECT coalesce(max(problem), '')`+of+`= 'given up'),
		(SELECT coalesce(max(delivered), 0)`+of+`= 'given up'), (SELECT coalesce(min(created), 0)`+of+`IN ('waiting', 'given up') AND problem <> '')
		FROM notify_targets AS t`)
	list, err := collect(rows, err, func(r *sql.Rows) (s OutboxState, err error) {
		var delivered, since, gaveUp int64
		var lost string
		err = r.Scan(&s.Target, &s.Waiting, &delivered, &s.Problem, &lost, &gaveUp, &since)
		if s.Problem == "" && gaveUp > delivered {
			s.Problem = lost
		}
		s.Delivered, s.Since = timeOf(delivered), timeOf(since)
		return s, err
	})
	if err != nil {
		return nil, fmt.Errorf("read state of the outbox: %w", err)
	}
	out := make(map[string]OutboxState, len(list))
	for _, s := range list {
		out[s.Target] = s
	}
	return out, nil
}

// CountWaiting counts the messages that wait for a target.
func CountWaiting(ctx context.Context, q Queryer, target string) (n int, err error) {
	err = q.QueryRowContext(ctx, `SELECT count(*) FROM notify_outbox WHERE status = 'waiting' AND target = ?`, target).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count messages for %s: %w", target, err)
	}
	return n, nil
}
