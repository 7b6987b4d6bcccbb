package update

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"keepward/internal/errs"
)

// helper is what a copy of the test's program does in place of the tests.
var discard = slog.New(slog.DiscardHandler)

const helper = "KEEPWARD_TEST_HELPER"

func TestMain(m *testing.M) {
	switch os.Getenv(helper) {
	case "":
		os.Exit(m.Run())
	case "self-check":
		fmt.Println(SelfCheck("1.1.0"))
	case "good":
		ctx, answered := OnTrial(context.Background(), os.Stdin, os.Stdout)
		fmt.Println("something else")
		answered()
		answered()
		<-ctx.Done()
	case "ends":
		fmt.Fprintln(os.Stderr, "I cannot find", os.Getenv(TrialVariable))
		os.Exit(3)
	case "hangs":
		fmt.Fprint(os.Stderr, "I look for the server")
		_, _ = io.Copy(io.Discard, os.Stdin)
	case "falls":
		_, answered := OnTrial(context.Background(), os.Stdin, os.Stdout)
		answered()
		os.Exit(2)
	}
}

func TestATrial(t *testing.T) {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		mode  string
		limit time.Duration
		stays time.Duration
		code  string
		log   []string
	}{
		{"good", time.Minute, time.Millisecond, "", nil},
		{"ends", time.Minute, time.Minute, "update.ended", []string{"I cannot find 1"}},
		{"falls", time.Minute, time.Minute, "update.ended", nil},
		{"hangs", 500 * time.Millisecond, time.Minute, "update.no-answer", nil},
	} {
		t.Run(c.mode, func(t *testing.T) {
			t.Setenv(helper, c.mode)
			var out bytes.Buffer
			log, err := trial{errOut: &out, stays: c.stays}.try(t.Context(), path, c.limit)
			if errs.CodeOf(err) != c.code || c.log != nil && !slices.Equal(log, c.log) {
				t.Errorf("%v; it said %q", err, log)
			}
			if c.log != nil && out.Len() == 0 {
				t.Error("what it said is passed on to nobody")
			}
		})
	}
	t.Run("broken off", func(t *testing.T) {
		t.Setenv(helper, "hangs")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := (trial{}).try(ctx, path, time.Minute); !errors.Is(err, errBroken) {
			t.Errorf("%v", err)
		}
	})
	t.Run("no program", func(t *testing.T) {
		if _, err := (trial{}).try(t.Context(), t.TempDir(), time.Minute); errs.CodeOf(err) != "update.start" {
			t.Errorf("%v", err)
		}
	})
}

func TestTheLastLinesAreKept(t *testing.T) {
	var s tail
	for i := range 100 {
		fmt.Fprintf(&s, "line %d\nand ", i)
	}
	fmt.Fprint(&s, "a part")
	got := s.lines()
	if len(got) != linesKept || got[linesKept-1] != "and a part" || got[linesKept-2] != "and line 99" {
		t.Errorf("%q", got)
	}
	var long tail
	fmt.Fprintln(&long, string(bytes.Repeat([]byte("é"), 1000)))
	if got := long.lines(); len(got) != 1 || len(got[0]) > lineMost+10 {
		t.Errorf("a long line is kept with %d bytes", len(got[0]))
	}
}

// site is an updater whose program is a copy of this test's, and what it asks of an agent.
type site struct {
	u       *Updater
	order   Order
	content []byte
	drained chan func(error) // the agent is asked to drain; answered by the test
	stopped chan error       // serve has ended
	resumed atomic.Int32     // how often the agent was told to go on
}

func newSite(t *testing.T) *site {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	a := authority(t)
	p := packageOf(content, "1.1.0")
	signature, err := a.Sign(p.Statement())
	if err != nil {
		t.Fatal(err)
	}
	s := &site{content: content, order: Order{ID: "1", Package: p, Signature: signature, Limit: time.Minute}, drained: make(chan func(error)), stopped: make(chan error, 1)}
	ready := make(chan struct{})
	s.u = &Updater{
		cfg:  Config{Dir: t.TempDir(), Version: "1.0.0", Logger: discard},
		home: homeIn(t, "old"), free: plenty,
		run: func(ctx context.Context, u *Updater) error {
			u.Attach(Hooks{
				Authority: func() *x509.Certificate { return a.Certificate },
				Source:    sourceOf(content, 1<<20),
				Drain: func(ctx context.Context, told func(string)) error {
					told("a backup")
					done := make(chan error, 1)
					select {
					case s.drained <- func(err error) { done <- err }:
						return <-done
					case <-ctx.Done():
						return context.Cause(ctx)
					}
				},
				Resume: func() { s.resumed.Add(1) },
			})
			close(ready)
			<-ctx.Done()
			return nil
		},
	}
	s.u.sum = func() (string, error) { return digest(s.u.home.path) }
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		s.stopped <- s.u.serve(ctx)
	}()
	t.Cleanup(func() { cancel(); <-over })
	<-ready
	return s
}

func TestANewVersionIsLaidBesideAndWaitsForWhatRuns(t *testing.T) {
	t.Setenv(helper, "self-check")
	s := newSite(t)
	if err := s.u.Begin(s.order, false, false); err != nil {
		t.Fatal(err)
	}
	drained := <-s.drained
	if st := s.u.Status(); st.Phase != Waiting || st.Waits != "a backup" || st.ID != "1" {
		t.Errorf("it stands as %+v", st)
	}
	if err := s.u.Begin(s.order, false, false); err != nil {
		t.Errorf("the same order again: %v", err)
	}
	other := s.order
	other.ID = "2"
	if err := s.u.Begin(other, false, false); errs.CodeOf(err) != "update.busy" {
		t.Errorf("another order beside it: %v", err)
	}
	drained(nil)
	if err := <-s.stopped; !errors.Is(err, errTry) {
		t.Fatalf("the agent ended with %v", err)
	}
	st, err := s.u.load()
	if err != nil || st.Phase != Trying || st.Order.From != "1.0.0" {
		t.Errorf("the state is %+v, %v", st, err)
	}
	got, err := os.ReadFile(s.u.home.staged())
	if err != nil || !bytes.Equal(got, s.content) {
		t.Errorf("%d bytes lie beside: %v", len(got), err)
	}
}

