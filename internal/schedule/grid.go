package schedule

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// grid is the hours of a week in which something may begin. The zero grid allows all.
type grid struct {
	hours [7][24]bool
	set   bool
}

func (g grid) allows(t time.Time) bool { return !g.set || g.hours[t.Weekday()][t.Hour()] }

// from is the first moment at or after t, as clocks in its zone show it, that the grid allows.
func (g grid) from(t time.Time) (time.Time, bool) {
	if g.allows(t) {
		return t, true
	}
	// A step of a quarter of an hour misses no hour, also where clocks jump by half of one.
	at := t.Truncate(15 * time.Minute)
	for range 8 * 24 * 4 {
		at = at.Add(15 * time.Minute)
		if g.allows(at) {
			return at, true
		}
	}
	return time.Time{}, false
}

func (g *grid) add(days [7]bool, hours [24]bool) {
	g.set = true
	for d := range days {
		for h := range hours {
			g.hours[d][h] = g.hours[d][h] || days[d] && hours[h]
		}
	}
}

var (
	everyDay  = [7]bool{true, true, true, true, true, true, true}
	everyHour = func() (all [24]bool) {
		for h := range all {
			all[h] = true
		}
		return all
	}()
)

// parseGrid reads "on mon-fri hours 8-17", either part of it, or several of them.
func parseGrid(words []string) (grid, error) {
	var g grid
	for len(words) > 0 {
		days, hours, err := everyDay, everyHour, error(nil)
		took := 0
		if words[0] == "on" && len(words) > 1 {
			if days, err = parseWeekdays(words[1]); err != nil {
				return g, err
			}
			took = 2
		}
		if rest := words[took:]; len(rest) > 1 && rest[0] == "hours" {
			if hours, err = parseHours(rest[1]); err != nil {
				return g, err
			}
			took += 2
		}
		if took == 0 {
			return g, fmt.Errorf("%q is not understood here; write for instance %s", words[0], quoted("every 30m on mon-fri hours 8-17", "every 1h offset 20m"))
		}
		g.add(days, hours)
		words = words[took:]
	}
	if g == (grid{}) {
		return g, nil
	}
	var all grid
	all.add(everyDay, everyHour)
	if g == all {
		return grid{}, nil
	}
	return g, nil
}

// parseHours reads hours of the day, each from its first minute to its last: "8-17,20".
func parseHours(text string) ([24]bool, error) {
	var hours [24]bool
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err := parseDigits(from, 23)
		last, err2 := parseDigits(to, 23)
		if err != nil || err2 != nil {
			return hours, fmt.Errorf("%q is no hour of the day; write 0 to 23, for instance %s", part, quoted("hours 8-17", "hours 22-5"))
		}
		for h := first; ; h = (h + 1) % 24 { // 22-5 goes over midnight
			hours[h] = true
			if h == last {
				break
			}
		}
	}
	return hours, nil
}

// String is the text of the grid, with a space in front; empty: all is allowed.
func (g grid) String() string {
	if !g.set {
		return ""
	}
	var b strings.Builder
	var done [7]bool
	for i := range 7 {
		day := (i + 1) % 7 // Monday first
		if done[day] || g.hours[day] == [24]bool{} {
			continue
		}
		var names []string
		for k := range 7 {
			if d := (k + 1) % 7; g.hours[d] == g.hours[day] {
				names, done[d] = append(names, weekdays[d]), true
			}
		}
		if len(names) < 7 {
			b.WriteString(" on " + strings.Join(names, ","))
		}
		if g.hours[day] != everyHour {
			b.WriteString(" hours " + joinHours(g.hours[day]))
		}
	}
	return b.String()
}

func joinHours(hours [24]bool) string {
	var parts []string
	for h := 0; h < 24; h++ {
		if !hours[h] {
			continue
		}
		last := h
		for last+1 < 24 && hours[last+1] {
			last++
		}
		text := strconv.Itoa(h)
		if last > h {
			text += "-" + strconv.Itoa(last)
		}
		parts, h = append(parts, text), last
	}
	return strings.Join(parts, ",")
}
