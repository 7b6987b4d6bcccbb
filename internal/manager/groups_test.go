package manager

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// fakeGroups has a list that is read when a session is submitted.
type fakeGroups struct {
	w       *world
	list    []string // of group lab, if it is to be read again
	rescans int
}

func (f *fakeGroups) Reread(ctx context.Context, names []string) {
	if f.list == nil {
		return
	}
	err := f.w.db.Write(ctx, func(tx *sql.Tx) error {
		for _, name := range names {
			if err := catalog.PutGroupNames(ctx, tx, name, catalog.NamesOfFile, f.list); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		f.w.t.Error(err)
	}
}

func (f *fakeGroups) Rescan(ctx context.Context, _ []string, line func(level, code, text string)) error {
	f.rescans++
	line(levelInfo, "group.read", "it is read")
	return ctx.Err()
}

// withGroup makes the job one of a group, whose file names web1.
func (w *world) withGroup() *fakeGroups {
	w.t.Helper()
	f := &fakeGroups{w: w, list: []string{"web1"}}
	w.kill()
	w.groups = f
	w.write(func(ctx context.Context, tx *sql.Tx) error {
		now := time.Now()
		var all []error
		for _, name := range []string{"web1", "web2"} {
			all = append(all, catalog.AddCertificate(ctx, tx, catalog.Certificate{Serial: name, Role: "agent", Name: name, DER: []byte("c"), Issued: now, Expires: now.Add(1000 * time.Hour)}))
		}
		j := theJobOf()
		j.Groups = []string{"lab"}
		return errors.Join(append(all, catalog.PutGroup(ctx, tx, &keepwardv1.Group{Name: "lab", File: "/lab.csv"}, now), catalog.PutJob(ctx, tx, j, now))...)
	})
	w.start()
	w.connect()
	return f
}

func (w *world) tasksOf(id int64) string {
	w.t.Helper()
	var names []string
	for _, t := range w.session(id).GetTasks() {
		names = append(names, t.GetComputer())
	}
	return strings.Join(names, " ")
}

func TestAGroupIsExpandedWhenASessionIsSubmitted(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		f := w.withGroup()
		first := w.run()
		if got := w.tasksOf(first); got != "web1" {
			t.Errorf("the first session is for %s", got)
		}
		w.finish("web1")
		f.list = []string{"web2", "web7"}
		second := w.run()
		if got := w.tasksOf(second); got != "web2" {
			t.Errorf("after the list has changed: %s", got)
		}
		if log := w.log(second); !strings.Contains(log, "web2 (file)") || !strings.Contains(log, "web7") {
			t.Errorf("the log does not say who takes part and who does not:\n%s", log)
		}
		w.finish("web2")
		// What a session keeps does not change when the group does.
		row, err := catalog.GetSession(t.Context(), w.db.Read(), first)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := catalog.DefinitionOf(row, &keepwardv1.Job{})
		if err != nil || len(kept.GetMembers()) != 1 || kept.GetMembers()[0].GetComputer() != "web1" || kept.GetMembers()[0].GetGroup() != "lab" {
			t.Errorf("it keeps %v (%v)", kept.GetMembers(), err)
		}
		f.list = []string{}
		if _, err := w.m.RunJob(t.Context(), theJob, false); errs.CodeOf(err) != "job.no-members" {
			t.Errorf("with no member: %v", err)
		}
	})
}

// A computer that has left is not tried again, though its task failed when it was a member.
func TestWhoHasLeftAGroupIsNotTriedAgain(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		f := w.withGroup()
		f.list = []string{"web1", "web2"}
		id := w.run()
		if _, err := w.m.KillSession(t.Context(), connect.NewRequest(&keepwardv1.KillSessionRequest{Id: id})); err != nil {
			t.Fatal(err)
		}
		w.pass(10 * time.Minute)
		f.list = []string{"web2"}
		f.Reread(t.Context(), []string{"lab"})
		res, err := w.m.RetrySession(t.Context(), connect.NewRequest(&keepwardv1.RetrySessionRequest{Id: id}))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := w.tasksOf(res.Msg.GetSession()); got != "web2" {
			t.Errorf("the retry is for %s", got)
		}
	})
}

func TestAScheduledSessionOfNobodyIsSeen(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		f := w.withGroup()
		f.list = []string{}
		j := theJobOf()
		j.Groups, j.Schedule = []string{"lab"}, "every 60m"
		w.setJob(j)
		w.pass(61 * time.Minute)
		list, err := w.m.RecentSessions(t.Context(), theJob, 10)
		if err != nil || len(list) != 1 || list[0].GetStatus() != string(job.FailedToStart) || list[0].GetFailure().GetCode() != "job.no-members" {
			t.Errorf("%v (%v)", list, err)
		}
	})
}

