package cli

import (
	"bytes"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
)

func TestWhatAPointStoredIsLeftOpenWhereItsSessionIsNotKnown(t *testing.T) {
	for want, n := range map[string]*keepwardv1.Counters{
		"–":        {DoneFiles: 3, DoneBytes: 10, TotalFiles: 3, Errors: 1}, // read from a repository
		"0 B":      {DoneFiles: 3, ReusedFiles: 3},
		"1.00 KiB": {DoneFiles: 3, StoredBytes: 1024},
	} {
		if got := storedBy(n); got != want {
			t.Errorf("%v: %s, want %s", n, got, want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "2h": 2 * time.Hour, "7d": 7 * day, "1d12h": 36 * time.Hour, "1h30m": 90 * time.Minute, "0d": 0,
	} {
		if got, err := parseDuration(in); err != nil || got != want {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "d", "5", "-1h", "1.5d", "1d-1h", "1d+1h", "-1d", "1d1d", "99999d", "soon"} {
		if got, err := parseDuration(in); err == nil {
			t.Errorf("%q is taken as %s", in, got)
		}
	}
}

func TestParseTime(t *testing.T) {
	zone := time.FixedZone("CET", 3600)
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]string{
		"2026-11-01T10:00:00Z": "2026-11-01T10:00:00Z", "2026-11-01T10:00:00+02:00": "2026-11-01T08:00:00Z",
		"2026-11-01 22:00": "2026-11-01T21:00:00Z", "2026-11-01 22:00:30": "2026-11-01T21:00:30Z", "2026-11-01T22:00": "2026-11-01T21:00:00Z",
		"2026-11-01": "2026-11-01T22:59:59Z", "yesterday": "2026-10-31T22:59:59Z", "today": "2026-11-01T22:59:59Z",
		"-3h": "2026-11-01T09:00:00Z", "-2d": "2026-10-30T12:00:00Z", "now": "2026-11-01T12:00:00Z",
	} {
		if got, err := parseTime(in, now, zone); err != nil || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s: %s, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "tomorrow", "2026-13-01", "22:00", "-", "--3h", "3h"} {
		if got, err := parseTime(in, now, zone); err == nil {
			t.Errorf("%q is taken as %s", in, got)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"-3h", "yesterday", "2026-11-01 22:00", "2026-11-01T22:00:00Z", "7d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, _ = parseTime(s, time.Unix(0, 0), time.UTC) // it must not panic
		if d, err := parseDuration(s); err == nil && d < 0 {
			t.Fatalf("%q is %s", s, d)
		}
	})
}

func testApp(out *bytes.Buffer, f format) *app {
	return &app{out: out, errOut: out, env: func(string) string { return "" }, now: time.Now, local: time.UTC, format: f}
}

func TestTableAligns(t *testing.T) {
	var out bytes.Buffer
	table := testApp(&out, formatTable).newTable("NAME", ">SIZE", "|", "MORE")
	table.row("a", "1", "hidden")
	table.row("längst", "1000", "hidden")
	table.print()
	want := "NAME    SIZE\na          1\nlängst  1000\n"
	if out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

func TestProgressLine(t *testing.T) {
	s := &keepwardv1.Session{Id: 7, Status: "Running", Phase: "transfer", Progress: &keepwardv1.Progress{Counters: &keepwardv1.Counters{
		DoneFiles: 1200, TotalFiles: 4000, DoneBytes: 1 << 30, TotalBytes: 4 << 30, Errors: 2,
	}}}
	want := "session 7 · transfer · 25 % · 1 200 of 4 000 files and directories · 1.00 GiB of 4.00 GiB · 512 MiB/s · 6.0 s left · 2 with errors"
	if got := testApp(nil, formatTable).progressLine(s, 512<<20); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	s = &keepwardv1.Session{Id: 7, Status: "Waiting", Phase: "transfer", Reason: &keepwardv1.Reason{Code: "CLIENT_BUSY", Text: "computer web1 is busy"}}
	want = "session 7 · Waiting · computer web1 is busy · 0 files and directories · 0 B"
	if got := testApp(nil, formatTable).progressLine(s, 0); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestProgressWithMoreThanExpectedShowsNoTotal(t *testing.T) {
	s := &keepwardv1.Session{Id: 7, Status: "Running", Phase: "transfer", Progress: &keepwardv1.Progress{Counters: &keepwardv1.Counters{
		DoneFiles: 4001, TotalFiles: 4000, DoneBytes: 5 << 30, TotalBytes: 4 << 30,
	}}}
	want := "session 7 · transfer · 4 001 files and directories · 5.00 GiB · 512 MiB/s"
	if got := testApp(nil, formatTable).progressLine(s, 512<<20); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestServerAddressForOtherMachines(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:7480": "backup1:7480", "[::1]:7480": "backup1:7480", "localhost:7480": "backup1:7480",
		"192.0.2.1:7480": "192.0.2.1:7480", "backup2:7480": "backup2:7480",
	} {
		if got := fromElsewhere(address, "backup1"); got != want {
			t.Errorf("%s becomes %s, want %s", address, got, want)
		}
	}
}

func TestAnAddressWithoutAPortGetsTheUsualOne(t *testing.T) {
	for address, want := range map[string]string{
		"": "", "backup1": "backup1:7480", "backup1:1": "backup1:1", "::1": "[::1]:7480", "[::1]": "[::1]:7480", "[::1]:1": "[::1]:1",
	} {
		if got := withPort(address); got != want {
			t.Errorf("%q becomes %q, want %q", address, got, want)
		}
	}
}

func TestProgressOffATerminalIsALineEveryTenSeconds(t *testing.T) {
	var out bytes.Buffer
	a := testApp(&out, formatTable)
	clock := time.Unix(0, 0)
	a.now = func() time.Time { return clock }
	p := a.newProgress(a.newWaiting(nil, ""))
	for range 25 {
		p.show(t.Context(), &keepwardv1.Session{Id: 1, Status: "Running"})
		clock = clock.Add(time.Second)
	}
	p.clear()
	if n := strings.Count(out.String(), "\n"); n != 2 || strings.Contains(out.String(), "\x1b") {
		t.Errorf("%d lines:\n%s", n, out.String())
	}
}

func TestNotifyTellsSystemd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Skipf("no datagram sockets here: %v", err)
	}
	defer c.Close()
	a := testApp(&bytes.Buffer{}, formatTable)
	if err := a.notify("READY=1"); err != nil {
		t.Errorf("without systemd: %v", err)
	}
	a.env = func(string) string { return path }
	if err := a.notify("READY=1"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, err := c.Read(buf)
	if err != nil || string(buf[:n]) != "READY=1" {
		t.Errorf("%q, %v", buf[:n], err)
	}
}

func TestLogIsJSONOffATerminal(t *testing.T) {
	var out bytes.Buffer
	log, err := testApp(&out, formatTable).logger("warn")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("hidden")
	log.Warn("shown", "n", 1)
	if s := out.String(); !strings.HasPrefix(s, "{") || strings.Contains(s, "hidden") || !strings.Contains(s, `"n":1`) {
		t.Errorf("%s", s)
	}
	out.Reset()
	slog.New(logHandler(&out, slog.LevelInfo, true)).Info("hello", "n", 1)
	if s := out.String(); !strings.Contains(s, "level=info msg=hello n=1") {
		t.Errorf("%s", s)
	}
}

// TestEveryCommandHasHelp holds the promise of an example for every command.
func TestEveryCommandHasHelp(t *testing.T) {
	commands := []string{}
	for queue := append([]string{}, ""); len(queue) > 0; queue = queue[1:] {
		cmd, _, err := Command().Find(strings.Fields(queue[0]))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cmd.Commands() {
			if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
				continue
			}
			name := strings.TrimPrefix(c.CommandPath(), "keepward ")
			queue, commands = append(queue, name), append(commands, name)
			if c.Short == "" || !c.HasSubCommands() && !strings.Contains(c.Example, "  "+c.CommandPath()) {
				t.Errorf("%s has no example of itself", c.CommandPath())
			}
		}
	}
	if len(commands) < 40 {
		t.Errorf("only %d commands: %s", len(commands), commands)
	}
}

// A backup of a few large files has none of them done for hours.
func TestLargeFilesCountWhileTheyAreRead(t *testing.T) {
	s := &keepwardv1.Session{Id: 7, Type: "backup", Status: "Running", Progress: &keepwardv1.Progress{
		Counters: &keepwardv1.Counters{TotalFiles: 3, TotalBytes: 1000, ReadBytes: 400, ReusedBytes: 100},
	}}
	if got := donePercent(s); got != "50 %" {
		t.Errorf("in the list it is done to %q", got)
	}
	if line := testApp(nil, formatTable).progressLine(s, 100); !strings.Contains(line, " 50 % ") || !strings.Contains(line, "5.0 s left") {
		t.Errorf("while it is followed: %s", line)
	}
	n := s.GetProgress().GetCounters()
	if n.ReadBytes = 5000; donePercent(s) != "100 %" {
		t.Errorf("what was read twice makes it %s", donePercent(s))
	}
}

func TestASessionWithoutCountersHasNoHeadingForThem(t *testing.T) {
	var out bytes.Buffer
	s := &keepwardv1.Session{Id: 7, Type: "backup", Status: "Queued"}
	testApp(&out, formatTable).showSession(s)
	if strings.Contains(out.String(), "Counters") {
		t.Errorf("it shows\n%s", out.String())
	}
	out.Reset()
	s.Progress = &keepwardv1.Progress{Counters: &keepwardv1.Counters{ReadBytes: 1}}
	if testApp(&out, formatTable).showSession(s); !strings.Contains(out.String(), "Counters") {
		t.Errorf("it shows\n%s", out.String())
	}
}
