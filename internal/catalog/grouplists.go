package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// The sources of names that a group has from elsewhere.
const (
	NamesOfFile  = "file"
	NamesOfCloud = "cloud"
	NamesOfToken = "token"
)

// GroupList is how the reading of a list of a group stands.
type GroupList struct {
	Group, Source string
	Origin        string // where it comes from: a path, a command, a URL
	State         string // of the file as it was tried last
	Read, Tried   time.Time
	Problem       string // why the last try failed; empty: it did not
	ProblemCode   string
	ProblemSince  time.Time
}

// GroupLists are the lists of all groups.
func GroupLists(ctx context.Context, q Queryer) ([]GroupList, error) {
	rows, err := q.QueryContext(ctx, `SELECT grp, source, origin, state, read, tried, problem, problem_code, problem_since FROM group_lists ORDER BY grp, source`)
	out, err := collect(rows, err, func(r *sql.Rows) (l GroupList, err error) {
		var read, tried, since int64
		err = r.Scan(&l.Group, &l.Source, &l.Origin, &l.State, &read, &tried, &l.Problem, &l.ProblemCode, &since)
		l.Read, l.Tried, l.ProblemSince = timeOf(read), timeOf(tried), timeOf(since)
		return l, err
	})
	if err != nil {
		return nil, fmt.Errorf("list what groups read: %w", err)
	}
	return out, nil
}

// PutGroupList keeps how the reading of a list stands. A group that is gone has none.
func PutGroupList(ctx context.Context, tx *sql.Tx, l GroupList) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO group_lists (grp, source, origin, state, read, tried, problem, problem_code, problem_since)
		SELECT name, ?, ?, ?, ?, ?, ?, ?, ? FROM protection_groups WHERE name = ?
		ON CONFLICT (grp, source) DO UPDATE SET origin = excluded.origin, state = excluded.state, read = excluded.read, tried = excluded.tried,
			problem = excluded.problem, problem_code = excluded.problem_code, problem_since = excluded.problem_since`,
		l.Source, l.Origin, l.State, nanos(l.Read), nanos(l.Tried), l.Problem, l.ProblemCode, nanos(l.ProblemSince), l.Group)
	if err != nil {
		return fmt.Errorf("keep what group %s reads: %w", l.Group, err)
	}
	return nil
}

// ForgetGroupList drops a list that a group has no more, with its names.
func ForgetGroupList(ctx context.Context, tx *sql.Tx, group, source string) error {
	for _, table := range []string{"group_lists", "group_names"} {
		if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE grp = ? AND source = ?`, group, source); err != nil {
			return fmt.Errorf("drop a list of group %s: %w", group, err)
		}
	}
	return nil
}

// GroupNames are the names that groups have from elsewhere, by group and source.
func GroupNames(ctx context.Context, q Queryer) (map[string]map[string][]string, error) {
	rows, err := q.QueryContext(ctx, `SELECT grp, source, computer FROM group_names ORDER BY grp, source, computer`)
	list, err := collect(rows, err, func(r *sql.Rows) (v [3]string, err error) { return v, r.Scan(&v[0], &v[1], &v[2]) })
	if err != nil {
		return nil, fmt.Errorf("list names of groups: %w", err)
	}
	out := map[string]map[string][]string{}
	for _, v := range list {
		if out[v[0]] == nil {
			out[v[0]] = map[string][]string{}
		}
		out[v[0]][v[1]] = append(out[v[0]][v[1]], v[2])
	}
	return out, nil
}

// PutGroupNames replaces the names that a group has from a source.
func PutGroupNames(ctx context.Context, tx *sql.Tx, group, source string, computers []string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM group_names WHERE grp = ? AND source = ?`, group, source); err != nil {
		return fmt.Errorf("keep names of group %s: %w", group, err)
	}
	for _, c := range computers {
		if err := AddGroupName(ctx, tx, group, source, c); err != nil {
			return err
		}
	}
	return nil
}

// AddGroupName adds a name to those that a group has from a source.
func AddGroupName(ctx context.Context, tx *sql.Tx, group, source, computer string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO group_names (grp, source, computer)
		SELECT name, ?, ? FROM protection_groups WHERE name = ? ON CONFLICT DO NOTHING`, source, computer, group)
	if err != nil {
		return fmt.Errorf("keep name %s of group %s: %w", computer, group, err)
	}
	return nil
}

// LeaveGroups takes a computer out of the groups that it joined by a token.
func LeaveGroups(ctx context.Context, tx *sql.Tx, computer string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM group_names WHERE source = ? AND computer = ?`, NamesOfToken, computer); err != nil {
		return fmt.Errorf("take computer %s out of its groups: %w", computer, err)
	}
	return nil
}
