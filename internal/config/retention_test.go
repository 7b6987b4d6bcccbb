package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
)

const kept = `kind: repository
name: main
transport: t1
path: /srv/repo
streams: 4
writers: 4
undelete_grace: 0s
unprotected_after: 90d
maintenance: never
---
kind: job
name: docs
computers:
  - web1
files:
  include:
    - /usr/share
repository: main
retention:
  keep_last: 7
  weekly: 4
`

func TestRetentionAndUpkeepComeBackFromAnExport(t *testing.T) {
	docs, faults := Parse(files(kept))
	if len(faults) != 0 || len(docs) != 2 {
		t.Fatalf("%d documents, faults %v", len(docs), faults)
	}
	r, j := docs[0].Repository, docs[1].Job
	if r.UndeleteGrace == nil || r.UndeleteGrace.AsDuration() != 0 || r.UnprotectedAfter.AsDuration() != 90*24*time.Hour || r.Maintenance != "never" {
		t.Errorf("the repository is %v", r)
	}
	if d := cmp.Diff(&keepwardv1.Retention{KeepLast: 7, Weekly: 4}, j.Retention, protocmp.Transform()); d != "" {
		t.Error(d)
	}
	text, err := Export([]*keepwardv1.Repository{r}, []*keepwardv1.Job{j})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(kept, string(text)); d != "" {
		t.Errorf("exported (-want +got):\n%s", d)
	}
}

func TestDefaultsOfUpkeepAreNotExported(t *testing.T) {
	r := &keepwardv1.Repository{Name: "main", Transport: "t1", Path: "/r"}
	CompleteRepository(r)
	if r.UndeleteGrace.AsDuration() != job.DefaultUndeleteGrace || r.Maintenance != job.DefaultMaintenance {
		t.Errorf("completed to %v", r)
	}
	text, err := Export([]*keepwardv1.Repository{r}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"undelete_grace", "unprotected_after", "maintenance"} {
		if strings.Contains(string(text), field) {
			t.Errorf("%s is exported:\n%s", field, text)
		}
	}
	if changed := ChangedRepository(r, &keepwardv1.Repository{Transport: "t1", Path: "/r", Streams: r.Streams, Writers: r.Writers, UndeleteGrace: durationpb.New(0), Maintenance: r.Maintenance, Recompress: r.Recompress, ForeignProof: r.ForeignProof, ProofDays: r.ProofDays}); cmp.Diff([]string{"undelete_grace"}, changed) != "" {
		t.Errorf("changed are %v", changed)
	}
}

func TestRetentionAndUpkeepThatCannotBeMeantAreRefused(t *testing.T) {
	for field, r := range map[string]*keepwardv1.Retention{
		"retention.keep_last":  {KeepLast: -1},
		"retention.weekly":     {Weekly: 1 << 30},
		"retention.min_points": {MinPoints: 1},
	} {
		j := goodJob()
		j.Retention = r
		if got := CheckJob(j, site); len(got) != 1 || got[0].Field != field {
			t.Errorf("%v: %v", r, got)
		}
	}
	for field, r := range map[string]*keepwardv1.Repository{
		"undelete_grace":    {UndeleteGrace: durationpb.New(-time.Second)},
		"unprotected_after": {UnprotectedAfter: durationpb.New(101 * 366 * 24 * time.Hour)},
		"maintenance":       {Maintenance: "sometimes"},
	} {
		r.Streams, r.Writers = 1, 1
		if got := CheckLimits(r); len(got) != 1 || got[0].Field != field || got[0].Err.Code != "repository.upkeep" {
			t.Errorf("%s: %v", field, got)
		}
	}
}
