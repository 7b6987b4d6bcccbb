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

// A job is kept as JSON of its message: it is wide, grows with every issue, and is read as a
// whole. What statements ask for has a column beside it, made from the same message.
// Fields that the server computes (next and last run) are not kept here.

func scanJob(row interface{ Scan(...any) error }) (*keepwardv1.Job, error) {
	var definition string
	var created, changed int64
	if err := row.Scan(&definition, &created, &changed); err != nil {
		return nil, err
	}
	j := &keepwardv1.Job{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(definition), j); err != nil {
		return nil, errs.New(errs.Corrupt, "catalog.job", "read job from the catalog: %w", err)
	}
	j.Created, j.Revision = timestamppb.New(timeOf(created)), changed
	return j, nil
}

// Jobs lists all jobs by name.
func Jobs(ctx context.Context, q Queryer) ([]*keepwardv1.Job, error) {
	rows, err := q.QueryContext(ctx, `SELECT definition, created, changed FROM jobs ORDER BY name`)
	out, err := collect(rows, err, func(r *sql.Rows) (*keepwardv1.Job, error) { return scanJob(r) })
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	return out, nil
}

// JobsNamed lists those of some jobs that there are, by name.
func JobsNamed(ctx context.Context, q Queryer, names []string) ([]*keepwardv1.Job, error) {
	rows, err := q.QueryContext(ctx, `SELECT definition, created, changed FROM jobs WHERE name IN (SELECT value FROM json_each(?)) ORDER BY name`, textsOf(names))
	out, err := collect(rows, err, func(r *sql.Rows) (*keepwardv1.Job, error) { return scanJob(r) })
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	return out, nil
}

// JobsOfComputer lists the jobs that name a computer itself.
func JobsOfComputer(ctx context.Context, q Queryer, computer string) ([]*keepwardv1.Job, error) {
	rows, err := q.QueryContext(ctx, `SELECT definition, created, changed FROM jobs
		JOIN job_computers ON job_computers.job = jobs.name WHERE computer = ? ORDER BY name`, computer)
	out, err := collect(rows, err, func(r *sql.Rows) (*keepwardv1.Job, error) { return scanJob(r) })
	if err != nil {
		return nil, fmt.Errorf("list jobs of computer %s: %w", computer, err)
	}
	return out, nil
}

// JobsWith lists the jobs that a computer is in: those that name it, and those that name a group
// which it was in when that was looked at last.
func JobsWith(ctx context.Context, q Queryer, computer string) ([]*keepwardv1.Job, error) {
	rows, err := q.QueryContext(ctx, `SELECT definition, created, changed FROM jobs WHERE name IN (SELECT job FROM job_computers WHERE computer = ?1
		UNION SELECT job FROM job_members WHERE computer = ?1) ORDER BY name`, computer)
	out, err := collect(rows, err, func(r *sql.Rows) (*keepwardv1.Job, error) { return scanJob(r) })
	if err != nil {
		return nil, fmt.Errorf("list jobs with computer %s: %w", computer, err)
	}
	return out, nil
}

// GetJob finds a job, or answers errs.NotFound with the nearest names.
func GetJob(ctx context.Context, q Queryer, name string) (*keepwardv1.Job, error) {
	j, err := scanJob(q.QueryRowContext(ctx, `SELECT definition, created, changed FROM jobs WHERE name = ?`, name))
	return orNearest(ctx, q, j, err, "job", "jobs", name)
}

// PutJob adds a job, or replaces the one of the same name. It must have been validated. Its revision is
// the time of the change, and later than the one before even where the clock is not: so one that was
// deleted and made anew has not the revision of the old one either.
func PutJob(ctx context.Context, tx *sql.Tx, j *keepwardv1.Job, now time.Time) error {
	definition, err := protojson.Marshal(definitionOf(j))
	if err != nil {
		return fmt.Errorf("write job %s: %w", j.Name, err)
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO jobs (name, repository, disabled, schedule, definition, created, changed)
		VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET repository = excluded.repository, disabled = excluded.disabled,
			schedule = excluded.schedule, definition = excluded.definition, changed = max(excluded.changed, jobs.changed + 1)`,
		j.Name, j.Repository, j.Disabled, j.Schedule, string(definition), nanos(now), nanos(now))
	if err != nil {
		return fmt.Errorf("write job %s: %w", j.Name, err)
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM job_computers WHERE job = ?`, j.Name); err != nil {
		return fmt.Errorf("write job %s: %w", j.Name, err)
	}
	for _, c := range j.Computers {
		if _, err := tx.ExecContext(ctx, `INSERT INTO job_computers (job, computer) VALUES (?, ?)`, j.Name, c); err != nil {
			return fmt.Errorf("write job %s, computer %s: %w", j.Name, c, err)
		}
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM job_groups WHERE job = ?`, j.Name); err != nil {
		return fmt.Errorf("write job %s: %w", j.Name, err)
	}
	for _, g := range j.Groups {
		if _, err := tx.ExecContext(ctx, `INSERT INTO job_groups (job, grp) VALUES (?, ?)`, j.Name, g); err != nil {
			return fmt.Errorf("write job %s, group %s: %w", j.Name, g, err)
		}
	}
	return nil
}

// definitionOf is j without what is kept or computed elsewhere.
func definitionOf(j *keepwardv1.Job) *keepwardv1.Job {
	d := proto.CloneOf(j)
	d.Created, d.NextRun, d.LastRun, d.LastResult, d.LastSession = nil, nil, nil, "", 0
	d.StartAfter, d.Members, d.Revision = "", nil, 0
	return d
}

// DeleteJob takes a job out of the configuration. Its sessions and points stay.
func DeleteJob(ctx context.Context, tx *sql.Tx, name string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM jobs WHERE name = ?`, name); err != nil {
		return fmt.Errorf("delete job %s: %w", name, err)
	}
	return nil
}

// JobNames lists the names of all jobs.
func JobNames(ctx context.Context, q Queryer) ([]string, error) { return names(ctx, q, "jobs") }

// JobSchedules is the schedule of each job by name; empty where it does not run by itself.
func JobSchedules(ctx context.Context, q Queryer) (map[string]string, error) {
	rows, err := q.QueryContext(ctx, `SELECT name, CASE WHEN disabled THEN '' ELSE schedule END FROM jobs`)
	type row struct{ name, schedule string }
	list, err := collect(rows, err, func(r *sql.Rows) (v row, err error) { return v, r.Scan(&v.name, &v.schedule) })
	if err != nil {
		return nil, fmt.Errorf("list schedules of jobs: %w", err)
	}
	out := make(map[string]string, len(list))
	for _, v := range list {
		out[v.name] = v.schedule
	}
	return out, nil
}

// RepositoryNames lists the names of all repositories.
func RepositoryNames(ctx context.Context, q Queryer) ([]string, error) {
	return names(ctx, q, "repositories")
}
