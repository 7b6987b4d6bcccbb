package console

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/words"
)

// deed is something that is done to a thing of the server by one form. Its page says what comes of it
// before it is done. Sessions and jobs have acts and a wizard of their own.
type deed struct {
	name      string // in the path
	verb      string // on what leads to its page, and on its button
	procedure string // the call that it makes: who may make it is offered it
	part      string // of the navigation
	danger    bool
	// ask reads what the deed is about as it is now, and makes the form of it.
	ask func(d *doing) (form, error)
	// do does it with what was filled in.
	do func(d *doing) (done, error)
}

// doing is a deed on its way.
type doing struct {
	context.Context
	c    *client
	v    *view
	of   string     // what it is done to; empty: something new
	more url.Values // of the path, besides
	in   url.Values // what was filled in; nil: nothing was
}

func (d *doing) text(name string) string { return typedText(strings.TrimSpace(d.in.Get(name))) }

// lines are the lines of a text that say something.
func (d *doing) lines(name string) (out []string) {
	for line := range strings.Lines(d.in.Get(name)) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, typedText(line))
		}
	}
	return out
}

// chosen are the values of an input that has several.
func (d *doing) chosen(name string) (out []string) {
	for _, text := range d.in[name] {
		out = append(out, typedText(text))
	}
	return out
}

func (d *doing) on(name string) bool { return d.in.Get(name) != "" }

// form is the page of a deed.
type form struct {
	about string // behind the verb in the heading; as it came, of anybody
	back  string // the page that it came from
	// missing says why it makes no sense now; empty: it does.
	missing string
	facts   []field
	comes   []string
	inputs  []entry
	week    *week
	// thing is what the form changes, as it was read. Who sends the form when that is another one by
	// then is told; the API has no revision of it.
	thing proto.Message
}

