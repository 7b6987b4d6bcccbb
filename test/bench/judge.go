package main

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// judge holds what was measured against the goals. What is missing is said, also of workloads
// that were not run at all.
func (r *report) judge(goals []goal) []verdict {
	var all []verdict
	for _, g := range goals {
		i := slices.IndexFunc(r.works, func(w *workload) bool { return w.name == g.work })
		all = append(all, r.section(r.works[i]).judge(g))
	}
	return all
}

// matches tells whether a program's name is one of a pattern.
func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// matching are the runs of a step of the programs whose names match, program by program.
func (s *section) matching(pattern, step string) map[string][]result {
	out := map[string][]result{}
	for _, name := range s.names() {
		if runs := s.runs(name, step); matches(pattern, name) && len(runs) > 0 {
			out[name] = runs
		}
	}
	return out
}

func (s *section) judge(g goal) verdict {
	v := verdict{goal: g, title: s.work.title}
	if g.step == anyStep {
		s.worst(&v)
		return v
	}
	var mine []result
	for _, runs := range s.matching(g.ours, g.step) {
		mine = runs
	}
	if len(mine) == 0 {
		v.why, v.other = g.ours+" was not run", "the other"
		return v
	}
	v.got, v.rounds = g.what.of(medians(mine)), fmt.Sprint(len(mine))
	switch {
	case g.floor != "":
		v.than(strings.ReplaceAll(g.floor, `\|`, "|"), s.runs("", g.floor))
	case g.otherStep != "":
		v.than(g.otherStep, s.runs(mine[0].Program, g.otherStep))
	case len(g.beside) > 0:
		s.beside(&v)
	}
	return v
}

// worst is the most that any run of any step of ours took.
func (s *section) worst(v *verdict) {
	n := 0
	for _, r := range s.results {
		if matches(v.ours, r.Program) {
			v.got, n = max(v.got, v.what.of(r)), n+1
		}
	}
	if n == 0 {
		v.why = v.ours + " was not run"
	}
}

// than makes the figure a ratio.
func (v *verdict) than(name string, other []result) {
	v.other = name
	if len(other) == 0 {
		v.why = "it was not measured"
		return
	}
	v.got /= v.what.of(medians(other))
	if mine := v.rounds; mine != fmt.Sprint(len(other)) {
		v.rounds = fmt.Sprintf("%s, of the other %d", mine, len(other))
	}
}

// beside compares with the best of the programs that match. Each of them has to be there: the
// best of fewer could be an easier goal.
func (s *section) beside(v *verdict) {
	var name string
	var best []result
	for _, pattern := range v.beside {
		found := s.matching(pattern, v.step)
		if len(found) == 0 {
			program, _, _ := strings.Cut(pattern, " ")
			v.why, v.other = program+" is missing", pattern
			return
		}
		for n, runs := range found {
			if best == nil || v.what.of(medians(runs)) < v.what.of(medians(best)) {
				name, best = n, runs
			}
		}
	}
	v.than(name, best)
}
