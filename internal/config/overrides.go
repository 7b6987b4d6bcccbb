package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
	"keepward/internal/source"
)

// This file is what a job takes of single computers in place of what it takes of the others.

// FilesOf is what a job takes of one of its computers. It may be the job's own message.
func FilesOf(j *keepwardv1.Job, computer string) *keepwardv1.FileSelection {
	o := OverrideOf(j, computer)
	if o == nil {
		return j.GetFiles()
	}
	files := &keepwardv1.FileSelection{}
	proto.Merge(files, j.GetFiles())
	overridden(files, o)
	return files
}

// OverrideOf is what a job has for one of its computers alone; nil: nothing.
func OverrideOf(j *keepwardv1.Job, computer string) *keepwardv1.FileOverride {
	for _, o := range j.GetOverrides() {
		if o.GetComputer() == computer {
			return o
		}
	}
	return nil
}

func overridden(files *keepwardv1.FileSelection, o *keepwardv1.FileOverride) {
	for _, l := range []struct {
		to   *[]string
		from *keepwardv1.TextList
	}{{&files.Include, o.Include}, {&files.Exclude, o.Exclude}, {&files.Only, o.Only}} {
		if l.from != nil {
			*l.to = slices.Clone(l.from.Items)
		}
	}
	for _, b := range []struct {
		to   *bool
		from *bool
	}{
		{&files.OneFileSystem, o.OneFileSystem},
		{&files.IncludeCaches, o.IncludeCaches},
		{&files.IncludeTemporary, o.IncludeTemporary},
		{&files.Live, o.Live},
		{&files.NoTracking, o.NoTracking},
	} {
		if b.from != nil {
			*b.to = *b.from
		}
	}
}

// WithoutStrangers takes out what a job has for computers that are not its own any more: their files,
// and the applications and commands that were for nobody else. Who is in a group may change and change
// back, so of a job with groups all stays.
func WithoutStrangers(j *keepwardv1.Job) {
	if len(j.Groups) > 0 {
		return
	}
	stranger := func(c string) bool { return !slices.Contains(j.Computers, c) }
	// A list that becomes empty must not stay: that would be for every computer.
	forNobody := func(list *[]string) bool {
		had := len(*list)
		*list = slices.DeleteFunc(*list, stranger)
		return had > 0 && len(*list) == 0
	}
	j.Overrides = slices.DeleteFunc(j.Overrides, func(o *keepwardv1.FileOverride) bool { return stranger(o.GetComputer()) })
	j.Applications = slices.DeleteFunc(j.Applications, func(a *keepwardv1.Application) bool { return forNobody(&a.Computers) })
	j.Commands = slices.DeleteFunc(j.Commands, func(c *keepwardv1.CommandSource) bool { return forNobody(&c.Computers) })
}

// completeOverrides drops what says nothing, and puts the rest in the order of the computers' names.
func completeOverrides(j *keepwardv1.Job) {
	j.Overrides = slices.DeleteFunc(j.Overrides, func(o *keepwardv1.FileOverride) bool {
		return proto.Equal(o, &keepwardv1.FileOverride{Computer: o.GetComputer()}) && (len(j.Groups) > 0 || slices.Contains(j.Computers, o.GetComputer()))
	})
	slices.SortStableFunc(j.Overrides, func(a, b *keepwardv1.FileOverride) int { return strings.Compare(a.GetComputer(), b.GetComputer()) })
	if len(j.Overrides) == 0 {
		j.Overrides = nil
	}
}

// CheckFiles lists what is wrong with the computers of a job and what it takes of them, and with
// nothing else.
func CheckFiles(j *keepwardv1.Job, site Site) []Fault {
	completeOverrides(j)
	var f faults
	f.computers(j, site)
	f.files(j)
	return f
}

func (f *faults) files(j *keepwardv1.Job) {
	f.selection(fmt.Sprintf("check job %q", j.Name), "files", j.Files, len(j.Applications) == 0 && !onlyCommands(j, ""))
	f.overrides(j)
}

func (f *faults) overrides(j *keepwardv1.Job) {
	for i, o := range j.Overrides {
		at := "overrides." + o.GetComputer()
		switch {
		case !slices.Contains(j.Computers, o.GetComputer()) && len(j.Groups) == 0:
			f.invalid(at, "job.override", "check job %q: it has files of its own for computer %q, which is none of its computers", j.Name, o.GetComputer())
			continue
		case i > 0 && j.Overrides[i-1].GetComputer() == o.GetComputer():
			f.invalid(at, "job.override", "check job %q: it has files of their own for computer %s twice", j.Name, o.GetComputer())
			continue
		}
		// What is not of the computer alone was looked at with the job's.
		files := &keepwardv1.FileSelection{}
		overridden(files, o)
		if o.Include == nil {
			files.Include = j.GetFiles().GetInclude()
		}
		f.selection(fmt.Sprintf("check job %q, computer %s", j.Name, o.GetComputer()), at, files, len(j.Applications) == 0 && !onlyCommands(j, o.GetComputer()))
	}
}

