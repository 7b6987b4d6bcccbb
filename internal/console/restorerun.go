package console

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/words"
)

// overwrites are what can be done with files that are there already.
var overwrites = []choice{
	{"different", "Replace what is different"}, {"newer", "Replace what is older than in the point"}, {"always", "Replace everything"}, {"never", "Leave everything that is there"},
}

// chosenShown bounds the list of what is chosen.
const chosenShown = 20

// restoreForm is what a restore is asked for, as its form has it.
type restoreForm struct {
	point, target string
	paths         []string
	place         string // "original", or "other": to
	to            string
	overwrite     string
	strip, extra  bool
	verify        bool
	numeric       bool
}

func restoreFormOf(q url.Values) (restoreForm, error) {
	f := restoreForm{
		point: word(q, "point"), place: q.Get("place"), to: q.Get("to"), overwrite: word(q, "overwrite"), paths: q["path"],
		strip: q.Get("strip") != "", extra: q.Get("extra") != "", verify: q.Get("verify") != "", numeric: q.Get("numeric") != "",
	}
	target, err := url.PathUnescape(word(q, "target"))
	if err != nil {
		return f, errs.New(errs.Invalid, "", "read the form: the computer %q cannot be read", q.Get("target"))
	}
	f.target = cmp.Or(strings.ToValidUTF8(target, "\ufffd"), word(q, "named"))
	for _, text := range q["chosen"] {
		path, err := url.PathUnescape(text)
		if err != nil {
			return f, errs.New(errs.Invalid, "", "read the form: the path %q cannot be read", text)
		}
		f.paths = append(f.paths, path)
	}
	if len(f.paths) == 0 {
		return f, errs.New(errs.Invalid, "", "restore: nothing is chosen").WithHint("go back, and choose files or folders")
	}
	if slices.Contains(f.paths, "/") {
		f.paths = []string{"/"}
	}
	return f, nil
}

// escaped is a name as a form can carry it: a browser would replace what is no text, and nobody wants to meet
// the rest.
func escaped(path string) string {
	var b strings.Builder
	for len(path) > 0 {
		r, n := utf8.DecodeRuneInString(path)
		if n == 1 && r == utf8.RuneError || r == '%' || !unicode.IsPrint(r) {
			for i := range n {
				fmt.Fprintf(&b, "%%%02X", path[i])
			}
		} else {
			b.WriteString(path[:n])
		}
		path = path[n:]
	}
	return b.String()
}

// link is the page of the form, filled like this.
func (f restoreForm) link(estimate int64) string {
	q := url.Values{"point": {f.point}, "path": f.paths}
	yes := func(b bool) string {
		if b {
			return "yes"
		}
		return ""
	}
	for _, pair := range [][2]string{
		{"target", escaped(f.target)},
		{"place", f.place},
		{"to", f.to},
		{"overwrite", f.overwrite},
		{"strip", yes(f.strip)},
		{"extra", yes(f.extra)},
		{"verify", yes(f.verify)},
		{"numeric", yes(f.numeric)},
	} {
		if pair[1] != "" {
			q.Set(pair[0], pair[1])
		}
	}
	if estimate > 0 {
		q.Set("estimate", number(estimate))
	}
	return "/restore/to?" + q.Encode()
}

func (f restoreForm) request() (*keepwardv1.RestoreFilesRequest, error) {
	req := &keepwardv1.RestoreFilesRequest{
		Point: f.point, TargetComputer: f.target, Overwrite: f.overwrite, DeleteExtra: f.extra, Verify: f.verify, NumericOwner: f.numeric,
	}
	for _, p := range f.paths {
		if p != "/" {
			req.Paths = append(req.Paths, []byte(p))
		}
	}
	switch f.place {
	case "original":
	case "other":
		if f.to == "" {
			return nil, errs.New(errs.Invalid, "restore.to", "restore: it is not said to which folder").WithHint("write its full name, such as /srv/restored")
		}
		req.To, req.Strip = []byte(f.to), f.strip
	default:
		return nil, errs.New(errs.Invalid, "restore.to", "restore: it is not said to which place")
	}
	return req, nil
}

// restoreView is what the page of the form shows.
type restoreView struct {
	form     restoreForm
	point    *keepwardv1.Point
	targets  []choice
	many     bool                // computers, more than a list has: the name is written
	estimate *keepwardv1.Session // nil: none was asked for
}

// written is the name of a target that somebody has written; empty: the files stay on their computer.
func (r restoreView) written() string {
	if r.form.target == r.point.GetComputer() {
		return ""
	}
	return r.form.target
}

