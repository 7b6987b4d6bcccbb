package mariadb

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keepward/internal/app"
	"keepward/internal/errs"
)

// event is one of a log that a test makes: its type, and when it was begun.
type event struct {
	kind byte
	when uint32
}

const eventSize = eventHeader + 5

// makeLog writes a log. Event i begins at spot(i).
func makeLog(t *testing.T, path string, events ...event) {
	t.Helper()
	b := []byte(logMagic)
	for i, e := range events {
		head := make([]byte, eventSize)
		binary.LittleEndian.PutUint32(head, e.when)
		head[4] = e.kind
		binary.LittleEndian.PutUint32(head[9:], eventSize)
		binary.LittleEndian.PutUint32(head[13:], uint32(spot(i+1)))
		b = append(b, head...)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func spot(i int) uint64 { return uint64(len(logMagic) + i*eventSize) }

func at(seconds int64) time.Time { return time.Unix(seconds, 0) }

func TestALogIsCutBeforeTheFirstGroupThatWasBegunLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bin.000001")
	const rows = 30
	// The group at 3 took long: it was begun before the one at 1, and committed behind it.
	makeLog(t, path, event{eventFormat, 500}, event{eventGTID, 100}, event{rows, 100}, event{eventGTID, 99}, event{rows, 200}, event{eventGTID, 101}, event{eventGTID, 101})
	for _, c := range []struct {
		at   int64
		from int
		want uint64
	}{{99, 0, spot(1)}, {100, 0, spot(1)}, {100, 2, spot(5)}, {101, 0, spot(5)}, {101, 6, spot(6)}, {102, 0, nowhere}} {
		if got, err := cut(path, spot(c.from), at(c.at)); err != nil || got != c.want {
			t.Errorf("at %d from event %d: %d, %v; want %d", c.at, c.from, got, err, c.want)
		}
	}
}

func TestALogThatIsBrokenIsSaidSo(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	makeLog(t, good, event{eventFormat, 1}, event{eventGTID, 1})
	b, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	encrypted := append([]byte{}, b...)
	encrypted[spot(1)+4] = eventEncrypted
	for name, content := range map[string][]byte{"empty": nil, "text": []byte("not a log at all"), "short": b[:len(b)-3], "shorter": b[:spot(1)+4], "encrypted": encrypted} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := cut(path, 0, at(5)); errs.CodeOf(err) != "application.log-broken" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// laid is what a point lays down: its state, its mark, and its logs.
func laid(t *testing.T, dir string, a about) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "more"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := app.WriteAbout(filepath.Join(dir, "more"), a); err != nil {
		t.Fatal(err)
	}
	for _, name := range a.Logs {
		n, _ := logNumber(name)
		makeLog(t, filepath.Join(dir, "more", logDir, name), event{eventFormat, uint32(n)}, event{eventGTID, uint32(n * 10)}, event{eventGTID, uint32(n*10 + 5)})
	}
	return dir
}

func logsOf(numbers ...int) (names []string) {
	for _, n := range numbers {
		names = append(names, fmt.Sprintf("bin.%06d", n))
	}
	return names
}

func TestThePointsThatATimeNeeds(t *testing.T) {
	dir := laid(t, t.TempDir(), about{File: "bin.000002", Position: spot(2), State: at(22), Marked: at(26), Logs: logsOf(1, 2)})
	later := laid(t, t.TempDir(), about{File: "bin.000004", State: at(42), Marked: at(46), Logs: logsOf(3, 4)})
	for _, c := range []struct {
		at    int64
		later []string
		want  bool
		code  string
	}{{21, nil, false, "application.too-early"}, {25, nil, true, ""}, {26, nil, false, ""}, {40, nil, false, ""}, {40, []string{later}, true, ""}, {46, []string{later}, false, ""}} {
		got, err := Kind{}.Reaches(t.Context(), &app.Recovery{Dir: dir, ToTime: at(c.at), Later: c.later})
		if got != c.want || errs.CodeOf(err) != c.code {
			t.Errorf("to %d with %d later: %v, %v", c.at, len(c.later), got, err)
		}
	}
	bare := laid(t, t.TempDir(), about{State: at(22)})
	if _, err := (Kind{}).Reaches(t.Context(), &app.Recovery{Dir: bare, ToTime: at(30)}); errs.CodeOf(err) != "application.log-gap" {
		t.Errorf("a point without logs: %v", err)
	}
}

func TestLogsAreBroughtTogetherWithoutAGap(t *testing.T) {
	first := about{File: "bin.000002", Position: spot(2), State: at(22), Marked: at(26), Logs: logsOf(1, 2)}
	for name, c := range map[string]struct {
		later []about
		to    int64
		logs  string
		stop  uint64
		err   string
	}{
		"in the point itself":        {nil, 25, "", nowhere, ""},
		"up to the end of the point": {nil, 26, "bin.000002", nowhere, ""},
		"into the middle of a later": {[]about{{Logs: logsOf(2, 3, 4)}}, 35, "bin.000002 bin.000003", spot(2), ""},
		"over two":                   {[]about{{Logs: logsOf(3)}, {Logs: logsOf(4)}}, 41, "bin.000002 bin.000003 bin.000004", spot(2), ""},
		"one is missing":             {[]about{{Logs: logsOf(4)}}, 45, "", 0, "number 3"},
		"two are missing":            {[]about{{Logs: logsOf(5)}}, 51, "", 0, "number 3"},
		"the first is gone":          {[]about{{Logs: logsOf(3)}}, 35, "", 0, "number 2"},
	} {
		t.Run(name, func(t *testing.T) {
			own := first
			if name == "the first is gone" {
				own.Logs = nil
			}
			in := &app.Recovery{Dir: laid(t, t.TempDir(), own), ToTime: at(c.to), Event: func(string, string, string) {}}
			for _, l := range c.later {
				in.Later = append(in.Later, laid(t, t.TempDir(), l))
			}
			r := &recovery{Recovery: in, about: &own, stop: nowhere}
			err := r.gather()
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || errs.CodeOf(err) != "application.log-gap" {
					t.Fatalf("%v, want something of %q", err, c.err)
				}
				return
			}
			var names []string
			for _, l := range r.logs {
				names = append(names, filepath.Base(l))
			}
			if err != nil || strings.Join(names, " ") != c.logs || r.stop != c.stop {
				t.Errorf("%v until %d, %v; want %s until %d", names, r.stop, err, c.logs, c.stop)
			}
		})
	}
}

func TestALogOfAnotherServerIsNotTaken(t *testing.T) {
	own := about{File: "bin.000002", Position: spot(2), State: at(22), Marked: at(26), Logs: logsOf(2)}
	in := &app.Recovery{Dir: laid(t, t.TempDir(), own), ToTime: at(35), Event: func(string, string, string) {}}
	other := laid(t, t.TempDir(), about{Logs: logsOf(2, 3)})
	makeLog(t, filepath.Join(other, "more", logDir, "bin.000002"), event{eventFormat, 77}, event{eventGTID, 20}, event{eventGTID, 25})
	in.Later = []string{other}
	r := &recovery{Recovery: in, about: &own, stop: nowhere}
	if err := r.gather(); errs.CodeOf(err) != "application.log-gap" || !strings.Contains(err.Error(), "another") {
		t.Errorf("%v", err)
	}
}
