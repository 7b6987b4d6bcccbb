package console

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/words"
)

// word is a value of a query that the API takes as text. Where it is none there is nothing of that name.
func word(q url.Values, name string) string { return strings.ToValidUTF8(q.Get(name), "\ufffd") }

// restoreStart lets choose a computer.
func (c *console) restoreStart(w http.ResponseWriter, r *http.Request, v *view) error {
	q := r.URL.Query()
	t := computerTable{text: word(q, "computers"), after: word(q, "after")}
	m, err := call(r.Context(), c.client.computers.ListComputers, &keepwardv1.ListComputersRequest{Text: t.text, After: t.after, Limit: computersShown})
	if err != nil {
		return err
	}
	t.found, t.more = m.GetFound(), m.GetMore()
	for _, one := range m.GetComputers() {
		t.rows = append(t.rows, computerRow{name: words.Safe(one.GetName()), status: one.GetStatus(), computer: one})
	}
	v.title, v.at = "Restore", "restore"
	c.show(w, r, http.StatusOK, restorePage(v, t))
	return nil
}

// timelineMost is how many points of a computer the time line shows. Older ones are found by their time.
const timelineMost = 500

// day is a day of a time line.
type day struct {
	label  string
	points []pointRow
}

// pointLine is what the page of a computer's points shows.
type pointLine struct {
	computer string
	at       string // the time that was asked for, as it was written
	days     []day
	more     bool
}

func (v *view) days(points []*keepwardv1.Point) []day {
	var days []day
	for _, p := range points {
		label := p.GetTime().AsTime().In(v.zone).Format("Monday 2006-01-02")
		if len(days) == 0 || days[len(days)-1].label != label {
			days = append(days, day{label: label})
		}
		last := &days[len(days)-1]
		last.points = append(last.points, v.point(p))
	}
	return days
}

// restorePoints shows the points of a computer, or leads to the one that was the newest at a time.
func (c *console) restorePoints(w http.ResponseWriter, r *http.Request, v *view) error {
	q := r.URL.Query()
	t := pointLine{computer: word(q, "computer"), at: strings.TrimSpace(q.Get("at"))}
	var wrong *problem
	status := http.StatusOK
	if t.at != "" {
		to, err := c.pointAt(r, v, t)
		if err == nil {
			http.Redirect(w, r, to, http.StatusSeeOther)
			return nil
		}
		if kind := errs.KindOf(err); kind != errs.Invalid && kind != errs.NotFound {
			return err
		}
		wrong, status = problemOf(v, err), statusOf(err)
	}
	m, err := call(r.Context(), c.client.points.ListPoints, &keepwardv1.ListPointsRequest{Computer: t.computer, Limit: timelineMost})
	if err != nil {
		return err
	}
	t.days, t.more = v.days(m.GetPoints()), len(m.GetPoints()) == timelineMost
	v.title, v.at = "Restore from "+words.Safe(t.computer), "restore"
	c.show(w, r, status, timelinePage(v, t, wrong))
	return nil
}

// momentForms are how a browser sends a time that was chosen, and how people write one.
var momentForms = []string{"2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly}

func (c *console) pointAt(r *http.Request, v *view, t pointLine) (string, error) {
	for _, form := range momentForms {
		at, err := time.ParseInLocation(form, t.at, v.zone)
		if err != nil {
			continue
		}
		m, err := call(r.Context(), c.client.points.GetPoint, &keepwardv1.GetPointRequest{Computer: t.computer, Before: at.UTC().Format(time.RFC3339)})
		if err != nil {
			return "", err
		}
		return link("/restore/browse", "point", m.GetPoint().GetId()), nil
	}
	return "", errs.New(errs.Invalid, "point.time", "find restore point: %q is not a time", t.at).WithHint("write it as 2026-11-01 22:00")
}

// entriesShown is how many entries of a folder are on one page.
const entriesShown = 200

// entryRow is an entry as lists show it.
type entryRow struct {
	point, path string // as they are, for links
	name, kind  string
	target      string
	size        string
	owner       string
	entry       *keepwardv1.Entry // has the time
}

func (e entryRow) folder() bool { return e.kind == "dir" }
func (e entryRow) file() bool   { return e.kind == "file" }

func rowOfEntry(point string, e *keepwardv1.Entry) entryRow {
	path := string(e.GetPath())
	row := entryRow{
		point: point, path: path, name: words.Safe(path[strings.LastIndexByte(path, '/')+1:]), kind: e.GetType(), target: words.Safe(string(e.GetLinkTarget())),
		owner: words.Safe(e.GetUser() + ":" + e.GetGroup()), entry: e,
	}
	if row.file() {
		row.size = words.Size(e.GetSize())
	}
	return row
}

// crumb is a folder on the way to where somebody is.
type crumb struct{ name, path string }

func crumbs(path string) []crumb {
	list := []crumb{{"/", "/"}}
	at := 0
	for part := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if part == "" {
			continue
		}
		i := strings.Index(path[at:], part)
		at += i + len(part)
		list = append(list, crumb{words.Safe(part), path[:at]})
	}
	return list
}

