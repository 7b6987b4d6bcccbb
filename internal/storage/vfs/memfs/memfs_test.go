package memfs

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/storage/vfs"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, m *FS, name, content string) vfs.File {
	t.Helper()
	f, err := m.Create(name)
	must(t, err)
	_, err = f.Write([]byte(content))
	must(t, err)
	return f
}

// durable is a file that must survive.
func durable(t *testing.T, m *FS, name, content string) {
	t.Helper()
	must(t, create(t, m, name, content).Sync())
	must(t, m.SyncDir("/"))
}

func read(m *FS, name string) string {
	f, err := m.Open(name)
	if err != nil {
		return "(" + errorText(err) + ")"
	}
	size, _ := f.Size()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	return string(b) + errorText(err)
}

func errorText(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	if err == nil {
		return ""
	}
	return err.Error()
}

const missing = "(file does not exist)"

// outcomes are what became of a file, over many losses of power.
func outcomes(m *FS, name string) map[string]int {
	root := m.d.root
	seen := map[string]int{}
	for seed := range uint64(50 * Losses) {
		seen[read(on(copyTree(root)).Restart(seed), name)]++
	}
	return seen
}

func TestWhatWasSyncedSurvivesEveryLoss(t *testing.T) {
	m := New()
	durable(t, m, "/kept", "content")
	durable(t, m, "/gone", "content")
	must(t, m.Remove("/gone"))
	must(t, m.SyncDir("/"))
	if diff := cmp.Diff(map[string]int{"content": 50 * Losses}, outcomes(m, "/kept")); diff != "" {
		t.Fatal(diff)
	}
	if diff := cmp.Diff(map[string]int{missing: 50 * Losses}, outcomes(m, "/gone")); diff != "" {
		t.Fatal(diff)
	}
}

func TestNamesAreLostEachOnItsOwn(t *testing.T) {
	m := New()
	durable(t, m, "/old", "old")
	for _, name := range []string{"/a", "/b"} {
		must(t, create(t, m, name, "new").Sync())
	}
	must(t, m.Remove("/old"))
	must(t, m.Link("/a", "/old")) // another file under the old name
	seen := map[string]bool{}
	root := m.d.root
	for seed := range uint64(500) {
		after := on(copyTree(root)).Restart(seed)
		seen[read(after, "/a")+" "+read(after, "/b")] = true
		seen["old: "+read(after, "/old")] = true
	}
	want := []string{
		missing + " " + missing, missing + " new", "new " + missing, "new new",
		"old: " + missing, "old: new", "old: old",
	}
	if got := slices.Sorted(keys(seen)); !slices.Equal(got, want) {
		t.Fatalf("%q", got)
	}
}

func TestContentThatWasNotSyncedIsTornInAnyWay(t *testing.T) {
	m := New()
	f := create(t, m, "/f", strings.Repeat("s", 700))
	must(t, f.Sync())
	must(t, m.SyncDir("/"))
	_, err := f.Write([]byte(strings.Repeat("n", 3*block)))
	must(t, err)
	var whole, none, short, zeros, garbage, hole int
	for content, n := range outcomes(m, "/f") {
		if !strings.HasPrefix(content, strings.Repeat("s", 700)) {
			t.Fatalf("the synced part is damaged: %q", content)
		}
		rest := content[700:]
		switch {
		case rest == "":
			none += n
		case strings.Trim(rest, "n") == "" && len(rest) == 3*block:
			whole += n
		case strings.Trim(rest, "n") == "":
			short += n
		case strings.Trim(rest, "n\x00") == "" && strings.HasSuffix(rest, "n"):
			hole += n
		case strings.Trim(rest, "n\x00") == "":
			zeros += n
		default:
			garbage += n
		}
	}
	for what, n := range map[string]int{"whole": whole, "none": none, "short": short, "zeros": zeros, "garbage": garbage, "hole": hole} {
		if n == 0 {
			t.Errorf("%s: never seen", what)
		}
	}
}

func TestALossIsTheSameForTheSameSeed(t *testing.T) {
	m := New()
	for _, name := range []string{"/a", "/b", "/c", "/d"} {
		create(t, m, name, strings.Repeat(name, 2000))
	}
	root := m.d.root
	for seed := range uint64(40) {
		one, two := on(copyTree(root)).Restart(seed), on(copyTree(root)).Restart(seed)
		for _, name := range []string{"/a", "/b", "/c", "/d"} {
			if read(one, name) != read(two, name) {
				t.Fatalf("seed %d, %s differs", seed, name)
			}
		}
	}
}

func TestAFailedSyncForgets(t *testing.T) {
	m := New()
	f := create(t, m, "/f", "content")
	must(t, m.SyncDir("/"))
	m.FailAt(m.Calls()+1, syscall.EIO)
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	must(t, f.Sync()) // as if all were well
	if got := read(m, "/f"); got != "content" {
		t.Fatalf("it is still in memory, and reads %q", got)
	}
	seen := outcomes(m, "/f")
	if seen["content"] == 0 || len(seen) < 3 {
		t.Fatalf("%v", seen)
	}
}

