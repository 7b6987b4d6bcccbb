package catalog

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
)

// addPoint adds a point of web1 by docs.
func addPoint(t *testing.T, db *DB, id string) {
	t.Helper()
	write(t, db, func(ctx context.Context, tx *sql.Tx) error {
		return AddPoint(ctx, tx, &keepwardv1.Point{Id: id, Computer: "web1", Job: "docs", Repository: "main", Time: timestamppb.New(noon), Completeness: "complete"})
	})
}

func TestMarkersComeBackAndHideDeletedPoints(t *testing.T) {
	db := openTest(t)
	for _, id := range []string{"aa", "bb", "cc"} {
		addPoint(t, db, id)
	}
	write(t, db, func(ctx context.Context, tx *sql.Tx) error {
		return errors.Join(
			SetMarker(ctx, tx, "aa", Marker{Deleted: noon, DeletedBecause: "old"}),
			SetMarker(ctx, tx, "bb", Marker{Held: true, HoldReason: "case"}),
			SetPurgedBy(ctx, tx, "aa", 7),
		)
	})
	if list, err := Points(t.Context(), db.Read(), PointFilter{}); err != nil || len(list) != 2 || !list[0].GetHeld() || list[0].GetHoldReason() != "case" {
		t.Errorf("shown are %v (%v)", list, err)
	}
	all, err := Points(t.Context(), db.Read(), PointFilter{Deleted: true})
	if err != nil || len(all) != 3 || !all[0].GetDeleted().AsTime().Equal(noon) || all[0].GetDeletedBecause() != "old" {
		t.Errorf("all are %v (%v)", all, err)
	}
	for id, want := range map[string]int64{"aa": 7, "bb": 0, "gone": 0} {
		if got, err := PurgedBy(t.Context(), db.Read(), id); err != nil || got != want {
			t.Errorf("%s is purged by %d (%v)", id, got, err)
		}
	}
	if ids, err := PointsToPurge(t.Context(), db.Read(), "main"); err != nil || cmp.Diff([]string{"aa"}, ids) != "" {
		t.Errorf("to purge are %v (%v)", ids, err)
	}
	write(t, db, func(ctx context.Context, tx *sql.Tx) error { return ForgetPoint(ctx, tx, "aa") })
	if all, err := Points(t.Context(), db.Read(), PointFilter{Deleted: true}); err != nil || len(all) != 2 {
		t.Errorf("left are %v (%v)", all, err)
	}
}

func TestUsesAndCheckpointsAreThoseOfTasksThatAreNotOver(t *testing.T) {
	db := openTest(t)
	add := func(id, point, parent string, checkpointed, over bool) {
		s := Session{Type: job.Backup, Status: job.Running, Repository: "main", Created: noon}
		write(t, db, func(ctx context.Context, tx *sql.Tx) error {
			if err := AddSession(ctx, tx, &s); err != nil {
				return err
			}
			task := Task{ID: id, Session: s.ID, Computer: "web1", Repository: "main", Status: job.Running, Point: point}
			if over {
				task.Ended = noon
			}
			return errors.Join(AddTask(ctx, tx, &task), PutAttempt(ctx, tx, &Attempt{ID: "a" + id, Task: id, Number: 1, Time: noon, Parent: parent, Checkpointed: checkpointed}))
		})
	}
	add("1", "", "parent", true, false)
	add("2", "read", "", false, false)
	add("3", "made", "older", true, true)
	uses, err := Uses(t.Context(), db.Read(), "main")
	want := map[string]Use{"parent": {ID: "parent", Session: 1, Parent: true}, "read": {ID: "read", Session: 2}}
	got := map[string]Use{}
	for _, u := range uses {
		got[u.ID] = u
	}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("uses (%v):\n%s", err, d)
	}
	if ids, err := WantedCheckpoints(t.Context(), db.Read(), "main"); err != nil || cmp.Diff([]string{"a1"}, ids) != "" {
		t.Errorf("checkpoints: %v (%v)", ids, err)
	}
	if uses, err := Uses(t.Context(), db.Read(), "other"); err != nil || len(uses) != 0 {
		t.Errorf("of another repository: %v (%v)", uses, err)
	}
}

func TestAPairIsUnprotectedFromWhenItWasFirstSeen(t *testing.T) {
	db := openTest(t)
	setUpSite(t, db)
	addPoint(t, db, "aa")
	pair := Pair{"web1", "docs"}
	note := func(at time.Time) map[Pair]time.Time {
		write(t, db, func(ctx context.Context, tx *sql.Tx) error { return NoteUnprotected(ctx, tx, at) })
		left, err := Unprotected(t.Context(), db.Read())
		if err != nil {
			t.Fatal(err)
		}
		return left
	}
	name := func(computers ...string) {
		write(t, db, func(ctx context.Context, tx *sql.Tx) error {
			return PutJob(ctx, tx, &keepwardv1.Job{Name: "docs", Computers: computers, Repository: "main"}, noon)
		})
	}
	if left := note(noon); !left[pair].Equal(noon) {
		t.Errorf("without a job: %v", left)
	}
	if left := note(noon.Add(time.Hour)); !left[pair].Equal(noon) {
		t.Errorf("an hour later: %v", left)
	}
	name("web1")
	if left := note(noon.Add(2 * time.Hour)); len(left) != 0 {
		t.Errorf("with a job: %v", left)
	}
	name("web2")
	if left := note(noon.Add(3 * time.Hour)); !left[pair].Equal(noon.Add(3 * time.Hour)) {
		t.Errorf("with a job of another computer: %v", left)
	}
	write(t, db, func(ctx context.Context, tx *sql.Tx) error { return ForgetPoint(ctx, tx, "aa") })
	if left := note(noon.Add(4 * time.Hour)); len(left) != 0 {
		t.Errorf("without points: %v", left)
	}
}

func TestUpkeepComesBackAndItsZeroIsTheDefault(t *testing.T) {
	db := openTest(t)
	setUpSite(t, db)
	grace := func() time.Duration {
		r, err := GetRepository(t.Context(), db.Read(), "main")
		if err != nil {
			t.Fatal(err)
		}
		return r.Upkeep.Grace()
	}
	if grace() != job.DefaultUndeleteGrace {
		t.Errorf("of a new repository: %s", grace())
	}
	for _, d := range []time.Duration{0, time.Hour} {
		u := Upkeep{UnprotectedAfter: time.Minute, Maintenance: "never"}
		u.SetGrace(d)
		write(t, db, func(ctx context.Context, tx *sql.Tx) error { return SetUpkeep(ctx, tx, "main", u) })
		if r, err := GetRepository(t.Context(), db.Read(), "main"); err != nil || cmp.Diff(u, r.Upkeep) != "" || grace() != d {
			t.Errorf("set %s: %+v (%v)", d, r.Upkeep, err)
		}
	}
}

func TestBarePointsHaveNoCounters(t *testing.T) {
	db := openTest(t)
	write(t, db, func(ctx context.Context, tx *sql.Tx) error {
		return AddPoint(ctx, tx, &keepwardv1.Point{Id: "aa", Computer: "web1", Time: timestamppb.New(noon), Counters: &keepwardv1.Counters{DoneFiles: 2}})
	})
	for bare, want := range map[bool]int64{true: 0, false: 2} {
		if list, err := Points(t.Context(), db.Read(), PointFilter{Bare: bare}); err != nil || len(list) != 1 || list[0].GetCounters().GetDoneFiles() != want {
			t.Errorf("bare %t: %v (%v)", bare, list, err)
		}
	}
}
