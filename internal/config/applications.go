package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
	"keepward/internal/pki"
)

// This file is the applications of a job.

// ApplicationsOf are those that a job protects on one of its computers.
func ApplicationsOf(j *keepwardv1.Job, computer string) (out []*keepwardv1.Application) {
	for _, a := range j.GetApplications() {
		if a.GetMode() != job.ApplicationDisable && (len(a.GetComputers()) == 0 || slices.Contains(a.GetComputers(), computer)) {
			out = append(out, a)
		}
	}
	return out
}

// completeApplications fills in what applications leave to the defaults, and takes out what is said
// twice.
func completeApplications(j *keepwardv1.Job) {
	for _, a := range j.Applications {
		a.Name = cmp.Or(a.GetName(), job.DefaultApplicationName)
		a.Mode = cmp.Or(a.GetMode(), job.ApplicationRequire)
		row, _ := job.Application(a.GetKind())
		maps.DeleteFunc(a.Settings, func(name, value string) bool {
			s, ok := row.Setting(name)
			return ok && value == s.Default
		})
		if len(a.Settings) == 0 {
			a.Settings = nil
		}
	}
	if len(j.Applications) == 0 {
		j.Applications = nil
	}
}

const addressMost = 256

func (f *faults) applications(j *keepwardv1.Job, site Site) {
	for i, a := range j.Applications {
		at := fmt.Sprintf("applications[%d]", i)
		bad := func(field, format string, args ...any) {
			f.invalid(at+"."+field, "job.application", "check job %q: application %s: "+format, append([]any{j.Name, a.GetName()}, args...)...)
		}
		row, ok := job.Application(a.GetKind())
		if !ok {
			bad("kind", "the kind %q is unknown; there is %s", a.GetKind(), ApplicationKinds())
		}
		if err := pki.CheckName("application", a.GetName()); err != nil {
			bad("name", "%v", err)
		}
		if !slices.Contains(job.ApplicationModes, a.GetMode()) {
			bad("mode", "the mode %q is unknown; there is %s", a.GetMode(), strings.Join(job.ApplicationModes, ", "))
		}
		if len(a.GetAddress()) > addressMost || strings.ContainsFunc(a.GetAddress(), func(r rune) bool { return r < ' ' }) {
			bad("address", "the address is longer than %d bytes, or has control characters", addressMost)
		}
		if a.GetCredential() != "" {
			f.reference(at+".credential", "credential", a.GetCredential(), site.Credentials)
		}
		for _, name := range slices.Sorted(maps.Keys(a.GetSettings())) {
			if s, known := row.Setting(name); ok {
				f.applicationSetting(at, s, known, name, a.GetSettings()[name], bad)
			}
		}
		for k, c := range a.GetComputers() {
			if !slices.Contains(j.Computers, c) && len(j.Groups) == 0 { // who is in a group is seen later
				bad(fmt.Sprintf("computers[%d]", k), "computer %s is none of the job's", c)
			}
		}
		for _, o := range j.Applications[:i] {
			if o.GetKind() == a.GetKind() && o.GetName() == a.GetName() && sameComputer(o, a) {
				bad("name", "there are two of the kind %s with this name on one computer", a.GetKind())
			}
		}
	}
}

func (f *faults) applicationSetting(at string, s job.ApplicationSetting, known bool, name, value string, bad func(field, format string, args ...any)) {
	switch {
	case !known || s.Restore:
		bad("settings."+name, "its kind has no setting %s", name)
	case len(s.Choices) > 0 && !slices.Contains(s.Choices, value):
		bad("settings."+name, "%s is %s, not %q", name, strings.Join(s.Choices, " or "), value)
	case len(value) > addressMost || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' }):
		bad("settings."+name, "the value is longer than %d bytes, or has control characters", addressMost)
	}
}

// ApplicationKinds names the kinds that there are.
func ApplicationKinds() string {
	var names []string
	for _, r := range job.Applications {
		names = append(names, r.Kind)
	}
	return strings.Join(names, ", ")
}

func sameComputer(a, b *keepwardv1.Application) bool {
	return len(a.GetComputers()) == 0 || len(b.GetComputers()) == 0 ||
		slices.ContainsFunc(a.GetComputers(), func(c string) bool { return slices.Contains(b.GetComputers(), c) })
}

// applicationList is a field with a list of groups of fields.
type applicationList struct{ at *[]*keepwardv1.Application }

func applicationFields(a *keepwardv1.Application) []field {
	return []field{
		{name: "kind", value: &a.Kind},
		{name: "name", value: &a.Name, normal: job.DefaultApplicationName},
		{name: "mode", value: &a.Mode, normal: job.ApplicationRequire},
		{name: "address", value: &a.Address},
		{name: "credential", value: &a.Credential},
		{name: "settings", value: &a.Settings},
		{name: "computers", value: &a.Computers},
	}
}

func (r *reader) applications(n *yaml.Node, path string, into applicationList) {
	if n.Kind != yaml.SequenceNode {
		r.fault(n, path, fmt.Sprintf("%s must be a list, this is %s", path, describe(n)))
		return
	}
	for i, item := range n.Content {
		item = resolve(item)
		at := fmt.Sprintf("%s[%d]", path, i)
		r.document.at[at] = item
		a := &keepwardv1.Application{}
		r.read(item, at, applicationFields(a))
		*into.at = append(*into.at, a)
	}
}

func applicationsNode(list []*keepwardv1.Application) *yaml.Node {
	if len(list) == 0 {
		return nil
	}
	n := &yaml.Node{Kind: yaml.SequenceNode}
	for _, a := range list {
		of := &yaml.Node{Kind: yaml.MappingNode}
		putFields(of, applicationFields(a))
		n.Content = append(n.Content, of)
	}
	return n
}

func equalApplications(a, b []*keepwardv1.Application) bool {
	return slices.EqualFunc(a, b, func(a, b *keepwardv1.Application) bool { return proto.Equal(a, b) })
}

// texts reads names with texts.
func (r *reader) texts(n *yaml.Node, path string, into *map[string]string) {
	if n.Kind != yaml.MappingNode {
		r.fault(n, path, fmt.Sprintf("%s must be names with values, this is %s", path, describe(n)))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], resolve(n.Content[i+1])
		at := path + "." + key.Value
		if _, twice := (*into)[key.Value]; twice || key.Kind != yaml.ScalarNode {
			r.fault(key, at, fmt.Sprintf("%s stands twice, or has no name", at))
			continue
		}
		r.document.at[at] = val
		var text string
		r.scalar(val, at, &text)
		if *into == nil {
			*into = map[string]string{}
		}
		(*into)[key.Value] = text
	}
}

func textsNode(m map[string]string) *yaml.Node {
	if len(m) == 0 {
		return nil
	}
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		put(n, k, textNode(m[k]))
	}
	return n
}
