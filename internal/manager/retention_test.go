package manager

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
)

const aDay = 24 * time.Hour

// retain gives the job a retention.
func (w *world) retain(r *keepwardv1.Retention) {
	w.t.Helper()
	j := theJobOf("web1")
	j.Retention = r
	w.setJob(j)
}

// backups makes points of web1, an hour apart, and answers their ids, the oldest first.
func (w *world) backups(n int) []string {
	w.t.Helper()
	var ids []string
	for range n {
		w.run()
		ids = append(ids, w.finish("web1"))
		w.pass(time.Hour)
	}
	return ids
}

// standing is every point that the catalog has, the newest first, as a letter: deleted, held, or
// - for neither.
func (w *world) standing() string {
	w.t.Helper()
	points, err := catalog.Points(w.t.Context(), w.db.Read(), catalog.PointFilter{Deleted: true})
	if err != nil {
		w.t.Fatal(err)
	}
	out := ""
	for _, p := range points {
		switch {
		case p.GetDeleted() != nil:
			out += "d"
		case p.GetHeld():
			out += "h"
		default:
			out += "-"
		}
	}
	return out
}

// newestOf is the newest session of a type.
func (w *world) newestOf(typ job.Type) *keepwardv1.Session {
	w.t.Helper()
	rows, err := catalog.Sessions(w.t.Context(), w.db.Read(), catalog.SessionFilter{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, row := range rows {
		if row.Type == typ {
			return w.session(row.ID)
		}
	}
	w.t.Fatalf("there is no session of type %s", typ)
	return nil
}

func (w *world) change(do action, reason string, ids ...string) error {
	w.t.Helper()
	_, err := w.m.changePoints(w.t.Context(), do, &keepwardv1.ChangePointsRequest{Names: ids, Reason: reason})
	synctest.Wait()
	return err
}

func TestAfterABackupWhatIsOverIsDeletedAndSaysWhy(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.retain(&keepwardv1.Retention{KeepLast: 2})
		ids := w.backups(4)
		if got := w.standing(); got != "--dd" {
			t.Fatalf("points are %s", got)
		}
		s := w.newestOf(job.Retention)
		w.expect(s.GetId(), job.Completed, "")
		want := &keepwardv1.RetentionReport{Points: 3, Kept: 2, Deleted: 1}
		if got := s.GetReport().GetRetention(); got.GetPoints() != want.GetPoints() || got.GetKept() != want.GetKept() || got.GetDeleted() != want.GetDeleted() {
			t.Errorf("the report is %v", got)
		}
		if log := w.log(s.GetId()); !strings.Contains(log, ids[1]) || !strings.Contains(log, "no rule keeps it (keep the newest 2)") {
			t.Errorf("the log does not say what went and why:\n%s", log)
		}
		if m := w.transports[theNode].marks[ids[0]]; !m.GetDeleted() || m.GetDeletedBecause() == "" {
			t.Errorf("the marker in the repository is %v", m)
		}
		res, err := w.m.GetPoint(t.Context(), connect.NewRequest(&keepwardv1.GetPointRequest{Name: ids[3]}))
		if err != nil || cmp.Diff(res.Msg.GetPoint().GetKeptBecause(), []string{"newest 2: number 1"}) != "" {
			t.Errorf("the newest point says %v (%v)", res.Msg.GetPoint().GetKeptBecause(), err)
		}
		j, err := catalog.GetJob(t.Context(), w.db.Read(), theJob)
		if err != nil || w.m.DescribeJob(t.Context(), j) != nil || j.GetLastResult() != string(job.Completed) {
			t.Errorf("retention counts as a run of the job: %v", j)
		}
	})
}

func TestWithoutRetentionNothingIsDeleted(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.backups(5)
		if got := w.standing(); got != "-----" {
			t.Errorf("points are %s", got)
		}
	})
}

func TestADeathBetweenTheRepositoryAndTheCatalogIsPutRight(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		ids := w.backups(3)
		tr := w.transports[theNode]
		tr.markFails = errs.New(errs.Unavailable, "", "call transport: link lost")
		if err := w.change(actionDelete, "", ids[1]); errs.KindOf(err) != errs.Unavailable {
			t.Fatalf("delete with a broken link: %v", err)
		}
		if err := w.change(actionHold, "case 7", ids[2]); errs.KindOf(err) != errs.Unavailable {
			t.Fatalf("hold with a broken link: %v", err)
		}
		tr.markFails = nil
		if got := w.standing(); got != "---" {
			t.Fatalf("points are %s before anybody compared", got)
		}
		w.reopen()
		w.connect()
		if got := w.standing(); got != "hd-" {
			t.Errorf("points are %s", got)
		}
		if err := w.change(actionUndelete, "", ids[1]); err != nil {
			t.Error(err)
		}
	})
}

