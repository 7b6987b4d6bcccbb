package manager

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
)

func TestTheHoursHaveWhatEndedAndWhatSchedulesWillStart(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		docs := jobOf(theJob, "every 6h", "web1", "web2")
		docs.Jitter = durationpb.New(time.Hour)
		off := jobOf("off", "daily 22:00", "web1")
		off.Disabled = true
		for _, j := range []*keepwardv1.Job{docs, off, jobOf("mail", "after docs", "web2"), jobOf("lost", "after off", "web2"), jobOf("round", "after round", "web1"), jobOf("told", "", "web1")} {
			w.setJob(j)
		}
		w.run()
		w.finish("web1")
		w.finish("web2")
		res, err := w.m.ListHours(t.Context(), &keepwardv1.ListHoursRequest{Back: 2, Ahead: 12, Runs: 3})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		if n := len(res.GetHours()); n != 15 || !res.GetHours()[2].GetStart().AsTime().Equal(now.Truncate(time.Hour)) {
			t.Errorf("%d hours, the third is %s", n, res.GetHours()[2].GetStart().AsTime())
		}
		var success, others, coming int64
		for _, h := range res.GetHours() {
			success, others, coming = success+h.GetSuccess(), others+h.GetWarning()+h.GetFailed(), coming+h.GetComing()
			for _, r := range res.GetRuns() {
				if at := r.GetRun().GetTime().AsTime(); at.Truncate(time.Hour).Equal(h.GetStart().AsTime()) && h.GetComing() == 0 {
					t.Errorf("a run at %s is not in its hour", at)
				}
			}
		}
		if success != 1 || others != 0 || res.GetHours()[2].GetSuccess() != 1 {
			t.Errorf("%d succeeded, %d did not: %v", success, others, res.GetHours())
		}
		if coming != 4 || res.GetFound() != 4 || len(res.GetRuns()) != 3 {
			t.Errorf("%d runs in the hours, %d found, %d listed; want 4, 4 and 3", coming, res.GetFound(), len(res.GetRuns()))
		}
		var got []string
		for _, r := range res.GetRuns() {
			got = append(got, fmt.Sprintf("%s %s %t %t", r.GetJob(), r.GetRun().GetAfter(), r.GetRun().GetUntil() != nil, r.GetAboutSeconds() > 0))
		}
		if want := "docs  true true,mail docs false false,docs  true true"; strings.Join(got, ",") != want {
			t.Errorf("runs %s, want %s", strings.Join(got, ","), want)
		}
		limited, err := w.m.ListHours(Within(t.Context(), []string{"web2"}), &keepwardv1.ListHoursRequest{Ahead: 12})
		if err != nil || limited.GetFound() != 2 || limited.GetRuns()[0].GetJob() != "mail" {
			t.Errorf("who may know of web2 alone is told %v (%v)", limited, err)
		}
		for _, h := range limited.GetHours() {
			if h.GetSuccess() != 0 {
				t.Errorf("who may know of web2 alone is told of a session of others: %v", h)
			}
		}
		for _, bad := range []*keepwardv1.ListHoursRequest{{Back: -1}, {Ahead: 169}, {Runs: 1001}, {Runs: -1}} {
			if _, err := w.m.ListHours(t.Context(), bad); errs.CodeOf(err) != "status.hours" {
				t.Errorf("%v: %v", bad, err)
			}
		}
	})
}

func TestHowLongAJobTakesIsTheMedianOfWhatLeftAResult(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		now := time.Now()
		for i, took := range []time.Duration{300, 10, 20, 1000} {
			id := w.run()
			w.finish("web1")
			status := job.Completed
			if took == 1000 {
				status = job.Failed
			}
			err := w.m.deps.DB.Write(t.Context(), func(tx *sql.Tx) error {
				at := now.Add(time.Duration(i) * time.Hour)
				_, err := tx.ExecContext(t.Context(), `UPDATE sessions SET started = ?, ended = ?, status = ? WHERE id = ?`, at.UnixNano(), at.Add(took*time.Second).UnixNano(), string(status), id)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if got, err := w.m.usualSeconds(t.Context(), theJob); got != 20 || err != nil {
			t.Errorf("%d s (%v), want 20", got, err)
		}
		if got, err := w.m.usualSeconds(t.Context(), "none"); got != 0 || err != nil {
			t.Errorf("of a job that never ran: %d s (%v)", got, err)
		}
	})
}