// folderView is what the page of a folder in a point shows.
type folderView struct {
	point   *keepwardv1.Point
	path    string
	way     []crumb
	entries []entryRow
	cursor  string // of this page; empty: it is the first
	next    string // empty: it is the last
}

func (c *console) restoreBrowse(w http.ResponseWriter, r *http.Request, v *view) error {
	q := r.URL.Query()
	f := folderView{path: cmp.Or(q.Get("path"), "/"), cursor: q.Get("cursor")}
	m, err := call(r.Context(), c.client.points.Browse, &keepwardv1.BrowseRequest{
		Point: word(q, "point"), Path: []byte(f.path), Cursor: []byte(f.cursor), Limit: entriesShown,
	})
	if err != nil {
		return err
	}
	f.point, f.next, f.way = m.GetPoint(), string(m.GetNextCursor()), crumbs(f.path)
	for _, e := range m.GetEntries() {
		f.entries = append(f.entries, rowOfEntry(f.point.GetId(), e))
	}
	v.title, v.at = "Files of "+words.Safe(f.point.GetComputer()), "restore"
	c.show(w, r, http.StatusOK, browsePage(v, f))
	return nil
}

// foundMost is how many versions a search shows. It ends there.
const foundMost = 200

// search is what a search was asked for.
type search struct {
	computer, point string
	text            string // as it was written
}

// glob is the pattern: what has no sign of one is a part of a name.
func (s search) glob() string {
	if s.text == "" || strings.ContainsAny(s.text, `*?[\`) {
		return s.text
	}
	if strings.Contains(s.text, "/") {
		return "**" + s.text + "**"
	}
	return "*" + s.text + "*"
}

// foundRow is a version of a file that was found.
type foundRow struct {
	entryRow
	computer, place string // the place is the folder
	found           *keepwardv1.FindResponse
}

func (v *view) found(m *keepwardv1.FindResponse) foundRow {
	row := foundRow{entryRow: rowOfEntry(m.GetPoint(), m.GetEntry()), computer: words.Safe(m.GetComputer()), found: m}
	row.place = words.Safe(row.path[:strings.LastIndexByte(row.path, '/')+1])
	return row
}

// find collects what is found, up to a bound; more: there is more.
func (c *console) find(r *http.Request, v *view, req *keepwardv1.FindRequest) (rows []foundRow, more bool, err error) {
	full := errs.New(errs.Cancelled, "", "it is enough")
	err = receive(r.Context(), c.client.points.Find, req, func(m *keepwardv1.FindResponse) error {
		if len(rows) == foundMost {
			more = true
			return full
		}
		rows = append(rows, v.found(m))
		return nil
	})
	if more {
		err = nil
	}
	return rows, more, err
}

func (c *console) restoreFind(w http.ResponseWriter, r *http.Request, v *view) error {
	q := r.URL.Query()
	s := search{computer: word(q, "computer"), point: word(q, "point"), text: strings.TrimSpace(word(q, "text"))}
	var rows []foundRow
	more, status := false, http.StatusOK
	var wrong *problem
	if s.text != "" {
		var err error
		rows, more, err = c.find(r, v, &keepwardv1.FindRequest{Glob: s.glob(), Computer: s.computer, Point: s.point})
		switch kind := errs.KindOf(err); {
		case kind == errs.Invalid || kind == errs.NotFound:
			wrong, status = problemOf(v, err), statusOf(err)
		case err != nil:
			return err
		}
	}
	v.title, v.at = "Find files", "restore"
	c.show(w, r, status, findPage(v, s, rows, more, wrong))
	return nil
}

// exactly is a pattern that one path fits. Patterns are text: of a path that is none they leave bytes open.
func exactly(path string) string {
	var b strings.Builder
	for i, r := range path {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(path[i:], "\ufffd"):
			b.WriteByte('?')
			continue
		case strings.ContainsRune(`*?[\`, r):
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// restoreVersions shows the versions of one file side by side.
func (c *console) restoreVersions(w http.ResponseWriter, r *http.Request, v *view) error {
	q := r.URL.Query()
	computer, path := word(q, "computer"), q.Get("path")
	if computer == "" || path == "" {
		return errs.New(errs.Invalid, "", "show versions: computer or path is not said")
	}
	rows, more, err := c.find(r, v, &keepwardv1.FindRequest{Glob: exactly(path), Computer: computer})
	if err != nil {
		return err
	}
	rows = slices.DeleteFunc(rows, func(f foundRow) bool { return f.path != path })
	slices.SortStableFunc(rows, func(a, b foundRow) int {
		return b.found.GetTime().AsTime().Compare(a.found.GetTime().AsTime())
	})
	v.title, v.at = "Versions of "+words.Safe(path), "restore"
	c.show(w, r, http.StatusOK, versionsPage(v, computer, path, rows, more))
	return nil
}
