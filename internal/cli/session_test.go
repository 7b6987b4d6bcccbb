package cli_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

func state(status string, n *keepwardv1.Counters) *keepwardv1.Session {
	return &keepwardv1.Session{Id: 12, Status: status, Phase: "transfer", Progress: &keepwardv1.Progress{Counters: n}, Started: timestamppb.New(now.Add(-time.Minute))}
}

func TestWaitEndsWithTheResultOfTheSession(t *testing.T) {
	f := newFake(t)
	f.events = []*keepwardv1.Event{
		{Level: "info", Text: "all fine"},
		{Level: "error", Part: "agent", Text: "permission denied", Path: []byte("/srv/\a")},
	}
	for status, code := range map[string]int{
		"Completed": 0, "Completed w/ warnings": 3, "Completed w/ errors": 3, "Committed": 3, "Failed": 1, "Killed": 1, "Failed to start": 1,
	} {
		last := state(status, &keepwardv1.Counters{DoneFiles: 1300, DoneDirs: 66, DoneBytes: 3 << 20})
		if code == 1 {
			last.Tasks = []*keepwardv1.Task{{Failure: &keepwardv1.Failure{Kind: "no space", Code: "x", Message: "write pack: no space left", Hint: "free some"}}}
		}
		f.sessions = []*keepwardv1.Session{state("Running", nil), last}
		r := f.do(t, "job", "run", "docs", "--wait").want(t, code, "session 12: "+status, "1 234 files, 66 directories, 3.00 MiB")
		if (code == 0) == strings.Contains(r.err, `/srv/\a: permission denied`) {
			t.Errorf("%s: shows errors: %s", status, r.err)
		}
		if strings.Contains(r.err, "all fine") {
			t.Errorf("%s: shows what is no trouble", status)
		}
		if code == 1 {
			r.want(t, 1, "no space left", "hint: free some")
		}
		var m keepwardv1.Session
		if err := protojson.Unmarshal([]byte(f.do(t, "job", "run", "docs", "--wait", "-o", "json").want(t, code).out), &m); err != nil || m.Status != status {
			t.Errorf("%s as JSON: %v", status, err)
		}
	}
}

func TestRunWithoutWaitingPrintsTheNumber(t *testing.T) {
	f := newFake(t)
	if r := f.do(t, "job", "run", "docs"); r.out != "12\n" || r.code != 0 {
		t.Errorf("%+v", r)
	}
	if r := f.do(t, "job", "run", "docs", "--quiet"); r.err != "" {
		t.Errorf("--quiet says %q", r.err)
	}
}

func TestWaitingOutlivesARestartOfTheServer(t *testing.T) {
	f := newFake(t)
	f.cut = 2
	f.sessions = []*keepwardv1.Session{state("Running", nil), state("Completed", nil)}
	f.do(t, "job", "run", "docs", "--wait").want(t, 0, "Completed", "waiting for it")
}

func TestInterruptedWaitingSaysThatTheSessionGoesOn(t *testing.T) {
	f := newFake(t)
	f.sessions = []*keepwardv1.Session{state("Running", nil)}
	f.hang = make(chan struct{})
	ctx, interrupt := context.WithCancel(t.Context())
	var r result
	var wait sync.WaitGroup
	wait.Go(func() {
		r = runWithin(ctx, map[string]string{"KEEPWARD_CONFIG": f.config}, "", "job", "run", "docs", "--wait")
	})
	<-f.hang
	interrupt()
	wait.Wait()
	r.want(t, 130, "session 12 goes on")
	if strings.Contains(r.err, "keepward: ") {
		t.Errorf("an interrupt is shown as an error: %s", r.err)
	}
}

func TestWatchAsJSONIsOneObjectPerLine(t *testing.T) {
	f := newFake(t)
	f.sessions = []*keepwardv1.Session{state("Running", nil), state("Killed", nil)}
	r := f.do(t, "session", "watch", "12", "-o", "json").want(t, 1)
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines:\n%s", len(lines), r.out)
	}
	for i, want := range []string{"Running", "Killed"} {
		var m keepwardv1.Session
		if err := protojson.Unmarshal([]byte(lines[i]), &m); err != nil || m.Status != want {
			t.Errorf("line %d: %v: %s", i, err, lines[i])
		}
	}
}

