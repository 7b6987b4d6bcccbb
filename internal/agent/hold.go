package agent

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"google.golang.org/protobuf/encoding/protojson"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/script"
)

// A hold is one pre-freeze with its post-thaw. Both are run by a watchdog, a process of its own:
// what was frozen is thawed when the agent says so, when the time is over, and when the agent is
// no more, whatever it died of. The watchdog writes nothing to a disk between the two: that may be
// what is frozen.

// holdOrder is what a watchdog is told.
type holdOrder struct {
	// Journal is the directory of the journal.
	Journal string
	// Entry is that of the pre-freeze, with its thaw.
	Entry json.RawMessage
	// Limit is how long the application is held at most.
	Limit time.Duration
	// Left: it was frozen by a hold that is gone, and only the thaw may be lacking.
	Left bool
}

// letGo tells a watchdog to let go; one that has not frozen yet stops that.
type letGo struct{ Why string }

// holdReport is what a watchdog says, each once, in the order of the constants.
type holdReport struct {
	What string
	End  json.RawMessage `json:",omitempty"` // of the script
	// Held is how long it was, and Late whether its time was over before the agent said anything.
	Held time.Duration
	Late bool
}

const (
	holdFrozen  = "frozen"   // the pre-freeze has ended; the time runs
	holdLetting = "letting"  // the post-thaw begins
	holdThawed  = "thawed"   // it has ended
	holdNone    = "not-held" // instead of all: nothing was frozen, and why
)

// errAgentGone is why a pre-freeze is ended whose agent is no more.
var errAgentGone = errors.New("the agent's process ended while it ran")

