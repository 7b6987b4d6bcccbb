package snapshot_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/snapshot"
	"keepward/internal/snapshot/snapshottest"
)

// vssTest is a provider with its double, a volume and where its notes are.
type vssTest struct {
	*windows
	snapshot.Provider
	v     snapshot.Volume
	notes string
}

func newVSSTest(t *testing.T) *vssTest {
	w := newWindows(t)
	c := &vssTest{windows: w, v: w.volume(t), notes: filepath.Join(t.TempDir(), "mounts")}
	c.again()
	return c
}

// again is the next process.
func (c *vssTest) again() { c.Provider = snapshot.NewVSS(c.windows, c.notes) }

func (c *vssTest) create(ctx context.Context, id string) (*snapshot.Snapshot, error) {
	return c.Create(ctx, c.v, shot(id), func(string) bool { return true })
}

func (c *vssTest) left(t *testing.T, owner string) []snapshot.Name {
	t.Helper()
	list, err := c.List(t.Context(), c.v, owner)
	if err != nil {
		t.Error(err)
	}
	return list
}

const shotOwner = "00000000000000aa"

func shot(id string) snapshot.Name { return snapshot.Name{Owner: shotOwner, ID: id} }

// made is what is called until a shadow copy is there.
const made = "Create Initialize SetContext SetState Gather IsSupported Start Add Prepare Do Properties"

func TestVSSContractOfADouble(t *testing.T) {
	snapshottest.Run(t, func(t *testing.T) snapshottest.Subject {
		c := newVSSTest(t)
		t.Cleanup(func() {
			if shadows, open, pending := c.state(); shadows+open+pending > 0 {
				t.Errorf("there are %d shadow copies, %d objects, and %d of what goes on", shadows, open, pending)
			}
		})
		return snapshottest.Subject{Provider: c.Provider, Volume: c.v}
	})
}

