// Package retention decides which restore points go and which stay, and says why in words.
//
// It is pure: points, rules, the time and the time zone come in as values, a verdict on every
// point comes out. It marks nothing, deletes nothing, and does not know what a repository is;
// what is done about a verdict is up to internal/manager. All functions may be called from any
// goroutine.
package retention

import (
	"fmt"
	"strings"

	"keepward/internal/errs"
)

// Policy is which points of one computer are kept, by one job. A point is kept if any rule keeps
// it. The zero Policy keeps everything.
type Policy struct {
	KeepLast int // the newest so many
	KeepDays int // those of the last so many days
	Weekly   int // the newest of each of so many weeks that have one; months and years likewise
	Monthly  int
	Yearly   int
	// MinPoints is how many are left at least, whatever their age.
	MinPoints int
}

// Zero tells whether everything is kept.
func (p Policy) Zero() bool { return p == Policy{} }

// The highest values: about a hundred years of each. What is higher is a slip of the finger.
const (
	mostPoints = 100_000
	mostDays   = 36_600
	mostWeeks  = 5_300
	mostMonths = 1_200
	mostYears  = 100
)

// rule is one field of a policy with its bounds and the word that people know it by.
type rule struct {
	name  string
	value int
	most  int
}

func (p Policy) rules() []rule {
	return []rule{
		{"keep_last", p.KeepLast, mostPoints},
		{"keep_days", p.KeepDays, mostDays},
		{"weekly", p.Weekly, mostWeeks},
		{"monthly", p.Monthly, mostMonths},
		{"yearly", p.Yearly, mostYears},
		{"min_points", p.MinPoints, mostPoints},
	}
}

// Refusal is what is wrong with one rule of a policy.
type Refusal struct {
	Rule string // keep_last, keep_days, weekly, monthly, yearly, min_points
	Err  *errs.Error
}

// Check lists what is wrong with a policy; nothing: it may be used.
func (p Policy) Check() []Refusal {
	var out []Refusal
	refuse := func(rule, hint, format string, args ...any) {
		out = append(out, Refusal{rule, errs.New(errs.Invalid, "retention.policy", format, args...).WithHint("%s", hint)})
	}
	for _, r := range p.rules() {
		switch {
		case r.value < 0:
			refuse(r.name, "leave it out, or write 0, for no such rule", "retention: %s is %d; it cannot be negative", r.name, r.value)
		case r.value > r.most:
			refuse(r.name, "leave all rules out to keep everything", "retention: %s is %d; it can be %d at most", r.name, r.value, r.most)
		}
	}
	if len(out) > 0 {
		return out
	}
	aged := p.KeepDays > 0 || p.Weekly > 0 || p.Monthly > 0 || p.Yearly > 0
	switch {
	case p.MinPoints == 0 || aged:
	case p.KeepLast == 0:
		refuse("min_points", fmt.Sprintf("to keep the newest %d and nothing else, write keep_last: %d", p.MinPoints, p.MinPoints),
			"retention: no rule keeps anything, so all but min_points would be deleted")
	case p.KeepLast < p.MinPoints:
		refuse("min_points", fmt.Sprintf("write keep_last: %d", p.MinPoints),
			"retention: keep_last is %d and min_points is %d; they contradict each other", p.KeepLast, p.MinPoints)
	}
	return out
}

// NoShorter tells whether p keeps every point that than keeps, whatever points there are. It may say no
// where there is none that would go.
func (p Policy) NoShorter(than Policy) bool {
	if p.Zero() || than.Zero() {
		return p.Zero()
	}
	for i, r := range than.rules() {
		if p.rules()[i].value < r.value {
			return false
		}
	}
	// What is kept only as one of so many at least goes when a rule keeps another one in its place.
	others := p
	others.MinPoints = than.MinPoints
	return than.MinPoints == 0 || others == than || p.KeepLast >= than.MinPoints
}

// String says a policy in words.
func (p Policy) String() string {
	if p.Zero() {
		return "keep everything"
	}
	var parts []string
	for _, r := range []struct {
		n    int
		text string
	}{
		{p.KeepLast, "the newest %d"},
		{p.KeepDays, "the last %d days"},
		{p.Weekly, "%d weekly"},
		{p.Monthly, "%d monthly"},
		{p.Yearly, "%d yearly"},
		{p.MinPoints, "never fewer than %d"},
	} {
		if r.n > 0 {
			parts = append(parts, fmt.Sprintf(r.text, r.n))
		}
	}
	return "keep " + strings.Join(parts, ", ")
}
