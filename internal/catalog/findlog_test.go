package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
)

// logOf makes a session with a log.
func logOf(t testing.TB, db *DB, events ...*keepwardv1.Event) int64 {
	t.Helper()
	s := &Session{Type: job.Backup, Status: job.Running, Repository: "r", StartedBy: "x", Created: time.Unix(1, 0), Definition: "{}"}
	err := db.Write(t.Context(), func(tx *sql.Tx) error {
		if err := AddSession(t.Context(), tx, s); err != nil {
			return err
		}
		for i, e := range events {
			e.Session, e.Seq, e.Time = s.ID, int64(i+1), timestamppb.New(time.Unix(int64(i), 0))
		}
		return AddEvents(t.Context(), tx, events)
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.ID
}

// allPages reads a log page by page, and answers its numbers.
func allPages(t *testing.T, db *DB, id int64, f LogFilter) (seqs []int64) {
	t.Helper()
	for range 1000 {
		events, next, err := EventPage(t.Context(), db.Read(), id, f)
		if err != nil {
			t.Fatal(err)
		}
		page := make([]int64, len(events))
		for i, e := range events {
			page[i] = e.GetSeq()
		}
		seqs = append(page, seqs...)
		if next == 0 {
			return seqs
		}
		if f.Before != 0 && next >= f.Before {
			t.Fatalf("the page before %d goes on before %d", f.Before, next)
		}
		f.Before = next
	}
	t.Fatal("the pages have no end")
	return nil
}

func TestALogIsReadByPagesToItsBeginning(t *testing.T) {
	db := openTest(t)
	var events []*keepwardv1.Event
	for i := range 23 {
		e := &keepwardv1.Event{Level: "info", Text: fmt.Sprint("line ", i+1)}
		switch {
		case i%5 == 0:
			e.Level, e.Path = "error", []byte("/srv/Report\xff")
		case i%7 == 0:
			e.Level, e.Code, e.From, e.To, e.Actor = "warning", "file.changed", "Running", "Suspended", "ann"
		}
		events = append(events, e)
	}
	id := logOf(t, db, events...)
	other := logOf(t, db, &keepwardv1.Event{Level: "error", Text: "line 1"})
	for name, tt := range map[string]struct {
		f    LogFilter
		want []int64
	}{
		"all":         {LogFilter{}, []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23}},
		"errors":      {LogFilter{Levels: []string{"error"}}, []int64{1, 6, 11, 16, 21}},
		"trouble":     {LogFilter{Levels: []string{"warning", "error"}}, []int64{1, 6, 8, 11, 15, 16, 21, 22}},
		"info":        {LogFilter{Levels: []string{"info"}, Text: "LINE 2"}, []int64{2, 20, 23}},
		"text":        {LogFilter{Text: "line 2"}, []int64{2, 20, 21, 22, 23}},
		"path":        {LogFilter{Text: "REPORT"}, []int64{1, 6, 11, 16, 21}},
		"code":        {LogFilter{Text: "file.changed"}, []int64{8, 15, 22}},
		"status":      {LogFilter{Text: "suspended"}, []int64{8, 15, 22}},
		"actor":       {LogFilter{Text: "ANN"}, []int64{8, 15, 22}},
		"nothing":     {LogFilter{Text: "no such"}, nil},
		"not a like":  {LogFilter{Text: "%"}, nil},
		"before":      {LogFilter{Before: 3}, []int64{1, 2}},
		"before one":  {LogFilter{Before: 1}, nil},
		"a lone byte": {LogFilter{Text: "\xff"}, []int64{1, 6, 11, 16, 21}},
	} {
		for _, limit := range []int{1, 2, 5, 23, 100} {
			tt.f.Limit = limit
			if diff := cmp.Diff(tt.want, allPages(t, db, id, tt.f)); diff != "" && len(tt.want) > 0 {
				t.Errorf("%s, %d a page (want, got):\n%s", name, limit, diff)
			}
		}
	}
	if got := allPages(t, db, other, LogFilter{Limit: 10}); len(got) != 1 {
		t.Errorf("of the other session there are lines %v", got)
	}
}

func TestFilesWithErrorsAreListedOnceByTheirPath(t *testing.T) {
	db := openTest(t)
	line := func(level, task, path, text string) *keepwardv1.Event {
		return &keepwardv1.Event{Level: level, Task: task, Path: []byte(path), Text: text}
	}
	id := logOf(t, db,
		line("error", "a", "/b", "no"), line("warning", "a", "/a\xff", "changed"), line("error", "a", "/b", "again"), line("info", "a", "/c", "fine"),
		line("error", "b", "/b", "other"), &keepwardv1.Event{Level: "error", Text: "no file"}, line("error", "b", "/Z", "denied"),
	)
	pages := func(text string, limit int) (out []string) {
		t.Helper()
		after := FilePlace{}
		for range 100 {
			files, next, err := FileErrors(t.Context(), db.Read(), id, text, after, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				out = append(out, fmt.Sprintf("%q %s %d %s", f.Newest.GetPath(), f.Newest.GetTask(), f.Lines, f.Newest.GetText()))
			}
			if next == nil {
				return out
			}
			after = *next
		}
		t.Fatal("the pages have no end")
		return nil
	}
	for _, limit := range []int{1, 2, 4, 100} {
		want := []string{`"/Z" b 1 denied`, `"/a\xff" a 1 changed`, `"/b" a 2 again`, `"/b" b 1 other`}
		if diff := cmp.Diff(want, pages("", limit)); diff != "" {
			t.Errorf("%d a page (want, got):\n%s", limit, diff)
		}
		if diff := cmp.Diff([]string{`"/Z" b 1 denied`}, pages("/z", limit)); diff != "" {
			t.Errorf("by path, %d a page (want, got):\n%s", limit, diff)
		}
		if diff := cmp.Diff([]string{`"/b" a 1 again`}, pages("AGAIN", limit)); diff != "" {
			t.Errorf("by text, %d a page (want, got):\n%s", limit, diff)
		}
	}
}

func TestTransitionsAreThoseOfTheLog(t *testing.T) {
	db := openTest(t)
	id := logOf(t, db, &keepwardv1.Event{Level: "info", To: "Running"}, &keepwardv1.Event{Level: "info", Text: "x"}, &keepwardv1.Event{Level: "info", From: "Running", To: "Failed"}, &keepwardv1.Event{Level: "info", To: "Late"})
	events, more, err := Transitions(t.Context(), db.Read(), id, 2)
	if err != nil || len(events) != 2 || events[1].GetTo() != "Failed" || more != 1 {
		t.Errorf("%v, %d more, %v", events, more, err)
	}
	if events, more, err = Transitions(t.Context(), db.Read(), id, 10); err != nil || len(events) != 3 || more != 0 {
		t.Errorf("%v, %d more, %v", events, more, err)
	}
}

// millionLines is a log of a million lines, of which every tenth is an error of a file of its own.
func millionLines(t testing.TB, db *DB) int64 {
	t.Helper()
	id := logOf(t, db)
	err := db.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), `WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 1000000)
			INSERT INTO events (session, seq, time, task, level, part, code, text, path, to_status)
			SELECT ?, n, n, 'task', CASE n % 10 WHEN 0 THEN 'error' ELSE 'info' END, 'agent', 'file.unreadable', 'open a file of the tree: permission denied',
				CASE n % 10 WHEN 0 THEN CAST(printf('/srv/data/%05d/%d.txt', n / 100, n) AS BLOB) END, CASE n % 100000 WHEN 1 THEN 'Running' ELSE '' END FROM t`, id)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// A log of any length is opened at its end, narrowed and searched in a time that does not grow with it.