func TestVSSIsCalledLikeThis(t *testing.T) {
	c := newVSSTest(t)
	s, err := c.create(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.told(); got != made {
		t.Errorf("made by %s", got)
	}
	root, done, err := c.Provider.Open(t.Context(), s)
	if err != nil || root != filepath.Join(c.dir, "HarddiskVolumeShadowCopy1") || s.Parts[0].Path != "." {
		t.Errorf("read at %s, %s, %v", root, s.Parts[0].Path, err)
	}
	done()
	if err := c.Remove(t.Context(), c.v, s.Name); err != nil {
		t.Fatal(err)
	}
	if got := c.told(); got != "Complete Delete Release" {
		t.Errorf("removed by %s", got)
	}
	if files, err := os.ReadDir(c.notes); err != nil || len(files) > 0 {
		t.Errorf("noted: %v, %v", files, err)
	}
	// Where there is nothing, Windows is not asked.
	if list := c.left(t, shotOwner); len(list) > 0 || c.told() != "" {
		t.Errorf("left over: %v", list)
	}
}

// Whatever fails, nothing stays: neither a shadow copy nor an object, nor a set that stands in the way
// of the next try. What was begun is aborted, and what Windows says is told.
func TestVSSLeavesNothingWhereACallFails(t *testing.T) {
	calls := strings.Fields(made)
	for _, call := range append(slices.Clone(calls), "done Gather", "done Prepare", "done Do") {
		t.Run(call, func(t *testing.T) {
			c := newVSSTest(t)
			c.fails[call] = snapshot.HResult(0x80042319)
			_, err := c.create(t.Context(), "1")
			if err == nil || !strings.Contains(err.Error(), "VSS_E_WRITER_NOT_RESPONDING (0x80042319)") || errs.KindOf(err) != errs.Unavailable || errs.CodeOf(err) != "snapshot.failed" {
				t.Errorf("it fails with %v", err)
			}
			if shadows, open, pending := c.state(); shadows+open+pending > 0 || len(c.left(t, shotOwner)) > 0 {
				t.Errorf("there are %d shadow copies, %d objects, and %d of what goes on", shadows, open, pending)
			}
			told := c.told()
			aborted, begun := strings.Contains(told, "Abort"), slices.Index(calls, strings.TrimPrefix(call, "done ")) > slices.Index(calls, "Start")
			if want := begun && call != "Properties"; aborted != want {
				t.Errorf("aborted: %v, want %v: %s", aborted, want, told)
			}
			c.from(func() { delete(c.fails, call) })
			s, err := c.create(t.Context(), "1")
			if err != nil {
				t.Fatalf("the next try: %v", err)
			}
			if err := c.Remove(t.Context(), c.v, s.Name); err != nil {
				t.Error(err)
			}
		})
	}
}

// A volume that can have no shadow copy is read as it is, with the reason; what may go by is tried
// again.
func TestVSSToldApart(t *testing.T) {
	for _, c := range []struct {
		call  string
		err   error
		why   string // it has none
		retry errs.Kind
	}{
		{call: "Create", err: snapshot.HResult(0x80070005), why: "vss: the agent has not the rights of an administrator (CreateVssBackupComponents: E_ACCESSDENIED)"},
		{call: "Create", err: &snapshot.Unfit{Why: "there is none"}, why: "vss: there is none"},
		{call: "Add", err: snapshot.HResult(0x8004230c), why: "vss: Windows makes no shadow copies of it (AddToSnapshotSet: VSS_E_VOLUME_NOT_SUPPORTED)"},
		{call: "done Do", err: snapshot.HResult(0x8004231f), why: "vss: there is no room for a shadow copy (DoSnapshotSet: VSS_E_INSUFFICIENT_STORAGE)"},
		{call: "done Do", err: snapshot.HResult(0x80042313), retry: errs.Unavailable},
		{call: "done Do", err: snapshot.HResult(0x8004231d), retry: errs.Busy},
		{call: "Add", err: snapshot.HResult(0x8badf00d), retry: errs.Unavailable},
		{call: "Start", err: badState, retry: errs.Internal},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := newVSSTest(t)
			d.fails[c.call] = c.err
			taker := &snapshot.Taker{
				Providers: []snapshot.Provider{d.Provider, snapshot.NewNone()},
				Volumes:   func() ([]snapshot.Volume, error) { return []snapshot.Volume{d.v}, nil },
				Wait:      func(context.Context, time.Duration) error { return nil },
			}
			retried := 0
			p, err := taker.Plan(snapshot.Request{
				Name: shot("1"), Include: []string{d.v.Mount}, Wanted: func(string) bool { return true }, Retries: 2,
				Retry: func(snapshot.Volume, int, error) { retried++ },
			})
			if err != nil {
				t.Fatal(err)
			}
			set, err := taker.Take(t.Context(), p)
			if c.why != "" {
				if err != nil || retried > 0 || set.Choices[0].Kind != snapshot.None || strings.Join(set.Choices[0].Why, "; ") != c.why {
					t.Errorf("%s answers %v: %+v, %v, tried again %d times", c.call, c.err, set, err, retried)
				}
				return
			}
			if err == nil || retried != 2 || errs.KindOf(err) != c.retry {
				t.Errorf("%s answers %v: %v (%s), tried again %d times", c.call, c.err, err, errs.KindOf(err), retried)
			}
		})
	}
}

