package config

import (
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
)

// reader puts YAML values into fields and collects what does not fit.
type reader struct {
	document *Document
	faults   []*keepwardv1.ConfigFault
}

func (r *reader) fault(n *yaml.Node, field, text string) {
	r.faults = append(r.faults, fault(r.document.file, n, field, text))
}

// mapping reads the fields of a mapping. Keys in done were read already.
func (r *reader) mapping(n *yaml.Node, fields []field, prefix string, done map[string]bool) {
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], resolve(n.Content[i+1])
		path := prefix + key.Value
		if key.Kind != yaml.ScalarNode || seen[key.Value] {
			r.fault(key, path, fmt.Sprintf("the field %s stands twice, or has no name", path))
			continue
		}
		seen[key.Value] = true
		if done[key.Value] {
			continue
		}
		f := find(fields, key.Value)
		if f == nil {
			r.unknown(key, path, fields)
			continue
		}
		r.document.at[path] = val
		r.read(val, path, f.value)
	}
}

func find(fields []field, name string) *field {
	for i := range fields {
		if fields[i].name == name {
			return &fields[i]
		}
	}
	return nil
}

func (r *reader) read(n *yaml.Node, path string, value any) {
	switch v := value.(type) {
	case []field:
		if n.Kind != yaml.MappingNode {
			r.fault(n, path, fmt.Sprintf("%s must be fields with values, this is %s", path, describe(n)))
			return
		}
		r.mapping(n, v, path+".", nil)
	case *[]string:
		r.list(n, path, v)
	case **keepwardv1.TextList:
		*v = &keepwardv1.TextList{}
		r.list(n, path, &(*v).Items)
	case fileOverrides:
		r.overrides(n, path, v)
	case applicationList:
		r.applications(n, path, v)
	case *map[string]string:
		r.texts(n, path, v)
	case commandSources:
		r.commands(n, path, v)
	case *string:
		r.scalar(n, path, v)
	case *bool:
		r.typed(n, path, "!!bool", "true or false", v)
	case **bool:
		*v = new(bool)
		r.typed(n, path, "!!bool", "true or false", *v)
	case *int32:
		r.typed(n, path, "!!int", "a whole number", v)
	case **int32:
		*v = new(int32)
		r.typed(n, path, "!!int", "a whole number", *v)
	case **durationpb.Duration:
		if d, ok := r.duration(n, path); ok && d != 0 {
			*v = durationpb.New(d)
		}
	case durationOr:
		if d, ok := r.duration(n, path); ok {
			*v.at = durationpb.New(d)
		}
	}
}

func (r *reader) list(n *yaml.Node, path string, into *[]string) {
	if n.Kind != yaml.SequenceNode {
		r.fault(n, path, fmt.Sprintf("%s must be a list, this is %s", path, describe(n)))
		return
	}
	for i, item := range n.Content {
		item = resolve(item)
		at := fmt.Sprintf("%s[%d]", path, i)
		r.document.at[at] = item
		var text string
		r.scalar(item, at, &text)
		*into = append(*into, text)
	}
}

// scalar takes text, and numbers where text is meant: a name such as 007 need no quotes.
func (r *reader) scalar(n *yaml.Node, path string, into *string) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" && n.Tag != "!!int" && n.Tag != "!!float" && n.Tag != "!!timestamp" {
		r.fault(n, path, fmt.Sprintf("%s must be text, this is %s", path, describe(n)))
		return
	}
	*into = n.Value
}

func (r *reader) typed(n *yaml.Node, path, tag, want string, into any) {
	if n.Kind != yaml.ScalarNode || n.Tag != tag || n.Decode(into) != nil {
		r.fault(n, path, fmt.Sprintf("%s must be %s, this is %s", path, want, describe(n)))
	}
}

func (r *reader) duration(n *yaml.Node, path string) (time.Duration, bool) {
	var text string
	before := len(r.faults)
	r.scalar(n, path, &text)
	if len(r.faults) > before {
		return 0, false
	}
	d, err := ParseDuration(text)
	if err != nil {
		r.fault(n, path, fmt.Sprintf("%s must be a duration such as 90s, 20m, 2h or 7d, this is %q", path, text))
		return 0, false
	}
	return d, true
}

func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a group of fields"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null":
		return "empty"
	}
	return fmt.Sprintf("%q", n.Value)
}

// unknown says that there is no such field, and which it may have meant.
func (r *reader) unknown(key *yaml.Node, path string, fields []field) {
	known := make([]string, len(fields))
	for i, f := range fields {
		known[i] = f.name
	}
	text := fmt.Sprintf("there is no field %s", path)
	if near := catalog.Nearest(key.Value, known); len(near) > 0 {
		text += "; did you mean " + strings.Join(near, ", ") + "?"
	}
	r.fault(key, path, text)
}
