package gentle

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const stepBackChild = "KEEPWARD_TEST_STEP_BACK"

// What steps back is a process of its own: the tests behind this one shall not run at its priority.
func TestItReachesEveryThread(t *testing.T) {
	if os.Getenv(stepBackChild) != "" {
		printNiceness()
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestItReachesEveryThread$", "-test.v")
	cmd.Env = append(os.Environ(), stepBackChild+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	base, err := now()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"nice": max(Nice, base.nice), "front": base.nice}
	seen := map[string]int{}
	for line := range strings.Lines(string(out)) {
		what, nice, _ := strings.Cut(strings.TrimSpace(line), " ")
		if at, ok := want[what]; ok {
			if seen[what]++; nice != strconv.Itoa(at) {
				t.Errorf("%s: a thread has niceness %s, want %d", what, nice, at)
			}
		}
	}
	if seen["nice"] < 8 || seen["front"] < 8 {
		t.Errorf("%v threads were looked at:\n%s", seen, out)
	}
}

// printNiceness steps back, starts some more threads, and says what all of them have, and what they
// have when something else begins beside what waits.
func printNiceness() {
	p := Pace{Failed: func(err error) { fmt.Println(err); os.Exit(1) }}
	end, again := p.Begin(Work{Waits: true}), p.Begin(Work{Waits: true})
	end()
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
	printAll("nice")
	front := p.Begin(Work{})
	printAll("front")
	front()
	front()
	printAll("nice")
	again()
	printAll("front")
}

func printAll(what string) {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for _, th := range threads {
		id, _ := strconv.Atoi(th.Name())
		raw, err := unix.Getpriority(unix.PRIO_PROCESS, id)
		if err == nil {
			fmt.Println(what, 20-raw)
		}
	}
}

const sessionChild = "KEEPWARD_TEST_SESSION"

// A kernel that groups processes by sessions goes by the niceness of the session: one that is all
// gentle work steps back and forward, one that a terminal has stays as it is.
func TestASessionStepsBackWithItsLeader(t *testing.T) {
	if os.Getenv(sessionChild) != "" {
		runtime.LockOSThread()
		p := Pace{Failed: func(err error) { fmt.Println(err); os.Exit(1) }}
		printSlice("before")
		end := p.Begin(Work{Waits: true})
		printSession("waits")
		printSlice("waits")
		end()
		printSession("over")
		printSlice("over")
		return
	}
	if _, err := os.Stat(sessionFile); err != nil {
		t.Skip("this kernel does not group processes by sessions")
	}
	for _, leads := range []bool{true, false} {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestASessionStepsBackWithItsLeader$", "-test.v")
		cmd.Env = append(os.Environ(), sessionChild+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: leads}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		before := 0
		if !leads {
			before = ofSession(t)
		}
		waits := before
		if leads {
			waits = Nice
		}
		for _, want := range []string{fmt.Sprintf("waits %d\n", waits), fmt.Sprintf("over %d\n", before)} {
			if !strings.Contains(string(out), want) {
				t.Errorf("leader: %v, it says\n%s\nwant\n%s", leads, out, want)
			}
		}
		slices := map[string]string{}
		for line := range strings.Lines(string(out)) {
			if rest, ok := strings.CutPrefix(line, "slice "); ok {
				when, ns, _ := strings.Cut(strings.TrimSpace(rest), " ")
				slices[when] = ns
			}
		}
		if slices["before"] == "0" {
			t.Log("this kernel has one slice for all")
			continue
		}
		if slices["waits"] != strconv.FormatInt(int64(longSlice), 10) || slices["over"] != slices["before"] {
			t.Errorf("leader: %v, the slices are %v", leads, slices)
		}
	}
}

func printSession(when string) {
	nice, err := readSession()
	fmt.Println(when, nice)
	if err != nil {
		fmt.Println(err)
	}
}

func ofSession(t *testing.T) int {
	t.Helper()
	nice, err := readSession()
	if err != nil {
		t.Fatal(err)
	}
	return nice
}

func readSession() (int, error) {
	text, err := os.ReadFile(sessionFile)
	if err != nil {
		return 0, err
	}
	return niceOf(string(text)), nil
}

func TestTheNicenessOfASessionIsRead(t *testing.T) {
	for text, want := range map[string]int{
		"/autogroup-7 nice 10\n":   10,
		"/autogroup-312 nice -5\n": -5,
		"/autogroup-1 nice 0\n":    0,
		"":                         0, // started before there were sessions
	} {
		if got := niceOf(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

// printSlice says how long this thread runs at a time, in nanoseconds.
func printSlice(when string) {
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("slice", when, attr.Runtime)
}
