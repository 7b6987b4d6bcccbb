package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
)

// Settled says how it is known for good what became of an attempt.
type Settled string

// The ways an attempt is settled. The words are stored.
const (
	Unsettled        Settled = ""
	SettledCommitted Settled = "committed" // its point exists
	SettledFenced    Settled = "fenced"    // a tombstone stands under its name
	SettledEnded     Settled = "ended"     // it makes no point, and was told to stop
)

// Attempt is one try of a task.
type Attempt struct {
	ID         string
	Task       string
	Number     int
	Transport  string
	Agent      string // empty: none takes part
	Time       time.Time
	Parent     string
	Checkpoint string
	MoverBoot  string // of the node's process that took the order
	AgentBoot  string
	// MoverOrdered and AgentOrdered tell whether the node has taken the order.
	MoverOrdered bool
	AgentOrdered bool
	MoverEnd     *keepwardv1.AttemptEnd
	AgentEnd     *keepwardv1.AttemptEnd
	Failure      *keepwardv1.Failure // why it is given up
	Settled      Settled
	Checkpointed bool // the next attempt may go on from its checkpoint
}

const attemptColumns = `attempts.id, task, number, transport, agent, time, parent, checkpoint, mover_boot, agent_boot,
	mover_ordered, agent_ordered, mover_end_json, agent_end_json, attempts.failure_json, settled, checkpointed`

func scanAttempt(row interface{ Scan(...any) error }, more ...any) (Attempt, error) {
	var a Attempt
	var at int64
	var mover, agent, failure string
	err := row.Scan(append([]any{
		&a.ID, &a.Task, &a.Number, &a.Transport, &a.Agent, &at, &a.Parent, &a.Checkpoint, &a.MoverBoot, &a.AgentBoot,
		&a.MoverOrdered, &a.AgentOrdered, &mover, &agent, &failure, &a.Settled, &a.Checkpointed,
	}, more...)...)
	if err != nil {
		return a, err
	}
	a.Time = timeOf(at)
	if a.MoverEnd, err = fromJSON(mover, &keepwardv1.AttemptEnd{}); err != nil {
		return a, err
	}
	if a.AgentEnd, err = fromJSON(agent, &keepwardv1.AttemptEnd{}); err != nil {
		return a, err
	}
	a.Failure, err = fromJSON(failure, &keepwardv1.Failure{})
	return a, err
}

// PutAttempt keeps what changes in an attempt's life, and adds one that is not there yet.
func PutAttempt(ctx context.Context, tx *sql.Tx, a *Attempt) error {
	if err := a.put(ctx, tx); err != nil {
		return fmt.Errorf("write attempt %s: %w", a.ID, err)
	}
	return nil
}

func (a *Attempt) put(ctx context.Context, tx *sql.Tx) error {
	var j jsonOf
	mover, agent, failure := j.of(a.MoverEnd), j.of(a.AgentEnd), j.of(a.Failure)
	if j.err != nil {
		return j.err
	}
	args := []any{a.MoverBoot, a.AgentBoot, a.MoverOrdered, a.AgentOrdered, mover, agent, failure, a.Checkpointed}
	settled := ""
	if a.Settled != Unsettled { // the index of what is not settled would be written anew with each change
		settled = ", settled = ?"
		args = append(args, a.Settled)
	}
	done, err := tx.ExecContext(ctx, `UPDATE attempts SET mover_boot = ?, agent_boot = ?, mover_ordered = ?, agent_ordered = ?,
		mover_end_json = ?, agent_end_json = ?, failure_json = ?, checkpointed = ?`+settled+` WHERE id = ?`, append(args, a.ID)...)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n > 0 {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO attempts (id, task, number, transport, agent, time, parent, checkpoint,
		mover_boot, agent_boot, mover_ordered, agent_ordered, mover_end_json, agent_end_json, failure_json, checkpointed, settled)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		a.ID, a.Task, a.Number, a.Transport, a.Agent, nanos(a.Time), a.Parent, a.Checkpoint,
		a.MoverBoot, a.AgentBoot, a.MoverOrdered, a.AgentOrdered, mover, agent, failure, a.Checkpointed, a.Settled)
	return err
}

// FindAttempt finds an attempt and the session it belongs to, and says whether there is one.
func FindAttempt(ctx context.Context, q Queryer, id string) (Attempt, int64, bool, error) {
	var session int64
	a, err := scanAttempt(q.QueryRowContext(ctx, `SELECT `+attemptColumns+`, session FROM attempts JOIN tasks ON tasks.id = task
		WHERE attempts.id = ?`, id), &session)
	a, ok, err := found(a, err, "read attempt")
	return a, session, ok, err
}

// Attempts lists the attempts of a task, the newest first.
func Attempts(ctx context.Context, q Queryer, task string) ([]Attempt, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+attemptColumns+` FROM attempts WHERE task = ? ORDER BY number DESC`, task)
	out, err := collect(rows, err, func(r *sql.Rows) (Attempt, error) { return scanAttempt(r) })
	if err != nil {
		return nil, fmt.Errorf("list attempts of task %s: %w", task, err)
	}
	return out, nil
}

// LeftUnsettled lists the unsettled attempts at a transport whose tasks are over.
func LeftUnsettled(ctx context.Context, q Queryer, transport string) ([]Attempt, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+attemptColumns+` FROM attempts JOIN tasks ON tasks.id = attempts.task
		WHERE settled = '' AND transport = ? AND tasks.ended <> 0`, transport)
	out, err := collect(rows, err, func(r *sql.Rows) (Attempt, error) { return scanAttempt(r) })
	if err != nil {
		return nil, fmt.Errorf("list unsettled attempts at transport %s: %w", transport, err)
	}
	return out, nil
}