func TestWhatMustNotBeDoneToAPointIsRefused(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		ids := w.backups(3)
		for _, step := range []struct {
			do   action
			id   string
			want string // code
		}{
			{actionHold, ids[0], ""},
			{actionDelete, ids[0], "point.held"},
			{actionDelete, ids[1][:8], ""},
			{actionHold, ids[1], "point.deleted"},
			{actionUndelete, ids[1], ""},
			{actionDelete, "latest", "point.name"},
			{actionDelete, "ffff", "point.unknown"},
			{actionUndelete, "ffff", "point.unknown"},
			{actionRelease, ids[0], ""},
		} {
			err := w.change(step.do, "why not", step.id)
			if errs.CodeOf(err) != step.want {
				t.Errorf("%s %s: %v, want %q", step.do, step.id, err, step.want)
			}
			if step.want != "" && strings.HasPrefix(step.want, "point.") && (step.do == actionHold && step.want == "point.deleted" || step.want == "point.held" && step.do == actionDelete) && errs.HintOf(err) == "" {
				t.Errorf("%s: no hint", err)
			}
		}
		if got := w.standing(); got != "---" {
			t.Errorf("points are %s", got)
		}
	})
}

func TestAPointThatIsAsAskedAlreadyIsLeftAsItIs(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		ids := w.backups(2)
		calls := map[action]func(context.Context, *connect.Request[keepwardv1.ChangePointsRequest]) (*connect.Response[keepwardv1.ChangePointsResponse], error){
			actionDelete: w.m.DeletePoints, actionUndelete: w.m.UndeletePoints, actionHold: w.m.HoldPoints, actionRelease: w.m.ReleasePoints,
		}
		for i, step := range []struct {
			do        action
			names     []string
			unchanged []string
		}{
			{actionRelease, ids[:1], ids[:1]},
			{actionUndelete, ids[:1], ids[:1]},
			{actionHold, ids[:1], nil},
			{actionHold, ids, ids[:1]}, // the other one is still put on hold
			{actionRelease, ids, nil},
			{actionDelete, ids[:1], nil},
			{actionDelete, ids, ids[:1]},
			{actionUndelete, ids, nil},
		} {
			req := &keepwardv1.ChangePointsRequest{Names: step.names, Reason: fmt.Sprintf("step %d", i)}
			res, err := calls[step.do](t.Context(), connect.NewRequest(req))
			if err != nil || len(res.Msg.GetPoints()) != len(step.names) {
				t.Fatalf("%s: %v, %v", step.do, res, err)
			}
			if diff := cmp.Diff(step.unchanged, res.Msg.GetUnchanged(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("step %d, %s: unchanged: %s", i, step.do, diff)
			}
			for _, p := range res.Msg.GetPoints() {
				if reason := p.GetHoldReason() + p.GetDeletedBecause(); reason != "" && slices.Contains(step.unchanged, p.GetId()) && reason == req.GetReason() {
					t.Errorf("step %d, %s: the reason became %q", i, step.do, reason)
				}
			}
			time.Sleep(time.Second)
		}
	})
}

func TestOneOfManyThatIsRefusedStopsAll(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		ids := w.backups(3)
		if err := w.change(actionHold, "", ids[0]); err != nil {
			t.Fatal(err)
		}
		if err := w.change(actionDelete, "", ids...); errs.CodeOf(err) != "point.held" {
			t.Errorf("delete: %v", err)
		}
		if got := w.standing(); got != "--h" {
			t.Errorf("points are %s", got)
		}
	})
}

func TestADeletedPointIsHiddenAndNeverAParent(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		ids := w.backups(2)
		if err := w.change(actionDelete, "wrong", ids[1]); err != nil {
			t.Fatal(err)
		}
		if _, err := w.m.RestoreFiles(t.Context(), connect.NewRequest(&keepwardv1.RestoreFilesRequest{Computer: "web1", Point: ids[1]})); errs.CodeOf(err) != "point.deleted" {
			t.Errorf("restore: %v", err)
		}
		latest, err := w.m.findPoint(t.Context(), latest, "web1")
		if err != nil || latest.GetId() != ids[0] {
			t.Errorf("the latest is %s, %v", latest.GetId(), err)
		}
		w.run()
		if order := w.agents["web1"].backups[w.agents["web1"].only(t)]; order.GetParent() != ids[0] {
			t.Errorf("the parent is %s", order.GetParent())
		}
		for deleted, want := range map[bool]int{false: 1, true: 2} {
			res, err := w.m.ListPoints(t.Context(), connect.NewRequest(&keepwardv1.ListPointsRequest{Deleted: deleted}))
			if err != nil || len(res.Msg.GetPoints()) != want {
				t.Errorf("deleted %t: %v, %v", deleted, res, err)
			}
		}
		shown, err := w.m.GetPoint(t.Context(), connect.NewRequest(&keepwardv1.GetPointRequest{Name: ids[1]}))
		if err != nil || !shown.Msg.GetPoint().GetPurgeAfter().AsTime().Equal(shown.Msg.GetPoint().GetDeleted().AsTime().Add(job.DefaultUndeleteGrace)) {
			t.Errorf("shown: %v, %v", shown, err)
		}
	})
}

