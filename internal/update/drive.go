package update

import (
	"context"
	"errors"
	"time"
)

// errTry is how the agent ends so that a new version can prove itself.
var errTry = errors.New("a new version is to prove itself")

// world is what drive works on.
type world interface {
	now() time.Time
	load() (State, error)
	save(s State) error
	facts() (Facts, error)
	// serve is the agent, until ctx is done, or there is something to try: errTry.
	serve(ctx context.Context) error
	// try runs what is staged until it has proved itself: nil, or not.
	try(ctx context.Context, o Order) (log []string, err error)
	replace() error
	// restart returns only where it failed.
	restart() error
	// clear removes what nobody needs any more.
	clear(s State)
	failed(what string, err error)
}

// drive is the life of an agent: what the state says, step by step. Every step that changes
// something begins with its intent on the disk, so that a next start goes on from there.
func drive(ctx context.Context, w world) error {
	for {
		step, s, err := next(w)
		if err != nil {
			// An agent that cannot read or write its state is an agent still.
			w.failed("how an update stands cannot be told", err)
			step = Serve
		}
		switch step {
		case Serve:
			w.clear(s)
			if err := w.serve(ctx); !errors.Is(err, errTry) {
				return err
			}
			if ctx.Err() != nil {
				return nil
			}
			continue
		case Try:
			log, err := w.try(ctx, s.Order)
			switch {
			case err == nil:
				s = s.Answered()
			case errors.Is(err, errBroken):
				s = s.Undone()
			default:
				w.failed("the new version did not prove itself", err)
				s = s.Unproven(err, log, w.now())
			}
			if serr := w.save(s); serr != nil {
				w.failed("how an update stands cannot be kept", serr)
				if err == nil {
					return serr // the next start tries again: there is no other way to go on
				}
			}
			if errors.Is(err, errBroken) {
				return nil
			}
		case Replace:
			if err := w.replace(); err != nil {
				w.failed("the new version cannot take the place of the old one", err)
				if err := w.save(s.Fail(err, nil, w.now())); err != nil {
					return err
				}
			}
		case Restart:
			w.clear(s)
			if ctx.Err() != nil {
				return nil // it was told to end; the next start is that of the new version
			}
			err := w.restart()
			w.failed("the new version is in its place and could not be started; it begins with the next start", err)
			return err
		}
	}
}

// next looks what is to be done, and writes down that it is.
func next(w world) (Step, State, error) {
	s, err := w.load()
	if err != nil || s.Phase == Idle {
		return Serve, s, err
	}
	f, err := w.facts()
	if err != nil {
		return Serve, s, err
	}
	s, step := s.Next(f, w.now())
	return step, s, w.save(s)
}
