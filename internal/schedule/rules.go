package schedule

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// daily runs on every day.
type daily struct{ clock []clockTime }

func (daily) on(date) bool     { return true }
func (r daily) String() string { return "daily " + joinClock(r.clock) }
func (r daily) times(d date, z *time.Location, fn func(time.Time) bool) {
	each(r.clock, d, z, fn)
}

// weekly runs on some days of the week.
type weekly struct {
	days  [7]bool
	clock []clockTime
}

func (r weekly) on(d date) bool { return r.days[d.weekday()] }
func (r weekly) times(d date, z *time.Location, fn func(time.Time) bool) {
	each(r.clock, d, z, fn)
}

func (r weekly) String() string {
	var names []string
	for i := range 7 {
		if wd := (i + 1) % 7; r.days[wd] { // Monday first
			names = append(names, weekdays[wd])
		}
	}
	return "weekly " + strings.Join(names, ",") + " " + joinClock(r.clock)
}

// monthly runs on some days of the month. A day that a month has not is its last one.
type monthly struct {
	days  [32]bool
	last  bool
	clock []clockTime
}

func (r monthly) on(d date) bool {
	if r.days[d.day] {
		return true
	}
	return d.last() && (r.last || slices.Contains(r.days[d.day:], true))
}

func (r monthly) times(d date, z *time.Location, fn func(time.Time) bool) {
	each(r.clock, d, z, fn)
}

func (r monthly) String() string {
	var names []string
	for n, set := range r.days {
		if set {
			names = append(names, strconv.Itoa(n))
		}
	}
	if r.last {
		names = append(names, "last")
	}
	return "monthly " + strings.Join(names, ",") + " " + joinClock(r.clock)
}

// nthWeekday runs on the nth weekday of each month.
type nthWeekday struct {
	nth     int // 1 to 4; 0 is the last
	weekday time.Weekday
	clock   []clockTime
}

func (r nthWeekday) on(d date) bool {
	if d.weekday() != r.weekday {
		return false
	}
	if r.nth == 0 {
		return d.add(7).month != d.month
	}
	return (d.day-1)/7+1 == r.nth
}

func (r nthWeekday) times(d date, z *time.Location, fn func(time.Time) bool) {
	each(r.clock, d, z, fn)
}

func (r nthWeekday) String() string {
	return fmt.Sprintf("monthly %s %s %s", ordinals[r.nth], weekdays[r.weekday], joinClock(r.clock))
}

// every runs at a distance, counted anew from the first moment of each day and an offset, in
// the hours of its grid.
type every struct {
	distance time.Duration
	offset   time.Duration
	grid     grid
}

func (every) on(date) bool { return true }
func (r every) times(d date, z *time.Location, fn func(time.Time) bool) {
	end := d.add(1).start(z)
	for t := d.start(z).Add(r.offset); t.Before(end); t = t.Add(r.distance) {
		if r.grid.allows(t) && fn(t) {
			return
		}
	}
}

func (r every) String() string {
	text := "every " + distance(r.distance)
	if r.offset > 0 {
		text += " offset " + distance(r.offset)
	}
	return text + r.grid.String()
}

// each calls fn with the moments of some times of day. Times that a jump of the
// clocks brings to one moment make one run.
func each(clock []clockTime, d date, z *time.Location, fn func(time.Time) bool) {
	var before time.Time
	for _, c := range clock {
		t := d.at(c, z)
		if t.Equal(before) {
			continue
		}
		if fn(t) {
			return
		}
		before = t
	}
}

func joinClock(list []clockTime) string {
	texts := make([]string, len(list))
	for i, c := range list {
		texts[i] = c.String()
	}
	return strings.Join(texts, ",")
}

var (
	weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
	months   = []string{"", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
	ordinals = []string{"last", "1st", "2nd", "3rd", "4th"}
)
