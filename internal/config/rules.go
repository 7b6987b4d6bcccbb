package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/gate"
	"keepward/internal/schedule"
)

// limitMost bounds a limit of sessions: what is above it is a slip of the finger.
const limitMost = 1_000_000

// CheckWindow lists what is wrong with a window.
func CheckWindow(w *keepwardv1.Window, site Site) []Fault {
	var f faults
	f.name("window", w.Name)
	for i, c := range w.Computers {
		f.reference(fmt.Sprintf("computers[%d]", i), "computer", c, site.Computers)
	}
	for i, g := range w.Groups {
		f.reference(fmt.Sprintf("groups[%d]", i), "group", g, groupNames(site))
	}
	for i, a := range w.Activities {
		f.activity(fmt.Sprintf("activities[%d]", i), a)
	}
	zone, err := zoneOf(w.Zone)
	if err != nil {
		f.add("zone", errs.New(errs.Invalid, "window.zone", "check window %q: there is no time zone %q", w.Name, w.Zone).
			WithHint("write its full name, for instance Europe/Paris"))
		return f
	}
	for _, list := range []struct {
		field string
		texts []string
	}{{"open", w.Open}, {"closed", w.Closed}} {
		for i, text := range list.texts {
			if _, err := schedule.ParseHours([]string{text}, zone); err != nil {
				f.add(fmt.Sprintf("%s[%d]", list.field, i), errs.New(errs.Invalid, "window.hours", "check window %q: %w", w.Name, err).
					WithHint("for example: %s", strings.Join(schedule.HoursExamples, "; ")))
			}
		}
	}
	return f
}

func zoneOf(name string) (*time.Location, error) {
	if name == "" {
		return time.Local, nil
	}
	return time.LoadLocation(name)
}

func (f *faults) activity(field, name string) {
	if !gate.Activity(name).Known() {
		f.add(field, errs.New(errs.Invalid, "activity.unknown", "there is no activity %q", name).
			WithHint("there is %s", strings.Join(gate.ActivityNames(), ", ")))
	}
}

// WindowOf is a checked window as internal/gate takes it.
func WindowOf(w *keepwardv1.Window) (gate.Window, error) {
	out := gate.Window{Name: w.GetName(), DoNotSubmit: w.GetDoNotSubmit(), Finish: w.GetFinish()}
	for _, c := range w.GetComputers() {
		out.Levels = append(out.Levels, gate.Level{Kind: gate.Computer, Name: c})
	}
	for _, g := range w.GetGroups() {
		out.Levels = append(out.Levels, gate.Level{Kind: gate.Group, Name: g})
	}
	for _, a := range w.GetActivities() {
		out.Activities = append(out.Activities, gate.Activity(a))
	}
	zone, err := zoneOf(w.GetZone())
	if err != nil {
		return out, errs.New(errs.Invalid, "window.zone", "read window %q: %w", w.GetName(), err)
	}
	if out.Open, err = schedule.ParseHours(w.GetOpen(), zone); err == nil {
		out.Closed, err = schedule.ParseHours(w.GetClosed(), zone)
	}
	if err != nil {
		return out, errs.New(errs.Invalid, "window.hours", "read window %q: %w", w.GetName(), err)
	}
	return out, nil
}

// WarnWindows names windows that would keep something in the queue for ever: one that never opens,
// or several of the same computer and activity of which one is always closed.
func WarnWindows(list []*keepwardv1.Window, now time.Time) []string {
	var windows []gate.Window
	levels := []gate.Level{gate.Whole}
	for _, w := range list {
		one, err := WindowOf(w)
		if err != nil {
			continue // it is a fault, not a warning
		}
		windows = append(windows, one)
		for _, l := range one.Levels {
			if !slices.Contains(levels, l) {
				levels = append(levels, l)
			}
		}
	}
	var warnings []string
	told := map[string]bool{}
	for _, l := range levels {
		for _, a := range gate.Activities {
			names, never := shut(windows, l, a.Activity, now)
			if never && !told[names] {
				told[names] = true
				warnings = append(warnings, fmt.Sprintf("%s: %s of %s would never run", names, a.Activity, l.Title()))
			}
		}
	}
	return warnings
}

