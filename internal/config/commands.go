package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
)

// This file is what a job takes of what programs print.

// CommandsOf are the commands of a job that run on one of its computers.
func CommandsOf(j *keepwardv1.Job, computer string) []*keepwardv1.CommandSource {
	var out []*keepwardv1.CommandSource
	for _, c := range j.GetCommands() {
		if len(c.GetComputers()) == 0 || slices.Contains(c.GetComputers(), computer) {
			out = append(out, c)
		}
	}
	return out
}

// onlyCommands tells whether a computer of a job may have commands and no files; "": each of those
// that have no files of their own.
func onlyCommands(j *keepwardv1.Job, computer string) bool {
	if computer != "" {
		return len(CommandsOf(j, computer)) > 0
	}
	if len(j.Groups) > 0 && len(CommandsOf(j, "")) == 0 { // none that runs on every member
		return false
	}
	for _, c := range j.Computers {
		if OverrideOf(j, c).GetInclude() == nil && len(CommandsOf(j, c)) == 0 {
			return false
		}
	}
	return len(j.Commands) > 0
}

// completeCommands puts the commands of a job into the order of their names.
func completeCommands(j *keepwardv1.Job) {
	for _, c := range j.Commands {
		c.Mode = cmp.Or(c.Mode, job.CommandModes[0])
	}
	slices.SortStableFunc(j.Commands, func(a, b *keepwardv1.CommandSource) int { return strings.Compare(a.GetName(), b.GetName()) })
}

func (f *faults) commands(j *keepwardv1.Job, site Site) {
	if len(j.Commands) > job.CommandsMost {
		f.invalid("commands", "job.commands", "check job %q: it has %d commands, and at most %d can be", j.Name, len(j.Commands), job.CommandsMost)
	}
	for i, c := range j.Commands {
		at := "commands." + c.GetName()
		bad := func(sub, format string, args ...any) {
			f.invalid(at+"."+sub, "job.commands", "check job %q: command %q: "+format, append([]any{j.Name, c.GetName()}, args...)...)
		}
		switch {
		case !fileName(c.GetName()):
			bad("name", "the name is one of a file: letters, digits, dots, dashes and underscores, with a letter or digit first, at most %d", fileNameMost)
		case i > 0 && j.Commands[i-1].GetName() == c.GetName():
			bad("name", "there are two of this name")
		}
		if err := CheckProgram(c.GetPath(), c.GetArguments(), c.GetTimeLimit().AsDuration(), func(format string, args ...any) error { return fmt.Errorf(format, args...) }); err != nil {
			bad("path", "%w", err)
		}
		if !slices.Contains(job.CommandModes, c.GetMode()) {
			bad("mode", "mode %q is unknown; there is %s", c.GetMode(), strings.Join(job.CommandModes, ", "))
		}
		if c.GetCredential() != "" {
			f.reference(at+".credential", "credential", c.GetCredential(), site.Credentials)
		}
		for _, on := range c.GetComputers() {
			if !slices.Contains(j.Computers, on) && len(j.Groups) == 0 { // who is in a group is seen later
				bad("computers", "computer %q is none of the job's", on)
			}
		}
	}
}

// fileNameMost bounds names of commands: with what may be put behind, a file system still takes it.
const fileNameMost = 200

func fileName(name string) bool {
	for i, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && (i == 0 || !strings.ContainsRune("._-", r)) {
			return false
		}
	}
	return name != "" && len(name) <= fileNameMost
}

// CheckProgram tells what is wrong with a command of a computer, as bad makes an error of it.
func CheckProgram(path string, arguments []string, limit time.Duration, bad func(format string, args ...any) error) error {
	switch {
	case path == "":
		return bad("it has no path")
	case strings.ContainsRune(path, 0):
		return bad("the path has a zero byte")
	case !job.Absolute(path):
		return bad("the path %q is not absolute", path)
	case len(arguments) > argumentsMost:
		return bad("at most %d arguments, not %d", argumentsMost, len(arguments))
	case limit < 0 || limit > job.MaxCommandLimit:
		return bad("the time limit must be 0 (default) to %s, not %s", FormatDuration(job.MaxCommandLimit), limit)
	}
	for _, a := range arguments {
		if len(a) > argumentMost || strings.ContainsRune(a, 0) {
			return bad("an argument is longer than %d bytes, or has a zero byte", argumentMost)
		}
	}
	return nil
}

// commandSources is a field with one group of fields for each command.
type commandSources struct{ at *[]*keepwardv1.CommandSource }

func commandFields(c *keepwardv1.CommandSource) []field {
	return []field{
		{name: "path", value: &c.Path},
		{name: "arguments", value: &c.Arguments},
		{name: "credential", value: &c.Credential},
		{name: "time_limit", value: &c.TimeLimit},
		{name: "mode", value: &c.Mode, normal: job.CommandModes[0]},
		{name: "computers", value: &c.Computers},
	}
}

func (r *reader) commands(n *yaml.Node, path string, into commandSources) {
	if n.Kind != yaml.MappingNode {
		r.fault(n, path, fmt.Sprintf("%s must be names of files with fields, this is %s", path, describe(n)))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], resolve(n.Content[i+1])
		at := path + "." + key.Value
		c := &keepwardv1.CommandSource{}
		before := len(r.faults)
		r.scalar(key, at, &c.Name)
		if seen[c.Name] {
			r.fault(key, at, fmt.Sprintf("%s stands twice in %s", c.Name, path))
		}
		if len(r.faults) > before {
			continue
		}
		seen[c.Name] = true
		r.document.at[at] = val
		r.read(val, at, commandFields(c))
		*into.at = append(*into.at, c)
	}
}

func commandsNode(list []*keepwardv1.CommandSource) *yaml.Node {
	if len(list) == 0 {
		return nil
	}
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, c := range list {
		of := &yaml.Node{Kind: yaml.MappingNode}
		putFields(of, commandFields(c))
		put(n, c.GetName(), of)
	}
	return n
}

// changedCommands names the fields in which the commands of two jobs differ.
func changedCommands(a, b []*keepwardv1.CommandSource, name string) (out []string) {
	of := func(list []*keepwardv1.CommandSource) map[string]*keepwardv1.CommandSource {
		m := map[string]*keepwardv1.CommandSource{}
		for _, c := range list {
			m[c.GetName()] = c
		}
		return m
	}
	before, after := of(a), of(b)
	all := maps.Clone(before)
	maps.Copy(all, after)
	for _, c := range slices.Sorted(maps.Keys(all)) {
		x, y := before[c], after[c]
		if x == nil || y == nil {
			out = append(out, name+"."+c)
			continue
		}
		out = append(out, changed(commandFields(proto.CloneOf(x)), commandFields(proto.CloneOf(y)), name+"."+c+".")...)
	}
	return out
}
