package traffic

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"keepward/internal/schedule"
)

// Any is the text of a range that every address is in.
const Any = "any"

// Ranges are what an end's address is looked for in; empty: every address is in them.
type Ranges []netip.Prefix

// ParseRanges reads addresses, networks and "any".
func ParseRanges(texts []string) (Ranges, error) {
	var out Ranges
	whole := false
	for _, text := range texts {
		text = strings.TrimSpace(text)
		if strings.EqualFold(text, Any) {
			whole = true
			continue
		}
		p, err := netip.ParsePrefix(text)
		if a, aerr := netip.ParseAddr(text); aerr == nil {
			a = a.Unmap().WithZone("")
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%q is no range of addresses: write an address, a network such as 10.1.0.0/16, or any", text)
		}
		out = append(out, p.Masked())
	}
	if whole {
		return nil, nil
	}
	return out, nil
}

// Hold says whether an address is in them. One that is not known may be: what cannot be told is
// not left without a bound.
func (r Ranges) Hold(a netip.Addr) bool {
	if len(r) == 0 || !a.IsValid() {
		return true
	}
	a = a.Unmap().WithZone("")
	for _, p := range r {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Rule bounds what the tasks move together whose ends are in its ranges.
type Rule struct {
	Name           string
	Source, Target Ranges
	Limit          int64 // bytes a second
	Hours          schedule.Hours
	Restores       bool // it holds for restores too
	Disabled       bool
}

// horizon is how far rules look ahead: hours are the same each week, but for the clocks that change.
const horizon = 8 * 24 * time.Hour

// Holds says whether the rule holds at a moment.
func (r Rule) Holds(at time.Time) bool {
	return !r.Disabled && (r.Hours.Empty() || r.Hours.In(at))
}

// Change is when it begins or ends to hold next; zero: never.
func (r Rule) Change(after time.Time) time.Time {
	if r.Disabled || r.Hours.Empty() {
		return time.Time{}
	}
	var next time.Time
	for _, e := range r.Hours.Edges(after, after.Add(horizon)) {
		if r.Holds(e) != r.Holds(after) && (next.IsZero() || e.Before(next)) {
			next = e
		}
	}
	return next
}

// Concerns says whether the rule is about a task. Which end sends is all one: a line is as narrow
// in both directions.
func (r Rule) Concerns(t Task) bool {
	if t.Local || t.Restore && !r.Restores {
		return false
	}
	return r.Source.Hold(t.Agent) && r.Target.Hold(t.Mover) || r.Source.Hold(t.Mover) && r.Target.Hold(t.Agent)
}
