package server

import (
	"fmt"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"keepward/internal/audit"
)

// naming says what of a message names something, for the audit log. Only fields of its list are
// taken: one that is new is left out until somebody has said that it is no secret.
type naming struct {
	fields map[protoreflect.Name]bool
	within map[protoreflect.Name]bool // messages that are looked into; nil: all
}

var (
	asked = naming{fields: fieldSet("name", "names", "id", "number", "computer", "computers", "target_computer", "job", "repository", "group", "groups",
		"transport", "transports", "point", "points", "path", "paths", "to", "a", "b", "glob", "task", "kind", "role", "user", "level", "activities",
		"disabled", "sessions", "digit", "priority", "tags", "label", "os", "arch", "version", "control", "full", "commit", "dry_run", "replace",
		"take_over", "targets", "events", "severity", "all_out_of_date", "estimate", "reason", "delete_disabled_jobs")}
	// answered is what an answer tells beyond what was asked for: what was made or removed.
	answered = naming{
		fields: fieldSet("session", "action", "kind", "name", "number", "id", "removed", "deleted_jobs", "ended_logins"),
		within: fieldSet("changes", "info", "key"),
	}
)

func fieldSet(names ...string) map[protoreflect.Name]bool {
	set := map[protoreflect.Name]bool{}
	for _, n := range names {
		set[protoreflect.Name(n)] = true
	}
	return set
}

const (
	// namedMost and valueMost bound a row: who names a thousand points is told by the first ones and
	// their count.
	namedMost = 32
	valueMost = 256
)

// namedBy is what a message names: its own fields, and those of messages in it.
func namedBy(message any, by naming) []audit.Named {
	m, ok := message.(proto.Message)
	if !ok || m == nil {
		return nil
	}
	n := namer{naming: by}
	n.message("", m.ProtoReflect(), 1)
	if n.left > 0 {
		n.named = append(n.named, audit.Named{Field: "more", Value: strconv.Itoa(n.left)})
	}
	return n.named
}

type namer struct {
	naming
	named []audit.Named
	left  int
}

// message goes through the fields in the order of the schema, so that the same call is the same row.
func (n *namer) message(prefix string, m protoreflect.Message, deeper int) {
	if !m.IsValid() {
		return
	}
	all := m.Descriptor().Fields()
	for i := range all.Len() {
		f := all.Get(i)
		if !m.Has(f) || f.IsMap() {
			continue
		}
		if f.Message() == nil && !n.fields[f.Name()] {
			continue
		}
		name := prefix + string(f.Name())
		if !f.IsList() {
			n.value(name, f, m.Get(f), deeper)
			continue
		}
		list := m.Get(f).List()
		for k := range list.Len() {
			n.value(name, f, list.Get(k), deeper)
		}
	}
}

func (n *namer) value(name string, f protoreflect.FieldDescriptor, v protoreflect.Value, deeper int) {
	if f.Message() != nil {
		if deeper > 0 && (n.within == nil || n.within[f.Name()]) {
			n.message(name+".", v.Message(), deeper-1)
		}
		return
	}
	text := ""
	switch f.Kind() {
	case protoreflect.StringKind:
		text = v.String()
	case protoreflect.BytesKind:
		text = string(v.Bytes())
	default:
		text = fmt.Sprint(v.Interface())
	}
	if len(n.named) == namedMost {
		n.left++
		return
	}
	if len(text) > valueMost {
		text = text[:valueMost] + "…"
	}
	n.named = append(n.named, audit.Named{Field: name, Value: text})
}