func TestPreviewSaysWhatWouldGo(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		ids := w.backups(4)
		if err := w.change(actionHold, "case 7", ids[0]); err != nil {
			t.Fatal(err)
		}
		res, err := w.m.PreviewRetention(t.Context(), theJob, &keepwardv1.Retention{KeepLast: 2})
		if err != nil || res.GetKept() != 3 || res.GetDeleted() != 1 || res.GetRefused() != "" {
			t.Fatalf("%v, %v", res, err)
		}
		if p := res.GetPoints()[2]; p.GetId() != ids[1] || p.GetDeleted() == nil {
			t.Errorf("the third is %v", p)
		}
		if got := w.standing(); got != "---h" {
			t.Errorf("points are %s: a preview has changed something", got)
		}
		if res, err := w.m.PreviewRetention(t.Context(), theJob, &keepwardv1.Retention{KeepLast: -1}); err != nil || res.GetRefused() == "" {
			t.Errorf("a negative one: %v, %v", res, err)
		}
		if _, err := w.m.PreviewRetention(t.Context(), "dosc", nil); errs.KindOf(err) != errs.NotFound {
			t.Errorf("an unknown job: %v", err)
		}
	})
}

func TestAClockThatJumpsPausesRetention(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		ids := w.backups(3)
		w.retain(&keepwardv1.Retention{KeepLast: 1})
		w.mu.Lock()
		w.jump = 365 * aDay
		w.mu.Unlock()
		w.run()
		w.finish("web1")
		if got := w.standing(); got != "----" {
			t.Fatalf("points are %s", got)
		}
		if c := w.m.Conditions(); len(c) != 1 || c[0].GetCode() != "clock.jumped" || c[0].GetHint() == "" {
			t.Errorf("conditions: %v", c)
		}
		if err := w.change(actionDelete, "", ids[0]); err != nil {
			t.Errorf("a user may delete all the same: %v", err)
		}
		if list, err := w.m.purgeable(t.Context(), w.repository(), time.Now().Add(30*aDay)); err != nil || len(list) != 0 {
			t.Errorf("purged by a wrong clock: %v, %v", list, err)
		}
		w.reopen() // a start does not make the clock right
		w.connect()
		if jump, err := w.m.ResumeRetention(t.Context()); err != nil || jump < 364*aDay {
			t.Errorf("resumed after a jump of %s, %v", jump, err)
		}
		if jump, err := w.m.ResumeRetention(t.Context()); err != nil || jump != 0 || len(w.m.Conditions()) != 0 {
			t.Errorf("again: %s, %v", jump, err)
		}
		w.run()
		w.finish("web1")
		if got := w.standing(); got != "-dddd" {
			t.Errorf("points are %s", got)
		}
	})
}

func TestAClockThatIsSetRightAgainNeedsNobody(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		for _, jump := range []time.Duration{0, -400 * aDay, 0} {
			w.mu.Lock()
			w.jump = jump
			w.mu.Unlock()
			w.pass(2 * lookAgain)
			if doubted := len(w.m.Conditions()) == 1; doubted != (jump != 0) {
				t.Errorf("after a jump of %s: %v", jump, w.m.Conditions())
			}
		}
	})
}

func (w *world) repository() catalog.Repository {
	w.t.Helper()
	r, err := catalog.GetRepository(w.t.Context(), w.db.Read(), theRepo)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// upkeep sets it for a repository that is never idle.
func (w *world) upkeep(u catalog.Upkeep) {
	w.t.Helper()
	u.Recompress = job.RecompressNever
	w.write(func(ctx context.Context, tx *sql.Tx) error { return catalog.SetUpkeep(ctx, tx, theRepo, u) })
	w.m.ConfigChanged()
	synctest.Wait()
}

func TestPointsOfAComputerThatNoJobNamesGoAfterTheirTime(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.backups(2)
		w.upkeep(catalog.Upkeep{UnprotectedAfter: 10 * time.Hour, Maintenance: "every 2h"})
		w.setJob(theJobOf("web2")) // web1 is left
		w.pass(5 * time.Hour)
		if got := w.standing(); got != "--" {
			t.Fatalf("points are %s after five hours", got)
		}
		w.pass(10 * time.Hour)
		if got := w.standing(); got != "dd" {
			t.Errorf("points are %s after fifteen hours", got)
		}
	})
}

func TestARetentionThatTheServerDiedInGoesOn(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.backups(3)
		tr := w.transports[theNode]
		tr.markFails = errs.New(errs.Unavailable, "", "call transport: link lost")
		w.retain(&keepwardv1.Retention{KeepLast: 1})
		w.run()
		w.finish("web1")
		id := w.newestOf(job.Retention).GetId()
		w.expect(id, job.Pending, job.RestartAt)
		tr.markFails = nil
		w.reopen()
		w.connect()
		w.pass(time.Hour)
		w.expect(id, job.Completed, "")
		if got := w.standing(); got != "-ddd" {
			t.Errorf("points are %s", got)
		}
	})
}
