package schedule

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// cron is the five fields of a crontab: minute, hour, day of the month, month, day of
// the week. Where both kinds of day are narrowed, either one is enough, as in cron.
type cron struct {
	text     string
	days     field
	months   field
	weekdays field
	clock    []clockTime
}

// field is the values that a field of cron allows.
type field struct {
	allowed [60]bool
	any     bool // it begins with a star and so narrows nothing by itself
}

func (r cron) on(d date) bool {
	if !r.months.allowed[d.month] {
		return false
	}
	day, weekday := r.days.allowed[d.day], r.weekdays.allowed[d.weekday()]
	if r.days.any || r.weekdays.any {
		return day && weekday
	}
	return day || weekday
}

func (r cron) times(d date, z *time.Location, fn func(time.Time) bool) {
	each(r.clock, d, z, fn)
}

func (r cron) String() string { return r.text }

// cronFields are the fields in their order, with their bounds and names.
var cronFields = []struct {
	name        string
	first, last int
	names       []string
}{
	{"minute", 0, 59, nil},
	{"hour", 0, 23, nil},
	{"day of the month", 1, 31, nil},
	{"month", 1, 12, months},
	{"day of the week", 0, 7, weekdays},
}

func parseCron(words []string) (rule, error) {
	var fields [5]field
	for i, w := range words {
		f, err := parseField(i, w)
		if err != nil {
			return nil, err
		}
		fields[i] = f
	}
	week := &fields[4].allowed
	week[0] = week[0] || week[7] // both are Sunday
	r := cron{text: strings.Join(words, " "), days: fields[2], months: fields[3], weekdays: fields[4]}
	for h := range 24 {
		for m := range 60 {
			if fields[1].allowed[h] && fields[0].allowed[m] {
				r.clock = append(r.clock, clockTime{h, m})
			}
		}
	}
	return r, nil
}

// parseField reads a list of values, ranges and steps: "*", "5", "1-5", "*/15", "8-18/2".
func parseField(i int, text string) (field, error) {
	spec := cronFields[i]
	f := field{any: strings.HasPrefix(text, "*")}
	for part := range strings.SplitSeq(text, ",") {
		span, stepText, stepped := strings.Cut(part, "/")
		from, to, ok := parseSpan(i, span, stepped)
		step := 1
		if stepped && ok {
			n, err := parseDigits(stepText, spec.last)
			step, ok = n, err == nil && n > 0
		}
		if !ok || from > to {
			return field{}, fmt.Errorf("cron field %q for the %s: %q is no value, range or step from %d to %d; write for instance %s",
				text, spec.name, part, spec.first, spec.last, quoted("30 22 * * 1-5", "*/15 * * * *"))
		}
		for v := from; v <= to; v += step {
			f.allowed[v] = true
		}
	}
	return f, nil
}

// parseSpan reads what stands before a step. A single value with a step goes on to
// the end of the field.
func parseSpan(i int, span string, stepped bool) (from, to int, ok bool) {
	spec := cronFields[i]
	if span == "*" {
		return spec.first, spec.last, true
	}
	a, b, isRange := strings.Cut(span, "-")
	from, ok = parseValue(i, a)
	switch {
	case isRange:
		var ok2 bool
		to, ok2 = parseValue(i, b)
		return from, to, ok && ok2
	case stepped:
		return from, spec.last, ok
	}
	return from, from, ok
}

func parseValue(i int, s string) (int, bool) {
	spec := cronFields[i]
	if n := slices.Index(spec.names, s); n >= 0 && s != "" {
		return n, true
	}
	n, err := parseDigits(s, spec.last)
	return n, err == nil && n >= spec.first
}
