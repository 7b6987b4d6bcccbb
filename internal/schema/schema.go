package schema

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Schema is what a schema promises: each thing that others rely on, with what they rely on about it. A
// key and its value make one line of text:
//
//	field keepward.v1.Job 3 = repeated string computers
//	rpc keepward.v1.JobService/GetJob = keepward.v1.GetJobRequest -> keepward.v1.GetJobResponse
//	reserved keepward.v1.Job 30-33 =
type Schema map[string]string

// Of is what files promise. The names are those of the wire and of JSON, so comments, options and the
// order in a file count for nothing.
func Of(files []protoreflect.FileDescriptor) Schema {
	s := Schema{}
	for _, f := range files {
		s.messages(f.Messages())
		s.enums(f.Enums())
		for i := range f.Services().Len() {
			service := f.Services().Get(i)
			s["service "+string(service.FullName())] = ""
			for j := range service.Methods().Len() {
				m := service.Methods().Get(j)
				s[fmt.Sprintf("rpc %s/%s", service.FullName(), m.Name())] = fmt.Sprintf("%s%s -> %s%s",
					stream(m.IsStreamingClient()), m.Input().FullName(), stream(m.IsStreamingServer()), m.Output().FullName())
			}
		}
	}
	return s
}

func stream(is bool) string {
	if is {
		return "stream "
	}
	return ""
}

func (s Schema) messages(of protoreflect.MessageDescriptors) {
	for i := range of.Len() {
		m := of.Get(i)
		if m.IsMapEntry() {
			continue // part of its field's type
		}
		name := string(m.FullName())
		s["message "+name] = ""
		for j := range m.Fields().Len() {
			f := m.Fields().Get(j)
			s[fmt.Sprintf("field %s %d", name, f.Number())] = Type(f) + " " + string(f.Name()) + within(f)
		}
		for j := range m.ReservedRanges().Len() {
			r := m.ReservedRanges().Get(j) // without its end
			s.reserve(name, int64(r[0]), int64(r[1])-1)
		}
		s.reserveNames(name, m.ReservedNames())
		s.messages(m.Messages())
		s.enums(m.Enums())
	}
}

// within is the oneof of a field.
func within(f protoreflect.FieldDescriptor) string {
	if o := f.ContainingOneof(); o != nil && !o.IsSynthetic() {
		return " of " + string(o.Name())
	}
	return ""
}

// Type is the type of a field as a schema has it: repeated string, map<string, bytes>.
func Type(f protoreflect.FieldDescriptor) string {
	if f.IsMap() {
		return "map<" + Type(f.MapKey()) + ", " + Type(f.MapValue()) + ">"
	}
	name := f.Kind().String()
	switch {
	case f.Message() != nil:
		name = string(f.Message().FullName())
	case f.Enum() != nil:
		name = string(f.Enum().FullName())
	}
	switch {
	case f.IsList():
		return "repeated " + name
	case f.HasOptionalKeyword():
		return "optional " + name
	}
	return name
}

func (s Schema) enums(of protoreflect.EnumDescriptors) {
	for i := range of.Len() {
		e := of.Get(i)
		name := string(e.FullName())
		s["enum "+name] = ""
		for j := range e.Values().Len() {
			v := e.Values().Get(j)
			s[fmt.Sprintf("value %s %d", name, v.Number())] = string(v.Name())
		}
		for j := range e.ReservedRanges().Len() {
			r := e.ReservedRanges().Get(j) // with its end
			s.reserve(name, int64(r[0]), int64(r[1]))
		}
		s.reserveNames(name, e.ReservedNames())
	}
}

func (s Schema) reserve(of string, from, to int64) {
	s[fmt.Sprintf("reserved %s %d..%d", of, from, to)] = ""
}

func (s Schema) reserveNames(of string, names protoreflect.Names) {
	for i := range names.Len() {
		s[fmt.Sprintf("reserved %s %q", of, names.Get(i))] = ""
	}
}

// Text is the schema as lines in order.
func (s Schema) Text() []byte {
	var b bytes.Buffer
	for _, key := range slices.Sorted(maps.Keys(s)) {
		b.WriteString(strings.TrimRight(key+" = "+s[key], " ") + "\n")
	}
	return b.Bytes()
}

// Read reads what Text has written. Lines that begin with # are for people.
func Read(r io.Reader) (Schema, error) {
	s := Schema{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		if line := lines.Text(); line != "" && line[0] != '#' {
			key, value, ok := strings.Cut(line, " =")
			if _, twice := s[key]; !ok || twice {
				return nil, fmt.Errorf("read schema: line %d: %q is there twice or not to be read", n, line)
			}
			s[key] = strings.TrimPrefix(value, " ")
		}
	}
	return s, lines.Err()
}
