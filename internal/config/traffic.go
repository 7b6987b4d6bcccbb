package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/rate"
	"keepward/internal/schedule"
	"keepward/internal/traffic"
)

func trafficFields(r *keepwardv1.TrafficRule) []field {
	return []field{
		{name: "description", value: &r.Description},
		{name: "source", value: &r.Source},
		{name: "target", value: &r.Target},
		{name: "limit", value: &r.Limit},
		{name: "hours", value: &r.Hours},
		{name: "zone", value: &r.Zone},
		{name: "restores", value: &r.Restores},
		{name: "disabled", value: &r.Disabled},
	}
}

// ChangedTraffic names the fields in which two traffic rules differ.
func ChangedTraffic(a, b *keepwardv1.TrafficRule) []string {
	return changed(trafficFields(a), trafficFields(b), "")
}

// rate checks a rate that may be left out.
func (f *faults) rate(field, code, text, what string) {
	if text == "" {
		return
	}
	if _, err := rate.Parse(text); err != nil {
		f.add(field, errs.New(errs.Invalid, code, "%s: %w", what, err).WithHint("for example: %s", strings.Join(rate.Examples, ", ")))
	}
}

// CheckTraffic lists what is wrong with a traffic rule.
func CheckTraffic(r *keepwardv1.TrafficRule) []Fault {
	var f faults
	f.name("traffic rule", r.Name)
	what := fmt.Sprintf("check traffic rule %q", r.Name)
	for _, list := range []struct {
		field string
		texts []string
	}{{"source", r.Source}, {"target", r.Target}} {
		for i, text := range list.texts {
			if _, err := traffic.ParseRanges([]string{text}); err != nil {
				f.add(fmt.Sprintf("%s[%d]", list.field, i), errs.New(errs.Invalid, "traffic.range", "%s: %w", what, err))
			}
		}
	}
	if r.Limit == "" {
		f.add("limit", errs.New(errs.Invalid, "traffic.limit", "%s: it has no limit", what).WithHint("for example: %s", strings.Join(rate.Examples, ", ")))
	}
	f.rate("limit", "traffic.limit", r.Limit, what)
	zone, err := zoneOf(r.Zone)
	if err != nil {
		f.add("zone", errs.New(errs.Invalid, "traffic.hours", "%s: there is no time zone %q", what, r.Zone).
			WithHint("write its full name, for instance Europe/Paris"))
		return f
	}
	for i, text := range r.Hours {
		if _, err := schedule.ParseHours([]string{text}, zone); err != nil {
			f.add(fmt.Sprintf("hours[%d]", i), errs.New(errs.Invalid, "traffic.hours", "%s: %w", what, err).
				WithHint("for example: %s", strings.Join(schedule.HoursExamples, "; ")))
		}
	}
	return f
}

// TrafficOf is a checked rule as internal/traffic takes it.
func TrafficOf(r *keepwardv1.TrafficRule) (traffic.Rule, error) {
	out := traffic.Rule{Name: r.GetName(), Restores: r.GetRestores(), Disabled: r.GetDisabled()}
	if err := Error(CheckTraffic(r)); err != nil {
		return out, err
	}
	// What was checked can be read.
	out.Source, _ = traffic.ParseRanges(r.GetSource())
	out.Target, _ = traffic.ParseRanges(r.GetTarget())
	out.Limit, _ = rate.Parse(r.GetLimit())
	zone, _ := zoneOf(r.GetZone())
	out.Hours, _ = schedule.ParseHours(r.GetHours(), zone)
	return out, nil
}

// WarnTraffic names ranges of a rule in which none of the known addresses is: such a rule is rather
// a slip of the finger than meant for later.
func WarnTraffic(r *keepwardv1.TrafficRule, known []netip.Addr) []string {
	var warnings []string
	for _, text := range slices.Concat(r.GetSource(), r.GetTarget()) {
		ranges, err := traffic.ParseRanges([]string{text})
		if err == nil && !slices.ContainsFunc(known, ranges.Hold) {
			warnings = append(warnings, fmt.Sprintf("traffic rule %s: no known computer or transport has an address in %s", r.GetName(), text))
		}
	}
	return warnings
}