func (c *console) restoreView(r *http.Request, f restoreForm) (restoreView, error) {
	out := restoreView{form: f}
	p, err := call(r.Context(), c.client.points.GetPoint, &keepwardv1.GetPointRequest{Name: f.point})
	if err != nil {
		return out, err
	}
	out.point = p.GetPoint()
	m, err := call(r.Context(), c.client.computers.ListComputers, &keepwardv1.ListComputersRequest{Limit: computersShown})
	if err != nil {
		return out, err
	}
	if f.target == "" {
		out.form.target = out.point.GetComputer()
	}
	if f.place == "" {
		out.form.place, out.form.verify = "other", true
	}
	out.many = m.GetMore()
	for _, one := range m.GetComputers() {
		out.targets = append(out.targets, choice{one.GetName(), words.Safe(one.GetName()) + ", " + words.Safe(one.GetStatus())})
	}
	return out, nil
}

func (c *console) askRestore(w http.ResponseWriter, r *http.Request, v *view) error {
	q := r.URL.Query()
	f, err := restoreFormOf(q)
	if err != nil {
		return err
	}
	page, err := c.restoreView(r, f)
	if err != nil {
		return err
	}
	if text := q.Get("estimate"); text != "" {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return errs.New(errs.NotFound, "", "%q is no number of a session", text)
		}
		m, err := call(r.Context(), c.client.sessions.GetSession, &keepwardv1.GetSessionRequest{Id: id})
		if err != nil {
			return err
		}
		page.estimate = m.GetSession()
	}
	c.answerRestore(w, r, v, http.StatusOK, page, nil)
	return nil
}

func (c *console) answerRestore(w http.ResponseWriter, r *http.Request, v *view, status int, page restoreView, wrong *problem) {
	v.title, v.at = "Restore files", "restore"
	c.show(w, r, status, restoreToPage(v, page, wrong))
}

// doRestore starts a session: one that counts, one that lists what it would do, or a restore.
func (c *console) doRestore(w http.ResponseWriter, r *http.Request, v *view) error {
	if err := r.ParseForm(); err != nil {
		return errs.New(errs.Invalid, "", "read the form: %w", err)
	}
	f, err := restoreFormOf(r.PostForm)
	if err != nil {
		return err
	}
	do := r.PostForm.Get("do")
	req, err := f.request()
	if err == nil {
		switch do {
		case "estimate":
			req.Estimate, req.Verify = true, false
		case "list":
			req.DryRun, req.Verify = true, false
		case "restore":
		default:
			err = errs.New(errs.Invalid, "", "restore: %q is not known", do)
		}
	}
	var m *keepwardv1.StartSessionResponse
	if err == nil {
		m, err = call(r.Context(), c.client.restores.RestoreFiles, req)
	}
	if err != nil {
		kind := errs.KindOf(err)
		if expired(err) || kind == errs.Denied {
			return err
		}
		page, perr := c.restoreView(r, f)
		if perr != nil {
			return perr
		}
		c.answerRestore(w, r, v, statusOf(err), page, problemOf(v, err))
		return nil
	}
	to := fmt.Sprintf("/sessions/%d", m.GetSession())
	if do == "estimate" {
		to = f.link(m.GetSession()) + "#estimate"
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// estimateLive sends an estimate as it comes, to its end.
func (c *console) estimateLive(w http.ResponseWriter, r *http.Request, v *view) error {
	id, err := sessionID(r)
	if err != nil {
		return err
	}
	var out *events
	last := ""
	err = receive(r.Context(), c.client.sessions.WatchSession, &keepwardv1.WatchSessionRequest{Id: id}, func(m *keepwardv1.WatchSessionResponse) (err error) {
		if out == nil {
			if out, err = begin(w); err != nil {
				return err
			}
		}
		last = m.GetSession().GetStatus()
		return c.sendEstimate(r.Context(), out, v, m.GetSession())
	})
	if out == nil {
		return quiet(r.Context(), err)
	}
	if job.Status(last).Final() {
		_ = out.done() // who has gone need not know
	}
	return nil
}

func (c *console) sendEstimate(ctx context.Context, out *events, v *view, s *keepwardv1.Session) error {
	return out.send(ctx, "", estimateBody(v, s))
}

// estimated are the numbers of a session that counted.
func estimated(s *keepwardv1.Session) []field {
	n := s.GetProgress().GetCounters()
	amount := func(all, dirs, bytes int64) string { return words.Entries(all, dirs) + ", " + words.Size(bytes) }
	return fields(
		"Chosen", amount(n.GetDoneFiles(), n.GetDoneDirs(), n.GetDoneBytes()),
		"Left as it is", amount(n.GetSkippedFiles(), n.GetSkippedDirs(), n.GetSkippedBytes()),
		"To write", amount(n.GetDoneFiles()-n.GetSkippedFiles(), n.GetDoneDirs()-n.GetSkippedDirs(), n.GetDoneBytes()-n.GetSkippedBytes()),
		"To fetch", words.Size(n.GetFetchBytes())+", "+words.Plural(n.GetFetchChunks(), "chunk")+" of "+words.Plural(n.GetFetchPacks(), "pack"),
	)
}
