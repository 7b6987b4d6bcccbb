// Package words is how amounts, durations, names and progress are written for people, so that
// the command line and the console say the same. It decides nothing and asks nobody; whose time
// zone counts, its callers know. Its functions may be used by many goroutines at once, a Rate by
// one.
package words

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
)

// Size shows bytes with three digits and a binary unit.
func Size(n int64) string {
	const units = "KMGTPE"
	if n < 1024 && n > -1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	v, i := float64(n)/1024, 0
	for math.Abs(v) >= 999.5 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	digits := 2
	switch {
	case math.Abs(v) >= 99.95:
		digits = 0
	case math.Abs(v) >= 9.995:
		digits = 1
	}
	return fmt.Sprintf("%.*f %ciB", digits, v, units[i])
}

// Count shows a number in groups of three digits.
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	start := 0
	if n < 0 {
		start = 1
	}
	for i := len(s) - 3; i > start; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}

// Plural shows a number of things.
func Plural(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return Count(n) + " " + thing + "s"
}

// Entries shows a number of entries, of which some are directories.
func Entries(all, dirs int64) string {
	text := Plural(all-dirs, "file")
	switch dirs {
	case 0:
		return text
	case 1:
		return text + ", 1 directory"
	}
	return text + ", " + Count(dirs) + " directories"
}

// Span shows a duration in its two largest units.
func Span(d time.Duration) string {
	if d < 0 {
		return "-" + Span(-d)
	}
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d:%02d min", d/time.Minute, d%time.Minute/time.Second)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d:%02d h", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%d d %d h", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// Few names the first of a list, and how many more there are.
func Few(names []string) string {
	const most = 2
	if len(names) <= most+1 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// utcTime is a time as the server writes it into its sentences.
var utcTime = regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

// LocalTimes writes the times in a sentence of the server as its reader wants them.
func LocalTimes(text string, show func(time.Time) string) string {
	return utcTime.ReplaceAllStringFunc(text, func(s string) string {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return s
		}
		return show(t)
	})
}

// LimitedBy names what held a backup up, the most first; empty where nothing was measured.
func LimitedBy(l *keepwardv1.Limits) string {
	type share struct {
		name    string
		percent int32
	}
	shares := []share{{"CPU", l.GetCpu()}, {"source", l.GetSource()}, {"network", l.GetNetwork()}, {"target", l.GetTarget()}}
	slices.SortStableFunc(shares, func(a, b share) int { return cmp.Compare(b.percent, a.percent) })
	var parts []string
	for _, s := range shares {
		if s.percent > 0 {
			parts = append(parts, fmt.Sprintf("%s %d %%", s.name, s.percent))
		}
	}
	return strings.Join(parts, ", ")
}
