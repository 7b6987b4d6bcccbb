package group

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/wire"
)

// Site is all groups with what they come to at one moment.
type Site struct {
	Groups  []*keepwardv1.Group
	members map[string]Members // by group
}

// Load looks at all groups.
func Load(ctx context.Context, q catalog.Queryer, now time.Time) (*Site, error) {
	groups, err := catalog.Groups(ctx, q)
	if err != nil {
		return nil, err
	}
	s := &Site{Groups: groups, members: map[string]Members{}}
	if len(groups) == 0 {
		return s, nil
	}
	computers, err := Computers(ctx, q, now)
	if err != nil {
		return nil, err
	}
	names, err := catalog.GroupNames(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		s.members[g.GetName()] = Of(g, names[g.GetName()], computers)
	}
	return s, nil
}

// Computers are all that there are, with what makes them members.
func Computers(ctx context.Context, q catalog.Queryer, now time.Time) ([]Computer, error) {
	names, err := catalog.ComputerNames(ctx, q)
	if err != nil {
		return nil, err
	}
	tags, err := catalog.TagsOfComputers(ctx, q)
	if err != nil {
		return nil, err
	}
	trusted, err := catalog.Trusted(ctx, q, string(wire.RoleAgent), now)
	if err != nil {
		return nil, err
	}
	out := make([]Computer, len(names))
	for i, n := range names {
		out[i] = Computer{Name: n, Tags: tags[n], Trusted: trusted[n]}
	}
	return out, nil
}

// Members are those of a group.
func (s *Site) Members(name string) Members { return s.members[name] }

// Group finds a group; nil: there is none.
func (s *Site) Group(name string) *keepwardv1.Group {
	for _, g := range s.Groups {
		if g.GetName() == name {
			return g
		}
	}
	return nil
}

// Expansion is who takes part in a job.
type Expansion struct {
	Computers []string // those that the job names first
	Members   []*keepwardv1.GroupMember
	// Excluded are named by the job or one of its groups, and excluded by one of them.
	Excluded []string
	// Untrusted are named by a group and are not let in.
	Untrusted []string
	Warnings  []string
}

// Expand says who takes part in a job. A computer that any group of the job excludes does not,
// whoever else names it.
func (s *Site) Expand(j *keepwardv1.Job) Expansion {
	var out Expansion
	excluded := func(computer string) bool {
		return slices.ContainsFunc(j.GetGroups(), func(name string) bool { return Excludes(s.Group(name), computer) })
	}
	seen := map[string]bool{}
	for _, c := range j.GetComputers() {
		seen[c] = true
		if excluded(c) {
			out.Excluded = append(out.Excluded, c)
		} else {
			out.Computers = append(out.Computers, c)
		}
	}
	for _, name := range j.GetGroups() {
		m := s.members[name]
		out.Excluded = append(out.Excluded, m.Excluded...)
		out.Untrusted = append(out.Untrusted, m.Untrusted...)
		for _, w := range m.Warnings {
			out.Warnings = append(out.Warnings, fmt.Sprintf("group %s: %s", name, w))
		}
		for _, one := range m.List {
			c := one.GetComputer()
			if excluded(c) {
				out.Excluded = append(out.Excluded, c)
				continue
			}
			out.Members = append(out.Members, one)
			if !seen[c] {
				seen[c] = true
				out.Computers = append(out.Computers, c)
			}
		}
	}
	slices.Sort(out.Excluded)
	out.Excluded = slices.Compact(out.Excluded)
	slices.Sort(out.Untrusted)
	out.Untrusted = slices.Compact(out.Untrusted)
	return out
}

// WithMembers are the jobs with the members of their groups among their computers. Jobs without
// groups are the same messages.
func (s *Site) WithMembers(jobs []*keepwardv1.Job) []*keepwardv1.Job {
	out := slices.Clone(jobs)
	for i, j := range jobs {
		if len(j.GetGroups()) > 0 {
			out[i] = proto.CloneOf(j)
			out[i].Computers = s.Expand(j).Computers
		}
	}
	return out
}

// Expanded is WithMembers for who has not looked at the groups; none are read where no job has any.
func Expanded(ctx context.Context, q catalog.Queryer, jobs []*keepwardv1.Job) ([]*keepwardv1.Job, error) {
	if !slices.ContainsFunc(jobs, func(j *keepwardv1.Job) bool { return len(j.GetGroups()) > 0 }) {
		return jobs, nil
	}
	s, err := Load(ctx, q, time.Now())
	if err != nil {
		return nil, err
	}
	return s.WithMembers(jobs), nil
}

// Note writes down who is in each job because of a group, so that statements about the computers of
// jobs know of it. It answers the groups as it has found them.
func Note(ctx context.Context, tx *sql.Tx, now time.Time) (*Site, error) {
	s, err := Load(ctx, tx, now)
	if err != nil {
		return nil, err
	}
	had, err := catalog.JobMembers(ctx, tx)
	if err != nil || len(s.Groups)+len(had) == 0 {
		return s, err
	}
	jobs, err := catalog.Jobs(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		if len(j.GetGroups()) == 0 && len(had[j.GetName()]) == 0 {
			continue
		}
		var computers []string
		for _, m := range s.Expand(j).Members {
			computers = append(computers, m.GetComputer())
		}
		slices.Sort(computers)
		if err := catalog.PutJobMembers(ctx, tx, j.GetName(), had[j.GetName()], slices.Compact(computers)); err != nil {
			return nil, err
		}
	}
	return s, nil
}
