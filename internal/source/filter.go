package source

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"

	"keepward/internal/errs"
)

// RuleID is a rule of a Filter; 0 is none: what it stands for is taken.
type RuleID int

// The rules that stand before those that a selection brings.
const (
	leftBorder RuleID = iota + 1
	leftSystem
	leftTagged
	leftHidden
	leftMasks
	firstOwn
)

// RuleKind is what sort of rule leaves something out; it is the same for all versions.
type RuleKind string

// The kinds of rules.
const (
	KindExclude   RuleKind = "exclude"     // a pattern of the job
	KindOnly      RuleKind = "only"        // the masks of the job: it matches none
	KindAutomatic RuleKind = "automatic"   // see Automatic
	KindTag       RuleKind = "cache-tag"   // CACHEDIR.TAG
	KindBorder    RuleKind = "file-system" // another file system
	KindSystem    RuleKind = "system"      // a file system that only shows the state of the system
	KindSnapshots RuleKind = "snapshots"   // our own
)

// Rule is why something is left out.
type Rule struct {
	Kind RuleKind
	// Text is the pattern, as it was written; empty where the kind says all.
	Text string
	// What says more in words, or is empty.
	What string
}

// String is the rule in a sentence that tells what left something out.
func (r Rule) String() string {
	switch r.Kind {
	case KindExclude:
		return "the pattern " + r.Text
	case KindOnly:
		return "the masks " + r.Text
	case KindAutomatic:
		return fmt.Sprintf("itself, %s (%s)", r.Text, r.What)
	case KindTag:
		return "CACHEDIR.TAG"
	case KindBorder:
		return "the border of the file system"
	case KindSystem:
		return "a file system that only shows the state of the system"
	case KindSnapshots:
		return "being our own snapshots"
	}
	return string(r.Kind)
}

// Filter is what of a selection decides by names: excludes, masks and what is left out by itself.
// It knows no disk and no walk: every kind of walk asks the same Filter. It is immutable and may be
// shared.
type Filter struct {
	rules     []Rule // by RuleID
	automatic *automatic
	excludes  *Matcher
	patterns  RuleID // of the first exclude pattern
	masks     *Matcher
}

// Filter reads the patterns of a selection.
func (s *Selection) Filter() (*Filter, error) { return newFilter(s, runtime.GOOS, activeSwap) }

func newFilter(s *Selection, system string, swap func() []string) (*Filter, error) {
	f := &Filter{rules: []Rule{
		leftBorder: {Kind: KindBorder}, leftSystem: {Kind: KindSystem}, leftTagged: {Kind: KindTag}, leftHidden: {Kind: KindSnapshots},
		leftMasks: {Kind: KindOnly, Text: strings.Join(s.Only, " ")},
	}}
	var err error
	if f.excludes, err = NewMatcher(s.Exclude); err != nil {
		return nil, err
	}
	if f.masks, err = NewMasks(s.Only); err != nil {
		return nil, err
	}
	if !s.IncludeTemporary {
		rows := automaticRows(s, system, swap)
		f.automatic = newAutomatic(rows, system == windows, func(r AutomaticRow) RuleID {
			return f.add(Rule{Kind: KindAutomatic, Text: r.Path, What: r.What})
		})
	}
	f.patterns = RuleID(len(f.rules))
	for _, r := range f.excludes.rules {
		f.add(Rule{Kind: KindExclude, Text: r.source})
	}
	return f, nil
}

func (f *Filter) add(r Rule) RuleID {
	f.rules = append(f.rules, r)
	return RuleID(len(f.rules) - 1)
}

