package schedule

import (
	"fmt"
	"strings"
	"time"
)

// HoursExamples are one text of each form of Hours.
var HoursExamples = []string{"mon-fri 20:00-06:00", "sat,sun", "daily 12:00-13:00,18:00-24:00", "22:00-04:00"}

// Hours are times of the week, such as "mon-fri 20:00-06:00": days, and from when to when. What
// ends at or before it begins ends on the next day. They never change, so they may be used from
// any goroutine.
//
// Daylight saving: a wall time that the clocks jump over is the first moment after the jump, one
// that they show twice is the first of the two.
type Hours struct {
	spans []span
	zone  *time.Location
}

// span is one stretch of each of some days.
type span struct {
	days     [7]bool
	from, to clockTime
}

// ParseHours reads texts; together they are all that any of them says. They are meant in zone.
func ParseHours(texts []string, zone *time.Location) (Hours, error) {
	h := Hours{zone: zone}
	for _, text := range texts {
		spans, err := parseStretches(strings.Fields(strings.ToLower(text)))
		if err != nil {
			return Hours{}, fmt.Errorf("hours %q: %w", text, err)
		}
		h.spans = append(h.spans, spans...)
	}
	return h, nil
}

func parseStretches(words []string) ([]span, error) {
	days := [7]bool{true, true, true, true, true, true, true}
	if len(words) > 0 && !strings.Contains(words[0], ":") {
		if words[0] != "daily" {
			var err error
			if days, err = parseWeekdays(words[0]); err != nil {
				return nil, err
			}
		}
		if words = words[1:]; len(words) == 0 {
			return []span{{days, clockTime{}, midnight}}, nil
		}
	}
	if len(words) != 1 {
		return nil, fmt.Errorf("wants days, hours or both; write for instance %s", quoted(HoursExamples...))
	}
	var list []span
	for part := range strings.SplitSeq(words[0], ",") {
		s, err := parseStretch(part)
		if err != nil {
			return nil, err
		}
		s.days = days
		list = append(list, s)
	}
	return list, nil
}

// midnight is the end of a day.
var midnight = clockTime{24, 0}

func parseStretch(text string) (span, error) {
	first, last, ok := strings.Cut(text, "-")
	if !ok {
		return span{}, fmt.Errorf("%q has no end; write for instance %s", text, quoted("20:00-06:00"))
	}
	from, err := parseClock(first)
	if err != nil {
		return span{}, err
	}
	to := midnight
	if last != midnight.String() {
		if to, err = parseClock(last); err != nil {
			return span{}, err
		}
	}
	if from == to {
		return span{}, fmt.Errorf("%q begins when it ends; a whole day is 00:00-24:00, or the day alone", text)
	}
	return span{from: from, to: to}, nil
}

// Empty says that they are no time at all.
func (h Hours) Empty() bool { return len(h.spans) == 0 }

// In says whether a moment is in them.
func (h Hours) In(t time.Time) bool {
	if h.Empty() {
		return false
	}
	today := dateOf(t.In(h.zone))
	for _, day := range []date{today.add(-1), today} {
		for _, s := range h.spans {
			if !s.days[day.weekday()] {
				continue
			}
			if from, to := s.on(day, h.zone); !t.Before(from) && t.Before(to) {
				return true
			}
		}
	}
	return false
}

// Edges are the moments in (after, until] at which one of its stretches begins or ends, in no
// order and some of them twice.
func (h Hours) Edges(after, until time.Time) []time.Time {
	var list []time.Time
	if h.Empty() {
		return list
	}
	last := dateOf(until.In(h.zone)).utc()
	for day := dateOf(after.In(h.zone)).add(-1); !day.utc().After(last); day = day.add(1) {
		for _, s := range h.spans {
			if !s.days[day.weekday()] {
				continue
			}
			from, to := s.on(day, h.zone)
			for _, t := range []time.Time{from, to} {
				if t.After(after) && !t.After(until) {
					list = append(list, t)
				}
			}
		}
	}
	return list
}

// on is the stretch that begins on a day.
func (s span) on(day date, zone *time.Location) (from, to time.Time) {
	from = day.at(s.from, zone)
	if compareClock(s.to, s.from) <= 0 {
		day = day.add(1)
	}
	return from, day.at(s.to, zone)
}
