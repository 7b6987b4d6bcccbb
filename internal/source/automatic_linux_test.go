package source

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSwapsAreRead(t *testing.T) {
	text := "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n" +
		"/dev/dm-1                               partition\t1048572\t0\t-2\n" +
		"/srv/my\\040swap                         file\t\t1024\t0\t-3\n" +
		"/srv/gone\\040(deleted)                  file\t\t1024\t0\t-4\n" +
		"broken\n"
	if d := cmp.Diff([]string{"/srv/my swap", "/srv/gone"}, parseSwaps(text)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func FuzzSwaps(f *testing.F) {
	f.Add("x\n/a\\040b file 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, p := range parseSwaps(text) {
			if !strings.HasPrefix(p, "/") || strings.ContainsRune(p, 0) {
				t.Errorf("path %q", p)
			}
		}
	})
}
