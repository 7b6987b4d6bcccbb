package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

// A group is kept as a job is: as JSON of its message.

func scanGroup(row interface{ Scan(...any) error }) (*keepwardv1.Group, error) {
	var definition string
	var created int64
	if err := row.Scan(&definition, &created); err != nil {
		return nil, err
	}
	g := &keepwardv1.Group{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(definition), g); err != nil {
		return nil, errs.New(errs.Corrupt, "catalog.group", "read group from the catalog: %w", err)
	}
	g.Created = timestamppb.New(timeOf(created))
	return g, nil
}

// Groups lists all protection groups by name.
func Groups(ctx context.Context, q Queryer) ([]*keepwardv1.Group, error) {
	rows, err := q.QueryContext(ctx, `SELECT definition, created FROM protection_groups ORDER BY name`)
	out, err := collect(rows, err, func(r *sql.Rows) (*keepwardv1.Group, error) { return scanGroup(r) })
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	return out, nil
}

// GetGroup finds a group, or answers errs.NotFound with the nearest names.
func GetGroup(ctx context.Context, q Queryer, name string) (*keepwardv1.Group, error) {
	g, err := scanGroup(q.QueryRowContext(ctx, `SELECT definition, created FROM protection_groups WHERE name = ?`, name))
	return orNearest(ctx, q, g, err, "group", "protection_groups", name)
}

// PutGroup adds a group, or replaces the one of the same name. It must have been validated.
func PutGroup(ctx context.Context, tx *sql.Tx, g *keepwardv1.Group, now time.Time) error {
	d := proto.CloneOf(g)
	d.Created = nil
	definition, err := protojson.Marshal(d)
	if err == nil {
		_, err = tx.ExecContext(ctx, `INSERT INTO protection_groups (name, definition, created, changed) VALUES (?, ?, ?, ?)
			ON CONFLICT (name) DO UPDATE SET definition = excluded.definition, changed = excluded.changed`,
			g.Name, string(definition), nanos(now), nanos(now))
	}
	if err != nil {
		return fmt.Errorf("write group %s: %w", g.Name, err)
	}
	return nil
}

// DeleteGroup takes a group out of the configuration, with what is known of it. No job may name it.
func DeleteGroup(ctx context.Context, tx *sql.Tx, name string) error {
	for _, statement := range []string{
		`UPDATE join_tokens SET revoked = 1 WHERE grp = ?`,
		`DELETE FROM protection_groups WHERE name = ?`,
	} {
		if _, err := tx.ExecContext(ctx, statement, name); err != nil {
			return fmt.Errorf("delete group %s: %w", name, err)
		}
	}
	return nil
}

// JobsOfGroups are the names of the jobs that name each group.
func JobsOfGroups(ctx context.Context, q Queryer) (map[string][]string, error) {
	return pairs(ctx, q, "list jobs of groups", `SELECT grp, job FROM job_groups ORDER BY grp, job`)
}

// TagsOfComputers are the tags of each computer that has any.
func TagsOfComputers(ctx context.Context, q Queryer) (map[string][]string, error) {
	return pairs(ctx, q, "list tags", `SELECT computer, tag FROM computer_tags ORDER BY computer, tag`)
}

// JobMembers are the computers that were in each job because of a group when that was looked at last.
func JobMembers(ctx context.Context, q Queryer) (map[string][]string, error) {
	return pairs(ctx, q, "list members of jobs", `SELECT job, computer FROM job_members ORDER BY job, computer`)
}

// pairs reads two columns of texts: all of the second for each of the first.
func pairs(ctx context.Context, q Queryer, what, query string) (map[string][]string, error) {
	rows, err := q.QueryContext(ctx, query)
	list, err := collect(rows, err, func(r *sql.Rows) (p [2]string, err error) { return p, r.Scan(&p[0], &p[1]) })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	out := map[string][]string{}
	for _, p := range list {
		out[p[0]] = append(out[p[0]], p[1])
	}
	return out, nil
}

// SetTags replaces the tags of a computer.
func SetTags(ctx context.Context, tx *sql.Tx, computer string, tags []string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM computer_tags WHERE computer = ?`, computer); err != nil {
		return fmt.Errorf("set tags of %s: %w", computer, err)
	}
	for _, tag := range tags {
		if _, err := tx.ExecContext(ctx, `INSERT INTO computer_tags (computer, tag) VALUES (?, ?) ON CONFLICT DO NOTHING`, computer, tag); err != nil {
			return fmt.Errorf("set tags of %s: %w", computer, err)
		}
	}
	return nil
}

// PutJobMembers notes who is in a job because of a group. had is who was noted before.
func PutJobMembers(ctx context.Context, tx *sql.Tx, job string, had, computers []string) error {
	before, now := map[string]bool{}, map[string]bool{}
	for _, c := range had {
		before[c] = true
	}
	for _, c := range computers {
		now[c] = true
		if before[c] {
			continue
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO job_members (job, computer) VALUES (?, ?)`, job, c); err != nil {
			return fmt.Errorf("note members of job %s: %w", job, err)
		}
	}
	for _, c := range had {
		if now[c] {
			continue
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM job_members WHERE job = ? AND computer = ?`, job, c); err != nil {
			return fmt.Errorf("note members of job %s: %w", job, err)
		}
	}
	return nil
}

// PutInventory keeps what a computer is.
func PutInventory(ctx context.Context, tx *sql.Tx, computer string, i *keepwardv1.Inventory) error {
	content, err := protojson.Marshal(i)
	if err == nil {
		// A computer that was removed meanwhile has none.
		_, err = tx.ExecContext(ctx, `INSERT INTO inventories (computer, taken, content)
			SELECT name, ?, ? FROM computers WHERE name = ?
			ON CONFLICT (computer) DO UPDATE SET taken = excluded.taken, content = excluded.content`,
			i.GetTaken().AsTime().UnixNano(), string(content), computer)
	}
	if err != nil {
		return fmt.Errorf("keep inventory of %s: %w", computer, err)
	}
	return nil
}

// GetInventory is what a computer was when it was asked last; nil: it never was.
func GetInventory(ctx context.Context, q Queryer, computer string) (*keepwardv1.Inventory, error) {
	var content string
	err := q.QueryRowContext(ctx, `SELECT content FROM inventories WHERE computer = ?`, computer).Scan(&content)
	content, ok, err := found(content, err, "read inventory of "+computer)
	if err != nil || !ok {
		return nil, err
	}
	i := &keepwardv1.Inventory{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(content), i); err != nil {
		return nil, errs.New(errs.Corrupt, "catalog.inventory", "read inventory of %s from the catalog: %w", computer, err)
	}
	return i, nil
}
