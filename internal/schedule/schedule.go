// Package schedule says when a job runs next, from a text such as "daily 22:00".
//
// It knows no job, no clock and no queue; the moment is passed in. What goes by something else
// than a calendar ("after docs", "continuously", "when online") it only reads: who sees that
// happen asks for its Kind. A Schedule never changes, so it may be used from any goroutine.
//
// Daylight saving: a wall time that the clocks jump over runs at the first moment
// after the jump, so that no backup is lost; one that they show twice runs once, the
// first time. "every 15m" counts real minutes from midnight and knows neither; its hours, if it
// has some, are what clocks show.
package schedule

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Examples are one text of each form, for help and for errors.
var Examples = []string{
	"daily 22:00", "daily 06:00,18:00", "weekly mon,fri 03:30", "weekly mon-fri 20:00",
	"monthly 1 04:00", "monthly last 04:00", "monthly 2nd tue 04:00", "every 15m", "30 22 * * 1-5",
	"every 30m offset 5m on mon-fri hours 8-17", "continuously", "after docs", "when online",
}

// Schedule is a rule and the time zone in which its hours are meant.
type Schedule struct {
	rule     rule
	zone     *time.Location
	fixed    bool // the text names the zone itself
	computer bool // the hours are those of each computer
}

// rule is what a text says about days and times of day.
type rule interface {
	// on is whether it runs on a day at all.
	on(day date) bool
	// times calls fn with its moments of a day in order, until fn says stop.
	times(day date, zone *time.Location, fn func(time.Time) (stop bool))
	// String is the text in its normal form.
	String() string
}

// Parse reads a text. Its hours are meant in zone, unless it ends with "in" and the
// name of another, "daily 22:00 in Europe/Paris", or with "in computer": then they are those of
// each computer, and in zone only for those whose zone nobody knows.
func Parse(text string, zone *time.Location) (Schedule, error) {
	s := Schedule{zone: zone}
	words := strings.Fields(text)
	if n := len(words); n > 2 && strings.EqualFold(words[n-2], "in") {
		if err := s.setZone(words[n-1]); err != nil {
			return Schedule{}, fmt.Errorf("schedule %q: %w", text, err)
		}
		words = words[:n-2]
	}
	r, err := parseRule(words)
	if err != nil {
		return Schedule{}, fmt.Errorf("schedule %q: %w", text, err)
	}
	s.rule = r
	if err := s.check(); err != nil {
		return Schedule{}, fmt.Errorf("schedule %q: %w", text, err)
	}
	return s, nil
}

// zoneOfComputer is written in place of a zone's name.
const zoneOfComputer = "computer"

func (s *Schedule) setZone(name string) error {
	if strings.EqualFold(name, zoneOfComputer) {
		s.computer = true
		return nil
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		return fmt.Errorf("no time zone %q; write its full name, for instance Europe/Paris, or computer for that of each computer", name)
	}
	s.zone, s.fixed = z, true
	return nil
}

// check refuses what can never come, and a zone where there is no hour that it could be about.
func (s Schedule) check() error {
	switch s.Kind() {
	case Calendar:
		if _, ok := s.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)); !ok {
			return errors.New("never comes: no month has that day, or no run falls into its hours")
		}
	case AfterJob, WhenOnline:
		if s.fixed || s.computer {
			return fmt.Errorf("a time zone says nothing here; leave it out: %s", quoted(s.rule.String()))
		}
	case Continuously:
		if s.computer {
			return errors.New("a session of all computers has no zone of a computer; name a zone, for instance Europe/Paris")
		}
	}
	return nil
}

// String is the text in its normal form; Parse reads it back.
func (s Schedule) String() string {
	if s.rule == nil {
		return ""
	}
	switch {
	case s.computer:
		return s.rule.String() + " in " + zoneOfComputer
	case s.fixed:
		return s.rule.String() + " in " + s.zone.String()
	}
	return s.rule.String()
}

// Zone is the time zone in which the hours are meant.
func (s Schedule) Zone() *time.Location { return s.zone }

// horizon is how far Next looks: 29 February may be eight years away, around a
// century that is no leap year.
const horizon = 8*366 + 1

// Next is the first moment after the given one, in the schedule's zone. It is false
// only for what goes by no calendar: Parse refuses a text that never comes.
func (s Schedule) Next(after time.Time) (time.Time, bool) {
	if s.Kind() != Calendar {
		return time.Time{}, false
	}
	// A jump of the clocks can move a wall time of one day to the next.
	day := dateOf(after.In(s.zone)).add(-1)
	for range horizon {
		if s.rule.on(day) {
			var found time.Time
			s.rule.times(day, s.zone, func(t time.Time) bool {
				if t.After(after) {
					found = t
				}
				return !found.IsZero()
			})
			if !found.IsZero() {
				return found.In(s.zone), true
			}
		}
		day = day.add(1)
	}
	return time.Time{}, false
}

// NextN is the first n moments after the given one.
func (s Schedule) NextN(after time.Time, n int) []time.Time {
	var list []time.Time
	for range n {
		t, ok := s.Next(after)
		if !ok {
			break
		}
		list, after = append(list, t), t
	}
	return list
}

// Between are the moments after the first one, up to and with the second.
func (s Schedule) Between(after, until time.Time) []time.Time {
	var list []time.Time
	for {
		t, ok := s.Next(after)
		if !ok || t.After(until) {
			return list
		}
		list, after = append(list, t), t
	}
}

// date is a day of the calendar, without a zone.
type date struct {
	year  int
	month time.Month
	day   int
}

func dateOf(t time.Time) date {
	y, m, d := t.Date()
	return date{y, m, d}
}

func (d date) utc() time.Time                   { return time.Date(d.year, d.month, d.day, 0, 0, 0, 0, time.UTC) }
func (d date) add(days int) date                { return dateOf(d.utc().AddDate(0, 0, days)) }
func (d date) weekday() time.Weekday            { return d.utc().Weekday() }
func (d date) last() bool                       { return d.add(1).day == 1 }
func (d date) start(z *time.Location) time.Time { return d.at(clockTime{}, z) }

// clockTime is a time of day.
type clockTime struct{ hour, minute int }

func (c clockTime) String() string { return fmt.Sprintf("%02d:%02d", c.hour, c.minute) }

func compareClock(a, b clockTime) int {
	return cmp.Or(cmp.Compare(a.hour, b.hour), cmp.Compare(a.minute, b.minute))
}

// at is the first moment at which clocks in zone show c on the day, or a later time.
// That is the wall time itself where it exists, the earlier of two, and the first
// moment after a jump over it.
func (d date) at(c clockTime, zone *time.Location) time.Time {
	wall := d.utc().Unix() + int64(c.hour)*3600 + int64(c.minute)*60
	// No zone is a day away from UTC, so the clocks show less than wall here.
	from := wall - 24*3600
	for {
		t := time.Unix(from, 0).In(zone)
		_, offset := t.Zone()
		_, end := t.ZoneBounds()
		hit := max(from, wall-int64(offset))
		if end.IsZero() || hit < end.Unix() {
			return time.Unix(hit, 0).In(zone)
		}
		from = end.Unix()
	}
}
