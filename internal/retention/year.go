package retention

import (
	"slices"
	"time"
)

// Day is what would be there of the points that were made on one day.
type Day struct {
	Date       time.Time // its beginning
	Made, Kept int
	Because    []string // each reason once
}

// Year says what a policy would have left now of the points that were made at some moments of the 365 days
// that end with the one of now, day by day, the oldest first. Days are those of zone.
func (p Policy) Year(made []time.Time, now time.Time, zone *time.Location) []Day {
	today := midnight(now, zone)
	out := make([]Day, 0, YearDays)
	at := map[string]int{}
	for i := range YearDays {
		d := today.AddDate(0, 0, i-YearDays+1)
		at[d.Format(time.DateOnly)] = len(out)
		out = append(out, Day{Date: d})
	}
	points := make([]Point, len(made))
	for i, t := range made {
		points[i] = Point{Time: t}
	}
	for _, v := range p.Evaluate(points, now, zone) {
		i, ok := at[v.Point.Time.In(zone).Format(time.DateOnly)]
		if !ok {
			continue
		}
		d := &out[i]
		d.Made++
		if !v.Keep {
			continue
		}
		d.Kept++
		for _, why := range v.Because {
			if !slices.Contains(d.Because, why) {
				d.Because = append(d.Because, why)
			}
		}
	}
	return out
}

// YearDays is how many days Year looks at.
const YearDays = 365

func midnight(t time.Time, zone *time.Location) time.Time {
	t = t.In(zone)
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, zone)
}
