package main

import (
	"path"
	"slices"
	"strings"
)

// judge holds what was measured against the goals. Goals of workloads that were not run at all
// are left out; what else is missing is said.
func (r *report) judge(goals []goal) []verdict {
	var all []verdict
	for _, g := range goals {
		if s := r.find(g.work); s != nil {
			all = append(all, s.judge(g))
		}
	}
	return all
}

func (r *report) find(work string) *section {
	for _, s := range r.sections {
		if s.work.name == work {
			return s
		}
	}
	return nil
}

func (s *section) judge(g goal) verdict {
	v := verdict{goal: g, title: s.work.title}
	ours, ok := s.figure(g.ours, g.step, g.what)
	if !ok {
		v.why, v.other = g.ours+" was not run", "the other"
		return v
	}
	switch {
	case g.what == growth:
		v.got = ours
	case g.bound > 0:
		v.got = ours
	case g.floor != "":
		v.other = strings.ReplaceAll(g.floor, `\|`, "|")
		runs := s.floors[g.floor]
		if len(runs) == 0 {
			v.why = "it was not measured"
			return v
		}
		v.got = ours / medianUsage(runs).wall.Seconds()
	case g.otherStep != "":
		other, there := s.figure(g.ours, g.otherStep, g.what)
		v.other = g.otherStep
		if !there {
			v.why = "it was not measured"
			return v
		}
		v.got = ours / other
	default:
		s.beside(&v, ours)
	}
	return v
}

// beside compares with the best of the programs that match. Each of them has to be there: the
// best of fewer could be an easier goal.
func (s *section) beside(v *verdict, ours float64) {
	best := 0.0
	for _, pattern := range v.beside {
		program, _, _ := strings.Cut(pattern, " ")
		if len(s.work.engines) > 0 && !slices.Contains(s.work.engines, program) {
			continue // nobody runs it here
		}
		found := false
		for _, n := range s.names {
			other, ok := s.figure(n, v.step, v.what)
			if match, err := path.Match(pattern, n); !match || err != nil || !ok {
				continue
			}
			found = true
			if best == 0 || other < best {
				best, v.other = other, n
			}
		}
		if !found {
			v.why, v.other = program+" is missing", pattern
			return
		}
	}
	v.got = ours / best
}
