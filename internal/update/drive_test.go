package update

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"keepward/internal/errs"
)

// disk is what survives the end of a process.
type disk struct {
	installed, staged, previous string
	state                       State
	answered                    bool // the server has answered the new version
}

// life is one process; it ends in a crash at one of the moments before or after something changes.
type life struct {
	*disk
	t       *testing.T
	running string
	moments int
	crashes []int
	trial   func() error
	served  bool
}

type (
	crash   struct{}
	becomes struct{ program string }
)

// op changes the disk, unless the process dies before that.
func (l *life) op(change func()) {
	l.moment()
	change()
	l.moment()
}

func (l *life) moment() {
	l.moments++
	if slices.Contains(l.crashes, l.moments) {
		panic(crash{})
	}
}

func (l *life) now() time.Time       { return time.Unix(1e9, 0) }
func (l *life) load() (State, error) { return l.state, nil }
func (l *life) save(s State) error   { l.op(func() { l.state = s }); return nil }
func (l *life) clear(s State) {
	if s.Phase == Idle {
		l.op(func() { l.staged = "" })
	}
}
func (l *life) failed(string, error) {}

func (l *life) facts() (Facts, error) {
	return Facts{Running: l.running, Installed: l.installed, Staged: l.staged}, nil
}

const oldSum, newSum = "old", "new"

// serve is the agent: the server has its order carried out until it knows how it ended.
func (l *life) serve(context.Context) error {
	if l.state.Last != nil {
		l.served = true
		return nil
	}
	if l.state.Phase != Idle {
		l.t.Errorf("the agent serves in phase %q", l.state.Phase)
	}
	l.op(func() { l.staged = newSum })
	if err := l.save(l.state.Begin(Order{ID: "1", From: "1.0.0", Package: Package{Version: "1.1.0", SHA256: newSum}})); err != nil {
		return err
	}
	return errTry
}

func (l *life) try(context.Context, Order) ([]string, error) {
	l.moment()
	err := l.trial()
	l.answered = l.answered || err == nil
	l.moment()
	return []string{"a line"}, err
}

func (l *life) replace() error {
	l.op(func() { l.previous = l.installed })
	l.op(func() { l.installed, l.staged = l.staged, "" })
	return nil
}

func (l *life) restart() error { panic(becomes{l.installed}) }

// live is what becomes of a disk with crashes at some moments, and how many moments there were.
func live(t *testing.T, trial func() error, crashes ...int) (*life, int) {
	t.Helper()
	d := &disk{installed: oldSum}
	moments := 0
	for range 20 {
		l := &life{disk: d, t: t, running: d.installed, moments: moments, crashes: crashes, trial: trial}
		err := l.live()
		moments = l.moments
		if d.installed != oldSum && (d.installed != newSum || !d.answered) {
			t.Fatalf("crashes %v: %q has the place, answered %v", crashes, d.installed, d.answered)
		}
		if l.served {
			if err != nil {
				t.Fatalf("crashes %v: %v", crashes, err)
			}
			return l, moments
		}
	}
	t.Fatalf("crashes %v: it does not come to an end", crashes)
	return nil, 0
}

func (l *life) live() (err error) {
	defer func() {
		switch v := recover().(type) {
		case nil, crash, becomes: // whatever starts the agent starts what has the place
		default:
			panic(v)
		}
	}()
	return drive(l.t.Context(), l)
}

func TestWhateverIsCutOffOneWholeVersionRunsAndKnowsWhatItIs(t *testing.T) {
	bad := errs.New(errs.Unavailable, "update.no-answer", "nobody has answered it")
	for name, trial := range map[string]func() error{"good": func() error { return nil }, "bad": func() error { return bad }} {
		_, all := live(t, trial)
		for i := 1; i <= all+10; i++ {
			for j := i; j <= all+20; j++ {
				l, _ := live(t, trial, i, j)
				last := l.state.Last
				became := l.running == newSum
				switch {
				case last.Done != became, last.ID != "1", last.From != "1.0.0", last.Version != "1.1.0":
					t.Errorf("%s, crashes %d and %d: %s runs and says %+v", name, i, j, l.running, last)
				case name == "bad" && became:
					t.Errorf("crashes %d and %d: a version runs that did not prove itself", i, j)
				case name == "good" && i == j && !became:
					t.Errorf("crash %d: %s", i, last.Reason)
				case !became && !slices.Contains(l.state.Barred, newSum) && last.Code != "update.staged":
					t.Errorf("%s, crashes %d and %d: it would be tried again by itself: %s", name, i, j, last.Reason)
				case became && l.previous != oldSum:
					t.Errorf("crashes %d and %d: the version before is %q", i, j, l.previous)
				}
			}
		}
	}
}

