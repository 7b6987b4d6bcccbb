package words

import (
	"time"

	keepwardv1 "keepward/api/keepward/v1"
)

// Growth says how fast a repository has filled its disk.
func Growth(g *keepwardv1.Growth) string {
	switch {
	case g == nil:
		return "not known yet"
	case g.GetBytesADay() == 0:
		return "none over " + Plural(int64(g.GetDays()), "day")
	}
	return Size(g.GetBytesADay()) + " a day over " + Plural(int64(g.GetDays()), "day")
}

// FullAbout is the day, of UTC, on which a repository is full if it grows as it did; empty: nobody knows.
func FullAbout(g *keepwardv1.Growth) string {
	if g.GetFullAbout() == nil {
		return ""
	}
	return g.GetFullAbout().AsTime().Format(time.DateOnly)
}

// Change is a size that may be less than nothing.
func Change(n int64) string {
	switch {
	case n < 0:
		return "-" + Size(-n)
	case n > 0:
		return "+" + Size(n)
	}
	return Size(0)
}
