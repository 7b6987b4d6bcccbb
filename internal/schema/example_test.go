package schema_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"keepward/internal/schema"
)

// TestEveryExampleIsARequestOfItsCall reads each as a server does: without passing over what it does not know.
func TestEveryExampleIsARequestOfItsCall(t *testing.T) {
	n := 0
	for _, f := range files() {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			for j := range s.Methods().Len() {
				m := s.Methods().Get(j)
				if err := protojson.Unmarshal([]byte(schema.Example(m)), dynamicpb.NewMessage(m.Input())); err != nil {
					t.Errorf("%s: %s: %v", m.FullName(), schema.Example(m), err)
				}
				n++
			}
		}
	}
	if n < 100 {
		t.Errorf("only %d calls were seen", n)
	}
}

func TestAnExampleOfACallThatNamesSomethingNamesIt(t *testing.T) {
	for _, f := range files() {
		s := f.Services().ByName("JobService")
		if s == nil {
			continue
		}
		for _, name := range []protoreflect.Name{"GetJob", "DeleteJob", "RunJob"} {
			if got := schema.Example(s.Methods().ByName(name)); got == "{}" {
				t.Errorf("%s: %s", name, got)
			}
		}
	}
}

func TestACommentOfAMessageExplainsItsFields(t *testing.T) {
	for _, c := range []struct {
		comment string
		rest    string
		of      map[string]string
	}{
		{"Of all: of nothing in it.", "Of all: of nothing in it.", map[string]string{}},
		{"a: the first.", "", map[string]string{"a": "the first."}},
		{"Of the whole. a, b: both. c: with: a colon.", "Of the whole.", map[string]string{"a": "both.", "b": "both.", "c": "with: a colon."}},
		{"Of the whole. x: which is none. b: one.", "Of the whole. x: which is none.", map[string]string{"b": "one."}},
		{"a, x: which is none.", "a, x: which is none.", map[string]string{}},
	} {
		rest, of := schema.Explain(c.comment, []string{"a", "b", "c"})
		if rest != c.rest {
			t.Errorf("%q: the rest is %q, want %q", c.comment, rest, c.rest)
		}
		if d := cmp.Diff(c.of, of); d != "" {
			t.Errorf("%q:\n%s", c.comment, d)
		}
	}
}

func TestSecretsOfRequestsAreKnown(t *testing.T) {
	var secret []string
	for _, f := range files() {
		for i := range f.Messages().Len() {
			if m := f.Messages().Get(i); schema.HasSecret(m) {
				secret = append(secret, string(m.Name()))
			}
		}
	}
	for _, want := range []string{"LoginRequest", "CreateUserRequest", "SetPasswordRequest", "SaveCredentialRequest", "AttachRepositoryRequest"} {
		if !slices.Contains(secret, want) {
			t.Errorf("%s has a secret that nobody knows of", want)
		}
	}
}