// A member is protected by the job: its points do not go as those of a computer that no job names.
func TestMembersCountAsProtected(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		f := w.withGroup()
		w.run()
		w.finish("web1")
		pair := catalog.Pair{Computer: "web1", Job: theJob}
		unprotected := func() bool {
			t.Helper()
			if err := w.m.noteUnprotected(t.Context(), time.Now()); err != nil {
				t.Fatal(err)
			}
			left, err := catalog.Unprotected(t.Context(), w.db.Read())
			if err != nil {
				t.Fatal(err)
			}
			_, is := left[pair]
			return is
		}
		if unprotected() {
			t.Error("a member counts as unprotected")
		}
		f.list = []string{"web2"}
		f.Reread(t.Context(), []string{"lab"})
		if !unprotected() {
			t.Error("who has left does not")
		}
		f.list = []string{"web1"}
		f.Reread(t.Context(), []string{"lab"})
		if unprotected() {
			t.Error("who came back does")
		}
	})
}

func TestGroupsAreRescannedOnceADay(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		f := w.withGroup()
		rescans := func(want int, when string) {
			t.Helper()
			list, err := catalog.Sessions(t.Context(), w.db.Read(), catalog.SessionFilter{Type: job.Rescan})
			if err != nil || len(list) != want || f.rescans != want {
				t.Fatalf("%s: %d sessions, %d rescans (%v), want %d", when, len(list), f.rescans, err, want)
			}
			for _, s := range list {
				if s.Status != job.Completed {
					t.Errorf("%s: session %d is %s", when, s.ID, s.Status)
				}
			}
		}
		at := time.Date(time.Now().Year(), time.Now().Month(), time.Now().Day(), 21, 0, 0, 0, time.Local)
		if !at.After(time.Now()) {
			at = at.Add(24 * time.Hour)
		}
		w.pass(time.Until(at) - time.Minute)
		rescans(0, "before its time")
		w.pass(2 * time.Minute)
		rescans(1, "at its time")
		w.kill()
		w.start()
		w.pass(time.Minute)
		rescans(1, "after a restart")
		w.kill() // down for two days: it is made up for once
		time.Sleep(49 * time.Hour)
		w.start()
		w.pass(time.Minute)
		rescans(2, "after two days")
		if _, err := w.m.SetSetting(t.Context(), connect.NewRequest(&keepwardv1.SetSettingRequest{Name: groupRescan, Value: "never"})); err != nil {
			t.Fatal(err)
		}
		w.pass(30 * time.Hour)
		rescans(2, "when nobody wants it")
		for _, bad := range []string{"", "sometimes", "when online", "after docs"} {
			if _, err := w.m.SetSetting(t.Context(), connect.NewRequest(&keepwardv1.SetSettingRequest{Name: groupRescan, Value: bad})); errs.CodeOf(err) != "setting.value" {
				t.Errorf("set to %q: %v", bad, err)
			}
		}
	})
}

// What is set for a group holds for who is in it, in any job, as long as he is.
func TestRulesOfAGroup(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		f := w.withGroup()
		f.list = []string{"web2"}
		f.Reread(t.Context(), []string{"lab"})
		w.setJob(theJobOf("web1"))
		w.setJob(jobOf("other", "", "web2"))
		w.connect()
		w.switchOff("group/lab", 0, "data-protection")
		member, err := w.m.RunJob(t.Context(), "other", false)
		w.must(err)
		w.expect(member, job.Queued, job.ActivityDisabled)
		id := w.run()
		w.expect(id, job.Running, "")
		w.finish("web1")
		w.expect(id, job.Completed, "")

		f.list = []string{"web1"}
		f.Reread(t.Context(), []string{"lab"})
		_, err = w.m.RescanGroups(t.Context(), []string{"lab"})
		w.must(err)
		synctest.Wait()
		w.expect(member, job.Running, "")
		w.expect(w.run(), job.Queued, job.ActivityDisabled)
	})
}

func TestALimitOfAGroup(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		f := w.withGroup()
		f.list = []string{"web1", "web2"}
		f.Reread(t.Context(), []string{"lab"})
		w.setJob(theJobOf("web1"))
		w.setJob(jobOf("other", "", "web2"))
		w.connect()
		w.limit("group/lab", 1)
		first := w.run()
		second, err := w.m.RunJob(t.Context(), "other", false)
		w.must(err)
		w.expect(first, job.Running, "")
		w.expect(second, job.Queued, job.Throttle)
		w.finish("web1")
		w.expect(second, job.Running, "")
	})
}
