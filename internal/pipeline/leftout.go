package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"keepward/internal/source"
)

// toldRules is how many rules one line of a log names: those that left out the most.
const toldRules = 12

// leftOut says what the rules of the selection left out, and warns where nothing is left.
func (r *run) leftOut(w *source.Walker) {
	if r.early.cut.Load() {
		return // what was not looked at was not left out by a rule
	}
	left := w.Left()
	slices.SortStableFunc(left, func(a, b source.Left) int { return int(b.Names - a.Names) })
	var rules []string
	for _, l := range left[:min(len(left), toldRules)] {
		rules = append(rules, fmt.Sprintf("%d by %s", l.Names, l.Rule))
	}
	if more := len(left) - toldRules; more > 0 {
		rules = append(rules, fmt.Sprintf("and by %d rules more", more))
	}
	text := strings.Join(rules, ", ")
	if text != "" {
		r.reports.event(Event{Level: source.Info, Code: "selection.left-out", Text: "left out: " + text})
	}
	if !r.nothingLeft(len(left) > 0) {
		return
	}
	why := "nothing is left of what the job includes but empty directories"
	switch s := &r.opts.Selection; {
	case text != "":
		why += "; left out were " + text
	case len(s.Only) > 0:
		why += ": no file matches the masks " + strings.Join(s.Only, " ")
	default:
		why += ": see its exclude patterns"
	}
	r.reports.event(Event{Level: source.Warning, Code: "selection.empty", Text: why})
}

// nothingLeft tells whether rules left out all files; some: they left out something in this walk,
// which does not tell much if the walk did not look everywhere.
func (r *run) nothingLeft(some bool) bool {
	s := &r.opts.Selection
	some = some || len(s.Only) > 0 || r.narrow != nil && len(s.Exclude) > 0
	return some && r.count.doneFiles.Load() == r.count.doneDirs.Load()
}
