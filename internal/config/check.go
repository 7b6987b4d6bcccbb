// Package config says what a configuration must be: the rules that a repository and a job
// keep, and their form as YAML. The API and the files are held to the same rules.
//
// It looks at values only: what exists is passed in, and nothing is applied here. All
// functions may be called from any goroutine.
package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/pki"
	"keepward/internal/repo/seal"
	"keepward/internal/retention"
	"keepward/internal/schedule"
)

// Site is what there is to refer to, by name.
type Site struct {
	Computers    []string
	Repositories []string
	Transports   []string
	// Schedules is that of each job; empty where it does not run by itself.
	Schedules map[string]string
	// Credentials are the names of those that there are.
	Credentials []string
	// Windows are those that there are.
	Windows []*keepwardv1.Window
	// Groups are those that there are.
	Groups []*keepwardv1.Group
	// Cloud are the computers that are known to be cloud machines, each with a group of which.
	Cloud map[string]string
	// Zones are those of computers, as far as a schedule goes by them and they are known.
	Zones map[string]*time.Location
}

// Fault is one thing wrong with one field, named as in the schema: "files.include[1]".
type Fault struct {
	Field string
	Err   *errs.Error
}

// Error joins faults into one error of the first one's kind; nil where there are none.
func Error(faults []Fault) error {
	if len(faults) == 0 {
		return nil
	}
	first := faults[0].Err
	if len(faults) == 1 {
		return first
	}
	texts := make([]string, len(faults))
	for i, f := range faults {
		texts[i] = f.Err.Error()
	}
	e := errs.New(first.Kind, first.Code, "%s", strings.Join(texts, "; "))
	if first.Hint != "" {
		return e.WithHint("%s", first.Hint)
	}
	return e
}

type faults []Fault

func (f *faults) add(field string, e *errs.Error) { *f = append(*f, Fault{Field: field, Err: e}) }

func (f *faults) invalid(field, code, format string, args ...any) {
	f.add(field, errs.New(errs.Invalid, code, format, args...))
}

// name checks the name of the thing itself.
func (f *faults) name(thing, name string) {
	if err := pki.CheckName(thing, name); err != nil {
		e := errs.New(errs.Invalid, errs.CodeOf(err), "%w", err)
		f.add("name", e.WithHint("%s", errs.HintOf(err)))
	}
}

// reference checks that name is one of known.
func (f *faults) reference(field, thing, name string, known []string) {
	if !slices.Contains(known, name) {
		f.add(field, catalog.NotFound(thing, name, known))
	}
}

const (
	streamsMost  = 1024
	attemptsMost = 1000
	fullReadMost = 10_000
	intervalMost = 30 * 24 * time.Hour
)

// CompleteRepository fills in what a repository leaves to the defaults.
func CompleteRepository(r *keepwardv1.Repository) {
	if r.Streams == 0 {
		r.Streams = job.DefaultStreams
	}
	if r.Writers == 0 {
		r.Writers = job.DefaultWriters
	}
	CompleteUpkeep(r)
}

// CompleteUpkeep fills in what of its upkeep a repository leaves to the defaults.
func CompleteUpkeep(r *keepwardv1.Repository) {
	if r.UndeleteGrace == nil {
		r.UndeleteGrace = durationpb.New(job.DefaultUndeleteGrace)
	}
	if r.Maintenance == "" {
		r.Maintenance = job.DefaultMaintenance
	}
	if r.Recompress == "" {
		r.Recompress = job.DefaultRecompress
	}
	if r.ForeignProof == "" {
		r.ForeignProof = job.DefaultForeignProof
	}
}

// CheckRepository lists what is wrong with a repository that shall be made.
func CheckRepository(r *keepwardv1.Repository, site Site) []Fault {
	var f faults
	f.name("repository", r.Name)
	if r.Transport == "" {
		f.invalid("transport", "repository.transport", "check repository %q: it needs a transport", r.Name)
	} else {
		f.reference("transport", "transport", r.Transport, site.Transports)
	}
	if !job.Absolute(r.Path) {
		f.invalid("path", "repository.path", "check repository %q: the path %q is not absolute", r.Name, r.Path)
	}
	f.limits(r)
	return f
}

