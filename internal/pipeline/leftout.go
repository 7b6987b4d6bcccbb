package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"keepward/internal/source"
)

// toldRules is how many rules one line of a log names: those that left out the most.
const toldRules = 12

// leftOut says what the rules of the selection left out, and warns where no file is left or was
// there: also of a directory over which nothing is mounted, which is a backup that nobody wants.
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
	if r.count.doneFiles.Load() != r.count.doneDirs.Load() || r.opts.Selection.Nothing {
		return
	}
	why := "what the job includes holds nothing but empty directories"
	switch s := &r.opts.Selection; {
	case text != "":
		why = "nothing is left of what the job includes but empty directories; left out were " + text
	case len(s.Only) > 0:
		why += " and files that match none of the masks " + strings.Join(s.Only, " ")
	case r.narrow != nil && len(s.Exclude) > 0:
		why += " and what its exclude patterns name"
	default:
		why += ": is the file system mounted that belongs there?"
	}
	r.reports.event(Event{Level: source.Warning, Code: "selection.empty", Text: why})
}
