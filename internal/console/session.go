package console

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/words"
)

// sessionView is what the page of a session shows.
type sessionView struct {
	row      sessionRow
	facts    []field
	failure  *keepwardv1.Failure
	counters []field
	waits    []*keepwardv1.Wait
	tasks    []taskRow
	speed    speedGraph
	limited  []shareBar
	touches  []touch     // of the page, not of its live part
	scripts  []scriptRow // likewise
	over     bool
}

// taskRow is a task of a session.
type taskRow struct {
	computer, status, phase, reason string
	attempt, files, read, stored    string
	point                           string
}

func (v *view) session(s *keepwardv1.Session, perSecond int64) sessionView {
	out := sessionView{row: v.row(s, perSecond), failure: failureOf(s), waits: s.GetWaits(), over: over(s)}
	n := s.GetProgress().GetCounters()
	full := ""
	if s.GetFull() {
		full = "yes"
	}
	origin := ""
	if s.GetOrigin() > 0 {
		origin = "session " + number(s.GetOrigin())
	}
	retryAt := ""
	if at, ok := moment(s.GetRetryAt()); ok {
		retryAt = v.clock(at)
	}
	out.facts = fields(
		"Job", words.Safe(s.GetJob()), "Type", s.GetType(), "Repository", words.Safe(s.GetRepository()), "Priority", out.row.priority,
		"Started by", words.Safe(s.GetUser()), "Took", v.took(s.GetStarted(), s.GetEnded()), "Reads everything", full,
		"Retry of", origin, "Tried again", retryAt,
	)
	out.counters, out.limited = countersOf(n), limitedOf(s)
	for _, t := range s.GetTasks() {
		n := t.GetProgress().GetCounters()
		phase := words.Safe(t.GetPhase())
		if job.Status(t.GetStatus()).Final() {
			phase = ""
		}
		out.tasks = append(out.tasks, taskRow{
			computer: words.Safe(cmp.Or(t.GetComputer(), "repository "+cmp.Or(t.GetRepository(), s.GetRepository()))), status: t.GetStatus(), phase: phase, reason: v.why(t.GetReason(), t.GetFailure()),
			attempt: strconv.Itoa(int(t.GetAttempt())), files: words.Count(n.GetDoneFiles() - n.GetDoneDirs()),
			read: words.Size(n.GetReadBytes()), stored: words.Size(n.GetStoredBytes()), point: words.Safe(short(t.GetPoint())),
		})
	}
	return out
}

// short is the beginning of a point's id, by which commands know it.
func short(id string) string { return id[:min(len(id), 12)] }

// countersOf leaves out what did not happen.
func countersOf(n *keepwardv1.Counters) []field {
	parted := func(all, dirs, bytes int64) string {
		if all == 0 && bytes == 0 {
			return ""
		}
		if all == 0 { // checks and sweeps go through no files
			return words.Size(bytes)
		}
		return words.Entries(all, dirs) + ", " + words.Size(bytes)
	}
	both := func(n, bytes int64) string {
		if n == 0 && bytes == 0 {
			return ""
		}
		if n == 0 {
			return words.Size(bytes)
		}
		return words.Count(n) + " files and directories, " + words.Size(bytes)
	}
	return fields(
		"Total", both(n.GetTotalFiles(), n.GetTotalBytes()), "Done", parted(n.GetDoneFiles(), n.GetDoneDirs(), n.GetDoneBytes()),
		"Read", parted(n.GetReadFiles(), 0, n.GetReadBytes()), "Unchanged", both(n.GetReusedFiles(), n.GetReusedBytes()),
		"Already right", parted(n.GetSkippedFiles(), n.GetSkippedDirs(), n.GetSkippedBytes()),
		"New", some(n.GetNewFiles()), "Changed", some(n.GetChangedFiles()), "Deleted", some(n.GetDeletedFiles()), "Excluded", some(n.GetExcludedFiles()),
		"Verified", parted(n.GetVerifiedFiles(), 0, n.GetVerifiedBytes()), "Differ", some(n.GetMismatchedFiles()),
		"Sent", someSize(n.GetSentBytes()), "Stored", someSize(n.GetStoredBytes()), "Duplicate", someSize(n.GetDuplicateBytes()), "Kept in place", someSize(n.GetKeptBytes()),
		"Sent again", someSize(n.GetResentBytes()), "Read again", someSize(n.GetRereadBytes()),
		"Errors", some(n.GetErrors()), "Warnings", some(n.GetWarnings()),
	)
}

// waitHead says what a task waits for.
func (v *view) waitHead(w *keepwardv1.Wait) string {
	head := v.why(w.GetReason(), nil)
	if w.GetComputer() != "" {
		head = words.Safe(w.GetComputer()) + ": " + head
	}
	return head
}

// waitSince says how long a task has waited, and behind whom.
func (v *view) waitSince(w *keepwardv1.Wait) string {
	since, ok := moment(w.GetSince())
	if !ok {
		return ""
	}
	text := "waits since " + v.clock(since)
	if w.GetAhead() > 0 {
		text += ", behind " + words.Plural(int64(w.GetAhead()), "other task")
	}
	if w.GetClaim() {
		text += "; what it lacks is kept for it"
	}
	return text
}

// held says how much of a resource is taken.
func held(r *keepwardv1.Resource) string {
	return fmt.Sprintf("%s (%s): %d of %d taken", words.Safe(r.GetLabel()), r.GetKind(), r.GetUsed(), r.GetCapacity())
}

