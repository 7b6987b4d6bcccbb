package console

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
	"keepward/internal/words"
)

// zoneCookie holds the name of the viewer's time zone. A script of the pages sets it, so that
// times are written right at once and do not jump when live parts come in.
const zoneCookie = "__Host-keepward-zone"

// zoneNameMost is longer than the name of any zone.
const zoneNameMost = 64

// view is what every page is told about who looks at it, and when.
type view struct {
	title   string
	at      string // the part of the navigation that it is in; empty: in none
	version string
	now     time.Time
	zone    *time.Location
	inside  bool // somebody has logged in
	// Who looks, and whether he may make a call; nil before it is known.
	caller *keepwardv1.GetCallerResponse
	may    func(procedure string) bool
}

// zoneOf is the zone that a browser says it is in; UTC where it has not said so.
func zoneOf(r *http.Request) *time.Location {
	c, err := r.Cookie(zoneCookie)
	if err != nil {
		return time.UTC
	}
	name, err := url.QueryUnescape(c.Value)
	if err != nil || name == "" || name == "Local" || len(name) > zoneNameMost {
		return time.UTC
	}
	zone, err := time.LoadLocation(name) // it takes no path that leads elsewhere
	if err != nil {
		return time.UTC
	}
	return zone
}

// moment is a time, and whether there is one.
func moment(t *timestamppb.Timestamp) (time.Time, bool) {
	if t == nil {
		return time.Time{}, false
	}
	return t.AsTime(), true
}

// clock is a time as it stands in a list: today without its day.
func (v *view) clock(t time.Time) string {
	t = t.In(v.zone)
	if t.Format(time.DateOnly) == v.now.In(v.zone).Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format("2006-01-02 15:04")
}

// exact is a time with all there is to it, for who points at it.
func (v *view) exact(t time.Time) string {
	t = t.In(v.zone)
	return t.Format("Monday 2006-01-02 15:04:05 MST (-07:00)")
}

// took is the time between two moments, to now while the second is missing.
func (v *view) took(from, to *timestamppb.Timestamp) string {
	began, ok := moment(from)
	if !ok {
		return ""
	}
	end, ok := moment(to)
	if !ok {
		end = v.now
	}
	return words.Span(max(end.Sub(began), 0))
}

// says is a sentence of the server, with its times in the viewer's zone.
func (v *view) says(text string) string {
	return words.Safe(words.LocalTimes(text, v.clock))
}

// why is the failure of something, or the reason for which it does not run.
func (v *view) why(r *keepwardv1.Reason, f *keepwardv1.Failure) string {
	if f.GetMessage() != "" {
		return v.says(f.GetMessage())
	}
	if r.GetCode() == string(job.NoReason) {
		return ""
	}
	return v.says(r.GetText())
}

// tone is how a status, a result or a state is coloured: good, warn, bad, run, or idle.
func tone(word string) string {
	switch strings.ToLower(word) {
	case "online", "success", "delivered", "done":
		return "good"
	case "warning", "offline", "not joined", "never connected":
		return "warn"
	case "error", "lost", "failing", "given up", "failed":
		return "bad"
	}
	s := job.Status(word)
	switch s.Result() {
	case job.ResultSuccess:
		return "good"
	case job.ResultWarning:
		return "warn"
	case job.ResultFailed:
		return "bad"
	}
	if c := s.Class(); c == job.Active || c == job.Leaving {
		return "run"
	}
	return "idle"
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

// some is a count; empty where there is nothing.
func some(n int64) string {
	if n == 0 {
		return ""
	}
	return words.Count(n)
}

// someSize is an amount of bytes; empty where there is nothing.
func someSize(n int64) string {
	if n == 0 {
		return ""
	}
	return words.Size(n)
}

// link is a path with a query; pairs are its names and values, of which empty ones are left out.
func link(path string, pairs ...string) string {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// field is a name with its value, as a page lists them.
type field struct{ name, value string }

// fields leaves out what has no value.
func fields(pairs ...string) []field {
	var out []field
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			out = append(out, field{pairs[i], pairs[i+1]})
		}
	}
	return out
}
