package job_test

import (
	"bytes"
	"fmt"
	"strings"

	"keepward/internal/job"
)

// sets prints job.NeedRows.
func sets(b *bytes.Buffer) {
	b.WriteString("## Sets\n\nWhat a step takes, line by line. A line for tape or disk is no part of the set where that side lies on\n" +
		"the other; a line that takes 0 asks only that the thing is there.\n\n")
	var rows [][]string
	for _, r := range job.NeedRows {
		var names []string
		for _, t := range r.Types {
			names = append(names, "`"+string(t)+"`")
		}
		rows = append(rows, []string{strings.Join(names, ", "), lines(r.A), lines(r.B)})
	}
	table(b, "types|step a|step b", rows)
}

func lines(list []job.Need) string {
	if len(list) == 0 {
		return "nothing"
	}
	var out []string
	for _, n := range list {
		text := fmt.Sprintf("%d %s", n.Count, n.Kind)
		if n.Alone {
			text = string(n.Kind) + ", alone"
		}
		if n.Side == job.Source {
			text += " of the source"
		}
		if n.On != job.AnyStorage {
			text += " (" + string(n.On) + ")"
		}
		out = append(out, text)
	}
	return strings.Join(out, " · ")
}
