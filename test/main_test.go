// Package test proves from end to end what Keepward promises: real processes, real
// file systems, real kills. One file for each promise. KEEPWARD_BIN names the binary
// (`make e2e` builds it); KEEPWARD_KEEP keeps the directories of failed tests; KEEPWARD_LONG
// runs those that take long, too.
package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// maySkip are the tests that CI may skip, with the reason. All others must run there.
var maySkip = map[string]string{
	"TestMillionSmallFiles":                        "a matter of many minutes: part of make bench",
	"TestCutOffsAtTheDefaultPace":                  "ten minutes, most of them waiting for leases to end",
	"TestABackupGoesOnInTheMiddleOfAVeryLargeFile": "8 GB of disk, and of bandwidth",
}

// skips counts what was left out, for the line at the end.
var skips struct {
	sync.Mutex
	list []string
}

// binary is the keepward under test.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "keepward-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if binary, err = findBinary(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	for _, s := range skips.list {
		fmt.Println("skipped:", s)
	}
	fmt.Printf("tests skipped: %d\n", len(skips.list))
	if os.Getenv("CI") != "" && code == 0 {
		for _, s := range skips.list {
			name, _, _ := strings.Cut(s, ":")
			if _, ok := maySkip[name]; !ok {
				fmt.Printf("%s must not be skipped in CI\n", name)
				code = 1
			}
		}
	}
	return code
}

func findBinary(dir string) (string, error) {
	if bin := os.Getenv("KEEPWARD_BIN"); bin != "" {
		return bin, nil
	}
	bin := filepath.Join(dir, "keepward")
	cmd := exec.Command("go", "build", "-o", bin, "keepward/cmd/keepward")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build keepward: %w\n%s", err, out)
	}
	return bin, nil
}

// leaveOut skips a test and counts it.
func leaveOut(t testing.TB, why string) {
	t.Helper()
	skips.Lock()
	skips.list = append(skips.list, t.Name()+": "+why)
	skips.Unlock()
	t.Skipf("%s", why)
}

// needRoot: device nodes, mounts and other people's files take it.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		leaveOut(t, "needs root")
	}
}

// needPrograms are those that the test calls.
func needPrograms(t testing.TB, names ...string) {
	t.Helper()
	missing := slices.DeleteFunc(names, func(n string) bool { _, err := exec.LookPath(n); return err == nil })
	if len(missing) > 0 {
		leaveOut(t, "needs "+strings.Join(missing, ", "))
	}
}