// Watchdog is the process of a watchdog: ServeHold, deaf to all that asks it to end. It ends by
// itself, when nothing is held any more.
func Watchdog(ctx context.Context, in io.Reader, out io.WriteCloser) error {
	// Not ignored: what is ignored here the scripts would ignore as well.
	deaf := make(chan os.Signal, 1) // nobody listens
	signal.Notify(deaf, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer signal.Stop(deaf)
	return ServeHold(context.WithoutCancel(ctx), in, out)
}

// ServeHold is what a watchdog does: it reads an order, runs the scripts, and answers how they
// ended. It closes out when nothing is held any more, and returns when in has ended too. A thaw
// ends with ctx.
func ServeHold(ctx context.Context, in io.Reader, out io.WriteCloser) error {
	defer out.Close()
	orders := json.NewDecoder(in)
	var o holdOrder
	if err := orders.Decode(&o); err != nil {
		return errs.New(errs.Invalid, "snapshot.watchdog", "read the order of a hold: %w", err)
	}
	entry := &keepwardv1.ScriptEntry{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(o.Entry, entry); err != nil {
		return errs.New(errs.Invalid, "snapshot.watchdog", "read the order of a hold: %w", err)
	}
	held, release := context.WithCancelCause(ctx)
	var own sync.WaitGroup
	own.Go(func() {
		var l letGo
		if orders.Decode(&l) != nil {
			release(errAgentGone)
			return
		}
		release(errs.New(errs.Cancelled, "script.stopped", "stop script: %s", l.Why))
		_, _ = io.Copy(io.Discard, in) // until the agent has read the answers
	})
	w := &watchdog{journal: journal{o.Journal}, out: json.NewEncoder(out), limit: o.Limit, entry: entry}
	if o.Left {
		w.left(ctx)
	} else {
		w.hold(ctx, held)
	}
	_ = out.Close() // the agent's turn to end in
	own.Wait()
	return nil
}

// watchdog is one that serves.
type watchdog struct {
	journal journal
	out     *json.Encoder
	limit   time.Duration
	entry   *keepwardv1.ScriptEntry
}

// say answers the agent. It may be gone: then nobody needs to know.
func (w *watchdog) say(r holdReport, end *keepwardv1.ScriptEnd) {
	if end != nil {
		r.End, _ = protojson.Marshal(end) // what was made of valid texts
	}
	_ = w.out.Encode(r)
}

// hold freezes, waits until held is over or the limit, and thaws.
func (w *watchdog) hold(ctx, held context.Context) {
	// Two holds of a task are never there at once: to let go the one would let go the other.
	unlock, err := lockHold(held, w.journal, w.entry.GetTask())
	if err != nil {
		w.say(holdReport{What: holdNone}, script.Failed(err, partAgent))
		return
	}
	defer unlock()
	for _, e := range w.journal.frozen(w.entry.GetTask()) {
		_ = w.thaw(ctx, e)
	}
	if err := w.journal.write(keyOf(w.entry), w.entry); err != nil {
		w.say(holdReport{What: holdNone}, script.Failed(err, partAgent))
		return
	}
	if w.entry.GetScript().GetPath() != "" {
		w.entry.End = w.freeze(held)
	}
	begin := time.Now()
	timer := time.NewTimer(w.limit)
	defer timer.Stop()
	w.say(holdReport{What: holdFrozen}, w.entry.GetEnd())
	late := false
	select {
	case <-held.Done():
	case <-timer.C:
		late = true
	}
	w.say(holdReport{What: holdLetting, Held: time.Since(begin), Late: late}, nil)
	end := w.thaw(ctx, w.entry)
	if err := w.journal.write(keyOf(w.entry), w.entry); err != nil {
		slog.Error("the end of a script could not be kept", "task", w.entry.GetTask(), "place", w.entry.GetPlace(), "error", err)
	}
	w.say(holdReport{What: holdThawed}, end)
}

// freeze runs the pre-freeze.
func (w *watchdog) freeze(held context.Context) *keepwardv1.ScriptEnd {
	end := execute(held, w.entry)
	if end.GetFailure().GetCode() != "script.stopped" || !errors.Is(context.Cause(held), errAgentGone) {
		return end
	}
	lost := script.Lost(w.entry.GetScript().GetPath(), partAgent, errAgentGone.Error())
	lost.Output, lost.LeftOutBytes = end.GetOutput(), end.GetLeftOutBytes()
	return lost
}

// left thaws what an earlier hold has left, unless that has done it by now.
func (w *watchdog) left(ctx context.Context) {
	unlock, err := lockHold(ctx, w.journal, w.entry.GetTask())
	if err != nil {
		w.say(holdReport{What: holdNone}, script.Failed(err, partAgent))
		return
	}
	defer unlock()
	for _, e := range w.journal.frozen(w.entry.GetTask()) {
		if e.GetTask() == w.entry.GetTask() {
			w.say(holdReport{What: holdThawed}, w.thaw(ctx, e))
		}
	}
}

// thaw runs the post-thaw of a pre-freeze until it was seen to end: to thaw twice does no harm,
// not to thaw does.
func (w *watchdog) thaw(ctx context.Context, freeze *keepwardv1.ScriptEntry) *keepwardv1.ScriptEnd {
	if freeze.GetThaw() == nil {
		return nil
	}
	k := scriptKey{freeze.GetTask(), job.PostThaw}
	e := newEntry(k, freeze.GetThaw(), thawVariables(freeze))
	end := execute(ctx, e)
	if bySignal(end) && ctx.Err() == nil {
		// Who ends a service ends all of its processes, but for those that begin right after.
		end = execute(ctx, e)
	}
	if ctx.Err() != nil {
		return end // the next process of the agent does it again
	}
	e.End = end
	if err := w.journal.write(k, e); err != nil {
		slog.Error("the end of a script could not be kept", "task", k.task, "place", k.place, "error", err)
	}
	return end
}

// bySignal tells whether a signal of somebody else's ended a script.
func bySignal(end *keepwardv1.ScriptEnd) bool {
	return end.GetFailure().GetCode() == "script.failed" && end.GetExit() == -1
}

// thawVariables are those of a pre-freeze, for its post-thaw.
func thawVariables(freeze *keepwardv1.ScriptEntry) map[string]string {
	v := map[string]string{}
	for name, value := range freeze.GetVariables() {
		v[name] = value
	}
	v[job.VarPlace] = string(job.PostThaw)
	return v
}

// execute runs a script of this computer.
func execute(ctx context.Context, e *keepwardv1.ScriptEntry) *keepwardv1.ScriptEnd {
	path := e.GetScript().GetPath()
	if !job.Absolute(path) {
		return script.Failed(errs.New(errs.Invalid, "script.missing", "run script %q: the path is not absolute", path), partAgent)
	}
	return script.Execute(ctx, path, e.GetScript(), e.GetVariables(), partAgent)
}

// lockEvery is how often a watchdog looks whether the one before it has let go.
const lockEvery = 50 * time.Millisecond

// lockHold waits until no other watchdog holds for a task.
func lockHold(ctx context.Context, j journal, task string) (unlock func(), err error) {
	if err := j.ensure(); err != nil {
		return nil, err
	}
	l := flock.New(filepath.Join(j.dir, taskOf(task)+lockSuffix))
	switch _, err := l.TryLockContext(ctx, lockEvery); {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, errs.New(errs.KindOf(err), "snapshot.watchdog", "wait for an earlier hold of the task: %w", err)
	}
	return func() { _ = l.Unlock() }, nil
}