// automaticRows are those of a system with what only the computer itself knows.
func automaticRows(s *Selection, system string, swap func() []string) []AutomaticRow {
	var rows []AutomaticRow
	known := make(map[string]bool)
	for _, r := range Automatic {
		if r.on(system) {
			rows = append(rows, r)
			known[r.Path] = true
		}
	}
	for _, p := range swap() {
		if p := "/" + escaped(string(toPath(p))); !known[p] {
			rows = append(rows, AutomaticRow{Path: p, What: whatActiveSwap})
		}
	}
	for _, p := range s.Own {
		rows = append(rows, AutomaticRow{Path: "/" + escaped(string(toPath(p))) + "/", What: whatOwn})
	}
	return rows
}

// NewMasks reads masks: patterns of the files that alone are taken. nil: there is none, and all
// are.
func NewMasks(patterns []string) (*Matcher, error) {
	bad := func(p, format string, args ...any) error {
		e := errs.New(errs.Invalid, "only.pattern", "read mask %q: "+format, append([]any{p}, args...)...)
		return e.WithHint("a mask is a pattern of files, such as *.docx or /srv/**/*.pdf")
	}
	m := &Matcher{}
	some := false
	for _, p := range patterns {
		r, ok, err := parseRule(p)
		switch {
		case err != nil:
			return nil, bad(p, "%w", err)
		case !ok:
			continue
		case r.dirOnly:
			return nil, bad(p, "it names directories; %s is all that is in them", strings.TrimRight(trimSpaces(p), `/\`)+"/**")
		}
		m.add(r)
		some = some || !r.negate
	}
	switch {
	case len(m.rules) == 0:
		return nil, nil
	case !some:
		return nil, errs.New(errs.Invalid, "only.pattern", "read masks: all of them begin with !, so that no file would be taken").
			WithHint("what shall be left out is an exclude pattern")
	}
	return m, nil
}

// Place is what a Filter knows of a directory whose names it is asked about.
type Place struct {
	path []byte // of the directory, if any rule looks at it
	rows []*autoRow
}

// In prepares for the names in a directory that is taken. name is its last component, path answers
// all of it, as Item.Path; named: it is an include path, so that nothing is left out of it by
// itself. What lies deeper in such a directory is asked for like everything else.
func (f *Filter) In(name []byte, path func() []byte, named bool) Place {
	var p Place
	if !named {
		p.rows = f.automatic.in(name, path)
	}
	if f.excludes.needPath || f.masks != nil && f.masks.needPath {
		p.path = path()
	}
	return p
}

// asks tells whether any name in a place could be left out.
func (f *Filter) asks(p *Place) bool {
	return len(f.excludes.rules) > 0 || f.masks != nil || len(p.rows) > 0
}

// Leaves answers the rule by which a name in a place is left out, 0 if it is taken; dir: it is a
// directory. Of include paths it is not asked. What is below a directory that is left out is left
// out with it.
func (f *Filter) Leaves(p *Place, name []byte, dir bool) RuleID {
	var buf [256]byte
	path := name
	if len(p.path) > 0 {
		path = append(append(append(buf[:0], p.path...), '/'), name...)
	}
	if i := f.excludes.last(path, dir); i >= 0 {
		if !f.excludes.rules[i].negate {
			return f.patterns + RuleID(i)
		}
	} else if id := f.leavesByItself(p, name); id != 0 {
		return id
	}
	if f.masks != nil && !dir && !f.masks.Matches(path, false) {
		return leftMasks
	}
	return 0
}

func (f *Filter) leavesByItself(p *Place, name []byte) RuleID {
	for _, r := range p.rows {
		if r.name == nil {
			return r.rule
		}
		if bytes.Equal(r.name, name) || f.automatic.fold && bytes.EqualFold(r.name, name) {
			return r.rule
		}
	}
	return 0
}

// Rule is what an id stands for.
func (f *Filter) Rule(id RuleID) Rule { return f.rules[id] }

// Automatic are the rules by which something is left out by itself.
func (f *Filter) Automatic() (rules []Rule) {
	for _, r := range f.rules {
		if r.Kind == KindAutomatic {
			rules = append(rules, r)
		}
	}
	return rules
}
