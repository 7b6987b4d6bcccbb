package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/schedule"
)

const (
	// jitterMost bounds over what time the starts of a job are spread.
	jitterMost = 24 * time.Hour
	// farOff is how far away the next run may be before somebody is asked whether that is meant.
	farOff = 366 * 24 * time.Hour
)

// With is the site as it will be when some jobs are saved.
func (s Site) With(jobs ...*keepwardv1.Job) Site {
	if len(jobs) == 0 {
		return s
	}
	all := make(map[string]string, len(s.Schedules)+len(jobs))
	maps.Copy(all, s.Schedules)
	for _, j := range jobs {
		all[j.Name] = j.Schedule
		if j.Disabled {
			all[j.Name] = ""
		}
	}
	s.Schedules = all
	return s
}

// schedule checks when a job runs: that the text can be read, that the job it follows is there,
// and that no chain of jobs comes back to where it began.
func (f *faults) schedule(j *keepwardv1.Job, site Site) {
	if d := j.Jitter.AsDuration(); d < 0 || d > jitterMost {
		f.invalid("jitter", "job.jitter", "check job %q: the jitter must be 0 (none) to 24 hours, not %s", j.Name, d)
	}
	if j.Schedule == "" {
		return
	}
	s, err := schedule.Parse(j.Schedule, time.Local)
	if err != nil {
		f.add("schedule", errs.New(errs.Invalid, "job.schedule", "check job %q: %w", j.Name, err).
			WithHint("for example: %s", strings.Join(schedule.Examples[:3], ", ")))
		return
	}
	other, _ := s.After()
	if other == "" {
		return
	}
	after := map[string]string{}
	for name, text := range site.Schedules {
		after[name] = followed(text)
	}
	after[j.Name] = other
	if circle := schedule.Circle(after, j.Name); circle != nil {
		f.add("schedule", errs.New(errs.Invalid, "job.circle", "check job %q: jobs would start each other for ever: %s", j.Name, strings.Join(circle, " → ")).
			WithHint("give one of them a time of its own, such as %s", schedule.Examples[0]))
		return
	}
	f.reference("schedule", "job", other, slices.Sorted(maps.Keys(site.Schedules)))
}

// followed is the job that a schedule follows; empty: none.
func followed(text string) string {
	if !strings.HasPrefix(strings.ToLower(strings.TrimSpace(text)), "after") {
		return ""
	}
	s, err := schedule.Parse(text, time.UTC)
	if err != nil {
		return ""
	}
	name, _ := s.After()
	return name
}

// Followers are the jobs that start after a job, by name.
func Followers(site Site, name string) []string {
	var out []string
	for other, text := range site.Schedules {
		if followed(text) == name {
			out = append(out, other)
		}
	}
	slices.Sort(out)
	return out
}

// WarnJob lists what is allowed in a checked job and may not be what was meant, in sentences.
func WarnJob(j *keepwardv1.Job, site Site, now time.Time) []string {
	if j.Schedule == "" || j.Disabled {
		return nil
	}
	s, err := schedule.Parse(j.Schedule, time.Local)
	if err != nil {
		return nil
	}
	switch s.Kind() {
	case schedule.AfterJob:
		return warnChain(j, site)
	case schedule.Calendar:
		return append(warnCalendar(j, s, now), ShutOut(j, site, now)...)
	}
	return nil
}

// warnChain looks whether the job at the beginning of a chain ever starts by itself.
func warnChain(j *keepwardv1.Job, site Site) []string {
	first := followed(j.Schedule)
	for range len(site.Schedules) {
		before := followed(site.Schedules[first])
		if before == "" {
			break
		}
		first = before
	}
	if site.Schedules[first] != "" {
		return nil
	}
	return []string{fmt.Sprintf("job %s never starts by itself: it follows job %s, which is disabled or has no schedule", j.Name, first)}
}

func warnCalendar(j *keepwardv1.Job, s schedule.Schedule, now time.Time) []string {
	runs := s.NextN(now, 2)
	if len(runs) < 2 {
		return nil
	}
	var out []string
	if runs[0].Sub(now) > farOff {
		out = append(out, fmt.Sprintf("job %s does not run before %s", j.Name, runs[0].Format(time.DateOnly)))
	}
	if d := j.Jitter.AsDuration(); d > runs[1].Sub(runs[0]) {
		out = append(out, fmt.Sprintf("job %s spreads its computers over %s, which is longer than from one run to the next", j.Name, FormatDuration(d)))
	}
	return out
}
