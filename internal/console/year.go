package console

import (
	"fmt"
	"strings"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/words"
)

// The drawing of a year: a column for each week, a row for each day of it, Monday first.
const (
	yearCell = 13 // from one day to the next
	yearBox  = 11
	yearTop  = 16 // the months stand above
)

// yearDay is a day of the drawing; kind: kept, some (of several), gone, or none was made.
type yearDay struct {
	x, y        int
	kind, about string
}

type yearMonth struct {
	x    int
	name string
}

// year is what would be there if a job had run for a year.
type year struct {
	days   []yearDay
	months []yearMonth
	width  int
	height int
	text   string
	daily  bool
	list   []field // the days of which something is kept, and why
}

// yearOf draws a year; nil where there is none to be told.
func yearOf(m *keepwardv1.PreviewJobResponse) *year {
	if len(m.GetYear()) == 0 {
		return nil
	}
	out := &year{height: yearTop + 7*yearCell, daily: m.GetYearDaily()}
	var made, kept int64
	column, month := 0, ""
	for i, d := range m.GetYear() {
		t, err := time.Parse(time.DateOnly, d.GetDay())
		if err != nil {
			return nil // no server says that
		}
		row := (int(t.Weekday()) + 6) % 7
		if row == 0 && i > 0 {
			column++
		}
		if name := t.Format("Jan"); name != month && row == 0 {
			month = name
			if n := len(out.months); n > 0 && column*yearCell-out.months[n-1].x < 3*yearCell {
				out.months = out.months[:n-1] // the rest of a month: its name has no room
			}
			out.months = append(out.months, yearMonth{column * yearCell, name})
		}
		made, kept = made+int64(d.GetMade()), kept+int64(d.GetKept())
		about := fmt.Sprintf("%s: %d of %d kept", d.GetDay(), d.GetKept(), d.GetMade())
		why := words.Safe(strings.Join(d.GetBecause(), ", "))
		if why != "" {
			about += ": " + why
			out.list = append(out.list, field{d.GetDay(), fmt.Sprintf("%d of %d: %s", d.GetKept(), d.GetMade(), why)})
		}
		kind := "none"
		switch {
		case d.GetMade() > 0 && d.GetKept() == d.GetMade():
			kind = "kept"
		case d.GetKept() > 0:
			kind = "some"
		case d.GetMade() > 0:
			kind = "gone"
		}
		out.days = append(out.days, yearDay{column * yearCell, yearTop + row*yearCell, kind, about})
	}
	out.width = (column + 1) * yearCell
	out.text = fmt.Sprintf("Of the %s of a year %s would be there now, of each computer.", words.Plural(made, "restore point"), words.Count(kept))
	return out
}
