package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/gate"
	"keepward/internal/job"
	"keepward/internal/schedule"
)

// This file is schedules that meet closed windows: what a window with "do not submit" refuses is not
// queued, so a job whose times all lie outside of it never runs, and nothing shows that it does not.

const (
	// Windows are the same each week. A schedule may be so rare that a week has no run of it, so at
	// least runsLeast are looked at, and for a year: clocks change. One that is so frequent that a year
	// has very many has tried every hour of the week long before runsMost.
	runsLeast, runsMost = 60, 1500
	runsFor             = 53 * 7 * 24 * time.Hour
)

// ShutOut warns of a checked job with times of its own of which windows that want nothing submitted
// while they are closed refuse every one, for all of its computers or for some.
func ShutOut(j *keepwardv1.Job, site Site, now time.Time) []string {
	s, err := schedule.Parse(j.Schedule, time.Local)
	if err != nil || j.Disabled || s.Kind() != schedule.Calendar {
		return nil
	}
	var windows []gate.Window
	for _, w := range site.Windows {
		if one, err := WindowOf(w); err == nil && one.DoNotSubmit {
			windows = append(windows, one)
		}
	}
	if len(windows) == 0 {
		return nil
	}
	typ, computers := job.Type(j.Type), j.Computers
	if typ == "" {
		typ = job.Backup
	}
	if len(computers) == 0 {
		computers = []string{""}
	}
	var shut, names []string
	tried := map[string][]string{} // thousands of computers have few windows and zones between them
	for _, c := range computers {
		rule := s
		if zone := site.Zones[c]; s.PerComputer() && zone != nil {
			rule = s.In(zone)
		}
		subject := gate.Subject{Type: typ, Computer: c, Groups: j.Groups, Repository: j.Repository, Scheduled: true}
		var of []gate.Window
		key := rule.Zone().String()
		for i, w := range windows {
			if w.Minds(subject) {
				of, key = append(of, w), key+" "+strconv.Itoa(i)
			}
		}
		by, known := tried[key]
		if !known {
			by = refusedBy(rule, of, subject, now)
			tried[key] = by
		}
		if len(by) > 0 {
			shut = append(shut, c)
			names = append(names, by...)
		}
	}
	if len(shut) == 0 {
		return nil
	}
	slices.Sort(names)
	who := "job " + j.Name
	if len(shut) < len(computers) {
		who += " of " + strings.Join(shut[:min(len(shut), 5)], ", ")
		if more := len(shut) - 5; more > 0 {
			who += fmt.Sprintf(" and %d more", more)
		}
	}
	return []string{fmt.Sprintf("%s never runs by its schedule: all its times are outside of window %s, which submits nothing then",
		who, strings.Join(slices.Compact(names), ", "))}
}

// refusedBy are the windows that between them refuse every run of a schedule; none: one is submitted.
func refusedBy(s schedule.Schedule, windows []gate.Window, subject gate.Subject, now time.Time) []string {
	if len(windows) == 0 {
		return nil
	}
	var names []string
	at, ok := s.Next(now)
	for n := 0; ok && n < runsMost && (n < runsLeast || at.Sub(now) < runsFor); n++ {
		i := slices.IndexFunc(windows, func(w gate.Window) bool { return w.Refuses(subject, at) })
		if i < 0 {
			return nil
		}
		if !slices.Contains(names, windows[i].Name) {
			names = append(names, windows[i].Name)
		}
		at, ok = s.Next(at)
	}
	return names
}
