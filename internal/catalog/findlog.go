package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"

	keepwardv1 "keepward/api/keepward/v1"
)

// logLooks bounds the lines that one question looks at: a text that is nowhere in a million lines must
// not keep who asks, nor the catalog, for seconds.
const logLooks = 20_000

// LogFilter says which lines of a log a page is about; zero fields let all pass.
type LogFilter struct {
	Levels []string
	// Text must be in the text, the code, a status, the actor or the path.
	Text string
	// Before lets only lines of a lower number pass.
	Before int64
	Limit  int
}

// EventPage reads the newest lines that pass, in the order of the log, and where the page before them
// begins; 0: there is none. With a text it may end before it is full.
func EventPage(ctx context.Context, q Queryer, session int64, f LogFilter) (events []*keepwardv1.Event, next int64, err error) {
	before := f.Before
	if before == 0 {
		before = math.MaxInt64
	}
	from, where := `events`, `session = ?1 AND seq < ?2`
	if len(f.Levels) > 0 && !slices.Contains(f.Levels, "info") {
		from, where = `events INDEXED BY events_of_trouble`, where+` AND level <> 'info'` // mostly few of many
	}
	floor := int64(0)
	if f.Text != "" || len(f.Levels) > 0 {
		err := q.QueryRowContext(ctx, `SELECT seq FROM `+from+` WHERE `+where+` ORDER BY seq DESC LIMIT 1 OFFSET +?3`, session, before, logLooks-1).Scan(&floor)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, 0, fmt.Errorf("search log of session %d: %w", session, err)
		}
	}
	rows, err := q.QueryContext(ctx, `SELECT `+eventColumns+` FROM `+from+` WHERE `+where+` AND seq >= ?3
		AND (?4 = '[]' OR level IN (SELECT value FROM json_each(?4)))
		AND (?5 = '' OR instr(lower(text || char(10) || code || char(10) || from_status || char(10) || to_status || char(10) || actor || char(10) || coalesce(CAST(path AS TEXT), '')), lower(?5)) > 0)
		ORDER BY seq DESC LIMIT +?6`, session, before, floor, textsOf(f.Levels), f.Text, f.Limit)
	events, err = collect(rows, err, scanEvent(session))
	if err != nil {
		return nil, 0, fmt.Errorf("search log of session %d: %w", session, err)
	}
	slices.Reverse(events)
	switch {
	case len(events) == f.Limit && events[0].GetSeq() > 1:
		next = events[0].GetSeq()
	case len(events) < f.Limit && floor > 1:
		next = floor
	}
	return events, next, nil
}

// FileError is a file of a task with the newest line about it, and how many there are.
type FileError struct {
	Lines  int64
	Newest *keepwardv1.Event
}

// FilePlace is a file of a task.
type FilePlace struct {
	Path []byte
	Task string
}

// FileErrors reads the files of which a log has errors or warnings, by their path, behind one; and where the
// next page begins; nil: there is none. With a text it may end before it is full.
func FileErrors(ctx context.Context, q Queryer, session int64, text string, after FilePlace, limit int) (files []FileError, next *FilePlace, err error) {
	const from = ` FROM events INDEXED BY events_of_files WHERE session = ?1 AND path IS NOT NULL AND level <> 'info' AND (path, task) > (?2, ?3)`
	if after.Path == nil {
		after.Path = []byte{}
	}
	end := &FilePlace{}
	err = q.QueryRowContext(ctx, `SELECT path, task`+from+` ORDER BY path, task LIMIT 1 OFFSET +?4`, session, after.Path, after.Task, logLooks-1).Scan(&end.Path, &end.Task)
	if errors.Is(err, sql.ErrNoRows) {
		end, err = nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("list files of session %d: %w", session, err)
	}
	within, args := "", []any{session, after.Path, after.Task, text, limit + 1}
	if end != nil {
		within, args = ` AND (path, task) <= (?6, ?7)`, append(args, end.Path, end.Task)
	}
	type row struct {
		FilePlace
		lines, newest int64
	}
	rows, err := q.QueryContext(ctx, `SELECT path, task, count(*), max(seq)`+from+within+`
		AND (?4 = '' OR instr(lower(CAST(path AS TEXT) || char(10) || text), lower(?4)) > 0)
		GROUP BY path, task ORDER BY path, task LIMIT +?5`, args...)
	list, err := collect(rows, err, func(r *sql.Rows) (v row, err error) { return v, r.Scan(&v.Path, &v.Task, &v.lines, &v.newest) })
	if err != nil {
		return nil, nil, fmt.Errorf("list files of session %d: %w", session, err)
	}
	full := len(list) > limit
	list = list[:min(len(list), limit)]
	for _, v := range list {
		rows, err := q.QueryContext(ctx, `SELECT `+eventColumns+` FROM events WHERE session = ? AND seq = ?`, session, v.newest)
		line, err := collect(rows, err, scanEvent(session))
		if err != nil {
			return nil, nil, fmt.Errorf("list files of session %d: %w", session, err)
		}
		if len(line) == 1 { // else the log was forgotten meanwhile
			files = append(files, FileError{Lines: v.lines, Newest: line[0]})
		}
	}
	if full {
		return files, &list[limit-1].FilePlace, nil
	}
	return files, end, nil
}

// Transitions reads the changes of status in a log, from the first on, and how many there are behind the limit.
func Transitions(ctx context.Context, q Queryer, session int64, limit int) (events []*keepwardv1.Event, more int64, err error) {
	const from = ` FROM events INDEXED BY events_of_status WHERE session = ? AND to_status <> ''`
	rows, err := q.QueryContext(ctx, `SELECT `+eventColumns+from+` ORDER BY seq LIMIT +?`, session, limit)
	events, err = collect(rows, err, scanEvent(session))
	if err == nil && len(events) == limit {
		err = q.QueryRowContext(ctx, `SELECT count(*)`+from, session).Scan(&more)
		more = max(more-int64(limit), 0)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("list changes of status of session %d: %w", session, err)
	}
	return events, more, nil
}
