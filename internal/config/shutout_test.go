package config

import (
	"strings"
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
)

// night is open from 20:00 to 06:00, and submits nothing else.
func night(change ...func(w *keepwardv1.Window)) *keepwardv1.Window {
	w := &keepwardv1.Window{Name: "night", Open: []string{"daily 20:00-06:00"}, Zone: "UTC", DoNotSubmit: true}
	for _, fn := range change {
		fn(w)
	}
	return w
}

func TestASchedulesRunsThatNoWindowLetsIn(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name     string
		schedule string
		windows  []*keepwardv1.Window
		want     string // of the warning; empty: none
	}{
		{"at noon", "daily 12:00 in UTC", []*keepwardv1.Window{night()}, "job docs never runs by its schedule: all its times are outside of window night,"},
		{"at night", "daily 22:00 in UTC", []*keepwardv1.Window{night()}, ""},
		{"at noon and at night", "daily 12:00,22:00 in UTC", []*keepwardv1.Window{night()}, ""},
		{"now and then", "every 15m in UTC", []*keepwardv1.Window{night()}, ""},
		{"rarely, on a day that is shut", "monthly last 12:00 in UTC", []*keepwardv1.Window{night()}, "never runs"},
		{"rarely, and only on sundays", "monthly 1 22:00 in UTC", []*keepwardv1.Window{night(func(w *keepwardv1.Window) { w.Open = []string{"sun"} })}, ""},
		{"where the queue keeps it", "daily 12:00 in UTC", []*keepwardv1.Window{night(func(w *keepwardv1.Window) { w.DoNotSubmit = false })}, ""},
		{"of others", "daily 12:00 in UTC", []*keepwardv1.Window{night(func(w *keepwardv1.Window) { w.Computers = []string{"web9"} })}, ""},
		{"of restores", "daily 12:00 in UTC", []*keepwardv1.Window{night(func(w *keepwardv1.Window) { w.Activities = []string{"data-recovery"} })}, ""},
		{"of what starts by itself", "daily 12:00 in UTC", []*keepwardv1.Window{night(func(w *keepwardv1.Window) { w.Activities = []string{"scheduler"} })}, "never runs"},
		{"of one computer", "daily 12:00 in UTC", []*keepwardv1.Window{night(func(w *keepwardv1.Window) { w.Computers = []string{"web1"} })}, "job docs of web1 never runs"},
		{"between two windows", "daily 12:00,22:00 in UTC", []*keepwardv1.Window{
			night(), {Name: "noon", Open: []string{"daily 11:00-13:00"}, Zone: "UTC", DoNotSubmit: true},
		}, "outside of window night, noon,"},
		{"in the zone of a computer", "daily 12:00 in computer", []*keepwardv1.Window{night()}, "job docs of web1 never runs"},
		{"continuously", "continuously", []*keepwardv1.Window{night()}, ""},
	} {
		j := goodJob()
		j.Name, j.Computers, j.Schedule = "docs", []string{"web1", "web2"}, tt.schedule
		site := Site{Windows: tt.windows, Zones: map[string]*time.Location{"web1": time.UTC, "web2": time.FixedZone("far", 10*3600)}}
		got := strings.Join(ShutOut(j, site, now), "; ")
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		j.Disabled = true
		if got := ShutOut(j, site, now); got != nil {
			t.Errorf("%s, and disabled: %q", tt.name, got)
		}
	}
}
