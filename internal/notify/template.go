package notify

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/template"
	"text/template/parse"
	"time"
	"unicode/utf8"

	"keepward/internal/errs"
	"keepward/internal/words"
)

// Fields is what templates are filled in with. Everything is text that can be shown: names that hold
// control characters and the like stand there with escapes.
type Fields struct {
	ID, Kind, Severity, Time, Server string
	Title, Text, Hint, Code          string
	Job, Computers, Repository       string
	Session                          string // number; empty: it is not about one
	Type, Status, By                 string
	Started, Ended, Duration         string
}

// FieldMeanings says what the fields are, for the documentation.
var FieldMeanings = []struct{ Field, Meaning string }{
	{"ID", "of the event: the same at every try"},
	{"Kind", "of the event"},
	{"Severity", "info, warning or error"},
	{"Time", "when it happened"},
	{"Server", "the host of the server"},
	{"Title", "it in one line"},
	{"Text", "it in words"},
	{"Hint", "what can be done; may be empty"},
	{"Code", "of the condition, or of why a session failed; may be empty"},
	{"Job", "that it is about; may be empty"},
	{"Computers", "that it is about, with commas; may be empty"},
	{"Repository", "that it is about; may be empty"},
	{"Session", "its number; empty where it is about none, as the rest is then"},
	{"Type", "of the session, such as backup"},
	{"Status", "that the session ended with"},
	{"By", "who started the session"},
	{"Started", "when the session began to work; may be empty"},
	{"Ended", "when the session ended"},
	{"Duration", "from the one to the other; may be empty"},
}

const (
	defaultSubject = "[Keepward] {{.Title}}"
	defaultBody    = `{{.Title}}

{{.Text}}
{{if .Hint}}
What to do: {{.Hint}}
{{end}}
Time:       {{.Time}}
{{if .Job}}Job:        {{.Job}}
{{end}}{{if .Computers}}Computers:  {{.Computers}}
{{end}}{{if .Repository}}Repository: {{.Repository}}
{{end}}{{if .Session}}Session:    {{.Session}} ({{.Type}}), {{.Status}}{{if .Duration}} after {{.Duration}}{{end}}
{{end}}Server:     {{.Server}}
Event:      {{.ID}}
`
)

// namedMost bounds the computers that a message names.
const namedMost = 20

// FieldsOf are the fields of an event; times are in zone.
func FieldsOf(e Event, zone *time.Location) Fields {
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.In(zone).Format("2006-01-02 15:04:05 MST")
	}
	computers := e.Computers
	more := ""
	if n := len(computers) - namedMost; n > 0 {
		computers, more = computers[:namedMost], fmt.Sprintf(" and %d more", n)
	}
	f := Fields{
		ID: e.ID, Kind: e.Kind, Severity: e.Severity, Time: at(e.Time), Server: words.Safe(e.Server),
		Title: e.Title, Text: e.Text, Hint: e.Hint, Code: words.Safe(e.Code),
		Job: words.Safe(e.Job), Computers: words.Safe(strings.Join(computers, ", ")) + more, Repository: words.Safe(e.Repository),
	}
	if s := e.Session; s != nil {
		f.Session, f.Type, f.Status, f.By, f.Started, f.Ended = fmt.Sprint(s.ID), s.Type, s.Status, words.Safe(s.By), at(s.Started), at(s.Ended)
		if !s.Started.IsZero() {
			f.Duration = s.Ended.Sub(s.Started).Round(time.Second).String()
		}
	}
	return f
}

// CheckTemplates refuses templates that could not be filled in when it matters. An empty one is the
// default.
func CheckTemplates(subject, body string) error {
	for _, one := range []struct{ what, text string }{{"subject", subject}, {"body", body}} {
		t, err := parseTemplate(one.text)
		for _, e := range examples() {
			if err == nil {
				_, err = fill(t, FieldsOf(e, time.UTC))
			}
		}
		if err != nil {
			return errs.New(errs.Invalid, "notify.template", "read the template of the %s: %w", one.what, err).
				WithHint("fields are written as {{.Job}}; see operator/notifications.md")
		}
	}
	return nil
}

// examples are events with everything, and with as little as can be.
func examples() []Event {
	now := time.Unix(1_700_000_000, 0)
	return []Event{
		{Kind: ConditionCleared, Severity: Info, Time: now},
		{
			ID: "0", Kind: SessionFailed, Severity: Error, Time: now, Server: "s", Title: "t", Text: "t", Hint: "h", Code: "c", Job: "j",
			Computers: []string{"c"}, Repository: "r", Session: &Session{ID: 1, Type: "backup", Status: "Failed", Started: now, Ended: now, By: "schedule"},
		},
	}
}

// Subject fills in a template for a subject; empty: the default. It is one line.
func Subject(text string, f Fields) (string, error) {
	if text == "" {
		text = defaultSubject
	}
	out, err := filled(text, f)
	out = strings.Join(strings.Fields(oneLine(out)), " ")
	return Cut(out, subjectMost), err
}

// Body fills in a template for a body; empty: the default.
func Body(text string, f Fields) (string, error) {
	if text == "" {
		text = defaultBody
	}
	return filled(text, f)
}

func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
}

// Cut shortens s to so many bytes, between two characters.
func Cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most -= len("…"); most > 0 && !utf8.RuneStart(s[most]); most-- {
	}
	return s[:most] + "…"
}

func filled(text string, f Fields) (string, error) {
	t, err := parseTemplate(text)
	if err != nil {
		return "", err
	}
	return fill(t, f)
}

// parseTemplate takes conditions and comparisons. Loops have nothing to go over here but numbers, and
// could run for ever; what formats could be told to make a gigabyte of one word.
func parseTemplate(text string) (*template.Template, error) {
	if len(text) > bodyMost {
		return nil, fmt.Errorf("it is longer than %d bytes", bodyMost)
	}
	if !utf8.ValidString(text) {
		return nil, errors.New("it is not UTF-8")
	}
	not := func(name string) any {
		return func(...any) (string, error) { return "", fmt.Errorf("%s cannot be used here", name) }
	}
	t := template.New("").Option("missingkey=error").Funcs(template.FuncMap{
		"printf": not("printf"), "print": not("print"), "println": not("println"), "call": not("call"),
		"html": not("html"), "js": not("js"), "urlquery": not("urlquery"), "slice": not("slice"), "index": not("index"),
	})
	t, err := t.Parse(text)
	if err != nil {
		return nil, err
	}
	if len(t.Templates()) > 1 {
		return nil, errors.New("define and block cannot be used here")
	}
	if t.Tree == nil {
		return t, nil
	}
	return t, plainNodes(t.Root)
}

func plainNodes(n parse.Node) error {
	var lists []*parse.ListNode
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		for _, one := range n.Nodes {
			if err := plainNodes(one); err != nil {
				return err
			}
		}
	case *parse.RangeNode, *parse.TemplateNode:
		return fmt.Errorf("%s: only if, with and fields can be used here", n)
	case *parse.IfNode:
		lists = []*parse.ListNode{n.List, n.ElseList}
	case *parse.WithNode:
		lists = []*parse.ListNode{n.List, n.ElseList}
	}
	for _, l := range lists {
		if err := plainNodes(l); err != nil {
			return err
		}
	}
	return nil
}

// bounded takes so many bytes and no more.
type bounded struct {
	strings.Builder
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, fmt.Errorf("it makes more than %d bytes", bodyMost)
	}
	return b.Builder.Write(p)
}

func fill(t *template.Template, f Fields) (string, error) {
	b := &bounded{left: bodyMost}
	err := t.Execute(io.Writer(b), f)
	return b.String(), err
}