func (f *faults) limits(r *keepwardv1.Repository) {
	if r.Streams < 1 || r.Streams > streamsMost {
		f.invalid("streams", "repository.streams", "check repository %q: streams must be 1 to %d, not %d", r.Name, streamsMost, r.Streams)
	}
	if r.Writers < 1 || r.Writers > streamsMost {
		f.invalid("writers", "repository.writers", "check repository %q: writers must be 1 to %d, not %d", r.Name, streamsMost, r.Writers)
	}
	f.upkeep(r)
	f.proofs(r)
	f.rate("read_limit", "repository.rate", r.ReadLimit, fmt.Sprintf("check repository %q", r.Name))
	f.rate("write_limit", "repository.rate", r.WriteLimit, fmt.Sprintf("check repository %q", r.Name))
}

// upkeepMost bounds the times of upkeep: what is longer is a slip of the finger.
const upkeepMost = 36_600 * 24 * time.Hour

func (f *faults) upkeep(r *keepwardv1.Repository) {
	for _, d := range []struct {
		field, name string
		value       *durationpb.Duration
	}{
		{"undelete_grace", "undelete grace", r.UndeleteGrace},
		{"unprotected_after", "time after which unprotected points are deleted", r.UnprotectedAfter},
	} {
		if v := d.value.AsDuration(); d.value != nil && (!d.value.IsValid() || v < 0 || v > upkeepMost) {
			f.invalid(d.field, "repository.upkeep", "check repository %q: the %s must be 0 to 100 years, not %s", r.Name, d.name, v)
		}
	}
	if r.Recompress != "" && r.Recompress != job.DefaultRecompress && r.Recompress != job.RecompressNever {
		f.invalid("recompress", "repository.upkeep", "check repository %q: recompress must be %s or %s, not %q", r.Name, job.DefaultRecompress, job.RecompressNever, r.Recompress)
	}
	if r.Maintenance == "" || r.Maintenance == MaintenanceNever {
		return
	}
	rule, err := schedule.Parse(r.Maintenance, time.Local)
	if err == nil && (rule.Kind() != schedule.Calendar || rule.PerComputer()) {
		err = fmt.Errorf("schedule %q: maintenance goes by the calendar of the server", r.Maintenance)
	}
	if err != nil {
		f.add("maintenance", errs.New(errs.Invalid, "repository.upkeep", "check repository %q: %w", r.Name, err).
			WithHint("for example: %s, or never", strings.Join(schedule.Examples[:3], ", ")))
	}
}

// MaintenanceNever is the maintenance of a repository that has none by itself.
const MaintenanceNever = "never"

// CheckLimits lists what is wrong with the limits of a repository that exists.
func CheckLimits(r *keepwardv1.Repository) []Fault {
	var f faults
	f.limits(r)
	return f
}

// CompleteJob fills in what a job leaves to the defaults.
func CompleteJob(j *keepwardv1.Job) {
	for _, d := range []struct {
		field *string
		value string
	}{
		{&j.Type, string(job.Backup)},
		{&j.Mode, modeServer},
		{&j.Compression, string(seal.CompressAuto)},
		{&j.Missed, job.DefaultMissed},
	} {
		if *d.field == "" {
			*d.field = d.value
		}
	}
	if t := job.Type(j.Type); t.Known() && !t.MakesPoint() && j.Compression == string(seal.CompressAuto) {
		j.Compression = "" // it stores nothing
	}
	if j.Type == string(job.Backup) {
		j.OnBattery, j.OnMetered = cmp.Or(j.OnBattery, job.DefaultOnBattery), cmp.Or(j.OnMetered, job.DefaultOnMetered)
	}
	if j.Files == nil {
		j.Files = &keepwardv1.FileSelection{}
	}
	if proto.Equal(j.Check, &keepwardv1.CheckSelection{}) {
		j.Check = nil
	}
	if PolicyOf(j.Retention).Zero() {
		j.Retention = nil
	}
	completeScripts(j)
	completeOverrides(j)
	completeApplications(j)
	completeCommands(j)
}

const (
	processorsMost = 4096

	modeServer = job.ModeServer
	modeAgent  = job.ModeAgent
	missedSkip = "skip"
)

