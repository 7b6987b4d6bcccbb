package cli

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// How many warnings and errors of a session's log are shown at its end.
const (
	someRemarks = 20
	allRemarks  = math.MaxInt
)

// A server that restarts comes back within this time; sessions survive it, and so does
// waiting for one.
const (
	reachAgainWithin = 2 * time.Minute
	reachAgainEvery  = time.Second
)

// started answers a command that has started a session: it prints the number, or waits.
func (a *app) started(ctx context.Context, c *client, m *keepwardv1.StartSessionResponse, wait bool) error {
	if wait {
		return a.follow(ctx, c, m.GetSession(), someRemarks)
	}
	return a.print(m, func() {
		fmt.Fprintln(a.out, m.GetSession())
		a.remark("session %d is started; follow it with 'keepward session watch %d'", m.GetSession(), m.GetSession())
	})
}

// follow shows a session until it is over, and ends with its result. remarks is how
// many lines of trouble are shown then.
func (a *app) follow(ctx context.Context, c *client, id int64, remarks int) error {
	p := a.newProgress(a.newWaiting(c, fmt.Sprintf("Ctrl-C ends only this waiting, 'keepward session kill %d' the session", id)))
	last, err := a.watch(ctx, c, id, func(s *keepwardv1.Session) error { p.show(ctx, s); return nil })
	p.clear()
	if err != nil {
		if isInterrupt(ctx, err) {
			a.remark("session %d goes on; follow it with 'keepward session watch %d'", id, id)
		}
		return err
	}
	if err := a.trouble(ctx, c, last, remarks); err != nil {
		return err
	}
	if err := a.print(last, func() { a.summary(last) }); err != nil {
		return err
	}
	return a.sessionEnd(last)
}

// sessionEnd is the exit status of a session that is over, as an error.
func (a *app) sessionEnd(s *keepwardv1.Session) error {
	status := sessionExit(s.GetStatus())
	if status == exitDone {
		return nil
	}
	f := failureOf(s)
	if status != exitFailed || f.GetMessage() == "" {
		return &statusError{status: status}
	}
	err := errs.New(errs.Kind(f.GetKind()), f.GetCode(), "session %d: %s: %s", s.GetId(), s.GetStatus(), f.GetMessage())
	if f.GetHint() != "" {
		err = err.WithHint("%s", f.GetHint())
	}
	return &statusError{status: status, err: err}
}

// failureOf is the session's failure, else that of its first task that has one.
func failureOf(s *keepwardv1.Session) *keepwardv1.Failure {
	if s.GetFailure().GetMessage() != "" {
		return s.GetFailure()
	}
	for _, t := range s.GetTasks() {
		if t.GetFailure().GetMessage() != "" {
			return t.GetFailure()
		}
	}
	return nil
}

// watch calls each for every state of a session, over restarts of the server, and
// answers the last one.
func (a *app) watch(ctx context.Context, c *client, id int64, each func(*keepwardv1.Session) error) (*keepwardv1.Session, error) {
	var last *keepwardv1.Session
	lost := time.Time{}
	for {
		err := receive(ctx, c, c.sessions.WatchSession, &keepwardv1.WatchSessionRequest{Id: id}, func(m *keepwardv1.WatchSessionResponse) error {
			last, lost = m.GetSession(), time.Time{}
			return each(last)
		})
		switch {
		case last != nil && job.Status(last.GetStatus()).Final():
			return last, nil
		case err == nil:
			err = errs.New(errs.Unavailable, codeUnreachable, "watch session %d: the server at %s ended the connection", id, c.address)
		case ctx.Err() != nil || errs.KindOf(err) != errs.Unavailable || last == nil:
			return last, err
		}
		if lost.IsZero() {
			lost = a.now()
			a.remark("the server does not answer; waiting for it")
		} else if a.now().Sub(lost) > reachAgainWithin {
			return last, err
		}
		if !sleep(ctx, reachAgainEvery) {
			return last, ctx.Err()
		}
	}
}

