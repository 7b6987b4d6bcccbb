package agent

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/script"
	"keepward/internal/wire"
)

const (
	// watchdogGrace is how long the agent waits for a word of a watchdog that is due: a computer
	// under load may take seconds for it. Then that is ended and another one lets go.
	watchdogGrace = 5 * time.Second
	// stopGrace is how long a watchdog may take to end a pre-freeze: the script's own grace, and
	// the time for what it leaves behind.
	stopGrace = 15 * time.Second
	// thawRest is how long a thaw may take while the agent goes down: who shuts a computer down
	// does not wait for long. A watchdog goes on without the agent.
	thawRest = 20 * time.Second
)

// hold is the agent's end of a watchdog. The fields below each channel are set when it is closed.
type hold struct {
	a     *agent
	entry *keepwardv1.ScriptEntry
	dog   dog

	told sync.Once
	// frozen: the pre-freeze has ended, from now on the application is held.
	frozen chan struct{}
	end    *keepwardv1.ScriptEnd // nil: there is none
	// letting: it is let go, after so long; late: because its time was over.
	letting chan struct{}
	held    time.Duration
	late    bool
	// over: the watchdog is gone.
	over   chan struct{}
	thawed bool
	thaw   *keepwardv1.ScriptEnd
	none   error // nothing was frozen
}

// newHold starts a watchdog with an order.
func (a *agent) newHold(e *keepwardv1.ScriptEntry, left bool) (*hold, error) {
	text, err := protojson.Marshal(e)
	if err != nil {
		return nil, errs.New(errs.Internal, "snapshot.watchdog", "order a hold: %w", err)
	}
	h := &hold{a: a, entry: e, frozen: make(chan struct{}), letting: make(chan struct{}), over: make(chan struct{})}
	if h.dog, err = a.startDog(); err != nil {
		return nil, errs.New(errs.Unavailable, "snapshot.watchdog", "start the process that thaws again: %w", err)
	}
	a.work.Go(h.listen)
	_ = h.dog.in.SetWriteDeadline(time.Now().Add(watchdogGrace)) // where there are such
	err = json.NewEncoder(h.dog.in).Encode(holdOrder{Journal: a.scripts.journal.dir, Entry: text, Limit: a.holdLimit(), Left: left})
	if err != nil {
		h.dog.kill()
		<-h.over
		return nil, errs.New(errs.Unavailable, "snapshot.watchdog", "order a hold: %w", err)
	}
	return h, nil
}

// listen hears the watchdog to its end.
func (h *hold) listen() {
	defer close(h.over)
	defer h.dog.end()
	for reports := json.NewDecoder(h.dog.out); ; {
		var r holdReport
		if reports.Decode(&r) != nil {
			return
		}
		var end *keepwardv1.ScriptEnd
		if len(r.End) > 0 {
			end = &keepwardv1.ScriptEnd{}
			if (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(r.End, end) != nil {
				return
			}
		}
		switch r.What {
		case holdFrozen:
			h.end = end
			close(h.frozen)
		case holdLetting:
			h.held, h.late = r.Held, r.Late
			close(h.letting)
		case holdThawed:
			h.thawed, h.thaw = true, end
		case holdNone:
			h.none = wire.FromFailure(end.GetFailure())
		}
	}
}

// letGo tells the watchdog to thaw, or to end a pre-freeze that still runs.
func (h *hold) letGo(why string) {
	h.told.Do(func() { _ = json.NewEncoder(h.dog.in).Encode(letGo{why}) }) // else it is gone, and over is closed
}

// await waits for a word of the watchdog that is due, or its end.
func (h *hold) await(word <-chan struct{}, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-word:
	case <-h.over:
	case <-timer.C:
		h.dog.kill()
		<-h.over
	}
}