// holder says of one who is in the way what it is, and until when about.
func (v *view) holder(h *keepwardv1.Holder) string {
	text := h.GetType()
	if h.GetJob() != "" {
		text += " " + words.Safe(h.GetJob())
	}
	if h.GetComputer() != "" {
		text += " of " + words.Safe(h.GetComputer())
	}
	text += fmt.Sprintf(", %s, priority %03d", h.GetStatus(), h.GetPriority())
	if since, ok := moment(h.GetSince()); ok {
		text += ", since " + v.clock(since)
	}
	until, known := moment(h.GetUntil())
	switch {
	case h.GetLeaving():
		text += "; it was told to let go"
	case known:
		text += ", done about " + v.clock(until)
	}
	return text
}

// line is the text of a line of a log.
func (v *view) line(e *keepwardv1.Event) string {
	text := v.says(e.GetText())
	if e.GetTo() != "" {
		text = strings.TrimPrefix(e.GetFrom()+" → ", " → ") + e.GetTo() + ": " + text
	}
	if e.GetActor() != "" {
		text += " (" + words.Safe(e.GetActor()) + ")"
	}
	if len(e.GetPath()) > 0 {
		text = words.Safe(string(e.GetPath())) + ": " + text
	}
	return text
}

func (c *console) session(w http.ResponseWriter, r *http.Request, v *view) error {
	id, err := sessionID(r)
	if err != nil {
		return err
	}
	m, err := call(r.Context(), c.client.sessions.GetSession, &keepwardv1.GetSessionRequest{Id: id})
	if err != nil {
		return err
	}
	f := logFilterOf(r.URL.Query())
	log, err := c.logOf(r, id, f)
	if err != nil {
		return err
	}
	files, err := c.filesOf(r, v, m.GetSession(), f)
	if err != nil {
		return err
	}
	changes := &turns{}
	moves, err := call(r.Context(), c.client.details.ListTransitions, &keepwardv1.ListTransitionsRequest{Id: id, Limit: lanesMost * turnsMost})
	if err != nil {
		return err
	}
	changes.take(moves.GetEvents())
	changes.left += int(moves.GetMore())
	page := v.session(m.GetSession(), 0)
	if page.speed, err = c.speed(r.Context(), v, m.GetSession()); err != nil {
		return err
	}
	page.touches = touchesOf(moves.GetEvents())
	if page.scripts, err = c.scriptsOf(r.Context(), v, m.GetSession()); err != nil {
		return err
	}
	v.title, v.at = fmt.Sprintf("Session %d", id), "sessions"
	c.show(w, r, http.StatusOK, sessionPage(v, page, v.timeline(m.GetSession(), changes), files, log))
	return nil
}

// sessionLive sends the upper part of the page anew whenever something in it changes, to the end
// of the session.
func (c *console) sessionLive(w http.ResponseWriter, r *http.Request, v *view) error {
	id, err := sessionID(r)
	if err != nil {
		return err
	}
	var out *events
	var rate words.Rate
	var speed speedGraph
	var drawn time.Time // the speed
	last := ""
	err = receive(r.Context(), c.client.sessions.WatchSession, &keepwardv1.WatchSessionRequest{Id: id}, func(m *keepwardv1.WatchSessionResponse) (err error) {
		s := m.GetSession()
		if s, err = c.withWaits(r.Context(), s); err != nil {
			return err
		}
		if out == nil {
			if out, err = begin(w); err != nil {
				return err
			}
		}
		v.now = time.Now()
		perSecond := int64(0)
		rate.Add(v.now, words.Through(s.GetProgress().GetCounters()))
		if job.Status(s.GetStatus()).Class() == job.Active {
			perSecond = rate.PerSecond()
		}
		last = s.GetStatus()
		page := v.session(s, perSecond)
		if page.over || v.now.Sub(drawn) >= speedEvery {
			if speed, err = c.speed(r.Context(), v, s); err != nil {
				return err
			}
			drawn = v.now
		}
		page.speed = speed
		return out.send(r.Context(), "", sessionBody(v, page))
	})
	if out == nil {
		return quiet(r.Context(), err)
	}
	if job.Status(last).Final() {
		_ = out.done() // who has gone need not know
	}
	return nil
}

// withWaits is a session with who is in its way, which a watch does not tell.
func (c *console) withWaits(ctx context.Context, s *keepwardv1.Session) (*keepwardv1.Session, error) {
	if !anyTask(s, job.Queued, job.Waiting, job.Pending, job.Interrupted) {
		return s, nil
	}
	m, err := call(ctx, c.client.sessions.GetSession, &keepwardv1.GetSessionRequest{Id: s.GetId()})
	return m.GetSession(), err
}

// sessionLog sends the lines of a log that come, from the one on that the browser has seen last.
func (c *console) sessionLog(w http.ResponseWriter, r *http.Request, v *view) error {
	id, err := sessionID(r)
	if err != nil {
		return err
	}
	after, err := seenLine(r)
	if err != nil {
		return err
	}
	// A log without news tells nothing for long: whether it may be read is asked before.
	if _, err := call(r.Context(), c.client.sessions.GetSession, &keepwardv1.GetSessionRequest{Id: id}); err != nil {
		return err
	}
	out, err := begin(w)
	if err != nil {
		return err
	}
	err = receive(r.Context(), c.client.sessions.ReadLog, &keepwardv1.ReadLogRequest{Id: id, AfterSeq: after, Follow: true}, func(m *keepwardv1.ReadLogResponse) error {
		lines := m.GetEvents()
		if len(lines) == 0 {
			return nil
		}
		v.now = time.Now()
		return out.send(r.Context(), number(lines[len(lines)-1].GetSeq()), logLines(v, lines))
	})
	if err == nil {
		_ = out.done() // who has gone need not know
	}
	return nil
}

// seenLine is the number of the last line that a browser has.
func seenLine(r *http.Request) (int64, error) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = r.URL.Query().Get("after")
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, errs.New(errs.Invalid, "", "read the log: %q is no number of a line", text)
	}
	return n, nil
}
