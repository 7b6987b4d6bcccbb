package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"keepward/internal/job"
)

// protectionOf is how the results of tasks count.
var protectionOf = map[job.Result]Protection{job.ResultSuccess: ProtectionSuccess, job.ResultWarning: ProtectionWarning, job.ResultFailed: ProtectionFailed}

// ends has a task of a computer end, of a session of a type that was made at a time.
func ends(t *testing.T, db *DB, computer string, typ job.Type, made time.Time, status job.Status) {
	t.Helper()
	s := addSession(t, db, Session{Job: "docs", Type: typ, Repository: "main", Status: job.Running, Created: made}, computer)
	write(t, db, func(ctx context.Context, tx *sql.Tx) error {
		return PutTask(ctx, tx, &Task{ID: fmt.Sprintf("task-%d", s.ID), Session: s.ID, Computer: computer, Status: status, Ended: made.Add(20 * time.Hour)})
	})
}

func knows(t *testing.T, db *DB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := db.write.ExecContext(t.Context(), `INSERT INTO computers (name, joined) VALUES (?, ?)`, name, noon.AddDate(0, 0, -10).UnixNano()); err != nil {
			t.Fatal(err)
		}
	}
}

// protection lists, where f does not say otherwise, three days up to noon's.
func protection(t *testing.T, db *DB, f ProtectionFilter) Protections {
	t.Helper()
	if f.Last == 0 {
		f.Last = DayOf(noon)
	}
	if f.First == 0 {
		f.First = f.Last - 2
	}
	if f.Limit == 0 {
		f.Limit = 100
	}
	f.Through = min(f.Last, DayOf(noon)-1)
	list, err := ListProtection(t.Context(), db.Read(), f)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestEveryEndOfABackupCountsForItsDay(t *testing.T) {
	db := openTest(t)
	for i, r := range job.Statuses {
		if !r.Status.Final() {
			continue
		}
		name := fmt.Sprintf("web%d", i)
		knows(t, db, name)
		ends(t, db, name, job.Backup, noon, r.Status)
		want := protectionOf[r.Status.Result()]
		if r.Status == job.CompletedWithErrors || r.Status == job.Committed {
			want = ProtectionPartial
		}
		got := protection(t, db, ProtectionFilter{Only: []string{name}}).Rows
		if len(got) != 1 || !slices.Equal(got[0].Days, []Protection{0, 0, want}) {
			t.Errorf("%s: %v, want %d of the last day", r.Status, got, want)
		}
		if left := got[0].Days[2] > ProtectionFailed; left != r.Status.LeftResult() {
			t.Errorf("%s: it counts as a restore point: %v", r.Status, left)
		}
	}
}

func TestTheBestOfADayWinsAndOnlyBackupsCount(t *testing.T) {
	db := openTest(t)
	knows(t, db, "web1")
	yesterday := noon.AddDate(0, 0, -1)
	ends(t, db, "web1", job.Backup, noon, job.CompletedWithErrors)
	ends(t, db, "web1", job.Backup, noon, job.Completed)
	ends(t, db, "web1", job.Backup, noon, job.Failed)
	ends(t, db, "web1", job.Sweep, yesterday, job.Completed)
	ends(t, db, "", job.Backup, yesterday, job.Completed)
	// Refused: the task is over when it is made.
	write(t, db, func(ctx context.Context, tx *sql.Tx) error {
		s := Session{Job: "docs", Type: job.Backup, Repository: "main", Status: job.FailedToStart, Created: noon.AddDate(0, 0, -2)}
		if err := AddSession(ctx, tx, &s); err != nil {
			return err
		}
		return AddTask(ctx, tx, &Task{ID: "refused", Session: s.ID, Computer: "web1", Repository: "main", Status: job.FailedToStart, Ended: noon})
	})
	got := protection(t, db, ProtectionFilter{}).Rows
	want := []ProtectionRow{{Computer: "web1", Failed: 1, Days: []Protection{ProtectionFailed, 0, ProtectionSuccess}}} // today's point has closed the hole
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheWorstComputersComeFirstAndPagesFollow(t *testing.T) {
	db := openTest(t)
	knows(t, db, "fine", "new", "failed", "hole", "secret", "worse")
	days := func(name string, status job.Status, back ...int) {
		for _, n := range back {
			ends(t, db, name, job.Backup, noon.AddDate(0, 0, -n), status)
		}
	}
	days("fine", job.Completed, 0, 1, 2)
	days("failed", job.Completed, 0, 2)
	days("failed", job.Failed, 1)
	days("hole", job.CompletedWithErrors, 4) // before the range
	days("worse", job.Completed, 5)
	days("worse", job.Failed, 1)
	days("new", job.Completed, 1) // not today yet
	all := protection(t, db, ProtectionFilter{Only: []string{"fine", "new", "failed", "hole", "worse"}})
	type one struct {
		name         string
		hole, failed int64
	}
	var got []one
	for _, r := range all.Rows {
		got = append(got, one{r.Computer, r.Hole, r.Failed})
	}
	want := []one{{"worse", 4, 1}, {"hole", 3, 0}, {"failed", 0, 1}, {"fine", 0, 0}, {"new", 0, 0}}
	if !slices.Equal(got, want) || all.Found != 5 || all.Holes != 2 {
		t.Errorf("%v (of %d, %d with a hole), want %v", got, all.Found, all.Holes, want)
	}
	// The limit comes after the scope and the ranking.
	page := protection(t, db, ProtectionFilter{Only: []string{"fine", "new", "failed", "hole", "worse"}, Limit: 2, Offset: 1})
	if diff := cmp.Diff(all.Rows[1:3], page.Rows); diff != "" || page.Found != 5 {
		t.Errorf("the second page of %d: %s", page.Found, diff)
	}
	if behind := protection(t, db, ProtectionFilter{Offset: 50}); len(behind.Rows) != 0 || behind.Found != 6 {
		t.Errorf("behind the end there are %d of %d", len(behind.Rows), behind.Found)
	}
	if none := protection(t, db, ProtectionFilter{Only: []string{}}); len(none.Rows) != 0 || none.Found != 0 {
		t.Errorf("of nobody: %v", none)
	}
}

func TestOldDaysAreForgotten(t *testing.T) {
	db := openTest(t)
	knows(t, db, "web1")
	for _, name := range []string{"web1", "removed"} {
		ends(t, db, name, job.Backup, noon.AddDate(0, 0, -5), job.Completed)
		ends(t, db, name, job.Backup, noon, job.Completed)
	}
	before := DayOf(noon) - 4
	names, err := ProtectedBefore(t.Context(), db.Read(), before)
	if err != nil || !slices.Equal(names, []string{"removed", "web1"}) {
		t.Fatalf("of %v (%v)", names, err)
	}
	write(t, db, func(ctx context.Context, tx *sql.Tx) error {
		n, err := ForgetProtection(ctx, tx, names, before)
		if n != 2 {
			t.Errorf("%d rows forgotten, want 2", n)
		}
		return err
	})
	if names, err = ProtectedBefore(t.Context(), db.Read(), before+100); err != nil || len(names) != 2 {
		t.Errorf("the newer ones are of %v (%v)", names, err)
	}
}

// A site that is updated sees its past: what the triggers would have written is made of the sessions.
func TestTheMigrationFillsTheDaysFromTheHistory(t *testing.T) {
	db := openTest(t)
	now := time.Now().UTC()
	for i, r := range job.Statuses {
		if r.Status.Final() {
			ends(t, db, "web1", job.Backup, now.AddDate(0, 0, -i), r.Status)
		}
	}
	ends(t, db, "web1", job.Backup, now, job.Failed)
	ends(t, db, "web1", job.Backup, now, job.Completed)
	ends(t, db, "web1", job.Sweep, now.AddDate(0, 0, -100), job.Completed)
	rows := func() (out []string) {
		list, err := db.read.QueryContext(t.Context(), `SELECT computer || ' ' || day || ' ' || result FROM protection_days ORDER BY 1`)
		out, err = collect(list, err, scanText)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	written := rows()
	ends(t, db, "web1", job.Backup, now.AddDate(0, 0, -ProtectionKept-10), job.Completed) // too old for the migration
	p, err := goose.NewProvider(goose.DialectSQLite3, db.write, os.DirFS("migrations"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.DownTo(t.Context(), 104); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(written, rows()); diff != "" || len(written) == 0 {
		t.Errorf("the migration says otherwise than the triggers: %s", diff)
	}
}

// BenchmarkTheEndOfATask ends tasks of 10 000 computers, without and with the row of their day. All are
// in one transaction: what a commit costs is the same.
func BenchmarkTheEndOfATask(b *testing.B) {
	for _, days := range []bool{false, true} {
		b.Run(fmt.Sprintf("days=%v", days), func(b *testing.B) {
			db, err := Open(b.Context(), filepath.Join(b.TempDir(), "catalog.db"))
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			ctx := b.Context()
			prepare := []string{fmt.Sprintf(`WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 10000), d(day) AS (VALUES (%d) UNION ALL SELECT day - 1 FROM d WHERE day > %d)
				INSERT INTO protection_days SELECT printf('c%%05d', n), day, 4 FROM t, d`, DayOf(noon)-1, DayOf(noon)-60)}
			if !days {
				prepare = append(prepare, `DROP TRIGGER protection_task_ended`)
			}
			tasks := make([]Task, b.N)
			err = db.Write(ctx, func(tx *sql.Tx) error {
				for _, text := range prepare {
					if _, err := tx.ExecContext(ctx, text); err != nil {
						return err
					}
				}
				s := Session{Job: "docs", Type: job.Backup, Repository: "main", Status: job.Running, Created: noon}
				if err := AddSession(ctx, tx, &s); err != nil {
					return err
				}
				for i := range tasks {
					tasks[i] = Task{ID: fmt.Sprintf("%032x", i*7919), Session: s.ID, Position: i, Computer: fmt.Sprintf("c%05d", i*7919%10000+1), Status: job.Running}
					if err := AddTask(ctx, tx, &tasks[i]); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			err = db.Write(ctx, func(tx *sql.Tx) error {
				for i := range tasks {
					tasks[i].Status, tasks[i].Ended = job.Completed, noon
					if err := PutTask(ctx, tx, &tasks[i]); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		})
	}
}
