package test

import (
	"bufio"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"keepward/internal/treegen"
	"keepward/test/site"
)

// The incremental opens no file that did not change: the kernel says so, and the
// session's own counters say the same.
func TestIncrementalReadsOnlyWhatChanged(t *testing.T) {
	needRoot(t)
	needPrograms(t, "strace")
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 2000, 40<<20, 1))
	f.createJob("docs", "web1", []string{src})
	f.run("docs")

	changes, err := treegen.Mutate(src, 0.01, 2)
	f.must(err)
	// A renamed file has a new name, one with a new mode a new ctime: they may be read.
	var mustRead, mayRead []string
	for _, path := range slices.Concat(changes.Changed, changes.Added) {
		mustRead = append(mustRead, filepath.Join(src, path))
	}
	for _, path := range slices.Concat(slices.Collect(maps.Values(changes.Renamed)), changes.Chmodded) {
		mayRead = append(mayRead, filepath.Join(src, path))
	}
	mayRead = append(mayRead, mustRead...)
	var mayBytes int64
	for _, path := range mayRead {
		info, err := os.Lstat(path)
		f.must(err)
		mayBytes += info.Size()
	}

	trace := attach(t, f.agent["web1"].Pid())
	s := f.run("docs")
	opened := trace.opened(src)
	for _, path := range opened {
		if !slices.Contains(mayRead, path) {
			t.Errorf("%s did not change and was opened for reading", path)
		}
	}
	for _, path := range mustRead {
		if !slices.Contains(opened, path) {
			t.Errorf("%s changed and was not opened: does the trace work?", path)
		}
	}
	c := s.GetProgress().GetCounters()
	if got := c.ReadFiles; got > int64(len(mayRead)) || got < int64(len(mustRead)) {
		t.Errorf("the session counts %d files read, %d to %d changed", got, len(mustRead), len(mayRead))
	}
	if c.ReadBytes > mayBytes {
		t.Errorf("the session counts %d bytes read, %d bytes changed", c.ReadBytes, mayBytes)
	}
	// What changed, and for each of the few directories in it new nodes of the index.
	if c.StoredBytes > mayBytes*5/4+1<<20 {
		t.Errorf("the session stored %d bytes, %d bytes changed", c.StoredBytes, mayBytes)
	}
}

// tracer is a strace on a process, with the names behind descriptors shown.
type tracer struct {
	t   *testing.T
	cmd *exec.Cmd
	out string
}

func attach(t *testing.T, pid int) *tracer {
	t.Helper()
	tr := &tracer{t: t, out: filepath.Join(t.TempDir(), "trace")}
	// -y names every descriptor, so an openat below a directory has its whole path.
	tr.cmd = exec.Command("strace", "-f", "-y", "-xx", "-s", "4096", "-e", "trace=open,openat,openat2", "-o", tr.out, "-p", strconv.Itoa(pid))
	stderr, err := tr.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// It says so when it is attached, once for the process with all its threads.
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "attached") {
			return tr
		}
	}
	t.Fatalf("strace did not attach: %v", tr.cmd.Wait())
	return nil
}

// The result of a successful open, as strace -y writes it: 7<\x2f\x74\x6d\x70>.
var openResult = regexp.MustCompile(`= \d+<((?:\\x[0-9a-f]{2})+)>`)

// opened ends the trace; it returns the regular files below dir that were opened for reading.
func (tr *tracer) opened(dir string) []string {
	tr.t.Helper()
	// The last lines are written when it detaches.
	if err := tr.cmd.Process.Signal(syscall.SIGINT); err != nil {
		tr.t.Fatal(err)
	}
	late := time.AfterFunc(30*time.Second, func() { _ = tr.cmd.Process.Kill() })
	_ = tr.cmd.Wait() // by our signal
	if !late.Stop() {
		tr.t.Fatal("strace does not end")
	}
	b, err := os.ReadFile(tr.out)
	if err != nil {
		tr.t.Fatal(err)
	}
	var paths []string
	for line := range strings.Lines(string(b)) {
		m := openResult.FindStringSubmatch(line)
		if m == nil || strings.Contains(line, "O_PATH") || strings.Contains(line, "O_DIRECTORY") {
			continue
		}
		path := unhex(m[1])
		if !strings.HasPrefix(path, dir+"/") {
			continue
		}
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

func unhex(s string) string {
	var b strings.Builder
	for _, h := range strings.Split(s, `\x`)[1:] {
		c, _ := strconv.ParseUint(h, 16, 8) // two hex digits, by the expression
		b.WriteByte(byte(c))
	}
	return b.String()
}
