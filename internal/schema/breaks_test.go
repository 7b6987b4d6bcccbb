package schema_test

import (
	"bytes"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	_ "keepward/api/keepward/v1"
	"keepward/internal/schema"
)

var rewrite = flag.Bool("update", false, "move api/baseline.txt to the present schema, if that breaks nothing")

const (
	baseline = "../../api/baseline.txt"
	preface  = "# What the API, the nodes and the movers rely on; a test in internal/schema holds the schema to it.\n" +
		"# CONTRIBUTING.md says when and how it moves.\n"
)

// files are those of the whole schema.
func files() (all []protoreflect.FileDescriptor) {
	protoregistry.GlobalFiles.RangeFilesByPackage("keepward.v1", func(f protoreflect.FileDescriptor) bool {
		all = append(all, f)
		return true
	})
	return all
}

// TestTheSchemaTakesNothingBack holds the schema to the one of the last release: go test
// ./internal/schema -run TakesNothingBack -update moves the baseline, unless something would break.
func TestTheSchemaTakesNothingBack(t *testing.T) {
	text, err := os.ReadFile(baseline)
	if err != nil {
		t.Fatal(err)
	}
	before, err := schema.Read(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(before) < 1000 {
		t.Fatalf("the baseline has %d rows: it cannot be the whole schema", len(before))
	}
	now := schema.Of(files())
	if breaks := schema.Breaks(before, now); len(breaks) > 0 {
		t.Fatalf("who relies on the schema as it was is broken by it as it is:\n%s", strings.Join(breaks, "\n"))
	}
	if *rewrite {
		if err := os.WriteFile(baseline, append([]byte(preface), now.Text()...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestASchemaIsReadAsItIsWritten(t *testing.T) {
	want := schema.Of(files())
	got, err := schema.Read(bytes.NewReader(want.Text()))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestABaselineThatWasMergedBadlyIsRefused(t *testing.T) {
	for _, text := range []string{"<<<<<<< HEAD\n", "message a.A =\nmessage a.A =\n"} {
		if s, err := schema.Read(strings.NewReader(text)); err == nil {
			t.Errorf("%q was read as %v", text, s)
		}
	}
}

// example is a file with one thing of each kind.
const example = `
name: "x.proto" package: "x" syntax: "proto3"
message_type { name: "Other" }
message_type {
  name: "M"
  field { name: "number" json_name: "number" number: 1 type: TYPE_INT64 label: LABEL_OPTIONAL }
  field { name: "names" json_name: "names" number: 2 type: TYPE_STRING label: LABEL_REPEATED }
  field { name: "kind" json_name: "kind" number: 3 type: TYPE_ENUM type_name: ".x.E" label: LABEL_OPTIONAL }
  field { name: "self" json_name: "self" number: 4 type: TYPE_MESSAGE type_name: ".x.M" label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "text" json_name: "text" number: 5 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "maybe" json_name: "maybe" number: 6 type: TYPE_BOOL label: LABEL_OPTIONAL oneof_index: 1 proto3_optional: true }
  oneof_decl { name: "choice" }
  oneof_decl { name: "_maybe" }
  reserved_range { start: 10 end: 13 }
  reserved_name: "old"
  nested_type { name: "Inner" field { name: "a" json_name: "a" number: 1 type: TYPE_BYTES label: LABEL_OPTIONAL } }
}
enum_type {
  name: "E"
  value { name: "ZERO" number: 0 }
  value { name: "ONE" number: 1 }
  reserved_range { start: 7 end: 8 }
}
service {
  name: "S"
  method { name: "Do" input_type: ".x.M" output_type: ".x.M" }
  method { name: "Watch" input_type: ".x.M" output_type: ".x.M" server_streaming: true }
}
service { name: "T" }
`

// TestEachKindOfBreakIsFound changes one thing of the example at a time.
func TestEachKindOfBreakIsFound(t *testing.T) {
	field := func(f *descriptorpb.FileDescriptorProto, i int) *descriptorpb.FieldDescriptorProto {
		return f.MessageType[1].Field[i]
	}
	reserve := func(m *descriptorpb.DescriptorProto, number int32, name string) {
		if number > 0 {
			end := number + 1
			m.ReservedRange = append(m.ReservedRange, &descriptorpb.DescriptorProto_ReservedRange{Start: &number, End: &end})
		}
		if name != "" {
			m.ReservedName = append(m.ReservedName, name)
		}
	}
	cut := func(m *descriptorpb.DescriptorProto, i int) { m.Field = slices.Delete(m.Field, i, i+1) }
	text := func(s string) *string { return &s }
	number := func(n int32) *int32 { return &n }
	type file = *descriptorpb.FileDescriptorProto
	for _, c := range []struct {
		name   string
		change func(f file)
		want   string // empty: nothing breaks
	}{
		{"nothing", func(file) {}, ""},
		{"a field more", func(f file) {
			label, kind := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL, descriptorpb.FieldDescriptorProto_TYPE_BOOL
			f.MessageType[1].Field = append(f.MessageType[1].Field, &descriptorpb.FieldDescriptorProto{Name: text("more"), Number: number(20), Label: &label, Type: &kind})
		}, ""},
		{"fields in another order", func(f file) { slices.Reverse(f.MessageType[1].Field[:3]) }, ""},
		{"a call more", func(f file) {
			f.Service[1].Method = append(f.Service[1].Method, &descriptorpb.MethodDescriptorProto{Name: text("New"), InputType: text(".x.M"), OutputType: text(".x.M")})
		}, ""},
		{"a field gone and reserved", func(f file) { cut(f.MessageType[1], 1); reserve(f.MessageType[1], 2, "names") }, ""},
		{"more is reserved", func(f file) { f.MessageType[1].ReservedRange[0].End = number(20) }, ""},

		{"a field gone", func(f file) { cut(f.MessageType[1], 1) }, "field x.M 2: "},
		{"only the number is reserved", func(f file) { cut(f.MessageType[1], 1); reserve(f.MessageType[1], 2, "") }, "field x.M 2: "},
		{"only the name is reserved", func(f file) { cut(f.MessageType[1], 1); reserve(f.MessageType[1], 0, "names") }, "field x.M 2: "},
		{"a field with another name", func(f file) { field(f, 0).Name = text("count") }, "field x.M 1: "},
		{"a field with another number", func(f file) { field(f, 0).Number = number(30) }, "field x.M 1: "},
		{"the number of one for another", func(f file) { cut(f.MessageType[1], 1); field(f, 0).Number = number(2) }, "field x.M 1: "},
		{"a field of another type", func(f file) { k := descriptorpb.FieldDescriptorProto_TYPE_INT32; field(f, 0).Type = &k }, "field x.M 1: "},
		{"a field of another message", func(f file) { field(f, 3).TypeName = text(".x.Other") }, "field x.M 4: "},
		{"one becomes many", func(f file) { l := descriptorpb.FieldDescriptorProto_LABEL_REPEATED; field(f, 0).Label = &l }, "field x.M 1: "},
		{"many become one", func(f file) { l := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL; field(f, 1).Label = &l }, "field x.M 2: "},
		{"what could be missing cannot", func(f file) {
			field(f, 5).Proto3Optional, field(f, 5).OneofIndex = nil, nil
			f.MessageType[1].OneofDecl = f.MessageType[1].OneofDecl[:1]
		}, "field x.M 6: "},
		{"a field in another oneof", func(f file) { f.MessageType[1].OneofDecl[0].Name = text("either") }, "field x.M 4: "},
		{"an inner field gone", func(f file) { cut(f.MessageType[1].NestedType[0], 0) }, "field x.M.Inner 1: "},
		{"a message gone", func(f file) { f.MessageType = f.MessageType[1:] }, "message x.Other: "},
		{"an inner message gone", func(f file) { f.MessageType[1].NestedType = nil }, "message x.M.Inner: "},
		{"a number reserved no more", func(f file) { f.MessageType[1].ReservedRange[0].Start = number(11) }, "reserved x.M 10..12: "},
		{"a name reserved no more", func(f file) { f.MessageType[1].ReservedName = nil }, `reserved x.M "old": `},
		{"a value renumbered", func(f file) { f.EnumType[0].Value[1].Number = number(2) }, "value x.E 1: "},
		{"a value with another name", func(f file) { f.EnumType[0].Value[1].Name = text("UN") }, "value x.E 1: "},
		{"a value gone", func(f file) { f.EnumType[0].Value = f.EnumType[0].Value[:1] }, "value x.E 1: "},
		{"the number of a value reserved no more", func(f file) { f.EnumType[0].ReservedRange[0].End = number(7) }, "reserved x.E 7..8: "},
		{"a call gone", func(f file) { f.Service[0].Method = f.Service[0].Method[1:] }, "rpc x.S/Do: "},
		{"a call that asks another thing", func(f file) { f.Service[0].Method[0].InputType = text(".x.Other") }, "rpc x.S/Do: "},
		{"a call that answers another thing", func(f file) { f.Service[0].Method[0].OutputType = text(".x.Other") }, "rpc x.S/Do: "},
		{"a call that becomes a stream", func(f file) { yes := true; f.Service[0].Method[0].ServerStreaming = &yes }, "rpc x.S/Do: "},
		{"a stream that becomes a call", func(f file) { f.Service[0].Method[1].ServerStreaming = nil }, "rpc x.S/Watch: "},
		{"a service gone", func(f file) { f.Service = f.Service[:1] }, "service x.T: "},
		{"another package", func(f file) {
			f.Package = text("y")
			for _, m := range f.Service[0].Method {
				m.InputType, m.OutputType = text(".y.M"), text(".y.M")
			}
			field(f, 2).TypeName, field(f, 3).TypeName = text(".y.E"), text(".y.M")
		}, "message x.M: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			read := func() *descriptorpb.FileDescriptorProto {
				var f descriptorpb.FileDescriptorProto
				if err := prototext.Unmarshal([]byte(example), &f); err != nil {
					t.Fatal(err)
				}
				return &f
			}
			of := func(f *descriptorpb.FileDescriptorProto) schema.Schema {
				d, err := protodesc.NewFile(f, nil)
				if err != nil {
					t.Fatal(err)
				}
				return schema.Of([]protoreflect.FileDescriptor{d})
			}
			changed := read()
			c.change(changed)
			breaks := schema.Breaks(of(read()), of(changed))
			if found := slices.ContainsFunc(breaks, func(s string) bool { return strings.HasPrefix(s, c.want) }); c.want != "" && !found || c.want == "" && len(breaks) > 0 {
				t.Errorf("breaks are %q, want one of %q", breaks, c.want)
			}
		})
	}
}