func TestFaults(t *testing.T) {
	t.Run("one call", func(t *testing.T) {
		m := New()
		f := create(t, m, "/f", "")
		m.FailAt(m.Calls()+1, syscall.EIO)
		if n, err := f.Write([]byte("12345678")); n != 4 || !errors.Is(err, syscall.EIO) {
			t.Fatal(n, err)
		}
		_, err := f.Write([]byte("56"))
		must(t, err)
		if got := read(m, "/f"); got != "123456" {
			t.Fatal(got)
		}
	})
	t.Run("from a call on", func(t *testing.T) {
		m := New()
		m.FailFrom(2, syscall.EIO)
		must(t, m.Mkdir("/a"))
		for range 2 {
			if err := m.Mkdir("/b"); !errors.Is(err, syscall.EIO) {
				t.Fatal(err)
			}
		}
		m.Heal()
		must(t, m.Mkdir("/b"))
	})
	t.Run("full", func(t *testing.T) {
		m := New()
		m.SetCapacity(10)
		f := create(t, m, "/f", "12345678")
		must(t, m.Link("/f", "/second name"))
		if n, err := f.Write([]byte("9abc")); n != 2 || !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(n, err)
		}
		if n, err := m.Free("/"); n != 0 || err != nil {
			t.Fatal(n, err)
		}
	})
	t.Run("read only", func(t *testing.T) {
		m := New()
		durable(t, m, "/f", "x")
		m.ReadOnly()
		if err := m.Remove("/f"); !errors.Is(err, syscall.EROFS) {
			t.Fatal(err)
		}
		must(t, m.SyncDir("/"))
		if got := read(m, "/f"); got != "x" {
			t.Fatal(got)
		}
	})
	t.Run("a disk that lies", func(t *testing.T) {
		m := New()
		m.Lie()
		durable(t, m, "/f", "content")
		if seen := outcomes(m, "/f"); seen[missing] == 0 || seen["content"] == 0 {
			t.Fatalf("%v", seen)
		}
	})
}

func TestUnmountedUnderItsUsers(t *testing.T) {
	m := New()
	must(t, m.Mkdir("/r"))
	f := create(t, m, "/r/f", "a")
	mount, err := m.Unmount("/r")
	must(t, err)
	if got := read(m, "/r/f"); got != missing {
		t.Fatal(got)
	}
	_, err = f.Write([]byte("b"))
	must(t, err)
	create(t, m, "/r/below", "")
	mount()
	if got := read(m, "/r/f") + read(m, "/r/below"); got != "ab"+missing {
		t.Fatal(got)
	}
}

func TestADeadProcessChangesNothingAndTheOthersGoOn(t *testing.T) {
	m := New()
	other := m.Process()
	f := create(t, m, "/f", "a")
	m.Kill()
	for what, err := range map[string]error{
		"mkdir": m.Mkdir("/d"), "remove": m.Remove("/f"), "sync": f.Sync(), "syncdir": m.SyncDir("/"),
		"write": func() error { _, err := f.Write([]byte("bcdef")); return err }(),
		"open":  func() error { _, err := m.Open("/f"); return err }(),
	} {
		if !errors.Is(err, ErrDead) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := read(other, "/f"); got != "a" {
		t.Fatal(got)
	}
	must(t, other.Mkdir("/d"))
}

func TestAProcessThatDiesWhileItWaitsChangesNothing(t *testing.T) {
	m := New()
	m.SetHook(func(Op, string) error { m.Kill(); return nil })
	if err := m.Mkdir("/d"); !errors.Is(err, ErrDead) {
		t.Fatal(err)
	}
	if _, err := m.Process().Stat("/d"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

// The states are what the power would have left if it had gone before each call.
func TestStatesAreTheDiskBeforeEachCall(t *testing.T) {
	history := func(m *FS) {
		f, err := m.Create("/f")
		if err != nil {
			return
		}
		_, _ = f.Write([]byte(strings.Repeat("a", 1000))) // it may be dead
		_ = f.Sync()
		_, _ = f.Write([]byte(strings.Repeat("b", 1000)))
		_ = m.Link("/f", "/g")
		_ = m.SyncDir("/")
		_ = m.Remove("/f")
	}
	m := New()
	must(t, m.Mkdir("/before"))
	m.Record()
	history(m)
	states := m.States()
	if len(states) != 8 || states[0].Call != 2 || states[7].Call != 9 {
		t.Fatal(len(states), states[0].Call)
	}
	for _, s := range states {
		dying := New()
		must(t, dying.Mkdir("/before"))
		dying.DieAt(s.Call)
		history(dying)
		for seed := range uint64(30) {
			for _, name := range []string{"/f", "/g"} {
				want, got := read(on(copyTree(dying.d.root)).Restart(seed), name), read(s.Restart(seed), name)
				if want != got {
					t.Fatalf("before call %d, seed %d: %s is %q, want %q", s.Call, seed, name, got, want)
				}
			}
		}
	}
}

func TestStatesThatAreTheSameSaySo(t *testing.T) {
	m := New()
	m.Record()
	f := create(t, m, "/f", "content") // calls 1 and 2
	must(t, f.Sync())
	must(t, f.Sync())
	must(t, m.SyncDir("/"))
	must(t, m.SyncDir("/"))
	states := m.States()
	for i, want := range []struct{ same, shows bool }{{false, false}, {false, false}, {false, true}, {true, true}, {false, true}, {true, true}} {
		if same, shows := states[i].Same(states[i+1]), states[i].Shows(states[i+1]); same != want.same || shows != want.shows {
			t.Errorf("around call %d: same %v, shows the same %v", i+1, same, shows)
		}
	}
}