// sleep waits, and says whether it was not interrupted.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// trouble prints the warnings and errors of a session that has some, to standard error.
func (a *app) trouble(ctx context.Context, c *client, s *keepwardv1.Session, most int) error {
	if sessionExit(s.GetStatus()) == exitDone || a.format.machine() {
		return nil
	}
	shown, more := 0, 0
	err := receive(ctx, c, c.sessions.ReadLog, &keepwardv1.ReadLogRequest{Id: s.GetId()}, func(m *keepwardv1.ReadLogResponse) error {
		for _, e := range m.GetEvents() {
			if e.GetLevel() == "info" {
				continue
			}
			if shown == most {
				more++
				continue
			}
			shown++
			if err := a.eventLine(a.errOut, e); err != nil {
				return err
			}
		}
		return nil
	})
	if more > 0 {
		a.remark("and %d more; see 'keepward session log %d'", more, s.GetId())
	}
	return err
}

// eventLine prints one line of a log.
func (a *app) eventLine(w io.Writer, e *keepwardv1.Event) error {
	text := safe(a.localTimes(e.GetText()))
	if e.GetTo() != "" {
		text = strings.TrimPrefix(e.GetFrom()+" → ", " → ") + e.GetTo() + ": " + text
	}
	if e.GetActor() != "" {
		text += " (" + safe(e.GetActor()) + ")"
	}
	if len(e.GetPath()) > 0 {
		text = safe(string(e.GetPath())) + ": " + text
	}
	_, err := fmt.Fprintf(w, "%s %-7s %-9s %s\n", a.stamp(e.GetTime()), e.GetLevel(), e.GetPart(), text)
	return err
}

// differing tells how many files were found to differ when they were read back.
func differing(n int64) string {
	switch n {
	case 0:
		return "none differs"
	case 1:
		return "1 differs"
	}
	return count(n) + " differ"
}

// checked says what a check came to, where it went to its end.
func checked(status string, n *keepwardv1.Counters) string {
	if status == string(job.Completed) && n.GetErrors()+n.GetWarnings() == 0 {
		return "no damage found"
	}
	return "see the lines above"
}

// summary is the last line of a session.
func (a *app) summary(s *keepwardv1.Session) {
	n := s.GetProgress().GetCounters()
	if text := reportText(s.GetReport()); text != "" {
		fmt.Fprintln(a.out, safe(fmt.Sprintf("session %d: %s in %s: %s", s.GetId(), s.GetStatus(), a.took(s.GetStarted(), s.GetEnded()), text)))
		return
	}
	line := fmt.Sprintf("session %d: %s in %s", s.GetId(), s.GetStatus(), a.took(s.GetStarted(), s.GetEnded()))
	switch job.Type(s.GetType()) {
	case job.Verify:
		line += ": " + checked(s.GetStatus(), n)
	case job.Backup, job.ServerBackup, job.Restore, "":
		line += ": " + entries(n.GetDoneFiles(), n.GetDoneDirs())
	}
	for _, part := range []struct {
		name  string
		value int64
	}{{"", n.GetDoneBytes()}, {"read", n.GetReadBytes()}, {"sent", n.GetSentBytes()}, {"stored", n.GetStoredBytes()}} {
		if part.value > 0 {
			line += ", " + size(part.value)
			if part.name != "" {
				line += " " + part.name
			}
		}
	}
	if n.GetSkippedFiles() > 0 {
		line += ", " + entries(n.GetSkippedFiles(), n.GetSkippedDirs()) + " left as is"
	}
	if n.GetVerifiedFiles()+n.GetMismatchedFiles() > 0 {
		line += fmt.Sprintf(", verified %s, %s, %s", plural(n.GetVerifiedFiles(), "file"), size(n.GetVerifiedBytes()), differing(n.GetMismatchedFiles()))
	}
	if n.GetErrors() > 0 {
		line += ", " + plural(n.GetErrors(), "error")
	}
	if n.GetWarnings() > 0 {
		line += ", " + plural(n.GetWarnings(), "warning")
	}
	fmt.Fprintln(a.out, safe(line))
	if l := limitedBy(s.GetLimits()); l != "" {
		fmt.Fprintln(a.out, "limited by: "+l)
	}
}
