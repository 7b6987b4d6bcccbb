package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"keepward/internal/job"
)

// SessionFilter says which sessions a list is about; zero fields let all pass.
type SessionFilter struct {
	Active   bool
	Job      string
	Computer string
	Type     job.Type
	// Statuses lets those pass that are in one of them.
	Statuses []job.Status
	// Since and Until let those pass that were there at some time between them.
	Since, Until time.Time
	// EndedAfter lets only sessions pass that ended at or after it.
	EndedAfter time.Time
	// Text must be in a name, in the reason or failure, or in a warning or error of the log.
	Text string
	// Within lets only sessions pass of which these computers alone take part; nil: of all.
	Within []string
	// Before lets only sessions of a lower number pass.
	Before int64
	// Limit bounds the list; 0 means no bound.
	Limit int
}

// sessionWhere is the filter as SQL, but for the text; sessionArgs are its arguments.
const sessionWhere = `(NOT ?1 OR ended = 0) AND (?2 = '' OR job = ?2) AND (?3 = 0 OR ended >= ?3)
	AND (?4 = '' OR id IN (SELECT session FROM tasks WHERE computer = ?4))
	AND (?5 = '' OR type = ?5) AND (?6 = '' OR status IN (SELECT value FROM json_each(?6)))
	AND (?7 = 0 OR ended = 0 OR ended >= ?7) AND (?8 = 0 OR created <= ?8) AND (?9 = 0 OR id < ?9)
	AND (?11 = '' OR EXISTS (SELECT 1 FROM tasks WHERE session = sessions.id AND computer IN (SELECT value FROM json_each(?11)))
		AND NOT EXISTS (SELECT 1 FROM tasks WHERE session = sessions.id AND computer NOT IN (SELECT value FROM json_each(?11))))`

// Where a text may be: in the session's own row or the name of a computer, or in what its tasks and its log have to tell of
// trouble. The latter is found once for all sessions between ?14 and ?15, and not for each anew: most have none.
// Computers with the text in their name are looked for before, see namesWith: there are fewer of them than tasks.
const (
	textInNames = `(instr(lower(job || char(10) || type || char(10) || repository || char(10) || started_by || char(10) || reason_json || char(10) || failure_json), lower(?10)) > 0
		OR ?12 <> '' AND id IN (SELECT session FROM tasks WHERE computer IN (SELECT value FROM json_each(?12)))
		OR ?12 = '' AND EXISTS (SELECT 1 FROM tasks WHERE session = sessions.id AND instr(lower(computer), lower(?10)) > 0))`
	textInTrouble = `id IN (SELECT session FROM tasks INDEXED BY tasks_in_trouble WHERE session BETWEEN ?14 AND ?15 AND (reason_json <> '' OR failure_json <> '')
			AND instr(lower(reason_json || char(10) || failure_json), lower(?10)) > 0
		UNION ALL SELECT session FROM events INDEXED BY events_trouble_text WHERE session BETWEEN ?14 AND ?15 AND level <> 'info' AND instr(lower(text), lower(?10)) > 0)`
)

// textsOf is a list of texts as a statement reads it with json_each.
func textsOf(list []string) string {
	if list == nil {
		list = []string{}
	}
	text, err := json.Marshal(list)
	if err != nil {
		panic(fmt.Sprintf("texts can be written: %v", err))
	}
	return string(text)
}

func sessionArgs(f SessionFilter) ([]any, error) {
	statuses := ""
	if len(f.Statuses) > 0 {
		list, err := json.Marshal(f.Statuses)
		if err != nil {
			return nil, fmt.Errorf("list sessions: %w", err)
		}
		statuses = string(list)
	}
	within := ""
	if f.Within != nil {
		within = textsOf(f.Within)
	}
	return []any{
		f.Active, f.Job, nanos(f.EndedAfter), f.Computer, f.Type, statuses, nanos(f.Since), nanos(f.Until), f.Before, f.Text, within,
	}, nil
}

// namesMost bounds the computers whose sessions are looked up by the computer. Where a text is in more names, the
// newest sessions soon have one.
const namesMost = 100

// namesWith is the list of computers with a text in their name, for sessionWhere: of those that have tasks, one step
// in their index for each. It is empty where they are more than namesMost.
func namesWith(ctx context.Context, q Queryer, text string) (string, error) {
	rows, err := q.QueryContext(ctx, `WITH RECURSIVE names (name) AS (
			SELECT min(computer) FROM tasks
			UNION ALL SELECT (SELECT min(computer) FROM tasks WHERE computer > name) FROM names WHERE name IS NOT NULL)
		SELECT name FROM names WHERE name IS NOT NULL AND instr(lower(name), lower(?)) > 0 LIMIT +?`, text, namesMost+1)
	list, err := collect(rows, err, func(r *sql.Rows) (name string, err error) { return name, r.Scan(&name) })
	if err != nil {
		return "", fmt.Errorf("list computers with %q in their name: %w", text, err)
	}
	if len(list) > namesMost {
		return "", nil
	}
	return textsOf(list), nil
}