// selection looks at what is taken; what names whom it is of, at the field that has it. some: it must
// be something.
func (f *faults) selection(what, at string, files *keepwardv1.FileSelection, some bool) {
	if some && len(files.GetInclude()) == 0 {
		f.invalid(at+".include", "job.include", "%s: it needs a path to include", what)
	}
	for i, p := range files.GetInclude() {
		if !job.Absolute(p) {
			f.invalid(fmt.Sprintf("%s.include[%d]", at, i), "job.include", "%s: the included path %q is not absolute", what, p)
		}
	}
	for i, g := range files.GetExclude() {
		if _, err := source.NewMatcher([]string{g}); err != nil {
			f.invalid(fmt.Sprintf("%s.exclude[%d]", at, i), "job.exclude", "%s: %w", what, err)
		}
	}
	before := len(*f)
	for i, m := range files.GetOnly() {
		// One that only takes back is right beside others.
		if _, err := source.NewMasks([]string{"*", m}); err != nil {
			f.invalid(fmt.Sprintf("%s.only[%d]", at, i), "job.only", "%s: %w", what, err)
		}
	}
	if _, err := source.NewMasks(files.GetOnly()); err != nil && len(*f) == before {
		f.invalid(at+".only", "job.only", "%s: %w", what, err)
	}
}

// fileOverrides is a field with one group of fields for each computer.
type fileOverrides struct{ at *[]*keepwardv1.FileOverride }

func overrideFields(o *keepwardv1.FileOverride) []field {
	return []field{
		{name: "include", value: &o.Include},
		{name: "exclude", value: &o.Exclude},
		{name: "only", value: &o.Only},
		{name: "one_file_system", value: &o.OneFileSystem},
		{name: "include_caches", value: &o.IncludeCaches},
		{name: "include_temporary", value: &o.IncludeTemporary},
		{name: "live", value: &o.Live},
		{name: "no_tracking", value: &o.NoTracking},
	}
}

func (r *reader) overrides(n *yaml.Node, path string, into fileOverrides) {
	if n.Kind != yaml.MappingNode {
		r.fault(n, path, fmt.Sprintf("%s must be names of computers with fields, this is %s", path, describe(n)))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], resolve(n.Content[i+1])
		at := path + "." + key.Value
		o := &keepwardv1.FileOverride{}
		before := len(r.faults)
		r.scalar(key, at, &o.Computer)
		if seen[o.Computer] {
			r.fault(key, at, fmt.Sprintf("computer %s stands twice in %s", o.Computer, path))
		}
		if len(r.faults) > before {
			continue
		}
		seen[o.Computer] = true
		r.document.at[at] = val
		r.read(val, at, overrideFields(o))
		*into.at = append(*into.at, o)
	}
}

func overridesNode(list []*keepwardv1.FileOverride) *yaml.Node {
	if len(list) == 0 {
		return nil
	}
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, o := range list {
		of := &yaml.Node{Kind: yaml.MappingNode}
		putFields(of, overrideFields(o))
		put(n, o.GetComputer(), of)
	}
	return n
}

// textListNode writes a list that is set, also if it is empty.
func textListNode(l *keepwardv1.TextList) *yaml.Node {
	switch {
	case l == nil:
		return nil
	case len(l.Items) == 0:
		return &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	}
	return listNode(l.Items)
}

// changedOverrides names the fields in which the overrides of two jobs differ.
func changedOverrides(a, b []*keepwardv1.FileOverride, name string) (out []string) {
	computers := map[string]bool{}
	for _, o := range append(slices.Clone(a), b...) {
		computers[o.GetComputer()] = true
	}
	of := func(list []*keepwardv1.FileOverride, computer string) *keepwardv1.FileOverride {
		if o := OverrideOf(&keepwardv1.Job{Overrides: list}, computer); o != nil {
			return o
		}
		return &keepwardv1.FileOverride{}
	}
	for _, c := range slices.Sorted(maps.Keys(computers)) {
		out = append(out, changed(overrideFields(of(a, c)), overrideFields(of(b, c)), name+"."+c+".")...)
	}
	return out
}
