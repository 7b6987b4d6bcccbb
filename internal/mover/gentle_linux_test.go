package mover

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

const stepBackChild = "KEEPWARD_TEST_STEP_BACK"

// What steps back is a process of its own: the tests behind this one shall not run at its priority.
func TestStepBackReachesEveryThread(t *testing.T) {
	if os.Getenv(stepBackChild) != "" {
		printNiceness()
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestStepBackReachesEveryThread$", "-test.v")
	cmd.Env = append(os.Environ(), stepBackChild+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		if nice, ok := strings.CutPrefix(strings.TrimSpace(line), "nice "); ok {
			if seen++; nice != strconv.Itoa(gentleNice) {
				t.Errorf("a thread has niceness %s, want %d", nice, gentleNice)
			}
		}
	}
	if seen < 4 {
		t.Errorf("%d threads were looked at:\n%s", seen, out)
	}
}

// printNiceness steps back and starts some more threads.
func printNiceness() {
	if err := stepBack(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var started sync.WaitGroup
	for range 8 {
		started.Add(1)
		go func() {
			started.Done()
			var fds [2]int
			_ = unix.Pipe(fds[:])
			_, _ = unix.Read(fds[0], make([]byte, 1)) // a thread of its own
		}()
	}
	started.Wait()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for _, th := range threads {
		id, _ := strconv.Atoi(th.Name())
		raw, err := unix.Getpriority(unix.PRIO_PROCESS, id)
		if err == nil {
			fmt.Println("nice", 20-raw)
		}
	}
}