// Sessions lists sessions, newest first.
func Sessions(ctx context.Context, q Queryer, f SessionFilter) ([]Session, error) {
	args, err := sessionArgs(f)
	if err != nil {
		return nil, err
	}
	limit := f.Limit
	if limit == 0 {
		limit = -1
	}
	// Said once more without a choice, so that an index can be used.
	where := sessionWhere
	switch {
	case f.Active:
		where = `ended = 0 AND ` + where
	case !f.EndedAfter.IsZero(): // asked every minute, of jobs with a long history
		where = `ended >= ?3 AND ` + where
	case f.Job != "":
		where = `job = ?2 AND ` + where
	}
	args = append(args, "", limit, 0, math.MaxInt64)
	if f.Text == "" {
		return sessionsWhere(ctx, q, where, args)
	}
	if args[argNames], err = namesWith(ctx, q, f.Text); err != nil {
		return nil, err
	}
	newest, err := newestSession(ctx, q)
	if err != nil {
		return nil, err
	}
	if f.Before > 0 {
		newest = min(newest, f.Before-1)
	}
	var out []Session
	span := int64(textSpan)
	if f.Limit == 0 {
		span = newest
	}
	for ; newest > 0 && (len(out) < f.Limit || f.Limit == 0); span *= textSpanGrows {
		args[argOldest], args[argNewest] = max(newest-span, 0), newest
		args[argLimit] = limit - len(out) // below 0: no bound
		some, err := sessionsWhere(ctx, q, `id BETWEEN ?14 AND ?15 AND `+where+` AND (`+textInNames+` OR `+textInTrouble+`)`, args)
		if err != nil {
			return nil, err
		}
		out, newest = append(out, some...), newest-span-1
	}
	return out, nil
}

// Places of arguments behind those of sessionArgs.
const argNames, argLimit, argOldest, argNewest = 11, 12, 13, 14

// A text is looked for in the newest sessions first, and then in ever larger spans of older ones: where it is found, it is
// found soon, and where it is nowhere, it takes few statements.
const textSpan, textSpanGrows = 500, 10

func newestSession(ctx context.Context, q Queryer) (id int64, err error) {
	if err := q.QueryRowContext(ctx, `SELECT coalesce(max(id), 0) FROM sessions`).Scan(&id); err != nil {
		return 0, fmt.Errorf("find the newest session: %w", err)
	}
	return id, nil
}

func sessionsWhere(ctx context.Context, q Queryer, where string, args []any) ([]Session, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+sessionColumns+` FROM sessions WHERE `+where+` ORDER BY id DESC LIMIT +?13`, args...)
	out, err := collect(rows, err, func(r *sql.Rows) (Session, error) { return scanSession(r) })
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	return out, nil
}

// StatusCounts is how many sessions of a job ended at or after since, by their status.
func StatusCounts(ctx context.Context, q Queryer, jobName string, since time.Time) (map[job.Status]int64, error) {
	rows, err := q.QueryContext(ctx, `SELECT status, count(*) FROM sessions WHERE job = ? AND ended > 0 AND ended >= ? GROUP BY status`, jobName, nanos(since))
	type row struct {
		status job.Status
		n      int64
	}
	list, err := collect(rows, err, func(r *sql.Rows) (v row, err error) { return v, r.Scan(&v.status, &v.n) })
	if err != nil {
		return nil, fmt.Errorf("count sessions of job %s: %w", jobName, err)
	}
	out := make(map[job.Status]int64, len(list))
	for _, v := range list {
		out[v.status] = v.n
	}
	return out, nil
}

// StartedSince lists the computers that sessions of a job have tasks of which somebody started at
// or after a moment; an empty name is a task without one.
func StartedSince(ctx context.Context, q Queryer, jobName, by string, since time.Time) ([]string, error) {
	rows, err := q.QueryContext(ctx, `SELECT DISTINCT tasks.computer FROM sessions JOIN tasks ON tasks.session = sessions.id
		WHERE sessions.job = ? AND sessions.started_by = ? AND sessions.created >= ?`, jobName, by, nanos(since))
	out, err := collect(rows, err, func(r *sql.Rows) (name string, err error) { return name, r.Scan(&name) })
	if err != nil {
		return nil, fmt.Errorf("list computers of job %s that were started: %w", jobName, err)
	}
	return out, nil
}

// LastOfComputer is the newest session of a job that has a task of a computer, and whether there
// is one.
func LastOfComputer(ctx context.Context, q Queryer, jobName, computer string) (Session, bool, error) {
	list, err := Sessions(ctx, q, SessionFilter{Job: jobName, Computer: computer, Limit: 1})
	if err != nil || len(list) == 0 {
		return Session{}, false, err
	}
	return list[0], true, nil
}
