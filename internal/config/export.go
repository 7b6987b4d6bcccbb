package config

import (
	"bytes"
	"fmt"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
)

// Export writes a configuration so that Parse reads the same back: repositories first, then
// jobs, each by name as they come; fields in a fixed order, those at their default left out.
func Export(repositories []*keepwardv1.Repository, jobs []*keepwardv1.Job) ([]byte, error) {
	var out bytes.Buffer
	if len(repositories)+len(jobs) == 0 {
		return nil, nil // the encoder cannot close what was never begun
	}
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	for _, r := range repositories {
		if err := enc.Encode(documentNode(KindRepository, r.Name, repositoryFields(r))); err != nil {
			return nil, fmt.Errorf("export repository %s: %w", r.Name, err)
		}
	}
	for _, j := range jobs {
		if err := enc.Encode(documentNode(KindJob, j.Name, jobFields(j))); err != nil {
			return nil, fmt.Errorf("export job %s: %w", j.Name, err)
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
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "true"}
		}
	case *int32:
		if *v != 0 {
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: fmt.Sprint(*v)}
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

// textNode lets the encoder choose the quotes that keep text being text.
func textNode(text string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(text)
	return n
}
