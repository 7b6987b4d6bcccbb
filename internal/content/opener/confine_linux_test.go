package opener

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// confinedArgument makes this program a process that is confined and then tries to break out.
const confinedArgument = "confined-process"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == confinedArgument {
		for _, line := range breakOut(os.Args[2]) {
			fmt.Println(line)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// breakOut tells what a confined process could do all the same.
func breakOut(file string) (could []string) {
	left := confine()
	try := func(what string, err error) {
		if err == nil {
			could = append(could, what)
		}
	}
	_, err := os.ReadFile(file)
	try("read a file", err)
	try("write a file", os.WriteFile(file+".new", []byte("x"), 0o600))
	_, err = os.Open("/")
	try("open a folder", err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	try("listen", err)
	if err == nil {
		_ = l.Close()
	}
	_, err = syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	try("make a socket", err)
	_, err = syscall.ForkExec("/bin/true", []string{"true"}, nil)
	try("start a program with pipes", err)
	if os.Geteuid() == 0 {
		could = append(could, "be root")
	}
	for _, line := range left {
		could = append(could, "left: "+line)
	}
	return could
}

func TestAConfinedProcessOpensNothing(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, confinedArgument, file)
	cmd.Path = "/proc/self/exe"
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		// What needs all threads at once cannot be had in a program with C in it, which ours is not.
		if strings.HasPrefix(line, "left: gain no rights") && runtime.Compiler == "gc" && strings.Contains(line, "not supported") {
			continue
		}
		t.Errorf("it can: %s", line)
	}
}