func TestLog(t *testing.T) {
	f := newFake(t)
	f.events = []*keepwardv1.Event{{Seq: 1, Level: "error", Part: "agent", Text: "gone", Path: []byte("/x\n"), Time: timestamppb.New(now)}}
	if r := f.do(t, "session", "log", "12"); r.out != "2026-11-01 12:00:00 error   agent     /x\\n: gone\n" {
		t.Errorf("%q", r.out)
	}
	var m keepwardv1.ReadLogResponse
	if err := protojson.Unmarshal([]byte(f.do(t, "session", "log", "12", "-o", "json").out), &m); err != nil || string(m.Events[0].Path) != "/x\n" || m.Events[0].PathText != `/x\n` {
		t.Errorf("%v: %v", err, &m)
	}
	var e keepwardv1.Event
	if err := protojson.Unmarshal([]byte(f.do(t, "session", "log", "12", "-f", "-o", "json").out), &e); err != nil || e.Seq != 1 {
		t.Errorf("%v: %v", err, &e)
	}
}

func TestWaitingSaysAtOnceWhatIsAwayAndHowToGoOn(t *testing.T) {
	f := newFake(t)
	waits := state("Waiting", nil)
	waits.Tasks = []*keepwardv1.Task{
		{Status: "Running", Computer: "web1"},
		{Status: "Waiting", Computer: "db2", Reason: &keepwardv1.Reason{Code: "AGENT_OFFLINE", Args: []string{"db2"}, Text: "the agent of db2 is offline"}},
		{Status: "Waiting", Computer: "new", Reason: &keepwardv1.Reason{Code: "AGENT_OFFLINE", Args: []string{"new"}, Text: "the agent of new is offline"}},
	}
	store := state("Waiting", nil)
	store.Tasks = []*keepwardv1.Task{{Status: "Waiting", Reason: &keepwardv1.Reason{Code: "TRANSPORT_OFFLINE", Args: []string{"store1"}, Text: "transport service store1 is offline"}}}
	f.sessions = []*keepwardv1.Session{waits, waits, store, state("Completed", nil)}
	r := f.do(t, "job", "run", "docs", "--wait").want(t, 0)
	want := `session 12 waits: the agent of db2 is offline, last seen 2026-11-01 11:00:00
it goes on by itself as soon as that is back; Ctrl-C ends only this waiting, 'keepward session kill 12' the session
session 12 waits: the agent of new is offline and has never connected
session 12 waits: transport service store1 is offline, last seen 2026-11-01 10:00:00
`
	if r.err != want {
		t.Errorf("%s\nwant %s", r.err, want)
	}
	if r := f.do(t, "job", "run", "docs", "--wait", "--quiet").want(t, 0); r.err != "" {
		t.Errorf("--quiet says %q", r.err)
	}
}

func TestManyThatAreAwayAreNotNamedEach(t *testing.T) {
	f := newFake(t)
	waits := state("Waiting", nil)
	for _, name := range strings.Split("abcdefghij", "") {
		waits.Tasks = append(waits.Tasks, &keepwardv1.Task{Status: "Waiting", Reason: &keepwardv1.Reason{Code: "AGENT_OFFLINE", Args: []string{name}, Text: "the agent of " + name + " is offline"}})
	}
	f.sessions = []*keepwardv1.Session{waits, waits, state("Completed", nil)}
	r := f.do(t, "job", "run", "docs", "--wait").want(t, 0, "session 12 waits for more; see 'keepward session show 12'")
	if n := strings.Count(r.err, "\n"); n != 7 { // five, the hint, and that there are more
		t.Errorf("%d lines:\n%s", n, r.err)
	}
}

func TestTimesInSentencesAreLocalAsTheColumnsAre(t *testing.T) {
	f := newFake(t)
	again := &keepwardv1.Reason{Code: "RESTART_AT", Args: []string{"2026-11-01T11:05:00Z", "2", "3"}, Text: "will be tried again at 2026-11-01T11:05:00Z, attempt 2 of 3"}
	f.list = []*keepwardv1.Session{{Id: 12, Status: "Pending", Reason: again}}
	f.events = []*keepwardv1.Event{{Seq: 1, Level: "info", Part: "server", Text: again.Text, Time: timestamppb.New(now)}}
	f.do(t, "session", "list").want(t, 0, "will be tried again at 2026-11-01 12:05:00, attempt 2 of 3")
	f.do(t, "session", "log", "12").want(t, 0, "will be tried again at 2026-11-01 12:05:00, attempt 2 of 3")
	f.do(t, "session", "list", "-o", "json").want(t, 0, "at 2026-11-01T11:05:00Z")
}