func TestALogOfAMillionLinesIsAnsweredAtOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("it writes a million lines")
	}
	db := openTest(t)
	id := millionLines(t, db)
	ask := func(f LogFilter) func(context.Context) error {
		return func(ctx context.Context) error {
			_, _, err := EventPage(ctx, db.Read(), id, f)
			return err
		}
	}
	files := func(text string, after FilePlace) func(context.Context) error {
		return func(ctx context.Context) error {
			_, _, err := FileErrors(ctx, db.Read(), id, text, after, 100)
			return err
		}
	}
	for name, one := range map[string]func(context.Context) error{
		"the newest page": ask(LogFilter{Limit: 500}), "the middle": ask(LogFilter{Limit: 500, Before: 500_000}), "errors": ask(LogFilter{Limit: 500, Levels: []string{"error"}}),
		"a text that is nowhere": ask(LogFilter{Limit: 500, Text: "no such text"}), "errors with a text that is nowhere": ask(LogFilter{Limit: 500, Levels: []string{"error"}, Text: "no such text"}),
		"files": files("", FilePlace{}), "files in the middle": files("", FilePlace{Path: []byte("/srv/data/05000/")}), "files with a text that is nowhere": files("no such text", FilePlace{}),
		"the changes of status": func(ctx context.Context) error {
			events, _, err := Transitions(ctx, db.Read(), id, 1000)
			if err == nil && len(events) != 10 {
				err = fmt.Errorf("there are %d", len(events))
			}
			return err
		},
	} {
		best := time.Hour // of several: the machine does other things too
		for range 3 {
			began := time.Now()
			if err := one(t.Context()); err != nil {
				t.Fatal(err)
			}
			best = min(best, time.Since(began))
		}
		t.Logf("%s: %v", name, best)
		if best > 300*time.Millisecond {
			t.Errorf("%s is answered after %v", name, best)
		}
	}
	if strings.Count(fmt.Sprint(allPages(t, db, id, LogFilter{Limit: 1000, Text: "/srv/data/00000/10.txt"})), " ") != 0 {
		t.Error("what stands at the beginning is not found by going on")
	}
}
