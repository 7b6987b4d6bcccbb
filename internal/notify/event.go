package notify

import (
	"slices"
	"strings"
	"time"
)

// The kinds of events.
const (
	SessionSuccess   = "session.success"
	SessionWarning   = "session.warning"
	SessionFailed    = "session.failed"
	ConditionRaised  = "condition.raised"
	ConditionCleared = "condition.cleared"
	Test             = "test"
	ReportDaily      = "report.daily"
	ReportWeekly     = "report.weekly"
)

// Kinds says what each kind of event is; rules name them. A test goes to the target that is tested, and
// a report to those that it names itself.
var Kinds = []struct{ Kind, Meaning string }{
	{SessionSuccess, "a session has done all it was to"},
	{SessionWarning, "a session has left something out, or was ended early with a result"},
	{SessionFailed, "a session has failed and is not tried again by itself"},
	{ConditionRaised, "a lasting problem has come up, and has stayed for a while"},
	{ConditionCleared, "a lasting problem that was told is over"},
}

// The severities, the least first.
const (
	Info    = "info"
	Warning = "warning"
	Error   = "error"
)

// Severities are all of them, the least first.
var Severities = []string{Info, Warning, Error}

// Event is something that happened. As JSON it is the body of a webhook, so names of fields stay.
// Its texts are fit to be shown; names are as they are.
type Event struct {
	ID         string    `json:"id"` // the same at every try
	Kind       string    `json:"kind"`
	Severity   string    `json:"severity"`
	Time       time.Time `json:"time"`
	Server     string    `json:"server"`
	Title      string    `json:"title"`
	Text       string    `json:"text"`
	Hint       string    `json:"hint,omitempty"`
	Code       string    `json:"code,omitempty"` // of a condition, or of the failure
	Job        string    `json:"job,omitempty"`
	Computers  []string  `json:"computers,omitempty"`
	Repository string    `json:"repository,omitempty"`
	Session    *Session  `json:"session,omitempty"`
	Report     *Report   `json:"report,omitempty"`
}

// Report is what an event tells of a report in numbers.
type Report struct {
	Name        string    `json:"name"`
	Group       string    `json:"group,omitempty"` // empty: the whole site
	From        time.Time `json:"from"`
	To          time.Time `json:"to"`
	Success     int64     `json:"success"` // sessions
	Warning     int64     `json:"warning"`
	Failed      int64     `json:"failed"`
	Computers   int64     `json:"computers"`
	Unprotected int64     `json:"unprotected"`
	Conditions  int64     `json:"conditions"`
}

// Session is what an event tells of a session.
type Session struct {
	ID      int64     `json:"id"`
	Type    string    `json:"type"`
	Status  string    `json:"status"`
	Started time.Time `json:"started,omitzero"`
	Ended   time.Time `json:"ended"`
	By      string    `json:"by"`
	Retry   int       `json:"retry,omitempty"`
}

// Rule says which events it takes. The zero value takes every one.
type Rule struct {
	Events   []string
	Severity string // the least; empty: any
	Jobs     []string
	Groups   []string
}

// Takes tells whether the rule takes an event; groups are those of the event's computers.
func (r Rule) Takes(e Event, groups []string) bool {
	if e.Kind == Test || e.Kind == ReportDaily || e.Kind == ReportWeekly {
		return false // they say themselves where they go
	}
	if len(r.Events) > 0 && !slices.ContainsFunc(r.Events, func(want string) bool { return want == e.Kind || strings.HasPrefix(e.Kind, want+".") }) {
		return false
	}
	if slices.Index(Severities, e.Severity) < slices.Index(Severities, r.Severity) {
		return false
	}
	if len(r.Jobs) == 0 && len(r.Groups) == 0 {
		return true
	}
	return slices.Contains(r.Jobs, e.Job) && e.Job != "" ||
		slices.ContainsFunc(r.Groups, func(g string) bool { return slices.Contains(groups, g) })
}

// KnownKind tells whether a rule may name it.
func KnownKind(want string) bool {
	for _, k := range Kinds {
		if k.Kind == want || strings.HasPrefix(k.Kind, want+".") {
			return true
		}
	}
	return false
}
