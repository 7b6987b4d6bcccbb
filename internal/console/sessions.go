package console

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/words"
)

// pageSize is how many sessions a page lists: all are drawn anew when one of them changes.
const pageSize = 50

// sessionFilter is what the list of sessions was asked for, as its form has it.
type sessionFilter struct {
	status   string // a status, a result, or "active"
	job      string
	computer string
	kind     string // the type
	within   string // the time that they were there in, one of withins
	day      string // of UTC, such as 2026-11-23, that they were there on
	text     string
	before   int64 // only those of a lower number: the next page
}

// withins are how far back the list can be asked to go.
var withins = []struct {
	choice
	time time.Duration
}{
	{choice{"", "Any time"}, 0}, {choice{"1d", "24 hours"}, 24 * time.Hour}, {choice{"7d", "7 days"}, 7 * 24 * time.Hour}, {choice{"30d", "30 days"}, 30 * 24 * time.Hour},
}

func filterOf(q url.Values) sessionFilter {
	f := sessionFilter{status: q.Get("status"), job: q.Get("job"), computer: q.Get("computer"), kind: q.Get("type"), within: q.Get("within"), day: q.Get("day"), text: q.Get("text")}
	if n, err := strconv.ParseInt(q.Get("before"), 10, 64); err == nil && n > 0 {
		f.before = n
	}
	return f
}

func (f sessionFilter) request(now time.Time) *keepwardv1.ListSessionsRequest {
	req := &keepwardv1.ListSessionsRequest{Job: f.job, Computer: f.computer, Type: f.kind, Text: f.text, Before: f.before, Limit: pageSize}
	for _, w := range withins {
		if w.value == f.within && w.time > 0 {
			req.Since = timestamppb.New(now.Add(-w.time))
		}
	}
	if day, err := time.Parse(time.DateOnly, f.day); err == nil {
		req.Since, req.Until = timestamppb.New(day), timestamppb.New(day.AddDate(0, 0, 1).Add(-1))
	}
	switch f.status {
	case "":
	case "active":
		req.Active = true
	default:
		req.Statuses = []string{f.status}
	}
	return req
}

// link is the path of a list with this filter, from a session on.
func (f sessionFilter) link(path string, before int64) string {
	n := ""
	if before > 0 {
		n = number(before)
	}
	return link(path, "status", f.status, "job", f.job, "computer", f.computer, "type", f.kind, "within", f.within, "day", f.day, "text", f.text, "before", n)
}

// any tells whether it leaves anything out, but for what other pages list.
func (f sessionFilter) any() bool {
	f.before = 0
	return f != sessionFilter{}
}

// typeChoices are the types of sessions that there are.
func typeChoices() []choice {
	out := []choice{{"", "All"}}
	for _, r := range job.Types {
		if r.Implemented {
			out = append(out, choice{string(r.Type), string(r.Type)})
		}
	}
	return out
}

// choice is one of a list to choose from.
type choice struct{ value, label string }

// statusChoices are what the list can be narrowed to: results first, for they are asked for most.
func statusChoices() []choice {
	out := []choice{{"", "All"}, {"active", "Not over"}, {"success", "Success"}, {"warning", "With warnings"}}
	for _, r := range job.Statuses {
		out = append(out, choice{string(r.Status), string(r.Status)})
	}
	return out
}

// sessionRow is a session as lists show it.
type sessionRow struct {
	id            int64
	job, kind     string
	of            string // its computers, else its repository
	status, phase string
	reason        string
	percent       int // -1: not known
	rate, left    string
	priority      string
	started       *keepwardv1.Session // has the times
	acts          []act
	html          string // the row as it was drawn before; empty: it has to be drawn
}

// name is what a session is called: by its number, for not every one has a job.
func (r sessionRow) name() string { return "Session " + number(r.id) }

// progress is how far it is, in words; empty where there is nothing to tell.
func (r sessionRow) progress() string {
	text := ""
	for _, part := range []string{r.done(), r.rate, r.left} {
		if part != "" && text != "" {
			text += " · "
		}
		text += part
	}
	return text
}

func (r sessionRow) done() string {
	if r.percent < 0 {
		return ""
	}
	return strconv.Itoa(r.percent) + " %"
}

// row makes a row; perSecond is the rate of what runs, 0 where nobody can tell yet.
func (v *view) row(s *keepwardv1.Session, perSecond int64) sessionRow {
	r := sessionRow{
		id: s.GetId(), job: words.Safe(s.GetJob()), kind: s.GetType(), of: words.Safe(cmp.Or(words.Few(computersOf(s)), s.GetRepository())),
		status: s.GetStatus(), phase: words.Safe(s.GetPhase()), reason: v.why(s.GetReason(), failureOf(s)), percent: -1,
		priority: fmt.Sprintf("%03d", s.GetPriority()), started: s, acts: v.actsOf(s),
	}
	if over(s) {
		r.phase = ""
		return r
	}
	if percent, ok := words.Percent(s); ok {
		r.percent = percent
	}
	if perSecond > 0 {
		r.rate = words.Size(perSecond) + "/s"
	}
	if about, ok := moment(s.GetDoneAbout()); ok {
		r.left = words.Span(max(about.Sub(v.now), 0).Round(time.Second)) + " left"
	}
	return r
}

