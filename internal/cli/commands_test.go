package cli

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
)

func TestCommandsOfAJobAsFlags(t *testing.T) {
	for text, want := range map[string]*keepwardv1.CommandSource{
		"name=a,run=/bin/a": {Name: "a", Path: "/bin/a", Arguments: []string{}},
		"name=a.sql,limit=2h,mode=try,credential=shop,computer=x,computer=y,run=/bin/a --b=c,d 'e f'": {
			Name: "a.sql", Path: "/bin/a", Arguments: []string{"--b=c,d", "e f"}, Mode: "try", Credential: "shop",
			TimeLimit: durationpb.New(2 * time.Hour), Computers: []string{"x", "y"},
		},
		"name=a":                     nil,
		"name=a,run=":                nil,
		"run=/bin/a":                 nil,
		"name=a,limit=x,run=/bin/a":  nil,
		"name=a,colour=1,run=/bin/a": nil,
		"name=a,run='/bin/a":         nil,
		"/bin/a":                     nil,
	} {
		got, err := parseCommand(text)
		if (err == nil) != (want != nil) {
			t.Errorf("%q: %v", text, err)
		}
		if d := cmp.Diff(want, got, protocmp.Transform()); want != nil && d != "" {
			t.Errorf("%q (-want +got):\n%s", text, d)
		}
	}
}
