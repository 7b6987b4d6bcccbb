package config

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

const ruled = `kind: window
name: night
description: nobody works then
computers:
  - web1
activities:
  - data-protection
open:
  - mon-fri 20:00-06:00
  - sat,sun
closed:
  - sun 02:00-03:00
zone: Europe/Paris
do_not_submit: true
finish: true
---
kind: activity
name: computer/web2
disabled:
  - data-protection
  - verification
---
kind: limit
name: repository/main
sessions: 3
`

func TestRulesOfTheQueueComeBackFromAnExport(t *testing.T) {
	docs, faults := Parse(files(ruled))
	if len(faults) != 0 || len(docs) != 3 {
		t.Fatalf("%d documents, faults %v", len(docs), faults)
	}
	want := &keepwardv1.Window{
		Name: "night", Description: "nobody works then", Computers: []string{"web1"}, Activities: []string{"data-protection"},
		Open: []string{"mon-fri 20:00-06:00", "sat,sun"}, Closed: []string{"sun 02:00-03:00"}, Zone: "Europe/Paris", DoNotSubmit: true, Finish: true,
	}
	if d := cmp.Diff(want, docs[0].Window, protocmp.Transform()); d != "" {
		t.Error(d)
	}
	if f := CheckWindow(docs[0].Window, site); len(f) != 0 {
		t.Error(Error(f))
	}
	if f := CheckActivity(docs[1].Activity, site); len(f) != 0 {
		t.Error(Error(f))
	}
	if f := CheckLimit(docs[2].Limit, site); len(f) != 0 {
		t.Error(Error(f))
	}
	text, err := ExportAll(Content{
		Windows: []*keepwardv1.Window{docs[0].Window}, Activities: []*keepwardv1.ActivityControl{docs[1].Activity}, Limits: []*keepwardv1.SessionLimit{docs[2].Limit},
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(ruled, string(text)); d != "" {
		t.Errorf("exported (-want +got):\n%s", d)
	}
}

func TestRulesOfTheQueueMustBeRight(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults []Fault
		field  string
		code   string
		kind   errs.Kind
	}{
		{"a name", CheckWindow(&keepwardv1.Window{Name: "a b"}, site), "name", "", errs.Invalid},
		{"a computer", CheckWindow(&keepwardv1.Window{Name: "w", Computers: []string{"web1", "wbe2"}}, site), "computers[1]", "", errs.NotFound},
		{"an activity", CheckWindow(&keepwardv1.Window{Name: "w", Activities: []string{"backup"}}, site), "activities[0]", "activity.unknown", errs.Invalid},
		{"hours", CheckWindow(&keepwardv1.Window{Name: "w", Open: []string{"daily", "mon 10:00"}}, site), "open[1]", "window.hours", errs.Invalid},
		{"other hours", CheckWindow(&keepwardv1.Window{Name: "w", Closed: []string{"10:00-10:00"}}, site), "closed[0]", "window.hours", errs.Invalid},
		{"a zone", CheckWindow(&keepwardv1.Window{Name: "w", Zone: "Mars/Olympus"}, site), "zone", "window.zone", errs.Invalid},
		{"a level of switches", CheckActivity(&keepwardv1.ActivityControl{Level: "repository/main"}, site), "name", "level.unknown", errs.Invalid},
		{"a group", CheckWindow(&keepwardv1.Window{Name: "w", Groups: []string{"lab", "lba"}}, site), "groups[1]", "", errs.NotFound},
		{"a group of a level", CheckActivity(&keepwardv1.ActivityControl{Level: "group/lba"}, site), "name", "", errs.NotFound},
		{"a group of a limit", CheckLimit(&keepwardv1.SessionLimit{Level: "group/web", Sessions: 1}, site), "name", "", errs.NotFound},
		{"no level", CheckLimit(&keepwardv1.SessionLimit{Level: "web1"}, site), "name", "level.unknown", errs.Invalid},
		{"a computer of a level", CheckLimit(&keepwardv1.SessionLimit{Level: "computer/wbe1"}, site), "name", "", errs.NotFound},
		{"a repository of a level", CheckLimit(&keepwardv1.SessionLimit{Level: "repository/mian"}, site), "name", "", errs.NotFound},
		{"switches", CheckActivity(&keepwardv1.ActivityControl{Level: "server", Disabled: []string{"copy", "copies"}}, site), "disabled[1]", "activity.unknown", errs.Invalid},
		{"sessions", CheckLimit(&keepwardv1.SessionLimit{Level: "server", Sessions: -1}, site), "sessions", "limit.sessions", errs.Invalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			if len(c.faults) != 1 || c.faults[0].Field != c.field || c.faults[0].Err.Kind != c.kind {
				t.Fatalf("got %v (%v)", c.faults, Error(c.faults))
			}
			if got := c.faults[0].Err.Code; c.code != "" && got != c.code {
				t.Errorf("its code is %s", got)
			}
		})
	}
}

