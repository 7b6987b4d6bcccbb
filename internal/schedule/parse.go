package schedule

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parseRule reads the words of a text without its zone.
func parseRule(words []string) (rule, error) {
	if len(words) == 0 {
		return nil, fmt.Errorf("empty; write for instance %s", quoted("daily 22:00", "every 15m"))
	}
	if r, ok, err := parseTrigger(words); ok {
		return r, err
	}
	words = lower(words)
	kind, rest := words[0], words[1:]
	if i := slices.Index(rest, "at"); i >= 0 { // "daily at 22:00"
		rest = slices.Concat(rest[:i], rest[i+1:])
	}
	switch kind {
	case "daily":
		return parseDaily(rest)
	case "weekly":
		return parseWeekly(rest)
	case "monthly":
		return parseMonthly(rest)
	case "every":
		return parseEvery(rest)
	}
	if len(words) == 5 {
		return parseCron(words)
	}
	return nil, fmt.Errorf("begins with none of daily, weekly, monthly, every, continuously, after, when, and has not the five fields of cron; write for instance %s", quoted(Examples...))
}

func parseDaily(words []string) (rule, error) {
	if len(words) != 1 {
		return nil, fmt.Errorf("daily wants a time; write for instance %s", quoted("daily 22:00", "daily 06:00,18:00"))
	}
	c, err := parseClocks(words[0])
	return daily{c}, err
}

func parseWeekly(words []string) (rule, error) {
	if len(words) != 2 {
		return nil, fmt.Errorf("weekly wants days and a time; write for instance %s", quoted("weekly mon,fri 03:30", "weekly mon-fri 20:00"))
	}
	days, err := parseWeekdays(words[0])
	if err != nil {
		return nil, err
	}
	r := weekly{days: days}
	c, err := parseClocks(words[1])
	r.clock = c
	return r, err
}

// parseWeekdays reads days of the week and ranges of them, separated by commas.
func parseWeekdays(text string) (days [7]bool, err error) {
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err := parseWeekday(from)
		if err != nil {
			return days, err
		}
		last, err := parseWeekday(to)
		if err != nil {
			return days, err
		}
		for d := first; ; d = (d + 1) % 7 { // fri-mon goes over the week's end
			days[d] = true
			if d == last {
				break
			}
		}
	}
	return days, nil
}

func parseMonthly(words []string) (rule, error) {
	switch len(words) {
	case 2:
		return parseMonthDays(words[0], words[1])
	case 3:
		return parseNth(words[0], words[1], words[2])
	}
	return nil, fmt.Errorf("monthly wants a day and a time; write for instance %s", quoted("monthly 1 04:00", "monthly last 04:00", "monthly 2nd tue 04:00"))
}

func parseMonthDays(days, clock string) (rule, error) {
	r := monthly{}
	for part := range strings.SplitSeq(days, ",") {
		if part == "last" {
			r.last = true
			continue
		}
		n, err := strconv.Atoi(part)
		if err != nil || n < 1 || n > 31 {
			return nil, fmt.Errorf("%q is no day of a month; write 1 to 31 or last, for instance %s", part, quoted("monthly 1,15 04:00", "monthly last 04:00"))
		}
		r.days[n] = true
	}
	c, err := parseClocks(clock)
	r.clock = c
	return r, err
}

func parseNth(nth, weekday, clock string) (rule, error) {
	n := slices.Index(ordinals, nth)
	if n < 0 {
		return nil, fmt.Errorf("%q is none of 1st, 2nd, 3rd, 4th, last; write for instance %s", nth, quoted("monthly 2nd tue 04:00", "monthly last fri 04:00"))
	}
	d, err := parseWeekday(weekday)
	if err != nil {
		return nil, err
	}
	c, err := parseClocks(clock)
	return nthWeekday{n, d, c}, err
}

// The bounds of "every": the queue looks once a minute at most, and a day counts anew.
const (
	shortest = time.Minute
	longest  = 24 * time.Hour
)

func parseEvery(words []string) (rule, error) {
	if len(words) == 0 {
		return nil, fmt.Errorf("every wants a distance; write for instance %s", quoted("every 15m", "every 4h"))
	}
	d, err := time.ParseDuration(words[0])
	if err != nil || d < shortest || d > longest || d%time.Minute != 0 {
		return nil, fmt.Errorf("%q is no distance of whole minutes from 1m to 24h; write for instance %s", words[0], quoted("every 15m", "every 4h"))
	}
	r := every{distance: d}
	words = words[1:]
	if len(words) > 1 && words[0] == "offset" {
		off, err := time.ParseDuration(words[1])
		if err != nil || off < 0 || off >= d || off%time.Minute != 0 {
			return nil, fmt.Errorf("%q is no offset of whole minutes that is shorter than the distance %s; write for instance %s", words[1], distance(d), quoted("every 1h offset 20m"))
		}
		r.offset, words = off, words[2:]
	}
	r.grid, err = parseGrid(words)
	return r, err
}

func parseWeekday(s string) (time.Weekday, error) {
	for i, name := range weekdays {
		// The whole name may be written, and any part of it from three letters on.
		if full := strings.ToLower(time.Weekday(i).String()); len(s) >= len(name) && strings.HasPrefix(full, s) {
			return time.Weekday(i), nil
		}
	}
	return 0, fmt.Errorf("%q is no day of the week; write mon, tue, wed, thu, fri, sat or sun", s)
}

func parseClocks(s string) ([]clockTime, error) {
	var list []clockTime
	for part := range strings.SplitSeq(s, ",") {
		c, err := parseClock(part)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	slices.SortFunc(list, compareClock)
	return slices.Compact(list), nil
}

func parseClock(s string) (clockTime, error) {
	h, m, ok := strings.Cut(s, ":")
	hour, err := parseDigits(h, 23)
	minute, err2 := parseDigits(m, 59)
	if !ok || len(m) != 2 || err != nil || err2 != nil {
		return clockTime{}, fmt.Errorf("%q is no time of day; write hours and minutes from 00:00 to 23:59", s)
	}
	return clockTime{hour, minute}, nil
}

var errNumber = errors.New("no number in range")

// parseDigits reads one or two digits; Atoi would take signs too.
func parseDigits(s string, most int) (int, error) {
	if len(s) < 1 || len(s) > 2 || strings.Trim(s, "0123456789") != "" {
		return 0, errNumber
	}
	n, err := strconv.Atoi(s)
	if err != nil || n > most {
		return 0, errNumber
	}
	return n, nil
}

func quoted(texts ...string) string {
	q := make([]string, len(texts))
	for i, t := range texts {
		q[i] = strconv.Quote(t)
	}
	return strings.Join(q, ", ")
}
