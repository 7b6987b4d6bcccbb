package config

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
)

// Content is a whole configuration.
type Content struct {
	Repositories []*keepwardv1.Repository
	Jobs         []*keepwardv1.Job
	Windows      []*keepwardv1.Window
	Activities   []*keepwardv1.ActivityControl
	Limits       []*keepwardv1.SessionLimit
	Priorities   []*keepwardv1.PriorityDigit
	Groups       []*keepwardv1.Group
	Tags         []*keepwardv1.ComputerTags
	Connections  []NamedConnection
	Traffic      []*keepwardv1.TrafficRule
}

// documents are those of a configuration, in the order in which they are written.
func (c Content) documents() []*yaml.Node {
	var list []*yaml.Node
	list = append(list, c.computers()...)
	for _, r := range c.Repositories {
		list = append(list, documentNode(KindRepository, r.Name, repositoryFields(r)))
	}
	for _, g := range c.Groups {
		list = append(list, documentNode(KindGroup, g.Name, groupFields(g)))
	}
	for _, j := range c.Jobs {
		list = append(list, documentNode(KindJob, j.Name, jobFields(j)))
	}
	for _, w := range c.Windows {
		list = append(list, documentNode(KindWindow, w.Name, windowFields(w)))
	}
	for _, a := range c.Activities {
		list = append(list, documentNode(KindActivity, a.Level, activityFields(a)))
	}
	for _, l := range c.Limits {
		list = append(list, documentNode(KindLimit, l.Level, limitFields(l)))
	}
	for _, p := range c.Priorities {
		list = append(list, documentNode(KindPriority, p.Level, priorityFields(p)))
	}
	for _, r := range c.Traffic {
		list = append(list, documentNode(KindTraffic, r.Name, trafficFields(r)))
	}
	return list
}

// computers are the documents of computers, by name: how each is reached, and its tags.
func (c Content) computers() []*yaml.Node {
	fields := map[string][]field{}
	for _, n := range c.Connections {
		fields[n.Computer] = connectionFields(n.Connection)
	}
	for _, t := range c.Tags {
		fields[t.Computer] = append(fields[t.Computer], tagsFields(t)...)
	}
	var list []*yaml.Node
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		list = append(list, documentNode(KindComputer, name, fields[name]))
	}
	return list
}

// Export writes repositories and jobs as ExportAll does.
func Export(repositories []*keepwardv1.Repository, jobs []*keepwardv1.Job) ([]byte, error) {
	return ExportAll(Content{Repositories: repositories, Jobs: jobs})
}

// ExportAll writes a configuration so that Parse reads the same back: computers first, then repositories,
// groups, jobs, and the rules of the queue, each by name as they come; fields in a fixed order, those at
// their default left out.
func ExportAll(c Content) ([]byte, error) {
	var out bytes.Buffer
	list := c.documents()
	if len(list) == 0 {
		return nil, nil // the encoder cannot close what was never begun
	}
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	for _, n := range list {
		if err := enc.Encode(n); err != nil {
			return nil, fmt.Errorf("export %s %s: %w", n.Content[1].Value, n.Content[3].Value, err)
		}
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	return out.Bytes(), nil
}

func documentNode(kind, name string, fields []field) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	put(n, "kind", textNode(kind))
	put(n, "name", textNode(name))
	putFields(n, fields)
	return n
}

func putFields(n *yaml.Node, fields []field) {
	for _, f := range fields {
		if v := valueNode(f); v != nil {
			put(n, f.name, v)
		}
	}
}

func put(n *yaml.Node, key string, value *yaml.Node) {
	n.Content = append(n.Content, textNode(key), value)
}

// valueNode is a field's value; nil where it is the default.
func valueNode(f field) *yaml.Node {
	switch v := f.value.(type) {
	case *string:
		if *v != f.normal && *v != "" {
			return textNode(*v)
		}
	case *bool:
		if *v {
			return boolNode(true)
		}
	case **bool:
		if *v != nil {
			return boolNode(**v)
		}
	case **keepwardv1.TextList:
		return textListNode(*v)
	case fileOverrides:
		return overridesNode(*v.at)
	case applicationList:
		return applicationsNode(*v.at)
	case *map[string]string:
		return textsNode(*v)
	case commandSources:
		return commandsNode(*v.at)
	case *int32:
		if *v != 0 {
			return intNode(*v)
		}
	case **int32:
		if *v != nil {
			return intNode(**v)
		}
	case *[]string:
		return listNode(*v)
	case **durationpb.Duration:
		if d := (*v).AsDuration(); d != 0 {
			return textNode(FormatDuration(d))
		}
	case durationOr:
		if d := v.value(); d != v.normal {
			return textNode(FormatDuration(d))
		}
	case []field:
		n := &yaml.Node{Kind: yaml.MappingNode}
		putFields(n, v)
		if len(n.Content) > 0 {
			return n
		}
	}
	return nil
}

func listNode(items []string) *yaml.Node {
	if len(items) == 0 {
		return nil
	}
	n := &yaml.Node{Kind: yaml.SequenceNode}
	for _, item := range items {
		n.Content = append(n.Content, textNode(item))
	}
	return n
}

func boolNode(v bool) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v)}
}

func intNode(n int32) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: fmt.Sprint(n)}
}

// textNode lets the encoder choose the quotes that keep text being text.
func textNode(text string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(text)
	return n
}
