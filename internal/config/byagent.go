package config

import (
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/schedule"
)

// byAgent looks at what a job that agents manage cannot have: what only the server can do, or tell.
func (f *faults) byAgent(j *keepwardv1.Job) {
	if j.Mode != modeAgent {
		return
	}
	bad := func(field, why, hint string, args ...any) {
		f.add(field, errs.New(errs.Invalid, "job.by-agent", "check job %q: it is managed by agents, and %s", j.Name, why).WithHint(hint, args...))
	}
	const asServer = "leave it out, or let the server manage the job: --mode server"
	if job.Type(j.Type) != job.Backup {
		bad("mode", "only a backup of files can be", asServer)
	}
	if s, err := schedule.Parse(j.Schedule, time.UTC); j.Schedule != "" && err == nil && s.Kind() != schedule.Calendar {
		bad("schedule", "an agent knows neither of other jobs nor of the server: its schedule must be one of the calendar", "for example: %s", schedule.Examples[0])
	}
	for _, no := range []struct {
		field string
		has   bool
		what  string
	}{
		{"scripts", j.Scripts != nil, "scripts are run by the server's order"},
		{"applications", len(j.Applications) > 0, "applications need what only the server keeps"},
		{"commands", len(j.Commands) > 0, "commands are run by the server's order"},
		{"full_read_every", j.FullReadEvery > 0, "an agent does not count the runs of a job"},
	} {
		if no.has {
			bad(no.field, no.what, asServer)
		}
	}
}
