//go:build linux

package extract

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// helperEnv tells the test binary that it is the process to be killed.
const helperEnv = "KEEPWARD_EXTRACT_HELPER"

func TestHelperProcess(t *testing.T) {
	args := os.Getenv(helperEnv)
	if args == "" {
		t.Skip("only when started by another test")
	}
	part := strings.Split(args, "\n")
	k := &kit{t: t, dir: part[0], key: strings.Join(part[3:], "\n")}
	if _, _, err := Run(t.Context(), k.options("latest", part[1], part[2])); err != nil {
		t.Fatal(err)
	}
}

// A real kill: whatever the process was at, no old file is lost, and the next run ends with
// the tree of the point and nothing beside it.
func TestKilledProcessLeavesOldFilesOrNewOnes(t *testing.T) {
	src, to := tempDir(t), tempDir(t)
	r := rand.New(rand.NewPCG(4, 4))
	files := map[string]string{}
	for i := range 40 {
		b := make([]byte, 200+i%4*700_000)
		for j := range b {
			b[j] = byte(r.Uint32())
		}
		name := fmt.Sprintf("d%d/f%02d", i%5, i)
		files[name] = string(b)
		for dir, content := range map[string][]byte{src: b, to: []byte("old " + name)} {
			must(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755))
			must(t, os.WriteFile(filepath.Join(dir, name), content, 0o644))
		}
	}
	k := newKit(t)
	k.backup("web1", src)
	start := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0], "-test.run=^TestHelperProcess$", "-test.v")
		cmd.Env = append(os.Environ(), helperEnv+"="+strings.Join([]string{k.dir, src, to, k.key}, "\n"))
		must(t, cmd.Start())
		return cmd
	}
	mixed := 0
	for round := range 8 {
		cmd := start()
		// Kill it when it has replaced a few more files than the time before.
		for deadline := time.Now().Add(20 * time.Second); replaced(t, to, files) < round*4 && time.Now().Before(deadline); {
			runtime.Gosched()
		}
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		n := 0
		for name, want := range files {
			b, err := os.ReadFile(filepath.Join(to, name))
			must(t, err)
			if got := string(b); got == want {
				n++
			} else if got != "old "+name {
				t.Fatalf("round %d: %s is neither the old file nor the new one", round, name)
			}
		}
		if n > 0 && n < len(files) {
			mixed++
		}
	}
	if mixed == 0 {
		t.Log("no kill fell into the middle")
	}
	_, _, err := Run(t.Context(), k.options("latest", src, to))
	must(t, err)
	same(t, src, to)
}

// replaced counts files that are no longer the old one.
func replaced(t *testing.T, to string, files map[string]string) int {
	t.Helper()
	n := 0
	for name := range files {
		if st, err := os.Stat(filepath.Join(to, name)); err == nil && st.Size() != int64(len("old "+name)) {
			n++
		}
	}
	return n
}
