package catalog

import (
	"context"
	"database/sql"
	"fmt"
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

// linesOf is a log of so many lines, of which every tenth is an error of a file of its own.
func linesOf(t testing.TB, db *DB, lines int) int64 {
	t.Helper()
	id := logOf(t, db)
	err := db.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), `WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < ?)
			INSERT INTO events (session, seq, time, task, level, part, code, text, path, to_status)
			SELECT ?, n, n, 'task', CASE n % 10 WHEN 0 THEN 'error' ELSE 'info' END, 'agent', 'file.unreadable', 'open a file of the tree: permission denied',
				CASE n % 10 WHEN 0 THEN CAST(printf('/srv/data/%05d/%d.txt', n / 100, n) AS BLOB) END, CASE n % 100000 WHEN 1 THEN 'Running' ELSE '' END FROM t`, lines, id)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// A search looks at so many lines and says where it goes on; what stands at the beginning is found by going on.
func TestASearchIsBoundedAndGoesOn(t *testing.T) {
	db := openTest(t)
	const errors = logLooks + 10
	id := linesOf(t, db, 10*errors)
	for name, tt := range map[string]struct {
		filter LogFilter
		next   int64 // the line from which it has looked
	}{
		"all lines": {LogFilter{Text: "no such text"}, 10*errors - logLooks + 1},
		"errors":    {LogFilter{Text: "no such text", Levels: []string{"error"}}, 10 * (errors - logLooks + 1)},
		"one level": {LogFilter{Levels: []string{"info"}, Text: "no such text"}, 10*errors - logLooks + 1},
	} {
		tt.filter.Limit = 10
		if events, next, err := EventPage(t.Context(), db.Read(), id, tt.filter); err != nil || len(events) > 0 || next != tt.next {
			t.Errorf("%s: %d lines, it goes on at %d (%v), want 0 and %d", name, len(events), next, err, tt.next)
		}
		tt.filter.Text = "/srv/data/00000/"
		tt.filter.Levels = nil
		if got := allPages(t, db, id, tt.filter); len(got) != 9 || got[0] != 10 {
			t.Errorf("%s: what stands at the beginning is found in %v", name, got)
		}
	}
	if events, _, err := Transitions(t.Context(), db.Read(), id, 1000); err != nil || len(events) != 3 {
		t.Errorf("there are %d changes of status (%v)", len(events), err)
	}
}

// BenchmarkALogOfAMillionLines is what a page of it takes, as the console asks for them.
func BenchmarkALogOfAMillionLines(b *testing.B) {
	db := openTest(b)
	id := linesOf(b, db, 1_000_000)
	page := func(f LogFilter) func(context.Context) error {
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
	for _, one := range []struct {
		name string
		ask  func(context.Context) error
	}{
		{"newest", page(LogFilter{Limit: 500})},
		{"middle", page(LogFilter{Limit: 500, Before: 500_000})},
		{"errors", page(LogFilter{Limit: 500, Levels: []string{"error"}})},
		{"text-nowhere", page(LogFilter{Limit: 500, Text: "no such text"})},
		{"errors-with-text-nowhere", page(LogFilter{Limit: 500, Levels: []string{"error"}, Text: "no such text"})},
		{"files", files("", FilePlace{})},
		{"files-middle", files("", FilePlace{Path: []byte("/srv/data/05000/")})},
		{"files-with-text-nowhere", files("no such text", FilePlace{})},
	} {
		b.Run(one.name, func(b *testing.B) {
			for b.Loop() {
				if err := one.ask(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
