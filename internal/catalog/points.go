package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

const pointColumns = `id, computer, job, session, repository, time, parent, is_full, partial, completeness, counters_json, files_json,
	deleted, deleted_because, held, hold_reason`

// barePointColumns leaves out what nobody looks at.
const barePointColumns = `id, computer, job, session, repository, time, parent, is_full, partial, completeness, '', '',
	deleted, deleted_because, held, hold_reason`

func scanPoint(row interface{ Scan(...any) error }, bare bool) (*keepwardv1.Point, error) {
	p := &keepwardv1.Point{}
	var at, deleted int64
	var counters, files string
	err := row.Scan(&p.Id, &p.Computer, &p.Job, &p.Session, &p.Repository, &at, &p.Parent, &p.Full, &p.Partial, &p.Completeness, &counters, &files,
		&deleted, &p.DeletedBecause, &p.Held, &p.HoldReason)
	if err != nil {
		return nil, err
	}
	p.Time = timestamppb.New(timeOf(at))
	if deleted != 0 {
		p.Deleted = timestamppb.New(timeOf(deleted))
	}
	if bare {
		return p, nil
	}
	if p.Counters, err = fromJSON(counters, &keepwardv1.Counters{}); err != nil {
		return nil, err
	}
	p.Files, err = fromJSON(files, &keepwardv1.FileSelection{})
	return p, err
}

// AddPoint adds a restore point that exists in its repository, without markers. To add it again
// does nothing: the first word on a point stands.
func AddPoint(ctx context.Context, tx *sql.Tx, p *keepwardv1.Point) error {
	var j jsonOf
	counters, files := j.of(p.Counters), j.of(p.Files)
	if j.err != nil {
		return j.err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO points (id, computer, job, session, repository, time, parent,
		is_full, partial, completeness, counters_json, files_json) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO NOTHING`,
		p.Id, p.Computer, p.Job, p.Session, p.Repository, nanos(p.Time.AsTime()), p.Parent, p.Full, p.Partial, p.Completeness, counters, files)
	if err != nil {
		return fmt.Errorf("add restore point %s: %w", p.Id, err)
	}
	return nil
}

// PointFilter says which points a list is about; zero fields let all pass.
type PointFilter struct {
	Computer   string
	Job        string
	Repository string
	// Within lets only points of these computers pass; nil: of all.
	Within []string
	// Pair lets only points pass that its job, which may be none, has made of its computer.
	Pair *Pair
	// Prefix of the id.
	Prefix string
	// Until lets points at or before it pass.
	Until time.Time
	// Whole leaves partial points out: they are never "latest" and never a parent.
	Whole bool
	// Deleted lets deleted points pass too, as long as they are not purged.
	Deleted bool
	// Behind lets only points pass that come behind this one.
	Behind *keepwardv1.Point
	// Limit bounds the list; 0 means no bound.
	Limit int
	// Bare leaves counters and files out: most of the work of reading many points.
	Bare bool
}

// Points lists restore points, newest first.
func Points(ctx context.Context, q Queryer, f PointFilter) ([]*keepwardv1.Point, error) {
	query, args := f.query()
	rows, err := q.QueryContext(ctx, query, args...)
	out, err := collect(rows, err, func(r *sql.Rows) (*keepwardv1.Point, error) { return scanPoint(r, f.Bare) })
	if err != nil {
		return nil, fmt.Errorf("list restore points: %w", err)
	}
	return out, nil
}

// parentPoint is answered from the index of computers: a repository has the points of all.
const parentPoint = `SELECT id FROM points WHERE computer = ? AND +job = ? AND +repository = ? AND partial = 0 AND deleted = 0
	ORDER BY time DESC, session DESC, id LIMIT 1`

// ParentPoint is the newest point that a job has made of a computer in a repository, which the next
// one may take over from; empty: there is none.
func ParentPoint(ctx context.Context, q Queryer, computer, jobName, repository string) (id string, err error) {
	err = q.QueryRowContext(ctx, parentPoint, computer, jobName, repository).Scan(&id)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("find parent of a restore point of %s: %w", computer, err)
	}
	return id, nil
}

func (f PointFilter) query() (text string, args []any) {
	var where strings.Builder
	and := func(cond string, arg ...any) {
		where.WriteString(" AND " + cond)
		args = append(args, arg...)
	}
	if f.Computer != "" {
		and("computer = ?", f.Computer)
	}
	switch {
	case f.Job != "" && f.Computer != "":
		and("+job = ?", f.Job) // by an index of computers: a job has those of many
	case f.Job != "":
		and("job = ?", f.Job)
	}
	if f.Within != nil {
		and("computer IN (SELECT value FROM json_each(?))", textsOf(f.Within))
	}
	if f.Pair != nil {
		and("computer = ? AND +job = ?", f.Pair.Computer, f.Pair.Job)
	}
	switch {
	case f.Repository != "" && f.Computer != "":
		and("+repository = ?", f.Repository) // by an index of computers: a repository has those of all
	case f.Repository != "":
		and("repository = ?", f.Repository)
	}
	if f.Prefix != "" {
		// Ids are hex digits, so the next string after all with the prefix ends in "g".
		and("id >= ? AND id < ?", f.Prefix, f.Prefix+"g")
	}
	if !f.Until.IsZero() {
		and("time <= ?", nanos(f.Until))
	}
	if b := f.Behind; b != nil {
		at := nanos(b.GetTime().AsTime())
		and("time <= ? AND (time < ? OR session < ? OR (session = ? AND id > ?))", at, at, b.GetSession(), b.GetSession(), b.GetId())
	}
	if f.Whole {
		and("partial = 0")
	}
	if !f.Deleted {
		and("deleted = 0")
	}
	limit := f.Limit
	if limit == 0 {
		limit = -1
	}
	columns := pointColumns
	if f.Bare {
		columns = barePointColumns
	}
	return `SELECT ` + columns + ` FROM points WHERE 1` + where.String() +
		` ORDER BY time DESC, session DESC, id LIMIT +?`, append(args, limit)
}
