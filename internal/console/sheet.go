package console

import (
	"net/http"

	"github.com/a-h/templ"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/words"
)

// sheet is a page that shows a thing, or a list: facts and tables, with the deeds that it offers.
type sheet struct {
	crumb      choice // the page above it: value is its path
	heading    string
	of         string // behind the heading, quieter
	offers     []offer
	notices    []string
	conditions []*keepwardv1.Condition
	sections   []section
	live       bool // it is asked for again and again
	path       string
}

// section is a part of a sheet. What is not set is not shown.
type section struct {
	title, note string
	offers      []offer
	facts       []field
	columns     []column
	rows        [][]cell
	empty       string // what stands in place of a table without rows
	sessions    []sessionRow
	points      []pointRow
	picture     templ.Component
}

type column struct {
	name string
	wide bool // left out on a narrow screen
	num  bool
}

// cell is what stands in a table. Its texts are as they are shown.
type cell struct {
	text, sub, to string
	badge, code   bool
	at            *timestamppb.Timestamp
	percent       int // of a bar; 0: none
	acts          []offer
}

func columns(names ...string) (out []column) {
	for _, name := range names {
		c := column{name: name}
		for len(c.name) > 0 && (c.name[0] == '~' || c.name[0] == '>') {
			c.wide, c.num = c.wide || c.name[0] == '~', c.num || c.name[0] == '>'
			c.name = c.name[1:]
		}
		out = append(out, c)
	}
	return out
}

func say(text string) cell             { return cell{text: words.Safe(text)} }
func leads(text, to string) cell       { return cell{text: words.Safe(text), to: to} }
func stated(word string) cell          { return cell{text: word, badge: word != ""} }
func at(t *timestamppb.Timestamp) cell { return cell{at: t} }
func doable(list []offer) cell         { return cell{acts: list} }
func (c column) class() string         { return classOf(c.wide, c.num) }
func (s section) table() bool          { return len(s.columns) > 0 }
func (s sheet) needs() bool            { return len(s.conditions) > 0 }
func (o offer) label(of string) string { return o.deed.verb + ": " + of }
func nameOfRow(row []cell) string      { return row[0].text }
func namesOf[T interface{ GetName() string }](list []T) (out []choice) {
	for _, one := range list {
		out = append(out, choice{one.GetName(), one.GetName()})
	}
	return out
}

// oneNamed is the one of a name in a list that was asked for; err: that failed.
func oneNamed[T interface{ GetName() string }](list []T, err error, thing, name string) (one T, _ error) {
	for _, one := range list {
		if one.GetName() == name {
			return one, nil
		}
	}
	if err == nil {
		err = errs.New(errs.NotFound, "", "there is no %s %q", thing, name)
	}
	return one, err
}

func classOf(wide, num bool) string {
	switch {
	case wide && num:
		return "num wide"
	case wide:
		return "wide"
	case num:
		return "num"
	}
	return ""
}

// showSheet answers with a sheet; with what is below its head alone where the page's script asks.
func (c *console) showSheet(w http.ResponseWriter, r *http.Request, v *view, part string, s sheet) {
	v.title, v.at, s.path = s.heading, part, r.URL.RequestURI()
	if s.of != "" {
		v.title += " " + s.of
	}
	if s.live && r.Header.Get("HX-Request") == "true" {
		c.show(w, r, http.StatusOK, sheetBody(v, s))
		return
	}
	c.show(w, r, http.StatusOK, sheetPage(v, s))
}
