package schema_test

import (
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"keepward/internal/schema"
)

// TestCommentsAreThoseOfTheirDeclarations has each place in which our files have comments, and some that they have not.
func TestCommentsAreThoseOfTheirDeclarations(t *testing.T) {
	got, err := schema.Comments([]byte(`// Of the file.
syntax = "proto3";
package x.v1;
import "a.proto"; // of an import

option go_package = "x;y"; // } of an option

// Too far away.

// M is a message
// of two lines. http://x
message M {
  // Of a, }.
  string a = 1;
  repeated x.v1.Other b = 2; // of b
  // Of c and d.
  int64 c = 3; optional bool d = 4;  // of d alone
  map<string, bytes> e = 5 [deprecated = true];
  // Of the choice.
  oneof choice {
    // Of f.
    string f = 6;
  }
  string message = 7;
  reserved 8, 10 to 12; // of nothing
  reserved "{";
  // Of an inner one.
  message Inner { string g = 1; }
}
// Of one line, and not of its field.
message Line { string h = 1; } // not of it either
message Other {}
enum E { // of E
  ZERO = 0; // of zero
  // Of one.
  ONE = 1;
}
// Of S.
service S {
  // Of a call.
  rpc Do(M) returns (stream M);
  rpc Other(stream M) returns (M) {}
}
`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"x.v1.M": "M is a message of two lines. http://x", "x.v1.M.a": "Of a, }.", "x.v1.M.b": "of b", "x.v1.M.c": "Of c and d.",
		"x.v1.M.d": "Of c and d. of d alone", "x.v1.M.e": "", "x.v1.M.choice": "Of the choice.", "x.v1.M.f": "Of f.", "x.v1.M.message": "",
		"x.v1.M.Inner": "Of an inner one.", "x.v1.M.Inner.g": "", "x.v1.Line": "Of one line, and not of its field.", "x.v1.Line.h": "", "x.v1.Other": "",
		"x.v1.E": "of E", "x.v1.E.ZERO": "of zero", "x.v1.E.ONE": "Of one.", "x.v1.S": "Of S.", "x.v1.S.Do": "Of a call.", "x.v1.S.Other": "",
	} {
		if got[name] != want {
			t.Errorf("of %s: %q, want %q", name, got[name], want)
		}
		delete(got, name)
	}
	for name, text := range got {
		if text != "" {
			t.Errorf("of %s, which is not there: %q", name, text)
		}
	}
}

func TestAFileThatIsCutOffIsRefused(t *testing.T) {
	for _, text := range []string{"message M {", "}", "message M { string a }"} {
		if got, err := schema.Comments([]byte(text)); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

// TestCommentsAreOfWhatThereIs reads our own files: a name that is no declaration means that one was misread.
func TestCommentsAreOfWhatThereIs(t *testing.T) {
	words := ourComments(t)
	there := map[string]bool{}
	var messages func(of protoreflect.MessageDescriptors)
	messages = func(of protoreflect.MessageDescriptors) {
		for i := range of.Len() {
			m := of.Get(i)
			there[string(m.FullName())] = true
			for j := range m.Fields().Len() {
				there[string(m.Fields().Get(j).FullName())] = true
			}
			messages(m.Messages())
		}
	}
	for _, f := range files() {
		messages(f.Messages())
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			there[string(s.FullName())] = true
			for j := range s.Methods().Len() {
				there[string(s.Methods().Get(j).FullName())] = true
			}
		}
	}
	for name := range words {
		if !there[name] {
			t.Errorf("a comment is of %s, which is not there", name)
		}
	}
	if len(words) < 500 {
		t.Errorf("%d comments were found: it cannot be all", len(words))
	}
}

func ourComments(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("../../api/keepward/v1/*.proto")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files: %v", err)
	}
	all := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		words, err := schema.Comments(text)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for name, text := range words {
			all[name] = text
		}
	}
	return all
}
