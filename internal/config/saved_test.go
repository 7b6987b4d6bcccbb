package config

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
)

func TestEachSavedTypeHasItsOwnFields(t *testing.T) {
	files := &keepwardv1.FileSelection{Include: []string{"/srv"}}
	for _, tt := range []struct {
		typ    job.Type
		change func(*keepwardv1.Job)
		bad    string // the field; empty: the job is good
	}{
		{job.Verify, func(*keepwardv1.Job) {}, ""},
		{job.Verify, func(j *keepwardv1.Job) {
			j.Check = &keepwardv1.CheckSelection{ReadData: true, SamplePercent: 10, Budget: durationpb.New(time.Hour)}
		}, ""},
		{job.Verify, func(j *keepwardv1.Job) { j.Check = &keepwardv1.CheckSelection{SamplePercent: 10} }, "check.read_data"},
		{job.Verify, func(j *keepwardv1.Job) { j.Check = &keepwardv1.CheckSelection{ReadData: true, SamplePercent: 101} }, "check.sample_percent"},
		{job.Verify, func(j *keepwardv1.Job) { j.Check = &keepwardv1.CheckSelection{ReadData: true, SamplePercent: -1} }, "check.sample_percent"},
		{job.Verify, func(j *keepwardv1.Job) {
			j.Check = &keepwardv1.CheckSelection{ReadData: true, Budget: durationpb.New(-time.Second)}
		}, "check.budget"},
		{job.Verify, func(j *keepwardv1.Job) {
			j.Check = &keepwardv1.CheckSelection{ReadData: true, OlderThan: durationpb.New(-time.Second)}
		}, "check.older_than"},
		{job.Verify, func(j *keepwardv1.Job) { j.Computers = []string{"web1"} }, "computers"},
		{job.Verify, func(j *keepwardv1.Job) { j.Compact = true }, "compact"},
		{job.Retention, func(*keepwardv1.Job) {}, ""},
		{job.Retention, func(j *keepwardv1.Job) { j.Retention = &keepwardv1.Retention{KeepLast: 3} }, "retention"},
		{job.Retention, func(j *keepwardv1.Job) { j.Attempts = 3 }, "attempts"},
		{job.Sweep, func(j *keepwardv1.Job) { j.Compact = true }, ""},
		{job.Sweep, func(j *keepwardv1.Job) { j.Compression = "high" }, "compression"},
		{job.Reconcile, func(*keepwardv1.Job) {}, ""},
		{job.Reconcile, func(j *keepwardv1.Job) { j.Schedule = "daily 12:00" }, ""},
		{job.Reconcile, func(j *keepwardv1.Job) { j.Schedule = "when online" }, "schedule"},
		{job.Reconcile, func(j *keepwardv1.Job) { j.Files = files }, "files"},
		{job.Reconcile, func(j *keepwardv1.Job) { j.Duplicates = job.DuplicatesCancelNew }, "duplicates"},
		{job.Reconcile, func(j *keepwardv1.Job) { j.FullReadEvery = 3 }, "full_read_every"},
		{job.Reconcile, func(j *keepwardv1.Job) { j.OnBattery = "run" }, "on_battery"},
		{job.Reconcile, func(j *keepwardv1.Job) { j.OnMetered = "run" }, "on_metered"},
		{job.Reconcile, func(j *keepwardv1.Job) { j.Processors = 1 }, "processors"},
		{job.Reconcile, func(j *keepwardv1.Job) { j.RestartInterval = durationpb.New(time.Hour) }, "restart_interval"},
		{job.ServerBackup, func(j *keepwardv1.Job) {
			j.Retention, j.Attempts = &keepwardv1.Retention{KeepLast: 7}, 5
		}, ""},
		{job.ServerBackup, func(j *keepwardv1.Job) { j.Files = files }, "files"},
		{job.ServerBackup, func(j *keepwardv1.Job) { j.Repository = "" }, "repository"},
		{job.ServerBackup, func(j *keepwardv1.Job) {
			j.Scripts = &keepwardv1.Scripts{ServerBefore: &keepwardv1.Script{Path: "x"}}
		}, "scripts"},
		{job.RebuildIndex, func(*keepwardv1.Job) {}, "type"},
		{job.Restore, func(*keepwardv1.Job) {}, "type"},
		{job.Backup, func(j *keepwardv1.Job) {
			j.Computers, j.Files, j.Check = []string{"web1"}, files, &keepwardv1.CheckSelection{ReadData: true}
		}, "check"},
	} {
		j := &keepwardv1.Job{Name: "one", Type: string(tt.typ), Repository: "main"}
		tt.change(j)
		CompleteJob(j)
		f := CheckJob(j, site)
		switch {
		case tt.bad == "" && len(f) > 0:
			t.Errorf("%s: %v", j, Error(f))
		case tt.bad != "" && (len(f) != 1 || f[0].Field != tt.bad || f[0].Err.Kind != errs.Invalid):
			t.Errorf("%s: faults %v, want one of %s", j, f, tt.bad)
		}
	}
}

func TestJobsOfAllSavedTypesStandInFiles(t *testing.T) {
	docs, faults := Parse(files(`kind: job
name: weekly-proof
type: verify
repository: main
schedule: weekly sat 02:00
check:
  read_data: true
  sample_percent: 25
  budget: 6h
---
kind: job
name: space
type: sweep
repository: main
schedule: weekly sun 02:00
compact: true
---
kind: job
name: itself
type: server-backup
repository: main
schedule: daily 12:00
retention:
  keep_last: 14
`))
	if len(faults) > 0 || len(docs) != 3 {
		t.Fatalf("%d documents, faults %v", len(docs), faults)
	}
	var jobs []*keepwardv1.Job
	for _, d := range docs {
		if f := CheckJob(d.Job, site); len(f) > 0 {
			t.Error(Error(f))
		}
		jobs = append(jobs, d.Job)
	}
	if c := jobs[0].Check; !c.GetReadData() || c.GetSamplePercent() != 25 || c.GetBudget().AsDuration() != 6*time.Hour {
		t.Errorf("the check is %v", c)
	}
	text, err := Export(nil, jobs)
	if err != nil {
		t.Fatal(err)
	}
	again, faults := Parse(files(string(text)))
	if len(faults) > 0 || len(again) != 3 {
		t.Fatalf("the export has faults: %v\n%s", faults, text)
	}
	for i := range again {
		if diff := cmp.Diff(jobs[i], again[i].Job, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
	}
}