func computersOf(s *keepwardv1.Session) []string {
	var names []string
	for _, t := range s.GetTasks() {
		if t.GetComputer() != "" {
			names = append(names, t.GetComputer())
		}
	}
	return names
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

// sessionTable is what the list shows.
type sessionTable struct {
	filter sessionFilter
	rows   []sessionRow
}

// older is where the next page begins; 0: there is none.
func (t sessionTable) older() int64 {
	if len(t.rows) < pageSize {
		return 0
	}
	return t.rows[len(t.rows)-1].id
}

func (c *console) sessionList(w http.ResponseWriter, r *http.Request, v *view) error {
	f := filterOf(r.URL.Query())
	v.title, v.at = "Sessions", "sessions"
	t := sessionTable{filter: f}
	m, err := call(r.Context(), c.client.sessions.ListSessions, f.request(v.now))
	var wrong *problem
	switch kind := errs.KindOf(err); {
	case kind == errs.Invalid || kind == errs.NotFound:
		wrong = problemOf(v, err) // the filter can be put right where it is
	case err != nil:
		return err
	}
	for _, s := range m.GetSessions() {
		t.rows = append(t.rows, v.row(s, 0))
	}
	status := http.StatusOK
	if wrong != nil {
		status = statusOf(err)
	}
	c.show(w, r, status, sessionsPage(v, t, wrong))
	return nil
}

// liveList is the sessions of a list as they change.
type liveList struct {
	shown map[int64]*keepwardv1.Session
	rates map[int64]*words.Rate
	drawn map[int64]drawnRow
}

// drawnRow is the row of a session that is over. Nearly all of a list are, and hundreds may look at it
// while one of them goes on, so each is drawn once and not at every change of another.
type drawnRow struct {
	session *keepwardv1.Session
	day     string // times are shown by the day that it is
	html    string
}

func newLiveList() *liveList {
	return &liveList{shown: map[int64]*keepwardv1.Session{}, rates: map[int64]*words.Rate{}, drawn: map[int64]drawnRow{}}
}

// take takes over what a watch tells.
func (l *liveList) take(m *keepwardv1.WatchSessionsResponse, now time.Time) {
	if m.GetWhole() {
		clear(l.shown)
	}
	for _, s := range m.GetSessions() {
		l.shown[s.GetId()] = s
	}
	for _, id := range m.GetGone() {
		delete(l.shown, id)
	}
	maps.DeleteFunc(l.drawn, func(id int64, _ drawnRow) bool { return l.shown[id] == nil })
	maps.DeleteFunc(l.rates, func(id int64, _ *words.Rate) bool { return l.shown[id] == nil })
	for id, s := range l.shown {
		if s.GetEnded() != nil {
			delete(l.rates, id)
			continue
		}
		if l.rates[id] == nil {
			l.rates[id] = &words.Rate{}
		}
		l.rates[id].Add(now, words.Through(s.GetProgress().GetCounters()))
	}
}

// rows are the newest of what there is.
func (l *liveList) rows(ctx context.Context, v *view) ([]sessionRow, error) {
	list := slices.SortedFunc(maps.Values(l.shown), func(a, b *keepwardv1.Session) int { return cmp.Compare(b.GetId(), a.GetId()) })
	var out []sessionRow
	for _, s := range list[:min(len(list), pageSize)] {
		if s.GetEnded() == nil {
			out = append(out, v.row(s, l.perSecond(s)))
			continue
		}
		html, err := l.drawnOf(ctx, v, s)
		if err != nil {
			return nil, err
		}
		out = append(out, sessionRow{id: s.GetId(), html: html})
	}
	return out, nil
}

// drawnOf is the row of a session that is over.
func (l *liveList) drawnOf(ctx context.Context, v *view, s *keepwardv1.Session) (string, error) {
	day := v.now.In(v.zone).Format(time.DateOnly)
	if had := l.drawn[s.GetId()]; had.session == s && had.day == day {
		return had.html, nil
	}
	var out strings.Builder
	if err := sessionTableRow(v, v.row(s, 0), len(v.acts()) > 0).Render(ctx, &out); err != nil {
		return "", fmt.Errorf("draw the row of session %d: %w", s.GetId(), err)
	}
	l.drawn[s.GetId()] = drawnRow{s, day, out.String()}
	return out.String(), nil
}

// perSecond is the rate of a session that moves data now.
func (l *liveList) perSecond(s *keepwardv1.Session) int64 {
	r := l.rates[s.GetId()]
	if r == nil || job.Status(s.GetStatus()).Class() != job.Active {
		return 0
	}
	return r.PerSecond()
}

// sessionListLive sends the table anew whenever something in it changes.
func (c *console) sessionListLive(w http.ResponseWriter, r *http.Request, v *view) error {
	f := filterOf(r.URL.Query())
	l := newLiveList()
	var out *events
	err := receive(r.Context(), c.client.sessions.WatchSessions, &keepwardv1.WatchSessionsRequest{Filter: f.request(v.now)}, func(m *keepwardv1.WatchSessionsResponse) (err error) {
		v.now = time.Now()
		l.take(m, v.now)
		if out == nil {
			if out, err = begin(w); err != nil {
				return err
			}
		}
		rows, err := l.rows(r.Context(), v)
		if err != nil {
			return err
		}
		return out.send(r.Context(), "", sessionsBody(v, sessionTable{filter: f, rows: rows}))
	})
	if out != nil {
		return nil // it has begun: the browser comes again by itself
	}
	return quiet(r.Context(), err)
}
