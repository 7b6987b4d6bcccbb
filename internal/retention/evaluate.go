package retention

import (
	"fmt"
	"slices"
	"time"
)

// Point is what must be known of a restore point to decide on it.
type Point struct {
	ID   string
	Time time.Time
	// Partial: its backup was ended early.
	Partial bool
	// Faulty: it is complete, but some of its objects could not be read.
	Faulty bool
	// Held: it is on legal hold, for HoldReason.
	Held       bool
	HoldReason string
	// Pinned is why it is needed just now; empty: it is not.
	Pinned string
}

// Verdict is what is to become of a point.
type Verdict struct {
	Point Point
	Keep  bool
	// Because has every reason to keep it, or the one to delete it.
	Because []string
	// Until is when it may go at the earliest if nothing else happens; zero: no end is in sight.
	Until time.Time
}

// Evaluate decides on all points that one job has made of one computer. It answers them the
// newest first; of the same time the one that comes first in points is the newer. Weeks, months, years and days are those of zone.
//
// Partial points count for no rule, and go when a newer complete one exists. The newest complete
// point is never deleted, nor is the newest of those without faults: when a disk fails slowly,
// the rules would otherwise age out the last good one.
func (p Policy) Evaluate(points []Point, now time.Time, zone *time.Location) []Verdict {
	list := make([]Verdict, len(points))
	for i, pt := range points {
		list[i] = Verdict{Point: pt}
	}
	slices.SortStableFunc(list, func(a, b Verdict) int {
		return b.Point.Time.Compare(a.Point.Time)
	})
	whole := make([]*Verdict, 0, len(list))
	for i := range list {
		if !list[i].Point.Partial {
			whole = append(whole, &list[i])
		}
	}
	if p.Zero() {
		for i := range list {
			list[i].keep("no retention is set: everything is kept")
		}
	} else {
		p.keepByRules(whole, now, zone)
		keepNewestWhole(whole)
	}
	keepNeeded(list)
	if !p.Zero() {
		p.keepMinimum(whole)
		partials(list, whole)
	}
	for i := range list {
		list[i].close(p)
	}
	return list
}

func (v *Verdict) keep(format string, args ...any) {
	v.Keep, v.Until = true, time.Time{}
	v.Because = append(v.Because, fmt.Sprintf(format, args...))
}

func (p Policy) keepByRules(whole []*Verdict, now time.Time, zone *time.Location) {
	since := now.In(zone).AddDate(0, 0, -p.KeepDays)
	for i, v := range whole {
		if p.KeepDays > 0 && v.Point.Time.After(since) {
			v.keep("of the last %d days", p.KeepDays)
			v.Until = v.Point.Time.In(zone).AddDate(0, 0, p.KeepDays)
		}
		if i < p.KeepLast {
			v.keep("newest %d: number %d", p.KeepLast, i+1)
		}
	}
	for _, g := range []struct {
		name  string
		count int
		label func(t time.Time) string
	}{
		{"weekly", p.Weekly, weekOf},
		{"monthly", p.Monthly, func(t time.Time) string { return t.Format("month 2006-01") }},
		{"yearly", p.Yearly, func(t time.Time) string { return t.Format("year 2006") }},
	} {
		n, last := 0, ""
		for _, v := range whole {
			label := g.label(v.Point.Time.In(zone))
			if label == last {
				continue // an older one of the same period
			}
			if n++; n > g.count {
				break
			}
			last = label
			v.keep("%s %d of %d (%s)", g.name, n, g.count, label)
		}
	}
}

func weekOf(t time.Time) string {
	year, week := t.ISOWeek()
	return fmt.Sprintf("week %04d-%02d", year, week)
}

// passing tells whether nothing keeps a point without an end.
func (v *Verdict) passing() bool { return !v.Keep || !v.Until.IsZero() }

// keepNewestWhole keeps what must not be lost whatever the rules say. It is said only of points
// that nothing else keeps for good.
func keepNewestWhole(whole []*Verdict) {
	if len(whole) == 0 {
		return
	}
	if whole[0].passing() {
		whole[0].keep("the newest complete point of this computer")
	}
	good := slices.IndexFunc(whole, func(v *Verdict) bool { return !v.Point.Faulty })
	if good >= 0 && whole[good].passing() {
		whole[good].keep("the newest point of this computer without errors")
	}
}

// keepNeeded keeps what is on hold or in use.
func keepNeeded(list []Verdict) {
	for i := range list {
		v := &list[i]
		if v.Point.Held && v.Point.HoldReason != "" {
			v.keep("on hold: %s", v.Point.HoldReason)
		} else if v.Point.Held {
			v.keep("on hold")
		}
		if v.Point.Pinned != "" {
			v.keep("%s", v.Point.Pinned)
		}
	}
}

// keepMinimum keeps the newest points that are missing to the minimum when those are gone that
// are kept for a time only.
func (p Policy) keepMinimum(whole []*Verdict) {
	kept := 0
	for _, v := range whole {
		if !v.passing() {
			kept++
		}
	}
	for _, v := range whole {
		if kept >= p.MinPoints {
			return
		}
		if v.passing() {
			kept++
			v.keep("one of the %d points that are left at least", p.MinPoints)
		}
	}
}

// partials keeps partial points that are newer than every complete one: they are the best there
// is of what changed since.
func partials(list []Verdict, whole []*Verdict) {
	for i := range list {
		v := &list[i]
		if v.Point.Partial && (len(whole) == 0 || v.Point.Time.After(whole[0].Point.Time)) {
			v.keep("partial, and there is no newer complete point")
		}
	}
}

// close gives a point that is not kept the reason for that.
func (v *Verdict) close(p Policy) {
	switch {
	case v.Keep:
	case v.Point.Partial:
		v.Because = []string{"partial, and there is a newer complete point"}
	default:
		v.Because = []string{"no rule keeps it (" + p.String() + ")"}
	}
}

// Leave changes the verdict on a point of a computer that its job has not named any more since a
// moment: after so long it goes, the newest too, unless it is on hold or in use. after 0: never.
func (v *Verdict) Leave(since time.Time, after time.Duration, now time.Time) {
	if after <= 0 || v.Point.Held || v.Point.Pinned != "" {
		return
	}
	end := since.Add(after)
	switch {
	case !now.Before(end):
		v.Keep, v.Until = false, time.Time{}
		v.Because = []string{fmt.Sprintf("its job has not named this computer since %s, and such points are deleted after %s",
			since.Format(time.DateOnly), days(after))}
	case v.Keep && (v.Until.IsZero() || v.Until.After(end)):
		v.Until = end
	}
}

// days says a duration in days where it is some.
func days(d time.Duration) string {
	if n := d / (24 * time.Hour); d == n*24*time.Hour {
		return fmt.Sprintf("%d days", n)
	}
	return d.String()
}