func TestWindowsThatNeverOpenAreWarnedOf(t *testing.T) {
	now := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	night := &keepwardv1.Window{Name: "night", Open: []string{"20:00-06:00"}, Activities: []string{"data-protection"}}
	day := &keepwardv1.Window{Name: "day", Open: []string{"08:00-18:00"}, Computers: []string{"web1"}, Activities: []string{"data-protection", "data-recovery"}}
	for _, c := range []struct {
		name string
		list []*keepwardv1.Window
		want []string
	}{
		{"none", nil, nil},
		{"one that opens", []*keepwardv1.Window{night}, nil},
		{"one that never opens", []*keepwardv1.Window{{Name: "shut", Closed: []string{"daily"}, Activities: []string{"copy"}}}, []string{"window shut never opens: copy of the server would never run"}},
		{
			"two that are never open together",
			[]*keepwardv1.Window{night, day},
			[]string{"windows night, day are never open at the same time: data-protection of computer web1 would never run"},
		},
		{"two of different activities", []*keepwardv1.Window{night, {Name: "day", Open: []string{"08:00-18:00"}, Activities: []string{"verification"}}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, WarnWindows(c.list, now)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

const shaped = `kind: traffic
name: branch
description: the line to the centre
source:
  - 10.1.0.0/16
  - 10.2.0.7
target:
  - 10.9.0.0/24
limit: 40Mbit/s
hours:
  - mon-fri 08:00-18:00
zone: Europe/Paris
restores: true
disabled: true
`

func TestATrafficRuleComesBackFromAnExport(t *testing.T) {
	docs, faults := Parse(files(shaped))
	if len(faults) != 0 || len(docs) != 1 {
		t.Fatalf("%d documents, faults %v", len(docs), faults)
	}
	want := &keepwardv1.TrafficRule{
		Name: "branch", Description: "the line to the centre", Source: []string{"10.1.0.0/16", "10.2.0.7"}, Target: []string{"10.9.0.0/24"},
		Limit: "40Mbit/s", Hours: []string{"mon-fri 08:00-18:00"}, Zone: "Europe/Paris", Restores: true, Disabled: true,
	}
	if d := cmp.Diff(want, docs[0].Traffic, protocmp.Transform()); d != "" {
		t.Error(d)
	}
	if f := CheckTraffic(docs[0].Traffic); len(f) != 0 {
		t.Error(Error(f))
	}
	out, err := ExportAll(Content{Traffic: []*keepwardv1.TrafficRule{docs[0].Traffic}})
	if err != nil || string(out) != shaped {
		t.Errorf("exported (%v):\n%s", err, out)
	}
}

func TestATrafficRuleIsChecked(t *testing.T) {
	got := map[string]string{}
	for _, f := range CheckTraffic(&keepwardv1.TrafficRule{Name: "x", Source: []string{"any", "10.1"}, Target: []string{"host"}, Limit: "40", Hours: []string{"mon 10:00"}}) {
		got[f.Field] = f.Err.Code
	}
	want := map[string]string{"source[1]": "traffic.range", "target[0]": "traffic.range", "limit": "traffic.limit", "hours[0]": "traffic.hours"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for field, r := range map[string]*keepwardv1.TrafficRule{"limit": {Name: "x"}, "zone": {Name: "x", Limit: "1MB/s", Zone: "Nowhere"}} {
		if f := CheckTraffic(r); len(f) != 1 || f[0].Field != field {
			t.Errorf("faults of %v are %v", r, f)
		}
	}
}

func TestTheRatesOfARepositoryAreChecked(t *testing.T) {
	r := &keepwardv1.Repository{Name: "main", Transport: "tr1", Path: "/srv", ReadLimit: "fast", WriteLimit: "100MB/s"}
	CompleteRepository(r)
	f := CheckLimits(r)
	if len(f) != 1 || f[0].Field != "read_limit" || f[0].Err.Code != "repository.rate" {
		t.Errorf("faults are %v", f)
	}
}
