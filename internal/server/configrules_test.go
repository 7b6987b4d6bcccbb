package server

import (
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
)

const rulesYAML = `kind: window
name: night
computers:
  - web1
open:
  - 20:00-06:00
zone: Europe/Paris
---
kind: activity
name: server
disabled:
  - verification
---
kind: limit
name: repository/main
sessions: 3
---
kind: priority
name: computer/web1
digit: 0
`

func (s *testServer) queue() keepwardv1connect.QueueServiceClient {
	return keepwardv1connect.NewQueueServiceClient(s.client, s.url(), as(s.token))
}

func TestRulesOfTheQueueAreAppliedAndExported(t *testing.T) {
	s, _ := withRepository(t)
	before := s.export()
	if res := s.apply(true, rulesYAML); len(res.Changes) != 4 || len(res.Faults) != 0 || s.export() != before {
		t.Fatalf("the dry run: %v", res)
	}
	if res := s.apply(false, rulesYAML); len(res.Changes) != 4 || len(res.Faults) != 0 || len(res.Warnings) != 0 {
		t.Fatalf("got %v", res)
	}
	if d := cmp.Diff(before+"---\n"+rulesYAML, s.export()); d != "" {
		t.Errorf("exported (-want +got):\n%s", d)
	}
	if res := s.apply(false, s.export()); len(res.Changes) != 0 || len(res.Faults) != 0 {
		t.Errorf("the export changes something: %v", res)
	}
	changed := strings.NewReplacer("sessions: 3", "sessions: 0", "  - verification", "  - copy").Replace(rulesYAML)
	if res := s.apply(false, changed); len(res.Changes) != 2 {
		t.Errorf("got %v", res)
	}
	text := s.export()
	if strings.Contains(text, "kind: limit") || strings.Contains(text, "verification") || !strings.Contains(text, "- copy") {
		t.Errorf("exported:\n%s", text)
	}
}

func TestApplyWarnsOfAWindowThatNeverOpens(t *testing.T) {
	s, _ := withRepository(t)
	res := s.apply(false, "kind: window\nname: shut\nclosed: [daily]\n")
	if len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0], "never opens") {
		t.Errorf("warnings are %v", res.Warnings)
	}
	res = s.apply(false, "kind: window\nname: bad\nopen: ['mon 10:00']\n")
	if len(res.Faults) != 1 || res.Faults[0].Field != "open[0]" || res.Faults[0].Line != 3 {
		t.Errorf("faults are %v", res.Faults)
	}
}

func TestWhatIsRemovedTakesItsRulesAlong(t *testing.T) {
	s, _ := withRepository(t)
	s.apply(false, rulesYAML+"---\nkind: limit\nname: computer/web1\nsessions: 1\n")
	must(s.computers().RemoveComputer(t.Context(), connect.NewRequest(&keepwardv1.RemoveComputerRequest{Name: "web1"})))(t)
	windows := must(s.queue().ListWindows(t.Context(), connect.NewRequest(&keepwardv1.ListWindowsRequest{})))(t).Windows
	if len(windows) != 0 {
		t.Errorf("the window of web1 alone is everybody's now: %v", windows)
	}
	limits := must(s.queue().ListLimits(t.Context(), connect.NewRequest(&keepwardv1.ListLimitsRequest{})))(t).Limits
	for _, l := range limits {
		if l.Level == "computer/web1" {
			t.Errorf("limits are %v", limits)
		}
	}
}

// What a job's times and a window's hours make of each other is told wherever one of them is saved.
func TestAWindowThatRefusesAllRunsOfAJobIsWarnedOf(t *testing.T) {
	s, _ := withRepository(t)
	ctx := t.Context()
	const warning = "never runs by its schedule"
	warned := func(what string, list []string, want bool) {
		t.Helper()
		if got := len(list) == 1 && strings.Contains(list[0], warning); got != want || !want && len(list) > 0 {
			t.Errorf("%s: the warnings are %q", what, list)
		}
	}
	j := docs()
	j.Schedule = "daily 12:00 in UTC"
	warned("a job without windows", must(s.jobs().CreateJob(ctx, connect.NewRequest(&keepwardv1.CreateJobRequest{Job: j})))(t).Warnings, false)
	save := func(open string) []string {
		w := &keepwardv1.Window{Name: "night", Open: []string{open}, Zone: "UTC", DoNotSubmit: true}
		return must(s.queue().SaveWindow(ctx, connect.NewRequest(&keepwardv1.SaveWindowRequest{Window: w})))(t).Warnings
	}
	warned("a window that lets it in", save("daily 11:00-13:00"), false)
	warned("one that does not", save("daily 20:00-06:00"), true)
	next := func() []string {
		return must(s.jobs().GetJob(ctx, connect.NewRequest(&keepwardv1.GetJobRequest{Name: j.Name, NextRuns: 3})))(t).Warnings
	}
	warned("its next runs", next(), true)
	warned("the job again", must(s.jobs().UpdateJob(ctx, connect.NewRequest(&keepwardv1.UpdateJobRequest{Job: j})))(t).Warnings, true)
	const night = "kind: window\nname: night\nopen: ['%']\nzone: UTC\ndo_not_submit: true\n"
	warned("a file that lets it in", s.apply(true, strings.ReplaceAll(night, "%", "11:00-13:00")).Warnings, false)
	warned("a file that does not", s.apply(true, strings.ReplaceAll(night, "%", "21:00-06:00")).Warnings, true)
	j.Schedule = "daily 12:00,23:00 in UTC"
	warned("the job at another time", must(s.jobs().UpdateJob(ctx, connect.NewRequest(&keepwardv1.UpdateJobRequest{Job: j})))(t).Warnings, false)
	warned("its next runs then", next(), false)
}
