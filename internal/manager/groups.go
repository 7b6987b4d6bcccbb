package manager

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/group"
	"keepward/internal/job"
	"keepward/internal/schedule"
	"keepward/internal/wire"
)

// This file is protection groups as sessions see them: who takes part is decided when a session is
// submitted, and stands in what it keeps of its job.

// Groups is what reads the lists that groups have from elsewhere.
type Groups interface {
	// Reread reads the files of groups that have changed, within bounded time. What cannot be read is
	// a condition; the last good list holds.
	Reread(ctx context.Context, names []string)
	// Rescan reads all lists of groups, none: of all, and asks computers what they are. line is told
	// what comes of it.
	Rescan(ctx context.Context, names []string, line func(level, code, text string)) error
}

// note is a line for the log of a session that is to be.
type note struct{ level, code, text string }

// namesShown bounds the names in one line of a log.
const namesShown = 50

// some are the first of a list, and how many more there are.
func some(list []string) string {
	text := strings.Join(list[:min(len(list), namesShown)], ", ")
	if more := len(list) - namesShown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func (m *Manager) expandedJobs(ctx context.Context) ([]*keepwardv1.Job, error) {
	jobs, err := catalog.Jobs(ctx, m.deps.DB.Read())
	if err != nil {
		return nil, err
	}
	return group.Expanded(ctx, m.deps.DB.Read(), jobs)
}

// expandedJob is a job with the members of its groups among its computers.
func (m *Manager) expandedJob(ctx context.Context, j *keepwardv1.Job) (*keepwardv1.Job, error) {
	list, err := group.Expanded(ctx, m.deps.DB.Read(), []*keepwardv1.Job{j})
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// admitMembers submits a session of a job with groups, for those who are members now.
func (m *Manager) admitMembers(ctx context.Context, j *keepwardv1.Job, r request) (int64, error) {
	if m.deps.Groups != nil {
		m.deps.Groups.Reread(ctx, j.GetGroups())
	}
	e, err := m.takePart(ctx, j)
	if err != nil {
		return 0, err
	}
	if len(r.computers) == 0 {
		r.computers = e.Computers
	} else {
		r.computers = slices.DeleteFunc(slices.Clone(r.computers), func(c string) bool { return !slices.Contains(e.Computers, c) })
	}
	kept := proto.CloneOf(behind(j, r.after))
	kept.Members = e.Members
	r.definition, r.notes = kept, notesOf(j, e)
	if len(r.computers) > 0 {
		return m.admit(ctx, j, r)
	}
	why := errs.New(errs.Invalid, "job.no-members", "run job %s: its groups (%s) have no members now", j.GetName(), strings.Join(j.GetGroups(), ", ")).
		WithHint("see why: keepward group show %s", j.GetGroups()[0])
	if r.by != bySchedule {
		return 0, why
	}
	// It is seen in the list of sessions that nothing is protected.
	r.computers, r.refused = []string{""}, wire.ToFailure(why, string(partServer))
	return m.submit(ctx, r)
}

// takePart says who takes part in a job now, and writes down who is in which.
func (m *Manager) takePart(ctx context.Context, j *keepwardv1.Job) (group.Expansion, error) {
	var e group.Expansion
	err := m.deps.DB.Write(ctx, func(tx *sql.Tx) error {
		site, err := group.Note(ctx, tx, time.Now())
		if err != nil {
			return err
		}
		e = site.Expand(j)
		return nil
	})
	if err != nil {
		return e, err
	}
	return e, m.loadRules(ctx) // some may be about a group that has changed
}

// notesOf says in the log who takes part, and who does not.
func notesOf(j *keepwardv1.Job, e group.Expansion) []note {
	var out []note
	for _, name := range j.GetGroups() {
		var list []string
		for _, m := range e.Members {
			if m.GetGroup() == name {
				list = append(list, fmt.Sprintf("%s (%s)", m.GetComputer(), m.GetBy()))
			}
		}
		if len(list) > 0 {
			out = append(out, note{levelInfo, "group.members", fmt.Sprintf("group %s, %s: %s", name, count(int64(len(list)), "member"), some(list))})
		}
	}
	if len(e.Excluded) > 0 {
		out = append(out, note{levelInfo, "group.excluded", "left out, since a group of the job excludes them: " + some(e.Excluded)})
	}
	if len(e.Untrusted) > 0 {
		out = append(out, note{levelWarning, "group.untrusted", "left out, since they have not joined or were shut out: " + some(e.Untrusted)})
	}
	for _, w := range e.Warnings {
		out = append(out, note{levelWarning, "group.warning", w})
	}
	return out
}

// stillMembers leaves out of a retry who does not take part in the job any more.
func (m *Manager) stillMembers(ctx context.Context, j *keepwardv1.Job, r *request) error {
	if len(j.GetGroups()) == 0 {
		return nil
	}
	now, err := m.expandedJob(ctx, j)
	if err != nil {
		return err
	}
	r.computers = slices.DeleteFunc(r.computers, func(c string) bool { return !slices.Contains(now.GetComputers(), c) })
	if len(r.computers) == 0 {
		return errs.New(errs.Invalid, "session.nothing-to-retry", "retry session %d: none of its computers takes part in job %s any more", r.origin, j.GetName())
	}
	return nil
}

// RescanGroups starts a session that reads the lists of groups again, none: of all, and answers its
// number.
func (m *Manager) RescanGroups(ctx context.Context, names []string) (int64, error) {
	for _, name := range names {
		if _, err := catalog.GetGroup(ctx, m.deps.DB.Read(), name); err != nil {
			return 0, err
		}
	}
	return m.startRescanOf(ctx, names, m.user(ctx))
}

func (m *Manager) startRescanOf(ctx context.Context, names []string, by string) (int64, error) {
	return m.submit(ctx, request{typ: job.Rescan, by: by, computers: []string{""}, definition: &keepwardv1.RescanOrder{Groups: names}})
}

// groupRescan is the setting that says when groups are rescanned by themselves.
const groupRescan = "group_rescan"

// rescanSchedule tells whether a text is when that may be.
func rescanSchedule(text string) bool {
	if text == job.GroupRescanNever {
		return true
	}
	s, err := schedule.Parse(text, time.Local)
	return err == nil && s.Kind() == schedule.Calendar && !s.PerComputer()
}

// ownMembership is a job for a point of a computer: who else took part is none of the point's business,
// and of many would be more than it holds.
func ownMembership(j *keepwardv1.Job, computer string) *keepwardv1.Job {
	if len(j.GetMembers()) == 0 {
		return j
	}
	out := proto.CloneOf(j)
	out.Members = slices.DeleteFunc(out.Members, func(m *keepwardv1.GroupMember) bool { return m.GetComputer() != computer })
	return out
}

// startRescan starts the rescan of all groups if one is due in (seen, now], and answers when the next
// is. One that was missed is made up for once; one that is not over is not doubled.
func (m *Manager) startRescan(ctx context.Context, seen, started, now time.Time) (next time.Time) {
	text := m.knobs().Text(groupRescan)
	if text == job.GroupRescanNever || m.deps.Groups == nil {
		return time.Time{}
	}
	runs, next := dueRuns([]*keepwardv1.Job{{Name: "groups", Schedule: text}}, nil, seen, started, now)
	if len(runs) == 0 {
		return next
	}
	// A server that died since may have started it: how far schedules were served is not kept for it.
	there, err := catalog.Sessions(ctx, m.deps.DB.Read(), catalog.SessionFilter{Type: job.Rescan, Since: runs[0].at})
	done := slices.ContainsFunc(there, func(s catalog.Session) bool {
		return s.StartedBy == byMaintenance && !s.Created.Before(runs[0].at) || !s.Status.Final()
	})
	if err == nil && !done {
		_, err = m.startRescanOf(ctx, nil, byMaintenance)
	}
	if err != nil && ctx.Err() == nil {
		m.log.Error("rescan of groups not started", "at", runs[0].at, "error", err)
	}
	return next
}

// rescan is the work of a session of that type.
func (c *call) rescan(ctx context.Context) evAged {
	out := evAged{attempt: c.attempt.ID}
	if c.m.deps.Groups == nil {
		out.failure = wire.ToFailure(errs.New(errs.Invalid, "group.rescan", "rescan groups: this server reads none"), string(partServer))
		return out
	}
	err := c.m.deps.Groups.Rescan(ctx, c.plan.rescan.GetGroups(), func(level, code, text string) {
		out.lines = append(out.lines, &keepwardv1.Event{Time: timestamppb.Now(), Level: level, Part: string(partServer), Code: code, Text: text})
	})
	out.failure = wire.ToFailure(err, string(partServer))
	c.m.lookAtSchedules() // who is in a job may be in another zone
	if err := c.m.loadRules(ctx); err != nil {
		c.m.log.Error("rules of the queue not read", "error", err)
	}
	return out
}

// ConsoleURL is the setting of where browsers reach the console.
func (m *Manager) ConsoleURL() string { return m.knobs().Text("console_url") }

// ConfirmLogins is the setting of how long a login is trusted with what is harmful. Like SecondPerson it waits until the
// settings are read.
func (m *Manager) ConfirmLogins(ctx context.Context) (time.Duration, error) {
	if err := m.waitReady(ctx); err != nil {
		return 0, err
	}
	return m.knobs().Duration("confirm_logins"), nil
}

// SecondPerson is the setting of whether a second administrator must approve what takes protection away. It waits until the
// settings are read: a server that has just begun must not take the default for it.
func (m *Manager) SecondPerson(ctx context.Context) (bool, error) {
	if err := m.waitReady(ctx); err != nil {
		return false, err
	}
	return m.knobs().Bool("second_person"), nil
}

// ApprovalWait is the setting of how long that may be decided on.
func (m *Manager) ApprovalWait() time.Duration { return m.knobs().Duration("approval_wait") }

// UnprotectedDays is after how many days without a restore point a computer counts as unprotected.
func (m *Manager) UnprotectedDays() int { return m.knobs().Int("unprotected_days") }
