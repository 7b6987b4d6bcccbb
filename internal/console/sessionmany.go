package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/words"
)

// manyMost bounds how many sessions are acted on at once: those of a page.
const manyMost = pageSize

// oneOfMany is a session that was chosen, and what became of it.
type oneOfMany struct {
	row  sessionRow
	fits bool // the act makes sense for it now
	done bool
	at   int64 // the session to look at afterwards
	bad  *problem
}

// many is an act on several sessions.
type many struct {
	act      act
	sessions []oneOfMany
	priority string
	tried    bool // it was done, as far as it could be
}

// fitting is how many of them the act makes sense for.
func (m many) fitting() (n int) {
	for _, s := range m.sessions {
		if s.fits {
			n++
		}
	}
	return n
}

// comes is what comes of it, once, for all that it is done to.
func (m many) comes(list []*keepwardv1.Session) (out []string) {
	for _, s := range list {
		if !m.act.offered(s) {
			continue
		}
		for _, text := range m.act.comes(s) {
			if !slices.Contains(out, text) {
				out = append(out, text)
			}
		}
	}
	return out
}

func (c *console) manyOf(ctx context.Context, v *view, form url.Values) (many, []*keepwardv1.Session, error) {
	i := slices.IndexFunc(acts, func(a act) bool { return a.name == form.Get("act") })
	if i < 0 {
		return many{}, nil, errs.New(errs.NotFound, "", "there is no such page")
	}
	m := many{act: acts[i], priority: form.Get("priority")}
	ids := form["id"]
	if len(ids) > manyMost {
		return m, nil, errs.New(errs.Invalid, "", "%s sessions: %d are chosen, and at most %d can be at once", m.act.verb, len(ids), manyMost)
	}
	var list []*keepwardv1.Session
	for _, text := range slices.Compact(slices.Clone(ids)) {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil || id < 1 {
			return m, nil, errs.New(errs.Invalid, "", "%q is no number of a session", text)
		}
		got, err := call(ctx, c.client.sessions.GetSession, &keepwardv1.GetSessionRequest{Id: id})
		if err != nil {
			return m, nil, err
		}
		list = append(list, got.GetSession())
		m.sessions = append(m.sessions, oneOfMany{row: v.row(got.GetSession(), 0), fits: m.act.offered(got.GetSession())})
	}
	return m, list, nil
}

func (c *console) askMany(w http.ResponseWriter, r *http.Request, v *view) error {
	m, list, err := c.manyOf(r.Context(), v, r.URL.Query())
	if err != nil {
		return err
	}
	c.answerMany(w, r, v, http.StatusOK, m, list)
	return nil
}

func (c *console) answerMany(w http.ResponseWriter, r *http.Request, v *view, status int, m many, list []*keepwardv1.Session) {
	v.title, v.at = m.act.verb+" "+words.Plural(int64(len(m.sessions)), "session"), "sessions"
	c.show(w, r, status, manyPage(v, m, m.comes(list)))
}

// doMany does it to one after the other. What the server refuses of one leaves the others as they are.
func (c *console) doMany(w http.ResponseWriter, r *http.Request, v *view) error {
	if err := r.ParseForm(); err != nil {
		return errs.New(errs.Invalid, "", "read the form: %w", err)
	}
	m, list, err := c.manyOf(r.Context(), v, r.PostForm)
	if err != nil {
		return err
	}
	status := http.StatusOK
	for i := range m.sessions {
		s := &m.sessions[i]
		if !s.fits {
			continue
		}
		id, err := m.act.do(r.Context(), c.client, s.row.id, r.PostForm)
		if expired(err) {
			return err
		}
		if err != nil {
			s.bad, status = problemOf(v, err), http.StatusConflict
			continue
		}
		s.done, s.at = true, id
	}
	m.tried = true
	if status == http.StatusOK {
		http.Redirect(w, r, "/sessions", http.StatusSeeOther)
		return nil
	}
	c.answerMany(w, r, v, status, m, list)
	return nil
}

// outcome is what became of one of them, in words.
func (s oneOfMany) outcome() string {
	switch {
	case !s.fits:
		return "is left alone: that makes no sense for it now"
	case s.done && s.at != s.row.id:
		return fmt.Sprintf("done: session %d", s.at)
	case s.done:
		return "done"
	case s.bad != nil:
		return s.bad.text
	}
	return ""
}
