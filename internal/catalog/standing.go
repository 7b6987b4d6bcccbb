package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// StandingPolicy is a job that an agent manages, as it was issued to one computer.
type StandingPolicy struct {
	ID          string
	Job         string
	Computer    string
	Repository  string
	Transport   string
	Fingerprint string // of all that agent and transport were told
	Definition  string // of the job, as sessions keep it
	Issued      time.Time
	ValidUntil  time.Time
	Delivered   bool // the agent has it
	Superseded  bool // none of its attempts may be opened any more
}

// StandingAttempt is an attempt that was issued beforehand.
type StandingAttempt struct {
	ID      string
	Policy  string
	Task    string
	Session int64 // 0: nobody has told of it yet
}

const standingPolicyColumns = `id, job, computer, repository, transport, fingerprint, definition, issued, valid_until, delivered, superseded`

func scanStandingPolicy(row interface{ Scan(...any) error }) (p StandingPolicy, err error) {
	var issued, until int64
	err = row.Scan(&p.ID, &p.Job, &p.Computer, &p.Repository, &p.Transport, &p.Fingerprint, &p.Definition, &issued, &until, &p.Delivered, &p.Superseded)
	p.Issued, p.ValidUntil = timeOf(issued), timeOf(until)
	return p, err
}

// StandingPolicies lists what was issued to a computer, the newest first; an empty name: to all.
func StandingPolicies(ctx context.Context, q Queryer, computer string) ([]StandingPolicy, error) {
	query, args := standingPoliciesQuery(computer)
	rows, err := q.QueryContext(ctx, query, args...)
	out, err := collect(rows, err, func(r *sql.Rows) (StandingPolicy, error) { return scanStandingPolicy(r) })
	if err != nil {
		return nil, fmt.Errorf("list policies of agents: %w", err)
	}
	return out, nil
}

// standingPoliciesQuery has a statement of its own for one computer: a condition that may be empty is
// none that an index is used for, and this is asked for each of thousands of computers.
func standingPoliciesQuery(computer string) (query string, args []any) {
	where := ""
	if computer != "" {
		where, args = `WHERE computer = ? `, []any{computer}
	}
	return `SELECT ` + standingPolicyColumns + ` FROM standing_policies ` + where + `ORDER BY issued DESC, id`, args
}

// AddStandingPolicy adds a policy with its attempts.
func AddStandingPolicy(ctx context.Context, tx *sql.Tx, p StandingPolicy, attempts []StandingAttempt) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO standing_policies (`+standingPolicyColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		p.ID, p.Job, p.Computer, p.Repository, p.Transport, p.Fingerprint, p.Definition, nanos(p.Issued), nanos(p.ValidUntil), p.Delivered, p.Superseded)
	if err != nil {
		return fmt.Errorf("add policy of job %s for %s: %w", p.Job, p.Computer, err)
	}
	for _, a := range attempts {
		if _, err := tx.ExecContext(ctx, `INSERT INTO standing_attempts (id, policy, task, session) VALUES (?, ?, ?, 0)`, a.ID, p.ID, a.Task); err != nil {
			return fmt.Errorf("add issued attempt %s: %w", a.ID, err)
		}
	}
	return nil
}

// PutStandingPolicy keeps what changes of a policy.
func PutStandingPolicy(ctx context.Context, tx *sql.Tx, id string, delivered, superseded bool) error {
	if _, err := tx.ExecContext(ctx, `UPDATE standing_policies SET delivered = ?, superseded = ? WHERE id = ?`, delivered, superseded, id); err != nil {
		return fmt.Errorf("write policy %s: %w", id, err)
	}
	return nil
}

// StandingAttempts lists the attempts of a policy.
func StandingAttempts(ctx context.Context, q Queryer, policy string) ([]StandingAttempt, error) {
	rows, err := q.QueryContext(ctx, `SELECT id, policy, task, session FROM standing_attempts WHERE policy = ? ORDER BY id`, policy)
	out, err := collect(rows, err, func(r *sql.Rows) (a StandingAttempt, err error) {
		err = r.Scan(&a.ID, &a.Policy, &a.Task, &a.Session)
		return a, err
	})
	if err != nil {
		return nil, fmt.Errorf("list issued attempts: %w", err)
	}
	return out, nil
}

// FindStandingAttempt finds an attempt that was issued beforehand, and its policy, and says whether
// there is one.
func FindStandingAttempt(ctx context.Context, q Queryer, id string) (a StandingAttempt, p StandingPolicy, ok bool, err error) {
	err = q.QueryRowContext(ctx, `SELECT id, policy, task, session FROM standing_attempts WHERE id = ?`, id).
		Scan(&a.ID, &a.Policy, &a.Task, &a.Session)
	a, ok, err = found(a, err, "read issued attempt")
	if err != nil || !ok {
		return a, p, false, err
	}
	p, err = scanStandingPolicy(q.QueryRowContext(ctx, `SELECT `+standingPolicyColumns+` FROM standing_policies WHERE id = ?`, a.Policy))
	if err != nil {
		return a, p, false, fmt.Errorf("read policy %s: %w", a.Policy, err)
	}
	return a, p, true, nil
}

// IssuedAttempts lists the attempts that were issued beforehand and that nobody has told of yet.
func IssuedAttempts(ctx context.Context, q Queryer) ([]string, error) {
	rows, err := q.QueryContext(ctx, `SELECT id FROM standing_attempts WHERE session = 0`)
	out, err := collect(rows, err, scanText)
	if err != nil {
		return nil, fmt.Errorf("list issued attempts: %w", err)
	}
	return out, nil
}

// SetStandingSession notes that an attempt has its session.
func SetStandingSession(ctx context.Context, tx *sql.Tx, id string, session int64) error {
	if _, err := tx.ExecContext(ctx, `UPDATE standing_attempts SET session = ? WHERE id = ?`, session, id); err != nil {
		return fmt.Errorf("write issued attempt %s: %w", id, err)
	}
	return nil
}

// ForgetStandingAttempts removes attempts that are used up, or that nobody can open any more.
func ForgetStandingAttempts(ctx context.Context, tx *sql.Tx, ids []string) error {
	for _, id := range ids {
		if _, err := tx.ExecContext(ctx, `DELETE FROM standing_attempts WHERE id = ?`, id); err != nil {
			return fmt.Errorf("forget issued attempt %s: %w", id, err)
		}
	}
	return nil
}

// ForgetStandingPolicies removes what was issued to a computer and is superseded, once none of its
// attempts is left and its agent has it no more; gone: there is no agent to be told.
func ForgetStandingPolicies(ctx context.Context, tx *sql.Tx, computer string, gone bool) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM standing_policies WHERE computer = ? AND superseded <> 0 AND (delivered = 0 OR ?)
		AND NOT EXISTS (SELECT 1 FROM standing_attempts WHERE policy = standing_policies.id)`, computer, gone)
	if err != nil {
		return fmt.Errorf("forget policies of %s: %w", computer, err)
	}
	return nil
}

// SettledStanding lists the issued attempts of a policy whose sessions know what became of them, or
// are kept no more.
func SettledStanding(ctx context.Context, q Queryer, policy string) ([]string, error) {
	rows, err := q.QueryContext(ctx, `SELECT s.id FROM standing_attempts s LEFT JOIN attempts a ON a.id = s.id
		WHERE s.policy = ? AND s.session <> 0 AND (a.id IS NULL OR a.settled <> '')`, policy)
	out, err := collect(rows, err, scanText)
	if err != nil {
		return nil, fmt.Errorf("list settled attempts: %w", err)
	}
	return out, nil
}
