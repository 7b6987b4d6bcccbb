package console

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
	"keepward/internal/words"
)

// touch is something that somebody did to a session.
type touch struct {
	at    *keepwardv1.Event // the first line of it
	who   string
	what  string
	times int // of how many tasks
}

// touchesMost bounds those that are listed.
const touchesMost = 50

// byServer is the actor of what the server did itself.
const byServer = "server"

// touchesOf are what people did to a session, by the changes of status that they brought about: one of
// several tasks is one.
func touchesOf(events []*keepwardv1.Event) (out []touch) {
	for _, e := range events {
		if e.GetActor() == "" || e.GetActor() == byServer || job.Status(e.GetFrom()).Class() == job.Leaving {
			continue // of one that has let go it was said before who wanted that
		}
		what := words.Safe(e.GetTo())
		i := slices.IndexFunc(out, func(t touch) bool {
			return t.who == words.Safe(e.GetActor()) && t.what == what && t.at.GetFrom() == e.GetFrom() && e.GetTime().AsTime().Sub(t.at.GetTime().AsTime()).Abs() < speedEvery
		})
		if i >= 0 {
			out[i].times++
			continue
		}
		if len(out) < touchesMost {
			out = append(out, touch{at: e, who: words.Safe(e.GetActor()), what: what, times: 1})
		}
	}
	return out
}

// did says what somebody did, in words.
func (t touch) did() string {
	text := "made it " + t.what
	switch job.Status(t.what) {
	case job.SuspendPending, job.Suspended:
		text = "suspended it"
	case job.KillPending, job.Killed, job.Committed:
		text = "ended it"
	case job.Queued:
		text = "resumed it"
		if t.at.GetFrom() == "" {
			text = "started it"
		}
	}
	if t.times > 1 {
		text += ", " + words.Plural(int64(t.times), "task")
	}
	return text
}

// scriptRow is a script that ran, with what it printed.
type scriptRow struct {
	place, of, path string
	state, tone     string
	took            string
	output          []string
	leftOut         string
	ordered         *keepwardv1.SessionScript
}

// scriptsOf reads what became of a session's scripts.
func (c *console) scriptsOf(ctx context.Context, v *view, s *keepwardv1.Session) (out []scriptRow, err error) {
	m, err := call(ctx, c.client.details.ListScripts, &keepwardv1.ListScriptsRequest{Id: s.GetId()})
	if err != nil {
		return nil, err
	}
	names := namesOfTasks(s)
	for _, one := range m.GetScripts() {
		out = append(out, v.scriptRow(one, names))
	}
	return out, nil
}

func (v *view) scriptRow(one *keepwardv1.SessionScript, names map[string]string) scriptRow {
	r := scriptRow{place: words.Safe(one.GetPlace()), of: "the server", path: words.Safe(one.GetPath()), ordered: one}
	if one.GetTask() != "" {
		r.of = names[one.GetTask()]
	}
	e := one.GetEnd()
	switch {
	case e == nil:
		r.state, r.tone = "runs, or nobody knows yet", "run"
		return r
	case e.GetLost():
		r.state, r.tone = "nobody saw how it ended", "warn"
	case e.GetFailure() != nil:
		r.state, r.tone = v.says(e.GetFailure().GetMessage()), "bad"
	default:
		r.state, r.tone = "exit "+strconv.Itoa(int(e.GetExit())), "good"
	}
	if e.GetFailure() != nil && e.GetExit() != 0 {
		r.state = fmt.Sprintf("exit %d: %s", e.GetExit(), r.state)
	}
	r.took = v.took(e.GetStarted(), e.GetEnded())
	for _, line := range e.GetOutput() {
		r.output = append(r.output, words.Safe(line))
	}
	if n := e.GetLeftOutBytes(); n > 0 {
		r.leftOut = words.Size(n) + " of what it printed are left out"
	}
	return r
}
