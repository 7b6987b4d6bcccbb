package gate

import (
	"fmt"
	"slices"
	"strings"

	"keepward/internal/job"
)

// Kind is a sort of level.
type Kind string

// The kinds.
const (
	Server     Kind = "server"
	Group      Kind = "group"
	Computer   Kind = "computer"
	Repository Kind = "repository"
)

// Level is what a rule is about: the whole server, a group of computers, a computer; a limit also
// a repository.
type Level struct {
	Kind Kind
	Name string // empty for the server
}

// Whole is the level of the whole server.
var Whole = Level{Kind: Server}

// ParseLevel reads what String writes.
func ParseLevel(text string) (Level, error) {
	if text == string(Server) {
		return Whole, nil
	}
	kind, name, ok := strings.Cut(text, "/")
	if ok && name != "" && slices.Contains([]Kind{Group, Computer, Repository}, Kind(kind)) {
		return Level{Kind(kind), name}, nil
	}
	return Level{}, fmt.Errorf("%q is no level; write server, group/NAME, computer/NAME or repository/NAME", text)
}

// String is the level in its short form, such as computer/web1.
func (l Level) String() string {
	if l.Kind == Server {
		return string(Server)
	}
	return string(l.Kind) + "/" + l.Name
}

// Title is the level in a sentence.
func (l Level) Title() string {
	if l.Kind == Server {
		return "the server"
	}
	return string(l.Kind) + " " + l.Name
}

// Activity is a sort of work that can be switched off. The texts are kept and shown: never rename
// one.
type Activity string

// The activities.
const (
	DataProtection Activity = "data-protection"
	DataRecovery   Activity = "data-recovery"
	Copying        Activity = "copy"
	Verification   Activity = "verification"
	Aging          Activity = "retention"
	Scheduling     Activity = "scheduler"
	Updating       Activity = "agent-updates"
)

// ActivityRow is what there is to know of an activity.
type ActivityRow struct {
	Activity Activity
	Meaning  string
	Types    []job.Type
}

// Activities has one row for each activity. Job types that are in none keep the server itself in
// order; only a pause and windows of all activities hold them.
var Activities = []ActivityRow{
	{DataProtection, "backups, archives and synthetic fulls", []job.Type{
		job.Backup, job.BackupVolume, job.BackupDatabase, job.BackupVM, job.Archive, job.SiloBackup, job.SyntheticFull,
	}},
	{DataRecovery, "restores, and bringing indexes back to look into them", []job.Type{
		job.Restore, job.RestoreVM, job.RestoreDB, job.RestoreSearch, job.SiloRestore, job.IndexRestore,
	}},
	{Copying, "copies of restore points", []job.Type{job.Copy, job.Migrate, job.AuxiliaryCopy, job.MediaRefresh}},
	{Verification, "checks of repositories", []job.Type{job.Verify}},
	{Aging, "retention, sweeps and what else gives space back", []job.Type{job.Retention, job.Sweep, job.Compaction, job.Reconcile}},
	{Updating, "bringing agents to another version", []job.Type{job.UpdateDownload, job.UpdateInstall}},
	{Scheduling, "whatever starts by itself: schedules, maintenance, work of idle time", nil},
}

// activityOf is the activity of each job type that has one.
var activityOf = func() map[job.Type]Activity {
	m := map[job.Type]Activity{}
	for _, r := range Activities {
		for _, t := range r.Types {
			m[t] = r.Activity
		}
	}
	return m
}()

// Known says whether a is one of the activities.
func (a Activity) Known() bool {
	return slices.ContainsFunc(Activities, func(r ActivityRow) bool { return r.Activity == a })
}

// ActivityNames are all activities in the order of their table.
func ActivityNames() []string {
	names := make([]string, len(Activities))
	for i, r := range Activities {
		names[i] = string(r.Activity)
	}
	return names
}

// activities are those that the subject is part of.
func (s *Subject) activities() []Activity {
	var list []Activity
	if a, ok := activityOf[s.Type]; ok {
		list = append(list, a)
	}
	if s.Scheduled {
		list = append(list, Scheduling)
	}
	return list
}
