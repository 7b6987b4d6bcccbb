package console

import (
	"fmt"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/words"
)

// calendarWeeks is how many weeks a calendar of coming runs has, the present one among them.
const calendarWeeks = 5

// calendarShown is how many runs of a day are named; of more the first are, and their number.
const calendarShown = 2

// calendarDay is a day of the calendar of coming runs.
type calendarDay struct {
	day         string // its number; on the first of a month with the month
	name        string // in full, for who cannot see where it stands
	today, past bool
	runs        []string
	more        int
}

// count is how many runs there are, for a narrow screen.
func (d calendarDay) count() int { return len(d.runs) + d.more }

// calendar puts coming runs into weeks, in the viewer's zone, Monday first. It is nil where there are
// none in that time.
func (v *view) calendar(coming []*keepwardv1.NextRun) [][]calendarDay {
	now := v.now.In(v.zone)
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, v.zone)
	first := today.AddDate(0, 0, -(int(today.Weekday())+6)%7)
	of := map[string][]string{}
	for _, r := range coming {
		t := r.GetTime().AsTime().In(v.zone)
		key := t.Format(time.DateOnly)
		of[key] = append(of[key], t.Format("15:04"))
	}
	var out [][]calendarDay
	some := false
	for week := range calendarWeeks {
		var line []calendarDay
		for i := range 7 {
			t := first.AddDate(0, 0, week*7+i)
			d := calendarDay{day: fmt.Sprint(t.Day()), name: t.Format("Monday 2 January"), today: t.Equal(today), past: t.Before(today)}
			if t.Day() == 1 || week == 0 && i == 0 {
				d.day = t.Format("2 Jan")
			}
			runs := of[t.Format(time.DateOnly)]
			n := min(len(runs), calendarShown)
			d.runs, d.more = runs[:n], len(runs)-n
			some = some || len(runs) > 0
			line = append(line, d)
		}
		out = append(out, line)
	}
	if !some {
		return nil
	}
	return out
}

var weekdayNames = []string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}

// comingShown is how many coming runs are written out.
const comingShown = 5

// spelled are the coming runs that are written out: those of which the calendar does not say all, or
// all where they are too far away for it.
func (v *view) spelled(coming []*keepwardv1.NextRun) (out []*keepwardv1.NextRun) {
	drawn := v.calendar(coming) != nil
	for _, r := range coming {
		if len(out) < comingShown && (!drawn || v.run(r) != "") {
			out = append(out, r)
		}
	}
	return out
}

// run says of a coming run what its time does not.
func (v *view) run(r *keepwardv1.NextRun) string {
	text := ""
	if len(r.GetComputers()) > 0 {
		text += ", of " + words.Safe(words.Few(r.GetComputers()))
	}
	if until, ok := moment(r.GetUntil()); ok {
		text += ", the last computer at " + v.clock(until)
	}
	if r.GetZone() != "" {
		text += ", by the clocks of " + words.Safe(r.GetZone())
	}
	if r.GetAfter() != "" {
		text += " or later: when the session of " + words.Safe(r.GetAfter()) + " is over that starts then"
	}
	return text
}
