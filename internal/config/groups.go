package config

import (
	"fmt"
	"maps"
	"slices"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/group"
	"keepward/internal/job"
	"keepward/internal/pki"
)

// This file is protection groups, the tags by which computers get into them, and what jobs may do
// with them.

// Bounds of a group: what is above them belongs into a file.
const (
	groupNamesMost = 10_000
	tagsMost       = 100
)

// CompleteGroup puts a group into its one form.
func CompleteGroup(g *keepwardv1.Group) {
	if g.TimeLimit.AsDuration() == 0 {
		g.TimeLimit = nil
	}
}

// CheckGroup lists what is wrong with a group. Computers that it names need not have joined.
func CheckGroup(g *keepwardv1.Group) []Fault {
	var f faults
	f.name("group", g.Name)
	bad := func(field, format string, args ...any) {
		f.invalid(field, "group.definition", "check group %q: "+format, append([]any{g.Name}, args...)...)
	}
	for _, l := range []struct {
		field string
		list  []string
		check func(text string) error
	}{
		{"computers", g.Computers, func(c string) error { return pki.CheckName("computer", c) }},
		{"patterns", g.Patterns, group.CheckPattern},
		{"tags", g.Tags, CheckTag},
		{"exclude", g.Exclude, group.CheckPattern},
	} {
		if len(l.list) > groupNamesMost {
			bad(l.field, "it has more than %d %s; let it read a file", groupNamesMost, l.field)
			continue
		}
		for i, text := range l.list {
			at := fmt.Sprintf("%s[%d]", l.field, i)
			if err := l.check(text); err != nil {
				bad(at, "%q: %w", text, err)
			} else if slices.Contains(l.list[:i], text) {
				bad(at, "%q stands there twice", text)
			}
		}
	}
	if g.File != "" && !job.Absolute(g.File) {
		bad("file", "the path %q is not absolute", g.File)
	}
	if g.Command != "" && g.Url != "" {
		bad("url", "its cloud machines come from a command or from a URL, not from both")
	}
	if g.Url != "" {
		if err := group.CheckURL(g.Url); err != nil {
			bad("url", "%w", err)
		}
	}
	if len(g.Arguments) > 0 && g.Command == "" {
		bad("arguments", "it has no command that they are for")
	}
	if d := g.TimeLimit.AsDuration(); d < 0 || d > group.MostLimit {
		bad("time_limit", "the time limit must be 0 (default) to %s, not %s", group.MostLimit, d)
	}
	if d := g.TimeLimit.AsDuration(); d != 0 && !group.Cloud(g) {
		bad("time_limit", "it has neither a command nor a URL that the time limit is for")
	}
	return f
}

// CheckTag says what is wrong with a tag; nil: nothing.
func CheckTag(tag string) error { return pki.CheckName("tag", tag) }

// CompleteTags puts the tags of a computer into their one order.
func CompleteTags(t *keepwardv1.ComputerTags) {
	slices.Sort(t.Tags)
	t.Tags = slices.Compact(t.Tags)
}

// CheckTags lists what is wrong with the tags of a computer.
func CheckTags(t *keepwardv1.ComputerTags, site Site) []Fault {
	var f faults
	f.reference("name", "computer", t.Computer, site.Computers)
	if len(t.Tags) > tagsMost {
		f.invalid("tags", "computer.tags", "check tags of %s: there may be %d, not %d", t.Computer, tagsMost, len(t.Tags))
	}
	for i, tag := range t.Tags {
		if err := CheckTag(tag); err != nil {
			f.invalid(fmt.Sprintf("tags[%d]", i), "computer.tags", "check tags of %s: %w", t.Computer, err)
		}
	}
	return f
}

// WithGroups is the site with groups added or in the places of those of their names.
func (s Site) WithGroups(groups ...*keepwardv1.Group) Site {
	byName := map[string]*keepwardv1.Group{}
	for _, g := range slices.Concat(s.Groups, groups) {
		byName[g.GetName()] = g
	}
	s.Groups = nil
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		s.Groups = append(s.Groups, byName[name])
	}
	return s
}

// groups looks at the groups of a job.
func (f *faults) groups(j *keepwardv1.Job, site Site) {
	byName, names := map[string]*keepwardv1.Group{}, groupNames(site)
	for _, g := range site.Groups {
		byName[g.GetName()] = g
	}
	for i, name := range j.Groups {
		field := fmt.Sprintf("groups[%d]", i)
		if slices.Contains(j.Groups[:i], name) {
			f.invalid(field, "job.groups", "check job %q: group %s is named twice", j.Name, name)
			continue
		}
		f.reference(field, "group", name, names)
		if g := byName[name]; g != nil && j.Mode != modeServer && group.Cloud(g) {
			f.add(field, cloudMode(j, fmt.Sprintf("group %s has cloud machines", name)))
		}
	}
	if j.Mode == modeServer {
		return
	}
	for i, c := range j.Computers {
		if of := site.Cloud[c]; of != "" {
			f.add(fmt.Sprintf("computers[%d]", i), cloudMode(j, fmt.Sprintf("computer %s is a cloud machine of group %s", c, of)))
		}
	}
}

func cloudMode(j *keepwardv1.Job, why string) *errs.Error {
	return errs.New(errs.Invalid, "job.cloud-mode", "check job %q: %s, and those can only be in jobs that the backup server manages", j.Name, why).
		WithHint("leave its mode at server, or take them out of it")
}

// ModeConflicts names the jobs that a group must not be in as it shall be.
func ModeConflicts(g *keepwardv1.Group, jobs []*keepwardv1.Job) []Fault {
	var f faults
	for _, j := range jobs {
		if group.Cloud(g) && j.Mode != "" && j.Mode != modeServer && slices.Contains(j.Groups, g.Name) {
			field := "command"
			if g.Url != "" {
				field = "url"
			}
			f.add(field, cloudMode(j, fmt.Sprintf("group %s has cloud machines", g.Name)))
		}
	}
	return f
}

func groupFields(g *keepwardv1.Group) []field {
	return []field{
		{name: "description", value: &g.Description},
		{name: "computers", value: &g.Computers},
		{name: "patterns", value: &g.Patterns},
		{name: "tags", value: &g.Tags},
		{name: "exclude", value: &g.Exclude},
		{name: "file", value: &g.File},
		{name: "command", value: &g.Command},
		{name: "arguments", value: &g.Arguments},
		{name: "time_limit", value: &g.TimeLimit},
		{name: "url", value: &g.Url},
	}
}

func tagsFields(t *keepwardv1.ComputerTags) []field { return []field{{name: "tags", value: &t.Tags}} }

// ChangedGroup names the fields in which two groups differ.
func ChangedGroup(a, b *keepwardv1.Group) []string {
	return changed(groupFields(a), groupFields(b), "")
}

// ChangedTags names the fields in which the tags of a computer differ.
func ChangedTags(a, b *keepwardv1.ComputerTags) []string {
	return changed(tagsFields(a), tagsFields(b), "")
}
