package cli

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// size shows bytes with three digits and a binary unit.
func size(n int64) string {
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

// count shows a number in groups of three digits.
func count(n int64) string {
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

// plural shows a number of things.
func plural(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return count(n) + " " + thing + "s"
}

// entries shows a number of entries, of which some are directories.
func entries(all, dirs int64) string {
	text := plural(all-dirs, "file")
	switch dirs {
	case 0:
		return text
	case 1:
		return text + ", 1 directory"
	}
	return text + ", " + count(dirs) + " directories"
}

// stamp shows a time in the zone of the user, empty when there is none.
func (a *app) stamp(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().In(a.local).Format("2006-01-02 15:04:05")
}

// span shows a duration in its two largest units.
func span(d time.Duration) string {
	if d < 0 {
		return "-" + span(-d)
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

// took is the time between two moments, to now while the second is missing.
func (a *app) took(from, to *timestamppb.Timestamp) string {
	if from == nil {
		return ""
	}
	end := a.now()
	if to != nil {
		end = to.AsTime()
	}
	return span(end.Sub(from.AsTime()))
}

func yesNo(v bool) string {
	if v {
		return "yes"
	}
	return "no"
}