func TestAnOrderThatIsTakenBackLeavesNothing(t *testing.T) {
	t.Setenv(helper, "self-check")
	s := newSite(t)
	if err := s.u.Begin(s.order, false, false); err != nil {
		t.Fatal(err)
	}
	drained := <-s.drained
	s.u.Cancel("2") // of another one
	s.u.Cancel("1")
	drained(errCancelled)
	s.u.work.Wait()
	st := s.u.Status()
	if st.ID != "" || st.Last == nil || st.Last.Code != "update.cancelled" {
		t.Errorf("it stands as %+v", st)
	}
	if _, err := os.Stat(s.u.home.staged()); err == nil {
		t.Error("the new version still lies beside")
	}
	if err := s.u.Begin(s.order, false, false); err != nil {
		t.Errorf("it cannot be ordered again: %v", err)
	}
	(<-s.drained)(errCancelled)
}

func TestWhatDoesNotSayWhatItIsSaidToBeIsNotTried(t *testing.T) {
	t.Setenv(helper, "ends")
	s := newSite(t)
	if err := s.u.Begin(s.order, false, false); err != nil {
		t.Fatal(err)
	}
	s.u.work.Wait()
	if st := s.u.Status(); st.Last == nil || st.Last.Code != "update.self-check" {
		t.Errorf("it stands as %+v", st)
	}
	if err := s.u.Begin(s.order, false, false); errs.CodeOf(err) != "update.barred" {
		t.Errorf("it is taken again: %v", err)
	}
}

func TestOrdersThatAnAgentRefuses(t *testing.T) {
	s := newSite(t)
	foreign := authority(t)
	signature, err := foreign.Sign(s.order.Package.Statement())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(o *Order)
		off    string
		code   string
	}{
		"of another authority": {func(o *Order) { o.Signature = signature }, "", "package.signature"},
		"managed":              {func(*Order) {}, "managed by the package", "update.managed"},
	} {
		o := s.order
		c.change(&o)
		s.u.off = c.off
		if err := s.u.Begin(o, true, true); errs.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.u.off = ""
	s.u.cfg.Version = "2.0.0"
	if err := s.u.Begin(s.order, true, false); errs.CodeOf(err) != "update.downgrade" {
		t.Errorf("an older version: %v", err)
	}
}

func TestSomebodyElsesReplacementIsNotWrittenOver(t *testing.T) {
	s := newSite(t)
	if err := os.Remove(s.u.home.path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.u.home.path, []byte("by hand"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := s.u.Begin(s.order, false, false); err != nil {
		t.Fatal(err)
	}
	s.u.work.Wait()
	if st := s.u.Status(); st.Last == nil || st.Last.Code != "update.replaced" {
		t.Errorf("it stands as %+v", st)
	}
	if b, _ := os.ReadFile(s.u.home.path); string(b) != "by hand" {
		t.Errorf("%q is there", b)
	}
}

func TestAnAgentThatMadePlaceForNothingGoesOn(t *testing.T) {
	t.Setenv(helper, "self-check")
	s := newSite(t)
	if err := s.u.Begin(s.order, false, false); err != nil {
		t.Fatal(err)
	}
	drained := <-s.drained
	// What stands there cannot be written over, as on a disk that is full.
	if err := os.MkdirAll(filepath.Join(s.u.cfg.Dir, stateFile, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	drained(nil)
	s.u.work.Wait()
	if st := s.u.Status(); st.ID != "" || st.Last == nil || st.Last.Code != "update.state" {
		t.Errorf("it stands as %+v", st)
	}
	if n := s.resumed.Load(); n != 1 {
		t.Errorf("the agent was told to go on %d times", n)
	}
}

// TestAnOrderWhoseServerIsAwayIsLeftOff: it is none that has failed, for the server may give it again.
func TestAnOrderWhoseServerIsAwayIsLeftOff(t *testing.T) {
	content := bytes.Repeat([]byte("keepward"), 1000)
	o := Order{ID: "1", Package: packageOf(content, "1.2.3")}
	u := &Updater{cfg: Config{Dir: t.TempDir(), Logger: discard}, home: homeIn(t, "old"), free: plenty, status: Status{ID: "1", Phase: Downloading}}
	away := func(_ context.Context, _ string, offset int64) ([]byte, error) {
		if offset == 0 {
			return content[:1000], nil
		}
		return nil, errs.New(errs.Unavailable, "link.lost", "gone")
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*lastingMost)
		defer cancel()
		u.ctx = ctx
		begun := time.Now()
		u.carryOut(ctx, State{}, o, Hooks{Source: away, Resume: func() {}})
		if took := time.Since(begun); took < lastingMost || took > 2*lastingMost {
			t.Errorf("it was left off after %s", took)
		}
	})
	if st := u.Status(); st.ID != "" || st.Last != nil {
		t.Errorf("it stands as %+v", st)
	}
	if s, err := u.load(); err != nil || s.Last != nil {
		t.Errorf("the state is %+v, %v", s, err)
	}
}
