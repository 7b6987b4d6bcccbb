package config

import (
	"strings"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// CheckPriority lists what is wrong with a digit of priorities. No digit is the default.
func CheckPriority(p *keepwardv1.PriorityDigit, site Site) []Fault {
	var f faults
	d, err := job.ParseDigit(p.Level)
	switch {
	case err != nil:
		f.add("name", errs.New(errs.Invalid, "priority.unknown", "set priority: %w", err).WithHint("'keepward priority list' shows what there is"))
	case d.Of == job.DigitOfComputer:
		f.reference("name", "computer", d.Name, site.Computers)
	case d.Of == job.DigitOfAgent:
		f.oneOf(p.Level, "kind of agent", d.Name, job.ImplementedAgents())
	default:
		f.oneOf(p.Level, "job type", d.Name, implementedTypes())
	}
	if p.Digit != nil && (*p.Digit < 0 || *p.Digit > 9) {
		f.invalid("digit", "priority.digit", "set priority of %s: %d is not a digit from 0 (first) to 9 (last)", p.Level, *p.Digit)
	}
	return f
}

func (f *faults) oneOf(level, what, name string, names []string) {
	for _, n := range names {
		if n == name {
			return
		}
	}
	f.add("name", errs.New(errs.Invalid, "priority.unknown", "set priority of %s: there is no %s %q", level, what, name).
		WithHint("there is %s", strings.Join(names, ", ")))
}

func implementedTypes() []string {
	var names []string
	for _, r := range job.Types {
		if r.Implemented {
			names = append(names, string(r.Type))
		}
	}
	return names
}

func priorityFields(p *keepwardv1.PriorityDigit) []field {
	return []field{{name: "digit", value: &p.Digit}}
}

// ChangedPriority names the fields in which two digits of priorities differ.
func ChangedPriority(a, b *keepwardv1.PriorityDigit) []string {
	return changed(priorityFields(a), priorityFields(b), "")
}