func TestATrialThatTheAgentsEndBreaksOffDoesNotCount(t *testing.T) {
	tries := 0
	d := &disk{installed: oldSum}
	trial := func() error {
		if tries++; tries < 5 {
			return errBroken
		}
		return nil
	}
	for range 20 {
		l := &life{disk: d, t: t, running: d.installed, trial: trial}
		if err := l.live(); err != nil {
			t.Fatal(err)
		}
		if l.served {
			break
		}
	}
	if d.installed != newSum || tries != 5 {
		t.Errorf("after %d trials %s has the place: %+v", tries, d.installed, d.state)
	}
}

func TestWhatLiesBesideAndIsAlteredIsNotTried(t *testing.T) {
	for _, phase := range []Phase{Trying, Proven} {
		s := State{Phase: phase, Order: Order{ID: "1", Package: Package{SHA256: newSum}}}
		for _, staged := range []string{"", "other"} {
			got, step := s.Next(Facts{Running: oldSum, Installed: oldSum, Staged: staged}, time.Now())
			if step != Serve || got.Phase != Idle || got.Last.Code != "update.staged" || len(got.Barred) > 0 {
				t.Errorf("%s, %q beside: step %v, %+v", phase, staged, step, got.Last)
			}
		}
	}
}

func TestAReplacementThatFailsLeavesTheOldVersion(t *testing.T) {
	full := errors.New("read-only file system")
	l := &life{disk: &disk{installed: oldSum}, t: t, running: oldSum, trial: func() error { return nil }}
	if err := drive(t.Context(), failing{l, full}); err != nil {
		t.Fatal(err)
	}
	if l.installed != oldSum || l.state.Last.Done || !l.served {
		t.Errorf("%s has the place: %+v", l.installed, l.state.Last)
	}
}

type failing struct {
	*life
	with error
}

func (f failing) replace() error { return f.with }

func TestAnAgentThatIsToldToEndDoesNotBecomeAnother(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l := &life{disk: &disk{installed: oldSum}, t: t, running: oldSum, trial: func() error { cancel(); return nil }}
	if err := drive(ctx, l); err != nil { // it would panic
		t.Fatal(err)
	}
	if l.installed != newSum || !l.state.Last.Done {
		t.Errorf("%s has the place: %+v", l.installed, l.state.Last)
	}
}

func TestWhichOrdersAreRefused(t *testing.T) {
	for _, c := range []struct {
		from, to         string
		barred           bool
		again, downgrade bool
		code             string
	}{
		{from: "1.0.0", to: "1.1.0"},
		{from: "1.1.0", to: "1.1.0"},
		{from: "1.1.0", to: "1.0.0", code: "update.downgrade"},
		{from: "1.1.0", to: "1.1.0-rc.1", code: "update.downgrade"},
		{from: "1.1.0", to: "1.0.0", again: true, code: "update.downgrade"},
		{from: "1.1.0", to: "1.0.0", downgrade: true},
		{from: "abc", to: "1.0.0", code: "update.unknown-order"},
		{from: "1.0.0", to: "abc", code: "update.unknown-order"},
		{from: "abc", to: "1.0.0", downgrade: true},
		{from: "1.0.0", to: "1.1.0", barred: true, code: "update.barred"},
		{from: "1.0.0", to: "1.1.0", barred: true, downgrade: true, code: "update.barred"},
		{from: "1.0.0", to: "1.1.0", barred: true, again: true},
	} {
		s := State{}
		if c.barred {
			s.Barred = []string{newSum}
		}
		err := s.Refuse(Order{ID: "1", From: c.from, Package: Package{Version: c.to, SHA256: newSum}}, c.again, c.downgrade)
		if errs.CodeOf(err) != c.code {
			t.Errorf("%+v: %v", c, err)
		}
	}
	busy := State{Phase: Trying, Order: Order{ID: "1"}}
	if err := busy.Refuse(Order{ID: "2", From: "1.0.0", Package: Package{Version: "1.1.0"}}, true, true); errs.CodeOf(err) != "update.busy" {
		t.Errorf("beside another one: %v", err)
	}
}

func TestTheListOfBadVersionsIsBoundedAndAnOrderTakesOneOff(t *testing.T) {
	var s State
	for i := range 100 {
		s.Order = Order{Package: Package{SHA256: string(rune('a' + i))}}
		s = s.Unproven(errors.New("no"), nil, time.Now())
	}
	if len(s.Barred) != barredMost {
		t.Fatalf("%d are remembered", len(s.Barred))
	}
	last := s.Barred[barredMost-1]
	if s = s.Begin(Order{Package: Package{SHA256: last}}); slices.Contains(s.Barred, last) {
		t.Error("what is tried again is barred still")
	}
}
