package config

import (
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
	"keepward/internal/repo/seal"
)

// The kinds of documents.
const (
	KindRepository = "repository"
	KindJob        = "job"
	KindWindow     = "window"
	KindActivity   = "activity"
	KindLimit      = "limit"
	KindPriority   = "priority"
	KindGroup      = "group"
	KindComputer   = "computer" // how it is reached, and its tags
	KindTraffic    = "traffic"
)

// kinds is what a document may be about, in a sentence.
const kinds = "computer, repository, group, job, window, activity, limit, priority or traffic"

// field is one field of a document: what it is called and where its value lies. Reading,
// writing and comparing use the same rows, so none can forget one.
type field struct {
	name string
	// value is *string, *bool, **bool, *int32, **int32, *[]string, **keepwardv1.TextList,
	// **durationpb.Duration, durationOr, fileOverrides, commandSources, applicationList, *map[string]string, or []field.
	value any
	// normal is the text that a field of type string takes when it is left out.
	normal string
}

// durationOr is a duration whose default is not zero, so that zero has to be written.
type durationOr struct {
	at     **durationpb.Duration
	normal time.Duration
}

func (d durationOr) value() time.Duration {
	if *d.at == nil {
		return d.normal
	}
	return (*d.at).AsDuration()
}

func repositoryFields(r *keepwardv1.Repository) []field {
	return []field{
		{name: "transport", value: &r.Transport},
		{name: "path", value: &r.Path},
		{name: "streams", value: &r.Streams},
		{name: "writers", value: &r.Writers},
		{name: "undelete_grace", value: durationOr{&r.UndeleteGrace, job.DefaultUndeleteGrace}},
		{name: "unprotected_after", value: &r.UnprotectedAfter},
		{name: "proof_days", value: &r.ProofDays},
		{name: "foreign_proof", value: &r.ForeignProof, normal: job.DefaultForeignProof},
		{name: "parity", value: &r.Parity},
		{name: "maintenance", value: &r.Maintenance, normal: job.DefaultMaintenance},
		{name: "recompress", value: &r.Recompress, normal: job.DefaultRecompress},
		{name: "read_limit", value: &r.ReadLimit},
		{name: "write_limit", value: &r.WriteLimit},
	}
}

func jobFields(j *keepwardv1.Job) []field {
	if j.Files == nil {
		j.Files = &keepwardv1.FileSelection{}
	}
	keep := j.Retention
	if keep == nil {
		keep = &keepwardv1.Retention{} // to write and compare; a reader brings its own
	}
	look := j.Check
	if look == nil {
		look = &keepwardv1.CheckSelection{} // as above
	}
	return []field{
		{name: "description", value: &j.Description},
		{name: "type", value: &j.Type, normal: string(job.Backup)},
		{name: "mode", value: &j.Mode, normal: modeServer},
		{name: "computers", value: &j.Computers},
		{name: "groups", value: &j.Groups},
		{name: "files", value: []field{
			{name: "include", value: &j.Files.Include},
			{name: "exclude", value: &j.Files.Exclude},
			{name: "one_file_system", value: &j.Files.OneFileSystem},
			{name: "include_caches", value: &j.Files.IncludeCaches},
			{name: "live", value: &j.Files.Live},
			{name: "no_tracking", value: &j.Files.NoTracking},
			{name: "only", value: &j.Files.Only},
			{name: "include_temporary", value: &j.Files.IncludeTemporary},
		}},
		{name: "commands", value: commandSources{&j.Commands}},
		{name: "overrides", value: fileOverrides{&j.Overrides}},
		{name: "applications", value: applicationList{&j.Applications}},
		{name: "repository", value: &j.Repository},
		{name: "schedule", value: &j.Schedule},
		{name: "jitter", value: &j.Jitter},
		{name: "missed", value: &j.Missed, normal: job.DefaultMissed},
		{name: "duplicates", value: &j.Duplicates},
		{name: "disabled", value: &j.Disabled},
		{name: "retention", value: []field{
			{name: "keep_last", value: &keep.KeepLast},
			{name: "keep_days", value: &keep.KeepDays},
			{name: "weekly", value: &keep.Weekly},
			{name: "monthly", value: &keep.Monthly},
			{name: "yearly", value: &keep.Yearly},
			{name: "min_points", value: &keep.MinPoints},
		}},
		{name: "full_read_every", value: &j.FullReadEvery},
		{name: "full_speed", value: &j.FullSpeed},
		{name: "processors", value: &j.Processors},
		{name: "connections", value: &j.Connections},
		{name: "on_battery", value: &j.OnBattery, normal: job.DefaultOnBattery},
		{name: "on_metered", value: &j.OnMetered, normal: job.DefaultOnMetered},
		{name: "check", value: []field{
			{name: "read_data", value: &look.ReadData},
			{name: "sample_percent", value: &look.SamplePercent},
			{name: "budget", value: &look.Budget},
			{name: "older_than", value: &look.OlderThan},
		}},
		{name: "compact", value: &j.Compact},
		{name: "scripts", value: scriptFields(j.Scripts)},
		{name: "compression", value: &j.Compression, normal: string(seal.CompressAuto)},
		{name: "attempts", value: &j.Attempts},
		{name: "restart_interval", value: &j.RestartInterval},
		{name: "high_priority", value: &j.HighPriority},
		{name: "priority", value: &j.Priority},
	}
}

// changed names the leaves in which two rows of fields differ.
func changed(a, b []field, prefix string) []string {
	var out []string
	for i := range a {
		name := prefix + a[i].name
		if group, ok := a[i].value.([]field); ok {
			out = append(out, changed(group, b[i].value.([]field), name+".")...)
		} else if list, ok := a[i].value.(fileOverrides); ok {
			out = append(out, changedOverrides(*list.at, *b[i].value.(fileOverrides).at, name)...)
		} else if list, ok := a[i].value.(commandSources); ok {
			out = append(out, changedCommands(*list.at, *b[i].value.(commandSources).at, name)...)
		} else if !equal(a[i].value, b[i].value) {
			out = append(out, name)
		}
	}
	return out
}

func equal(a, b any) bool {
	switch a := a.(type) {
	case *string:
		return *a == *b.(*string)
	case *bool:
		return *a == *b.(*bool)
	case **bool:
		b := b.(**bool)
		return *a == *b || *a != nil && *b != nil && **a == **b
	case *int32:
		return *a == *b.(*int32)
	case **int32:
		b := b.(**int32)
		return *a == *b || *a != nil && *b != nil && **a == **b
	case *[]string:
		return slices.Equal(*a, *b.(*[]string))
	case **keepwardv1.TextList:
		b := b.(**keepwardv1.TextList)
		return (*a == nil) == (*b == nil) && slices.Equal((*a).GetItems(), (*b).GetItems())
	case **durationpb.Duration:
		return (*a).AsDuration() == (*b.(**durationpb.Duration)).AsDuration()
	case durationOr:
		return a.value() == b.(durationOr).value()
	case applicationList:
		return equalApplications(*a.at, *b.(applicationList).at)
	}
	return false
}

// ChangedJob names the fields in which two completed jobs differ.
func ChangedJob(a, b *keepwardv1.Job) []string { return changed(jobFields(a), jobFields(b), "") }

// ChangedRepository names the fields in which two completed repositories differ.
func ChangedRepository(a, b *keepwardv1.Repository) []string {
	return changed(repositoryFields(a), repositoryFields(b), "")
}
