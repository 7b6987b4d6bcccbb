package server

import (
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	keepwardv1 "keepward/api/keepward/v1"
)

func (s *testServer) apply(dryRun bool, text string) *keepwardv1.ApplyResponse {
	s.t.Helper()
	return must(s.config().Apply(s.t.Context(), connect.NewRequest(&keepwardv1.ApplyRequest{
		DryRun: dryRun, Files: []*keepwardv1.SourceFile{{Name: "site.yaml", Content: []byte(text)}},
	})))(s.t)
}

func (s *testServer) export() string {
	s.t.Helper()
	return string(must(s.config().Export(s.t.Context(), connect.NewRequest(&keepwardv1.ExportRequest{})))(s.t).Yaml)
}

const siteYAML = `kind: job
name: docs
computers:
  - web1
files:
  include:
    - /usr/share
repository: main
schedule: daily 22:00
---
kind: repository
name: main
transport: t1
path: /srv/main
`

func TestApplyMakesWhatExportShows(t *testing.T) {
	s, f := withTransport(t)
	want := []*keepwardv1.ConfigChange{
		{Action: "create", Kind: "repository", Name: "main"},
		{Action: "create", Kind: "job", Name: "docs"},
	}
	dry := s.apply(true, siteYAML)
	if diff := cmp.Diff(want, dry.Changes, protocmp.Transform()); diff != "" || len(dry.Faults) != 0 {
		t.Error(dry.Faults, diff)
	}
	if f.count() != 0 || s.export() != "" {
		t.Fatalf("the dry run made something:\n%s", s.export())
	}
	res := s.apply(false, siteYAML)
	if len(res.Changes) != 2 || res.Changes[0].RecoveryKey == "" {
		t.Fatalf("got %v", res)
	}
	text := s.export()
	if again := s.apply(false, text); len(again.Changes) != 0 || len(again.Faults) != 0 {
		t.Errorf("the export changes something: %v", again)
	}
	if again := s.apply(false, siteYAML); len(again.Changes) != 0 || len(again.Faults) != 0 {
		t.Errorf("the same file changes something: %v", again)
	}
	linked := strings.Replace(siteYAML, "/srv/main", "/link/main", 1)
	if again := s.apply(false, linked); len(again.Changes) != 0 || len(again.Faults) != 0 {
		t.Errorf("another path to the same place: %v", again)
	}
	if diff := cmp.Diff(text, s.export()); diff != "" {
		t.Errorf("the export is not stable: %s", diff)
	}
}

func TestApplyChangesOnlyWhatDiffers(t *testing.T) {
	s, _ := withTransport(t)
	s.apply(false, siteYAML)
	changed := strings.Replace(siteYAML, "schedule: daily 22:00", "compression: high\nrestart_interval: 90s", 1) + "streams: 9\n"
	want := []*keepwardv1.ConfigChange{
		{Action: "change", Kind: "repository", Name: "main", Fields: []string{"streams"}},
		{Action: "change", Kind: "job", Name: "docs", Fields: []string{"schedule", "compression", "restart_interval"}},
	}
	if diff := cmp.Diff(want, s.apply(false, changed).Changes, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	j := must(s.jobs().GetJob(t.Context(), connect.NewRequest(&keepwardv1.GetJobRequest{Name: "docs"})))(t).Job
	if j.Compression != "high" || j.Schedule != "" || j.RestartInterval.AsDuration().Seconds() != 90 {
		t.Errorf("got %v", j)
	}
}

func TestFaultyFileAppliesNothing(t *testing.T) {
	s, f := withTransport(t)
	for what, tt := range map[string]struct {
		old, new string
		want     *keepwardv1.ConfigFault
	}{
		"unknown field":      {"schedule:", "shedule:", &keepwardv1.ConfigFault{Line: 9, Column: 1, Field: "shedule", Text: "there is no field shedule; did you mean schedule?"}},
		"wrong type":         {"schedule: daily 22:00", "disabled: perhaps", &keepwardv1.ConfigFault{Line: 9, Column: 11, Field: "disabled", Text: `disabled must be true or false, this is "perhaps"`}},
		"unknown computer":   {"- web1", "- wbe1", &keepwardv1.ConfigFault{Line: 4, Column: 5, Field: "computers[0]", Text: `there is no computer "wbe1" (did you mean web1?)`}},
		"unknown repository": {"repository: main", "repository: mian", &keepwardv1.ConfigFault{Line: 8, Column: 13, Field: "repository", Text: `there is no repository "mian" (did you mean main?)`}},
		"unknown transport":  {"t1", "t11", &keepwardv1.ConfigFault{Line: 13, Column: 12, Field: "transport", Text: `there is no transport "t11" (did you mean t1?)`}},
		"place refused":      {"/srv/main", "/proc/main", &keepwardv1.ConfigFault{Line: 14, Column: 7, Field: "path", Text: "create repository at /proc/main: permission denied"}},
		"two in one place": {"path: /srv/main\n", "path: /srv/main\n---\nkind: repository\nname: b\ntransport: t1\npath: /link/main/b\n", &keepwardv1.ConfigFault{
			Line: 19, Column: 7, Field: "path", Text: "create repository \"b\" at /link/main/b: repository main would be there, at /srv/main",
		}},
	} {
		res := s.apply(false, strings.Replace(siteYAML, tt.old, tt.new, 1))
		tt.want.File = "site.yaml"
		if diff := cmp.Diff([]*keepwardv1.ConfigFault{tt.want}, res.Faults, protocmp.Transform()); diff != "" || len(res.Changes) != 0 {
			t.Errorf("%s: %v %s", what, res.Changes, diff)
		}
	}
	if f.count() != 0 || s.export() != "" {
		t.Errorf("something was applied:\n%s", s.export())
	}
}

func TestRepositoryDoesNotMove(t *testing.T) {
	s, _ := withTransport(t)
	s.apply(false, siteYAML)
	res := s.apply(false, strings.Replace(siteYAML, "/srv/main", "/srv/other", 1))
	want := []*keepwardv1.ConfigFault{{File: "site.yaml", Line: 14, Column: 7, Field: "path", Text: `change repository "main": its path is "/srv/main" and cannot be changed`}}
	if diff := cmp.Diff(want, res.Faults, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

func TestApplyLooksAtChainsOfJobsTogether(t *testing.T) {
	s, _ := withTransport(t)
	job := func(name, schedule string) string {
		return "---\nkind: job\nname: " + name + "\ncomputers: [web1]\nfiles: {include: [/usr/share]}\nrepository: main\nschedule: " + schedule + "\n"
	}
	repository := "kind: repository\nname: main\ntransport: t1\npath: /srv/main\n"
	res := s.apply(false, repository+job("mail", "after docs")+job("docs", "daily 22:00"))
	if len(res.Changes) != 3 || len(res.Faults) != 0 || len(res.Warnings) != 0 {
		t.Fatalf("a chain in one file: %v", res)
	}
	res = s.apply(false, job("docs", "after mail"))
	if len(res.Faults) != 1 || res.Faults[0].Field != "schedule" || !strings.Contains(res.Faults[0].Text, "docs → mail → docs") {
		t.Errorf("a circle with a job that is there: %v", res)
	}
	res = s.apply(true, job("x", "after y")+job("y", "after x"))
	if len(res.Faults) != 2 {
		t.Errorf("a circle in one file: %v", res)
	}
	res = s.apply(true, job("minutes", "every 1m")+"jitter: 1h\n")
	if len(res.Changes) != 1 || len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0], "job minutes spreads its computers") {
		t.Errorf("a jitter longer than its distance: %v", res)
	}
}