// freeze waits for the end of the pre-freeze and answers why nothing may be taken.
func (h *hold) freeze(ctx context.Context) error {
	select {
	case <-h.frozen:
	case <-h.over:
	case <-ctx.Done():
		h.letGo(context.Cause(ctx).Error())
		h.await(h.frozen, stopGrace)
	}
	select {
	case <-h.frozen:
	default:
		if h.none != nil {
			return h.none
		}
		return errWatchdog
	}
	if h.end.GetFailure() != nil && !h.goesOn() {
		return wire.FromFailure(h.end.GetFailure())
	}
	return context.Cause(ctx)
}

// errWatchdog is why a try ends whose watchdog has.
var errWatchdog = errs.New(errs.Unavailable, "snapshot.watchdog", "take the state of the computer: the process that thaws again has ended; another one thaws")

// goesOn tells whether a pre-freeze that failed ends nothing.
func (h *hold) goesOn() bool { return h.entry.GetScript().GetGoOn() || h.end.GetLost() }

// finish lets go, and waits until the post-thaw has ended. If the watchdog does not do it another
// one does.
func (h *hold) finish() {
	h.letGo("the state is taken")
	select {
	case <-h.frozen:
		h.await(h.letting, watchdogGrace)
	default: // nothing was frozen
	}
	if h.settled() && !h.thawed && h.none == nil {
		h.a.thawLeft(h.entry)
	}
}

// settled waits for the end of a watchdog, however long the thaw takes, but while the agent goes
// down. Then it is left to itself, and false.
func (h *hold) settled() bool {
	select {
	case <-h.over:
		return true
	case <-h.a.ctx.Done():
	}
	timer := time.NewTimer(thawRest)
	defer timer.Stop()
	select {
	case <-h.over:
		return true
	case <-timer.C:
		h.dog.leave()
		<-h.over
		return false
	}
}

// thawLeft thaws what a hold has left whose watchdog is gone.
func (a *agent) thawLeft(e *keepwardv1.ScriptEntry) {
	h, err := a.newHold(e, true)
	if err != nil {
		a.log.Error("what was frozen is not thawed", "task", taskOf(e.GetTask()), "error", err)
		return
	}
	h.settled()
	if h.none != nil {
		a.log.Error("what was frozen is not thawed", "task", taskOf(e.GetTask()), "error", h.none)
	}
}

// report tells the session's log what the hold has done, and forgets it.
func (h *hold) report(attempt string) {
	if s := h.entry.GetScript(); s.GetPath() != "" && h.end != nil {
		h.a.reportScript(attempt, job.PreFreeze, s, h.end, h.goesOn())
	}
	select {
	case <-h.letting:
		h.a.event(attempt, "info", "snapshot.hold", "the application was held for "+h.held.Round(time.Millisecond).String(), nil)
	default:
	}
	if h.thaw != nil {
		h.a.reportScript(attempt, job.PostThaw, h.entry.GetThaw(), h.thaw, true)
	}
	if h.thawed {
		h.a.scripts.journal.forget(h.entry.GetTask())
	}
}

// reportLeft tells of holds of a task whose agent was killed: their watchdogs have kept how they
// ended, or nobody has seen it.
func (a *agent) reportLeft(attempt, task string) {
	for _, e := range a.scripts.journal.holds(task) {
		if !a.scripts.journal.thawed(e) {
			continue
		}
		end := e.GetEnd()
		if end == nil {
			end = script.Lost(e.GetScript().GetPath(), partAgent, errAgentGone.Error())
		}
		if e.GetScript().GetPath() != "" {
			a.reportScript(attempt, job.PreFreeze, e.GetScript(), end, true)
		}
		if thaw, err := a.scripts.journal.read(scriptKey{e.GetTask(), job.PostThaw}); err == nil && thaw.GetEnd() != nil {
			a.reportScript(attempt, job.PostThaw, thaw.GetScript(), thaw.GetEnd(), true)
		}
		a.scripts.journal.forget(e.GetTask())
	}
}