func TestVSSSaysWhyNot(t *testing.T) {
	p := snapshot.NewVSS(newWindows(t), t.TempDir())
	for want, v := range map[string]snapshot.Volume{
		"it is neither NTFS nor ReFS":         {Type: "exFAT", Source: `\\?\Volume{1}\`},
		"it is a directory that has a letter": {Type: "NTFS", Source: `S:\`},
		"the volume is read-only":             {Type: "ReFS", Source: `\\?\Volume{1}\`, ReadOnly: true},
	} {
		if err := p.Fits(t.Context(), v); err == nil || err.Error() != want {
			t.Errorf("%+v: %v, want %s", v, err, want)
		}
	}
	w := newWindows(t)
	known := w.volume(t)
	unknown := known
	unknown.Source = `\\?\Volume{unknown}\`
	_, err := snapshot.NewVSS(w, t.TempDir()).Create(t.Context(), unknown, shot("1"), nil)
	var no *snapshot.Unfit
	if !errors.As(err, &no) || no.Why != "Windows makes no shadow copies of it" {
		t.Errorf("a volume that Windows does not know: %v", err)
	}
	if _, open, _ := w.state(); open > 0 {
		t.Error("its object stays")
	}
}

// What has no shadow copies on Windows is read as it is, and is told as on other systems.
func TestVSSIsNotForOtherFileSystems(t *testing.T) {
	c := newVSSTest(t)
	c.v.Type = "exFAT"
	taker := &snapshot.Taker{
		Providers: []snapshot.Provider{c.Provider, snapshot.NewNone()},
		Volumes:   func() ([]snapshot.Volume, error) { return []snapshot.Volume{c.v}, nil },
	}
	p, err := taker.Plan(snapshot.Request{Name: shot("1"), Include: []string{c.v.Mount}, Wanted: func(string) bool { return true }})
	if err != nil {
		t.Fatal(err)
	}
	set, err := taker.Take(t.Context(), p)
	if err != nil || set.Choices[0].Kind != snapshot.None || strings.Join(set.Choices[0].Why, "; ") != "exFAT has no snapshots of its own" || c.told() != "" {
		t.Errorf("%+v, %v", set, err)
	}
}

// A call that hangs in Windows holds nobody: the try ends with its time, what goes on is told to end,
// and what comes of it late is removed.
func TestVSSDoesNotWaitForWhatHangs(t *testing.T) {
	for _, call := range []string{"Gather", "Prepare", "Do"} {
		for _, deaf := range []bool{false, true} {
			t.Run(fmt.Sprint(call, " deaf ", deaf), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := newVSSTest(t)
					c.hangs[call], c.deaf = true, deaf
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					begin := time.Now()
					_, err := c.create(ctx, "1")
					took, most := time.Since(begin), 11*time.Second
					if deaf {
						most = 16 * time.Second // it is waited for a moment, but not as long as it takes
					}
					if err == nil || !errors.Is(err, context.DeadlineExceeded) || took > most {
						t.Errorf("after %s: %v", took, err)
					}
					// Nothing else is made meanwhile, and soon nothing is left.
					c.from(func() { delete(c.hangs, call) })
					s, err := c.create(t.Context(), "2")
					if err != nil {
						t.Fatal(err)
					}
					if err := c.Remove(t.Context(), c.v, s.Name); err != nil {
						t.Error(err)
					}
					synctest.Wait()
					if shadows, open, pending := c.state(); shadows+open+pending > 0 || len(c.left(t, shotOwner)) > 0 {
						t.Errorf("there are %d shadow copies, %d objects, and %d of what goes on", shadows, open, pending)
					}
					if told := c.told(); !strings.Contains(told, "Cancel") {
						t.Errorf("it was not told to end: %s", told)
					}
				})
			})
		}
	}
}

// One that was done in the moment when it was given up is known until it is removed.
func TestVSSRemovesWhatComesLate(t *testing.T) {
	c := newVSSTest(t)
	ctx, cancel := context.WithCancel(t.Context())
	c.called = func(call string) {
		if call == "Properties" {
			cancel()
		}
	}
	if _, err := c.create(ctx, "1"); err == nil {
		// It was there before anybody looked whether it was still wanted: then it is as good as any.
		if err := c.Remove(t.Context(), c.v, shot("1")); err != nil {
			t.Error(err)
		}
	}
	if shadows, open, pending := c.state(); shadows+open+pending > 0 || len(c.left(t, shotOwner)) > 0 {
		t.Errorf("there are %d shadow copies, %d objects, and %d of what goes on", shadows, open, pending)
	}
}

// While another program makes a shadow copy it is waited for: a computer makes one set at a time.
func TestVSSWaitsForOtherPrograms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newVSSTest(t)
		other := &backupDouble{w: c.windows}
		c.from(func() { c.making = other })
		timer := time.AfterFunc(29*time.Second, func() { c.from(func() { c.making = nil }) })
		defer timer.Stop()
		begin := time.Now()
		s, err := c.create(t.Context(), "1")
		if took := time.Since(begin); err != nil || took < 29*time.Second || took > 32*time.Second {
			t.Fatalf("after %s: %v", took, err)
		}
		if err := c.Remove(t.Context(), c.v, s.Name); err != nil {
			t.Error(err)
		}
		c.from(func() { c.making = other })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := c.create(ctx, "2"); err == nil || errs.KindOf(err) != errs.Busy || !strings.Contains(err.Error(), "StartSnapshotSet: VSS_E_SNAPSHOT_SET_IN_PROGRESS") {
			t.Errorf("while another one goes on: %v", err)
		}
	})
}

// Several jobs at once get their shadow copies one after the other, and keep them beside each other.
func TestVSSMakesOneAtATime(t *testing.T) {
	c := newVSSTest(t)
	const n = 8
	var work sync.WaitGroup
	for i := range n {
		work.Go(func() {
			if _, err := c.create(t.Context(), fmt.Sprint(i)); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	if shadows, open, _ := c.state(); shadows != n || open != n || len(c.left(t, shotOwner)) != n {
		t.Errorf("there are %d shadow copies of %d objects", shadows, open)
	}
	if told := c.told(); strings.Contains(told, "busy") {
		t.Errorf("they stood in each other's way: %s", told)
	}
	for i := range n {
		work.Go(func() {
			if err := c.Remove(t.Context(), c.v, shot(fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	if shadows, open, pending := c.state(); shadows+open+pending > 0 {
		t.Errorf("there are %d shadow copies, %d objects, and %d of what goes on", shadows, open, pending)
	}
}

// One that fails is undone before the next is begun, or it would be in its way.
func TestVSSUndoesOneBeforeTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newVSSTest(t)
		c.fails["done Do"], c.slow = badState, time.Second
		const n = 3
		var work sync.WaitGroup
		for i := range n {
			work.Go(func() {
				if _, err := c.create(t.Context(), fmt.Sprint(i)); err == nil {
					t.Error("it was made")
				}
			})
		}
		work.Wait()
		want := strings.TrimSuffix(made, " Properties") + " Abort Release"
		if d := cmp.Diff(strings.TrimSpace(strings.Repeat(want+" ", n)), c.told()); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
}

// What a killed process had is released by Windows; the next process finds nothing, and its notes end.
// Where Windows has not released it yet, it is found by its note and removed, and no other is touched.
func TestVSSAfterAKill(t *testing.T) {
	for _, careless := range []bool{false, true} {
		t.Run(fmt.Sprint("not released ", careless), func(t *testing.T) {
			c := newVSSTest(t)
			foreign := snapshot.NewVSS(c.windows, t.TempDir()) // that of another program, without a note of ours
			other, err := foreign.Create(t.Context(), c.v, shot("9"), nil)
			if err != nil {
				t.Fatal(err)
			}
			s, err := c.create(t.Context(), "1")
			if err == nil {
				_, _, err = c.Provider.Open(t.Context(), s)
			}
			if err != nil {
				t.Fatal(err)
			}
			if !careless {
				if err := foreign.Remove(t.Context(), c.v, other.Name); err != nil {
					t.Fatal(err)
				}
			}
			c.from(func() { c.careless = careless })
			c.dies()
			c.again()
			c.told()
			if got := c.left(t, "00000000000000bb"); len(got) > 0 {
				t.Errorf("to another agent there is %v", got)
			}
			if list, err := c.List(t.Context(), c.volume(t), shotOwner); err != nil || len(list) > 0 || c.told() != "" {
				t.Errorf("on another volume there is %v, %v", list, err)
			}
			got := c.left(t, shotOwner)
			if (len(got) > 0) != careless || careless && got[0] != s.Name {
				t.Fatalf("left over: %v", got)
			}
			if err := c.Remove(t.Context(), c.volume(t), s.Name); err != nil || len(c.left(t, shotOwner)) != len(got) {
				t.Errorf("removed from another volume: %v", err)
			}
			for range 2 { // the second time there is nothing
				if err := c.Remove(t.Context(), c.v, s.Name); err != nil {
					t.Error(err)
				}
			}
			theirs := 0
			if careless {
				theirs = 1
			}
			if shadows, open, _ := c.state(); shadows != theirs || open != 0 {
				t.Errorf("there are %d shadow copies, of others %d, and %d objects", shadows, theirs, open)
			}
			if files, err := os.ReadDir(c.notes); err != nil || len(files) > 0 {
				t.Errorf("noted: %v, %v", files, err)
			}
		})
	}
}

// A note that was cut off in the middle, and one of another agent, do no harm.
func TestVSSNotesThatCannotBeRead(t *testing.T) {
	c := newVSSTest(t)
	if err := os.MkdirAll(c.notes, 0o700); err != nil {
		t.Fatal(err)
	}
	id := snapshot.VSSID{Data1: 0xdeadbeef, Data2: 1, Data3: 2, Data4: [8]byte{0xff, 0, 1}}.String()
	if id != "{deadbeef-0001-0002-ff00-010000000000}" {
		t.Errorf("an id is shown as %s", id)
	}
	bb := snapshot.Name{Owner: "00000000000000bb", ID: "1"}
	for name, text := range map[string]string{
		shot("1").String() + ".shadow": id + "\n" + c.v.Source, // without its end
		shot("2").String() + ".shadow": id[:8],
		shot("3").String() + ".shadow": strings.Replace(id, "d", "x", 1) + "\n" + c.v.Source + "\n",
		bb.String() + ".shadow":        "x",
		"theirs":                       "x",
	} {
		if err := os.WriteFile(filepath.Join(c.notes, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.left(t, shotOwner); len(got) > 0 || c.told() != "" {
		t.Errorf("left over: %v", got)
	}
	files, err := os.ReadDir(c.notes)
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
	}
	if d := cmp.Diff([]string{bb.String() + ".shadow", "theirs"}, names); err != nil || d != "" {
		t.Errorf("notes (-want +got):\n%s, %v", d, err)
	}
}

// A shadow copy that Windows has removed, since its room was used up, is known to have ended: at the
// next look, and by what cannot be read of it.
func TestVSSSaysThatAShadowCopyHasEnded(t *testing.T) {
	for _, how := range []string{"", "removed", "unreadable", "cannot be asked"} {
		t.Run(how, func(t *testing.T) {
			c := newVSSTest(t)
			s, err := c.create(t.Context(), "1")
			if err != nil {
				t.Fatal(err)
			}
			c.from(func() {
				for id, sh := range c.shadows {
					switch how {
					case "removed":
						c.gone(id)
					case "unreadable":
						err = os.RemoveAll(sh.dir)
					case "cannot be asked":
						c.fails["Properties"] = badState
					}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			taker := &snapshot.Taker{Providers: []snapshot.Provider{c.Provider}}
			set := &snapshot.Set{Snapshots: []*snapshot.Snapshot{s}}
			if !taker.CanEnd(set) {
				t.Error("it cannot end")
			}
			want := map[string]string{"": "", "removed": "snapshot.overflow", "unreadable": "snapshot.overflow", "cannot be asked": "snapshot.check"}[how]
			if err := taker.Check(t.Context(), set); errs.CodeOf(err) != want || want == "snapshot.overflow" && !strings.Contains(errs.HintOf(err), "vssadmin") {
				t.Errorf("%v, want %q", err, want)
			}
			taker.Remove(t.Context(), set, func(err error) { t.Error(err) })
			if err := taker.Check(t.Context(), set); errs.CodeOf(err) != "snapshot.overflow" {
				t.Errorf("after its removal: %v", err)
			}
		})
	}
}

// What could not be removed keeps its note: the next sweep does it.
func TestVSSTriesAgainToRemove(t *testing.T) {
	c := newVSSTest(t)
	s, err := c.create(t.Context(), "1")
	if err == nil {
		_, _, err = c.Provider.Open(t.Context(), s)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.from(func() { c.careless, c.fails["Delete"] = true, snapshot.HResult(0x8004230f) })
	if err := c.Remove(t.Context(), c.v, s.Name); err == nil || !strings.Contains(err.Error(), "DeleteSnapshots: VSS_E_UNEXPECTED_PROVIDER_ERROR") {
		t.Errorf("removed: %v", err)
	}
	if got := c.left(t, shotOwner); len(got) != 1 {
		t.Errorf("left over: %v", got)
	}
	c.from(func() { delete(c.fails, "Delete") })
	taker := &snapshot.Taker{Providers: []snapshot.Provider{c.Provider}, Volumes: func() ([]snapshot.Volume, error) { return []snapshot.Volume{c.v}, nil }}
	got := taker.Sweep(t.Context(), shotOwner, func(snapshot.Name) bool { return false }, func(err error) { t.Error(err) })
	if shadows, open, _ := c.state(); len(got) != 1 || got[0] != "vss of "+c.v.Mount || shadows+open > 0 {
		t.Errorf("swept %v; there are %d shadow copies, %d objects", got, shadows, open)
	}
}
