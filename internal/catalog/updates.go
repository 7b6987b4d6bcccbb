package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

// The statuses of a rollout.
const (
	RolloutActive  = "active"
	RolloutDone    = "done"
	RolloutStopped = "stopped"
)

// rolloutsKept bounds what is kept of rollouts that are over.
const rolloutsKept = 100

// AgentPackages are the programs that were imported, by platform and version.
func AgentPackages(ctx context.Context, q Queryer) ([]*keepwardv1.AgentPackage, error) {
	rows, err := q.QueryContext(ctx, `SELECT definition FROM agent_packages ORDER BY os, arch, version`)
	return documents(rows, err, "agent packages", func() *keepwardv1.AgentPackage { return &keepwardv1.AgentPackage{} })
}

// PutAgentPackage adds a package, or replaces the one of the same platform and version.
func PutAgentPackage(ctx context.Context, tx *sql.Tx, p *keepwardv1.AgentPackage) error {
	text, err := toJSON(p)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO agent_packages (os, arch, version, definition) VALUES (?, ?, ?, ?)
		ON CONFLICT (os, arch, version) DO UPDATE SET definition = excluded.definition`, p.GetOs(), p.GetArch(), p.GetVersion(), text)
	if err != nil {
		return fmt.Errorf("keep agent package %s: %w", p.GetVersion(), err)
	}
	return nil
}

// DeleteAgentPackage forgets a package.
func DeleteAgentPackage(ctx context.Context, tx *sql.Tx, os, arch, version string) error {
	res, err := tx.ExecContext(ctx, `DELETE FROM agent_packages WHERE os = ? AND arch = ? AND version = ?`, os, arch, version)
	if err != nil {
		return fmt.Errorf("remove agent package %s: %w", version, err)
	}
	if n, err := res.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return errs.New(errs.NotFound, "package.unknown", "remove agent package %s for %s/%s: none was imported", version, os, arch).
		WithHint("see keepward agent-package list")
}

// AddRollout adds a rollout and gives it its number.
func AddRollout(ctx context.Context, tx *sql.Tx, r *keepwardv1.Rollout) error {
	if err := tx.QueryRowContext(ctx, `INSERT INTO rollouts (status, definition) VALUES (?, '{}') RETURNING id`, r.GetStatus()).Scan(&r.Id); err != nil {
		return fmt.Errorf("add rollout: %w", err)
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM rollouts WHERE status <> ? AND id <= ?`, RolloutActive, r.GetId()-rolloutsKept)
	if err != nil {
		return fmt.Errorf("forget old rollouts: %w", err)
	}
	return PutRollout(ctx, tx, r)
}

// PutRollout writes how a rollout stands.
func PutRollout(ctx context.Context, tx *sql.Tx, r *keepwardv1.Rollout) error {
	text, err := toJSON(r)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE rollouts SET status = ?, definition = ? WHERE id = ?`, r.GetStatus(), text, r.GetId()); err != nil {
		return fmt.Errorf("write rollout %d: %w", r.GetId(), err)
	}
	return nil
}

// Rollouts are all of a status, or of any, the newest first.
func Rollouts(ctx context.Context, q Queryer, status string) ([]*keepwardv1.Rollout, error) {
	rows, err := q.QueryContext(ctx, `SELECT definition FROM rollouts WHERE ? = '' OR status = ? ORDER BY id DESC`, status, status)
	return documents(rows, err, "rollouts", func() *keepwardv1.Rollout { return &keepwardv1.Rollout{} })
}

// NewestRollout is the newest rollout of a version; empty: of any. nil: there is none. Those before it
// are not read: a rollout is as long as the site is large.
func NewestRollout(ctx context.Context, q Queryer, version string) (*keepwardv1.Rollout, error) {
	rows, err := q.QueryContext(ctx, `SELECT definition FROM rollouts ORDER BY id DESC`)
	if err != nil {
		return nil, fmt.Errorf("find newest rollout: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, fmt.Errorf("find newest rollout: %w", err)
		}
		r, err := fromJSON(text, &keepwardv1.Rollout{})
		if err != nil || version == "" || r.GetVersion() == version {
			return r, err
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("find newest rollout: %w", err)
	}
	return nil, nil
}

// GetRollout finds a rollout, or answers errs.NotFound.
func GetRollout(ctx context.Context, q Queryer, id int64) (*keepwardv1.Rollout, error) {
	var text string
	err := q.QueryRowContext(ctx, `SELECT definition FROM rollouts WHERE id = ?`, id).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errs.New(errs.NotFound, "rollout.unknown", "find rollout %d: there is none", id).WithHint("see keepward computer rollout list")
	}
	if err != nil {
		return nil, fmt.Errorf("read rollout %d: %w", id, err)
	}
	return fromJSON(text, &keepwardv1.Rollout{})
}

// UpdateProblems are the updates that failed, by computer.
func UpdateProblems(ctx context.Context, q Queryer) (map[string]*keepwardv1.UpdateProblem, error) {
	rows, err := q.QueryContext(ctx, `SELECT definition FROM update_problems`)
	list, err := documents(rows, err, "failed updates", func() *keepwardv1.UpdateProblem { return &keepwardv1.UpdateProblem{} })
	out := make(map[string]*keepwardv1.UpdateProblem, len(list))
	for _, p := range list {
		out[p.GetComputer()] = p
	}
	return out, err
}

// PutUpdateProblem keeps why an update failed. A computer that is gone has none.
func PutUpdateProblem(ctx context.Context, tx *sql.Tx, p *keepwardv1.UpdateProblem) error {
	text, err := toJSON(p)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO update_problems (computer, definition) SELECT name, ? FROM computers WHERE name = ?
		ON CONFLICT (computer) DO UPDATE SET definition = excluded.definition`, text, p.GetComputer())
	if err != nil {
		return fmt.Errorf("keep why the update of %s failed: %w", p.GetComputer(), err)
	}
	return nil
}

// ForgetUpdateProblem is for an update that went well.
func ForgetUpdateProblem(ctx context.Context, tx *sql.Tx, computer string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM update_problems WHERE computer = ?`, computer); err != nil {
		return fmt.Errorf("forget why the update of %s failed: %w", computer, err)
	}
	return nil
}

// documents reads rows of one message each.
func documents[M proto.Message](rows *sql.Rows, err error, what string, empty func() M) ([]M, error) {
	out, err := collect(rows, err, func(r *sql.Rows) (M, error) {
		var text string
		if err := r.Scan(&text); err != nil {
			return *new(M), err
		}
		return fromJSON(text, empty())
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", what, err)
	}
	return out, nil
}
