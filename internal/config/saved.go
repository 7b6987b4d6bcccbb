package config

import (
	"slices"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
	"keepward/internal/schedule"
)

// ofTypes says which fields of a job only some types have; the others have none of their own.
// What a type does not have is refused: nobody shall believe that it does something.
var ofTypes = []struct {
	field string
	types []job.Type
	set   func(j *keepwardv1.Job) bool
}{
	{"computers", []job.Type{job.Backup}, func(j *keepwardv1.Job) bool { return len(j.Computers) > 0 }},
	{"groups", []job.Type{job.Backup}, func(j *keepwardv1.Job) bool { return len(j.Groups) > 0 }},
	{"files", []job.Type{job.Backup}, func(j *keepwardv1.Job) bool {
		f := j.Files
		return len(f.GetInclude())+len(f.GetExclude())+len(f.GetOnly()) > 0 || f.GetOneFileSystem() || f.GetIncludeCaches() || f.GetIncludeTemporary() || f.GetLive() || f.GetNoTracking()
	}},
	{"commands", []job.Type{job.Backup}, func(j *keepwardv1.Job) bool { return len(j.Commands) > 0 }},
	{"overrides", []job.Type{job.Backup}, func(j *keepwardv1.Job) bool { return len(j.Overrides) > 0 }},
	{"applications", []job.Type{job.Backup}, func(j *keepwardv1.Job) bool { return len(j.Applications) > 0 }},
	{"schedule", []job.Type{job.Backup}, func(j *keepwardv1.Job) bool {
		s, err := schedule.Parse(j.Schedule, time.UTC)
		return err == nil && s.Kind() == schedule.WhenOnline
	}},
	{"duplicates", []job.Type{job.Backup}, func(j *keepwardv1.Job) bool { return j.Duplicates != "" }},
	{"full_read_every", []job.Type{job.Backup}, func(j *keepwardv1.Job) bool { return j.FullReadEvery != 0 }},
	{"full_speed", []job.Type{job.Backup}, func(j *keepwardv1.Job) bool { return j.FullSpeed }},
	{"processors", []job.Type{job.Backup}, func(j *keepwardv1.Job) bool { return j.Processors != 0 }},
	{"connections", []job.Type{job.Backup}, func(j *keepwardv1.Job) bool { return j.Connections != 0 }},
	{"on_battery", []job.Type{job.Backup}, func(j *keepwardv1.Job) bool { return j.OnBattery != "" }},
	{"on_metered", []job.Type{job.Backup}, func(j *keepwardv1.Job) bool { return j.OnMetered != "" }},
	{"retention", []job.Type{job.Backup, job.ServerBackup}, func(j *keepwardv1.Job) bool { return j.Retention != nil }},
	{"compression", []job.Type{job.Backup, job.ServerBackup}, func(j *keepwardv1.Job) bool { return j.Compression != "" }},
	{"attempts", []job.Type{job.Backup, job.ServerBackup}, func(j *keepwardv1.Job) bool { return j.Attempts != 0 }},
	{"restart_interval", []job.Type{job.Backup, job.ServerBackup}, func(j *keepwardv1.Job) bool { return j.RestartInterval.AsDuration() != 0 }},
	{"scripts", []job.Type{job.Backup}, func(j *keepwardv1.Job) bool { return j.Scripts != nil }},
	{"check", []job.Type{job.Verify}, func(j *keepwardv1.Job) bool { return j.Check != nil }},
	{"compact", []job.Type{job.Sweep}, func(j *keepwardv1.Job) bool { return j.Compact }},
}

// savedType refuses a type that no saved job is of.
func (f *faults) savedType(j *keepwardv1.Job) {
	names := make([]string, len(job.Saved))
	for i, t := range job.Saved {
		names[i] = string(t)
	}
	f.choice(j, "type", j.Type, names...)
}

// only refuses the fields that a job of its type does not have.
func (f *faults) only(j *keepwardv1.Job) {
	if !slices.Contains(job.Saved, job.Type(j.Type)) {
		return // that is fault enough
	}
	for _, o := range ofTypes {
		if o.set(j) && !slices.Contains(o.types, job.Type(j.Type)) {
			f.invalid(o.field, "job.field", "check job %q: a job of type %s has no such %s", j.Name, j.Type, o.field)
		}
	}
}

// check looks at how far the check of a job goes.
func (f *faults) check(j *keepwardv1.Job) {
	c := j.Check
	if c == nil {
		return
	}
	if c.SamplePercent < 0 || c.SamplePercent > 100 {
		f.invalid("check.sample_percent", "job.check", "check job %q: the sample must be 0 (all) to 100 percent, not %d", j.Name, c.SamplePercent)
	}
	if d := c.Budget.AsDuration(); d < 0 || d > intervalMost {
		f.invalid("check.budget", "job.check", "check job %q: the budget must be 0 (none) to 30 days, not %s", j.Name, d)
	}
	if d := c.OlderThan.AsDuration(); d < 0 || d > upkeepMost {
		f.invalid("check.older_than", "job.check", "check job %q: older_than must be 0 (all) to 100 years, not %s", j.Name, d)
	}
	if !c.ReadData && (c.SamplePercent != 0 || c.Budget.AsDuration() != 0 || c.OlderThan.AsDuration() != 0) {
		f.invalid("check.read_data", "job.check", "check job %q: sample_percent, budget and older_than are about what is read: set read_data too", j.Name)
	}
}
