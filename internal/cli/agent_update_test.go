package cli

import (
	"slices"
	"strings"
	"testing"
)

func TestANewVersionIsNotStartedWithWhatIsForTheFirstStartOnly(t *testing.T) {
	for args, want := range map[string]string{
		"agent --data-dir D --server S":                          "agent --data-dir D --server S",
		"agent --join-file - --data-dir D":                       "agent --data-dir D",
		"agent --data-dir=D --join-file=- --pair --listen :7482": "agent --data-dir=D --listen :7482",
		"agent --join T --data-dir D --pair=true":                "agent --data-dir D",
		"agent --data-dir D --join-file":                         "agent --data-dir D",
	} {
		if got := againArguments(strings.Fields(args)); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s: %q", args, got)
		}
	}
}
