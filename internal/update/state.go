package update

import (
	"fmt"
	"slices"
	"time"

	"keepward/internal/errs"
)

// Phase is how far a change of versions has come. The texts are stored: never rename one.
type Phase string

// The phases. A download has none: what is there of it goes on when it is ordered again.
const (
	// Idle: nothing is under way.
	Idle Phase = ""
	// Trying: the new version lies beside this one, and runs as its child to prove itself.
	Trying Phase = "trying"
	// Proven: it was answered by the server, and takes the place.
	Proven Phase = "proven"
)

const (
	// triesMost is how often a trial is begun that a loss of power or a kill cuts short. That is
	// hardly the new version's fault the first time; it may be the second.
	triesMost = 2
	// barredMost bounds the versions that are remembered as bad.
	barredMost = 32
)

// Order is one change of versions that the server wants.
type Order struct {
	ID        string
	Package   Package
	Signature []byte
	// From is the version that was there when it was ordered.
	From string
	// Limit is how long the new version may take until the server has answered it.
	Limit time.Duration
}

// Result is how an order ended.
type Result struct {
	ID, From, Version string
	Done              bool
	// Code and Reason say why not; Log is what the new version said last.
	Code, Reason string
	Log          []string
	Time         time.Time
}

// State is what an agent knows of its updates, as it lies on the disk.
type State struct {
	Phase Phase
	Order Order
	Tries int
	// Last is how the newest order ended; nil: there was none.
	Last *Result
	// Barred are the digests of versions that did not prove themselves here.
	Barred []string
}

// Facts are the digests of what lies on the disk; empty: nothing does.
type Facts struct {
	Running   string // the program of this process
	Installed string // the file that the agent is started from
	Staged    string // what lies beside it
}

// Step is what is to be done next.
type Step int

// The steps.
const (
	Serve   Step = iota // be the agent
	Try                 // have the new version prove itself
	Replace             // give it the place
	Restart             // become it
)

// Next says what follows from a state, after a start as after each step. It is called again after
// what it asks for is done; whatever was cut off in between, it ends in Serve.
func (s State) Next(f Facts, now time.Time) (State, Step) {
	want := s.Order.Package.SHA256
	switch {
	case s.Phase == Idle:
		return s, Serve
	case f.Installed == want: // also where somebody put it there by hand
		s = s.end(Result{Done: true}, now)
		if f.Running == want {
			return s, Serve
		}
		return s, Restart
	case f.Staged != want:
		return s.Fail(errs.New(errs.Corrupt, "update.staged", "update to %s: what was laid beside the program is not there any more, or was altered", s.Order.Package.Version), nil, now), Serve
	case s.Phase == Proven:
		return s, Replace
	case s.Tries >= triesMost:
		why := errs.New(errs.Unavailable, "update.cut-short", "update to %s: its trial was cut short %d times, by a kill or a loss of power", s.Order.Package.Version, s.Tries)
		return s.bar().Fail(why, nil, now), Serve
	}
	s.Tries++
	return s, Try
}

// Begin is the state in which the new version lies beside this one.
func (s State) Begin(o Order) State {
	s.Phase, s.Order, s.Tries = Trying, o, 0
	s.Barred = slices.DeleteFunc(slices.Clone(s.Barred), func(b string) bool { return b == o.Package.SHA256 })
	return s
}

// Answered is the state in which the new version has proved itself.
func (s State) Answered() State {
	s.Phase = Proven
	return s
}

// Undone is the state after a trial that somebody broke off by ending the agent.
func (s State) Undone() State {
	s.Tries--
	return s
}

// Unproven is the state after a trial that the new version did not stand: it is not tried again
// by itself.
func (s State) Unproven(why error, log []string, now time.Time) State {
	return s.bar().Fail(why, log, now)
}

// Fail is the state in which the order has ended and nothing has changed.
func (s State) Fail(why error, log []string, now time.Time) State {
	code := errs.CodeOf(why)
	if code == "" {
		code = "update.failed"
	}
	return s.end(Result{Code: code, Reason: why.Error(), Log: log}, now)
}

func (s State) end(r Result, now time.Time) State {
	r.ID, r.From, r.Version, r.Time = s.Order.ID, s.Order.From, s.Order.Package.Version, now.UTC().Round(0)
	s.Phase, s.Order, s.Tries, s.Last = Idle, Order{}, 0, &r
	return s
}

func (s State) bar() State {
	b := append(slices.Clone(s.Barred), s.Order.Package.SHA256)
	s.Barred = b[max(0, len(b)-barredMost):]
	return s
}

// Refuse says why an order must not be carried out; nil: it may. again: somebody has ordered just
// this, also where it has failed before; downgrade: the version may be an older one.
func (s State) Refuse(o Order, again, downgrade bool) error {
	p := o.Package
	c, known := compare(p.Version, o.From)
	switch {
	case s.Phase != Idle && s.Order.ID != o.ID:
		return errs.New(errs.Busy, "update.busy", "update to %s: an update to %s is under way", p.Version, s.Order.Package.Version)
	case slices.Contains(s.Barred, p.SHA256) && !again:
		return errs.New(errs.Denied, "update.barred", "update to %s: it did not prove itself here before", p.Version).
			WithHint("it is tried again when it is ordered for this computer by name: keepward computer update NAME --version %s", p.Version)
	case downgrade || known && c >= 0:
		return nil
	case !known:
		return errs.New(errs.Denied, "update.unknown-order", "update from %s to %s: which of the two is newer cannot be told", o.From, p.Version).
			WithHint("versions of the form 1.2.3 can be compared; to do it all the same: --allow-downgrade")
	}
	return errs.New(errs.Denied, "update.downgrade", "update from %s to %s: that is an older version", o.From, p.Version).
		WithHint("to go back on purpose: --allow-downgrade")
}

// Text says how an order ended.
func (r Result) Text() string {
	if r.Done {
		return fmt.Sprintf("updated from %s to %s", r.From, r.Version)
	}
	return fmt.Sprintf("still %s: %s", r.From, r.Reason)
}