// shut says whether what a level does of an activity finds its windows never open together.
func shut(windows []gate.Window, l gate.Level, a gate.Activity, now time.Time) (names string, never bool) {
	var of []gate.Window
	var who []string
	for _, w := range windows {
		if w.Concerns(l, a) {
			of, who = append(of, w), append(who, w.Name)
		}
	}
	if len(of) == 1 {
		return "window " + who[0] + " never opens", gate.NeverTogether(of, now)
	}
	return "windows " + strings.Join(who, ", ") + " are never open at the same time", gate.NeverTogether(of, now)
}

// CheckActivity lists what is wrong with the switches of a level.
func CheckActivity(c *keepwardv1.ActivityControl, site Site) []Fault {
	var f faults
	f.level(c.Level, site, gate.Group)
	for i, a := range c.Disabled {
		f.activity(fmt.Sprintf("disabled[%d]", i), a)
	}
	return f
}

// CheckLimit lists what is wrong with a limit.
func CheckLimit(l *keepwardv1.SessionLimit, site Site) []Fault {
	var f faults
	f.level(l.Level, site, gate.Group, gate.Repository)
	if l.Sessions < 0 || l.Sessions > limitMost {
		f.add("sessions", errs.New(errs.Invalid, "limit.sessions", "check the limit of %s: sessions must be 0 (no limit) to %d, not %d", l.Level, limitMost, l.Sessions))
	}
	return f
}

// level checks that a level is one, and that it is there. Beside the server and a computer it may be
// of some kinds.
func (f *faults) level(text string, site Site, kinds ...gate.Kind) {
	l, err := gate.ParseLevel(text)
	forms := []string{"server", "computer/NAME"}
	for _, k := range kinds {
		forms = append(forms, string(k)+"/NAME")
	}
	switch {
	case err != nil || l.Kind != gate.Server && l.Kind != gate.Computer && !slices.Contains(kinds, l.Kind):
		f.add("name", errs.New(errs.Invalid, "level.unknown", "%q is not what can be set here", text).WithHint("write %s", strings.Join(forms, ", ")))
	case l.Kind == gate.Computer:
		f.reference("name", "computer", l.Name, site.Computers)
	case l.Kind == gate.Group:
		f.reference("name", "group", l.Name, groupNames(site))
	case l.Kind == gate.Repository:
		f.reference("name", "repository", l.Name, site.Repositories)
	}
}

func groupNames(site Site) []string {
	names := make([]string, len(site.Groups))
	for i, g := range site.Groups {
		names[i] = g.GetName()
	}
	return names
}

func windowFields(w *keepwardv1.Window) []field {
	return []field{
		{name: "description", value: &w.Description},
		{name: "computers", value: &w.Computers},
		{name: "groups", value: &w.Groups},
		{name: "activities", value: &w.Activities},
		{name: "open", value: &w.Open},
		{name: "closed", value: &w.Closed},
		{name: "zone", value: &w.Zone},
		{name: "do_not_submit", value: &w.DoNotSubmit},
		{name: "finish", value: &w.Finish},
	}
}

func activityFields(c *keepwardv1.ActivityControl) []field {
	return []field{{name: "disabled", value: &c.Disabled}}
}

func limitFields(l *keepwardv1.SessionLimit) []field {
	return []field{{name: "sessions", value: &l.Sessions}}
}

// ChangedWindow names the fields in which two windows differ.
func ChangedWindow(a, b *keepwardv1.Window) []string {
	return changed(windowFields(a), windowFields(b), "")
}

// ChangedActivity names the fields in which the switches of a level differ.
func ChangedActivity(a, b *keepwardv1.ActivityControl) []string {
	slices.Sort(a.Disabled)
	slices.Sort(b.Disabled)
	return changed(activityFields(a), activityFields(b), "")
}

// ChangedLimit names the fields in which two limits differ.
func ChangedLimit(a, b *keepwardv1.SessionLimit) []string {
	return changed(limitFields(a), limitFields(b), "")
}
