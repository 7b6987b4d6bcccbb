package console

import (
	"bufio"
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/words"
)

const (
	// logShown is how many lines of a log a page has.
	logShown = 300
	// filesShown is how many files with errors a page has.
	filesShown = 50
)

// logLevels are what a log can be narrowed to.
var logLevels = []struct {
	choice
	levels []string
}{
	{choice{"", "All lines"}, nil}, {choice{"trouble", "Warnings and errors"}, []string{"warning", "error"}}, {choice{"error", "Errors"}, []string{"error"}},
}

// logFilter is what of a session's log and of its files with errors is looked for, as the forms have it.
type logFilter struct {
	level, text string
	before      int64
	file        string // a text in the path or in what is said of it
	after       *keepwardv1.FilePlace
}

func logFilterOf(q url.Values) logFilter {
	f := logFilter{level: q.Get("level"), text: word(q, "text"), file: word(q, "file")}
	if n, err := strconv.ParseInt(q.Get("before"), 10, 64); err == nil && n > 0 {
		f.before = n
	}
	if q.Get("after") != "" {
		f.after = &keepwardv1.FilePlace{Path: []byte(q.Get("after")), Task: word(q, "task")} // paths need not be text
	}
	return f
}

// plain tells whether all lines pass, from the end on: then those that come are added.
func (f logFilter) plain() bool { return f.level == "" && f.text == "" && f.before == 0 }

func (f logFilter) levels() []string {
	for _, l := range logLevels {
		if l.value == f.level {
			return l.levels
		}
	}
	return nil
}

// logLink is the part of a session's page with its log, from a line on.
func (f logFilter) logLink(id, before int64) string {
	n := ""
	if before > 0 {
		n = number(before)
	}
	return link("/sessions/"+number(id), "level", f.level, "text", f.text, "before", n, "file", f.file) + "#log-title"
}

// filesLink is the part with the files, from one on.
func (f logFilter) filesLink(id int64, after *keepwardv1.FilePlace) string {
	return link("/sessions/"+number(id), "level", f.level, "text", f.text, "file", f.file, "after", string(after.GetPath()), "task", after.GetTask()) + "#files-title"
}

// logPart is a page of a log.
type logPart struct {
	session int64
	filter  logFilter
	lines   []*keepwardv1.Event
	next    int64 // where the page before it begins; 0: there is none
	last    int64 // the number of the last line; 0: there is none
}

// fileRow is a file with errors.
type fileRow struct {
	path, of, text, level string
	lines                 int64
	newest                *keepwardv1.Event
}

// filesPart is a page of the files with errors. One without any is not shown.
type filesPart struct {
	session int64
	filter  logFilter
	rows    []fileRow
	next    *keepwardv1.FilePlace
}

func (p filesPart) shown() bool {
	return len(p.rows) > 0 || p.filter.file != "" || p.filter.after != nil
}

// logOf reads the page of the log that was asked for.
func (c *console) logOf(r *http.Request, id int64, f logFilter) (*logPart, error) {
	m, err := call(r.Context(), c.client.details.ReadLogPage, &keepwardv1.ReadLogPageRequest{Id: id, Levels: f.levels(), Text: f.text, Before: f.before, Limit: logShown})
	if err != nil {
		return nil, err
	}
	out := &logPart{session: id, filter: f, lines: m.GetEvents(), next: m.GetNext()}
	if n := len(out.lines); n > 0 {
		out.last = out.lines[n-1].GetSeq()
	}
	return out, nil
}

// filesOf reads the page of the files with errors that was asked for.
func (c *console) filesOf(r *http.Request, v *view, s *keepwardv1.Session, f logFilter) (filesPart, error) {
	m, err := call(r.Context(), c.client.details.ListFileErrors, &keepwardv1.ListFileErrorsRequest{Id: s.GetId(), Text: f.file, After: f.after, Limit: filesShown})
	if err != nil {
		return filesPart{}, err
	}
	out := filesPart{session: s.GetId(), filter: f, next: m.GetNext()}
	names := namesOfTasks(s)
	for _, one := range m.GetFiles() {
		e := one.GetNewest()
		row := fileRow{path: words.Safe(string(e.GetPath())), text: v.says(e.GetText()), level: e.GetLevel(), lines: one.GetLines(), newest: e}
		if len(s.GetTasks()) > 1 {
			row.of = names[e.GetTask()]
		}
		out.rows = append(out.rows, row)
	}
	return out, nil
}

// namesOfTasks are what tasks are about, by their ids.
func namesOfTasks(s *keepwardv1.Session) map[string]string {
	names := make(map[string]string, len(s.GetTasks()))
	for _, t := range s.GetTasks() {
		names[t.GetId()] = words.Safe(cmp.Or(t.GetComputer(), "repository "+cmp.Or(t.GetRepository(), s.GetRepository())))
	}
	return names
}

// fileLine is a line of a log as a file has it: whatever stands in it, it is one line, and moves no cursor.
func fileLine(names map[string]string, e *keepwardv1.Event) string {
	text := bareLine(e)
	return fmt.Sprintf("%s %-7s %-6s %s%s", e.GetTime().AsTime().UTC().Format("2006-01-02T15:04:05.000Z"), words.Safe(e.GetLevel()), words.Safe(e.GetPart()), named(names[e.GetTask()]), text)
}

func named(name string) string {
	if name == "" {
		return ""
	}
	return name + ": "
}

// logFile answers the whole log as text.
func (c *console) logFile(w http.ResponseWriter, r *http.Request, _ *view) error {
	id, err := sessionID(r)
	if err != nil {
		return err
	}
	m, err := call(r.Context(), c.client.sessions.GetSession, &keepwardv1.GetSessionRequest{Id: id})
	if err != nil {
		return err
	}
	names := map[string]string{}
	if len(m.GetSession().GetTasks()) > 1 {
		names = namesOfTasks(m.GetSession())
	}
	began := false
	out := bufio.NewWriter(w)
	err = receive(r.Context(), c.client.sessions.ReadLog, &keepwardv1.ReadLogRequest{Id: id}, func(m *keepwardv1.ReadLogResponse) error {
		if !began {
			logHeaders(w.Header(), id)
			began = true
		}
		for _, e := range m.GetEvents() {
			if _, err := out.WriteString(fileLine(names, e) + "\n"); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && !began {
		return err
	}
	if err != nil {
		if r.Context().Err() == nil {
			c.log.Warn("the download of a log broke off", "session", id, "error", err)
		}
		panic(http.ErrAbortHandler) // else it would look whole
	}
	logHeaders(w.Header(), id)
	_ = out.Flush() // who has gone need not know
	return nil
}

func logHeaders(h http.Header, id int64) {
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="session-%d-log.txt"`, id))
}

// bareLine is the text of a line of a log, with its times as they stand there.
func bareLine(e *keepwardv1.Event) string {
	text := words.Safe(e.GetText())
	if e.GetTo() != "" {
		text = words.Safe(strings.TrimPrefix(e.GetFrom()+" → ", " → ")+e.GetTo()) + ": " + text
	}
	if e.GetActor() != "" {
		text += " (" + words.Safe(e.GetActor()) + ")"
	}
	if len(e.GetPath()) > 0 {
		text = words.Safe(string(e.GetPath())) + ": " + text
	}
	return text
}