// stamp is different when the thing is.
func (f form) stamp() string {
	if f.thing == nil {
		return ""
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(f.thing)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// entry is an input of a form.
type entry struct {
	name        string
	kind        inputKind
	label, help string
	choices     []choice
	values      []string // as it is now, or as it was filled in
	secret      bool
	once        bool // a one-time code, which browsers may fill in
	needed      bool
}

func (e entry) value() string { return one(e.values) }

// written is a line, area, check or choice with its value.
func written(kind inputKind, name, label, value, help string, choices ...choice) entry {
	return entry{name: name, kind: kind, label: label, help: help, values: listOf(shownText(value)), choices: choices}
}

// area is one item a line.
func area(name, label, help string, items []string) entry {
	shown := make([]string, len(items))
	for i, text := range items {
		shown[i] = shownText(text)
	}
	return entry{name: name, kind: inArea, label: label, help: help, values: listOf(strings.Join(shown, "\n"))}
}

// some of what there is; what is set and is not there any more stays a choice.
func someOf(name, label, help string, choices []choice, set []string) entry {
	e := entry{name: name, kind: inMany, label: label, help: help}
	for _, c := range choices {
		e.choices = append(e.choices, choice{shownText(c.value), words.Safe(c.label)})
	}
	for _, text := range set {
		e.values = append(e.values, shownText(text))
		if !hasChoice(e.choices, shownText(text)) {
			e.choices = append(e.choices, choice{shownText(text), words.Safe(text) + " (not there)"})
		}
	}
	return e
}

func (e entry) has(value string) bool { return slices.Contains(e.values, value) }

// done is what came of a deed.
type done struct {
	to string // the page to look at then
	// What is to be said first; a page of its own says it, and leads on.
	says   []string
	secret string // shown once
	code   string // drawn for a telephone's camera, besides; empty: nothing is
}

// deeds are all of them.
var deeds = slices.Concat(pointDeeds, computerDeeds, groupDeeds, joinTokenDeeds, updateDeeds, repositoryDeeds, serverDeeds, accountDeeds, signOnDeeds, windowDeeds, notifyDeeds, approvalDeeds, queueDeeds, credentialDeeds, keyDeeds)

func deedNamed(name string) (deed, bool) {
	i := slices.IndexFunc(deeds, func(a deed) bool { return a.name == name })
	if i < 0 {
		return deed{}, false
	}
	return deeds[i], true
}

// deedLink is the page of a deed on a thing; pairs are more of its query.
func deedLink(name, of string, pairs ...string) string {
	return link("/do/"+name, append([]string{"of", of}, pairs...)...)
}

// knowing asks who looks, once for a page: what not everybody may is not offered to everybody.
func (c *console) knowing(p page) page {
	return func(w http.ResponseWriter, r *http.Request, v *view) error {
		if v.caller != nil {
			return p(w, r, v)
		}
		m, err := call(r.Context(), c.client.users.GetCaller, &keepwardv1.GetCallerRequest{})
		if err != nil {
			return err
		}
		v.caller = m
		if c.may != nil {
			v.may = func(procedure string) bool { return c.may(m.GetRole(), procedure) }
		}
		return p(w, r, v)
	}
}

// offer is a way to the page of a deed.
type offer struct {
	deed deed
	to   string
}

// offers are those of these deeds on a thing that who looks may do.
func (v *view) offers(of string, names ...string) (out []offer) {
	for _, name := range names {
		if a, ok := deedNamed(name); ok && v.mayCall(a.procedure) {
			out = append(out, offer{deed: a, to: deedLink(name, of)})
		}
	}
	return out
}

// offersWith are offers whose pages are told one thing more, if it is not empty.
func (v *view) offersWith(of, key, value string, names ...string) []offer {
	out := v.offers(of, names...)
	for i := range out {
		out[i].to = deedLink(out[i].deed.name, of, key, value)
	}
	return out
}

func (v *view) mayCall(procedure string) bool { return v.may == nil || v.may(procedure) }

func (c *console) doing(r *http.Request, v *view) (*doing, deed, error) {
	a, ok := deedNamed(r.PathValue("deed"))
	if !ok {
		return nil, deed{}, errs.New(errs.NotFound, "", "there is no such page")
	}
	q := r.URL.Query()
	return &doing{Context: r.Context(), c: c.client, v: v, of: q.Get("of"), more: q}, a, nil
}

func (c *console) askDeed(w http.ResponseWriter, r *http.Request, v *view) error {
	d, a, err := c.doing(r, v)
	if err != nil {
		return err
	}
	f, err := a.ask(d)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if !v.mayCall(a.procedure) {
		status = http.StatusForbidden // the page says so, and has no button
	}
	c.answerDeed(w, r, v, status, a, f, nil)
	return nil
}

func (c *console) answerDeed(w http.ResponseWriter, r *http.Request, v *view, status int, a deed, f form, wrong *problem) {
	v.title, v.at = strings.TrimSuffix(a.verb+": "+words.Safe(f.about), ": "), a.part
	c.show(w, r, status, deedPage(v, a, f, r.URL.RequestURI(), wrong))
}

// doDeed does what a form asks for. What it is about is read anew: of something that has changed since
// the form was shown nothing is overwritten before somebody has seen it.
func (c *console) doDeed(w http.ResponseWriter, r *http.Request, v *view) error {
	if err := r.ParseForm(); err != nil {
		return errs.New(errs.Invalid, "", "read the form: %w", err)
	}
	d, a, err := c.doing(r, v)
	if err != nil {
		return err
	}
	d.in = r.PostForm
	f, err := a.ask(d)
	if err != nil {
		return err
	}
	if f.missing != "" {
		c.answerDeed(w, r, v, http.StatusConflict, a, f, nil)
		return nil
	}
	if !d.on("whole") {
		return errs.New(errs.Invalid, "", "%s: a part of the form is missing; nothing was done", a.verb)
	}
	stamp := f.stamp()
	changed := stamp != d.in.Get("seen")
	var saved []string
	for i, e := range f.inputs {
		now, mine := strings.Join(e.values, ", "), strings.Join(d.in[e.name], ", ")
		if changed && !e.secret && normal(now) != normal(mine) {
			saved = append(saved, e.label+": saved is "+cmp.Or(now, "nothing")+"; yours is "+cmp.Or(mine, "nothing"))
		}
		f.inputs[i].values = d.in[e.name]
		if e.secret {
			f.inputs[i].values = nil // it comes back in no page
		}
	}
	if changed {
		err = errs.New(errs.Busy, "", "this was changed elsewhere while you were at it; nothing was overwritten, and nothing of yours is lost").
			WithHint("look at it again, and press the button when it is as you want it. %s", strings.Join(saved, ". "))
	}
	if f.week != nil {
		f.week.take(d.in)
	}
	var did done
	if err == nil {
		did, err = a.do(d)
	}
	if err != nil {
		if expired(err) {
			return err
		}
		c.answerDeed(w, r, v, statusOf(err), a, f, problemOf(v, err))
		return nil
	}
	if did.secret != "" || len(did.says) > 0 {
		v.title, v.at = a.verb, a.part
		c.show(w, r, http.StatusOK, donePage(v, a, f, did))
		return nil
	}
	http.Redirect(w, r, did.to, http.StatusSeeOther)
	return nil
}

// normal is a text of a form without what browsers make of its ends of lines.
func normal(text string) string {
	return strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n"))
}

// durationOf reads a time as people write it; nothing is none.
func durationOf(label, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := words.ParseDuration(text)
	if err != nil {
		return 0, errs.New(errs.Invalid, "", "%s: %w", label, err)
	}
	return d, nil
}