// CheckJob lists what is wrong with a completed job.
func CheckJob(j *keepwardv1.Job, site Site) []Fault {
	var f faults
	f.name("job", j.Name)
	f.savedType(j)
	f.choice(j, "mode", j.Mode, modeServer, modeAgent)
	f.byAgent(j)
	f.choice(j, "missed", j.Missed, job.DefaultMissed, missedSkip)
	if j.Duplicates != "" {
		f.choice(j, "duplicates", j.Duplicates, job.DuplicatePolicies...)
	}
	if job.Type(j.Type) == job.Backup {
		if _, err := job.LeastCharge(j.OnBattery); err != nil {
			f.invalid("on_battery", "job.on_battery", "check job %q: %w", j.Name, err)
		}
		if j.Processors < 0 || j.Processors > processorsMost {
			f.invalid("processors", "job.processors", "check job %q: processors must be 0 (all) to %d, not %d", j.Name, processorsMost, j.Processors)
		}
		if j.Connections < 0 || j.Connections > job.MostDataConnections {
			f.invalid("connections", "job.connections", "check job %q: connections must be 0 (as the setting data_connections says) to %d, not %d", j.Name, job.MostDataConnections, j.Connections)
		}
		f.choice(j, "on_metered", j.OnMetered, job.SupplyRun, job.SupplyWait)
		f.computers(j, site)
		f.groups(j, site)
		f.files(j)
	}
	f.only(j)
	f.check(j)
	if j.Repository == "" {
		f.invalid("repository", "job.repository", "check job %q: it needs a repository", j.Name)
	} else {
		f.reference("repository", "repository", j.Repository, site.Repositories)
	}
	if _, err := seal.ParseCompression(j.Compression); err != nil && job.Type(j.Type).MakesPoint() {
		f.invalid("compression", "job.compression", "check job %q: %w", j.Name, err)
	}
	f.schedule(j, site)
	for _, r := range PolicyOf(j.Retention).Check() {
		f.add("retention."+r.Rule, r.Err)
	}
	if j.FullReadEvery < 0 || j.FullReadEvery > fullReadMost {
		f.invalid("full_read_every", "job.full-read", "check job %q: full_read_every must be 0 (never) to %d, not %d", j.Name, fullReadMost, j.FullReadEvery)
	}
	if j.Attempts < 0 || j.Attempts > attemptsMost {
		f.invalid("attempts", "job.attempts", "check job %q: attempts must be 0 (default) to %d, not %d", j.Name, attemptsMost, j.Attempts)
	}
	if j.Priority < 0 || j.Priority > job.LowestPriority {
		f.invalid("priority", "job.priority", "check job %q: priority must be 1 (first) to %d (last), or 0 for that of its digits, not %d", j.Name, job.LowestPriority, j.Priority)
	}
	if j.Priority != 0 && j.HighPriority {
		f.invalid("high_priority", "job.priority", "check job %q: it has a priority of its own, which high_priority would change; leave one of the two out", j.Name)
	}
	if d := j.RestartInterval.AsDuration(); d < 0 || d > intervalMost {
		f.invalid("restart_interval", "job.restart-interval", "check job %q: the restart interval must be 0 (default) to 30 days, not %s", j.Name, d)
	}
	f.scripts(j)
	f.applications(j, site)
	f.commands(j, site)
	return f
}

// PolicyOf is a job's retention as internal/retention takes it.
func PolicyOf(r *keepwardv1.Retention) retention.Policy {
	return retention.Policy{
		KeepLast: int(r.GetKeepLast()), KeepDays: int(r.GetKeepDays()), Weekly: int(r.GetWeekly()),
		Monthly: int(r.GetMonthly()), Yearly: int(r.GetYearly()), MinPoints: int(r.GetMinPoints()),
	}
}

func (f *faults) choice(j *keepwardv1.Job, field, value string, allowed ...string) {
	if slices.Contains(allowed, value) {
		return
	}
	f.invalid(field, "job."+field, "check job %q: %s %q is unknown; there is %s", j.Name, field, value, strings.Join(allowed, ", "))
}

func (f *faults) computers(j *keepwardv1.Job, site Site) {
	// Removing a computer may leave a job without any; such a job is kept, but cannot run.
	if len(j.Computers)+len(j.Groups) == 0 && !j.Disabled {
		f.invalid("computers", "job.computers", "check job %q: it needs a computer or a group, unless it is disabled", j.Name)
	}
	for i, c := range j.Computers {
		field := fmt.Sprintf("computers[%d]", i)
		if slices.Contains(j.Computers[:i], c) {
			f.invalid(field, "job.computers", "check job %q: computer %s is named twice", j.Name, c)
			continue
		}
		f.reference(field, "computer", c, site.Computers)
	}
}
