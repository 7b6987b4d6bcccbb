package console

import (
	"fmt"
	"math"
	"strings"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/words"
)

// The measures of the picture of a repository's use.
const (
	useLeft   = 86
	useWidth  = 790
	useHeight = 150
	useFoot   = 18
	// useLooks is how many parts of it can be pointed at.
	useLooks = 90
	// useAhead is how much of the past the picture goes on for: a third of it.
	useAhead = 3
)

// useGraph is how full a repository was, day by day, and how it goes on if it grows as it did. One with
// fewer than two days is not drawn.
type useGraph struct {
	held, room, coming string // paths
	looks, scale       []speedMark
	times              []hourMark
	now                int
	says               string
}

// useDay is a day of the picture; bytes.
type useDay struct {
	day        time.Time
	held, room int64
}

func daysOfUse(m *keepwardv1.ListRepositoryDaysResponse) (out []useDay) {
	for _, d := range m.GetDays() {
		day, err := time.Parse(time.DateOnly, d.GetDay())
		if err != nil {
			continue // of a newer server
		}
		out = append(out, useDay{day, d.GetSizeBytes(), d.GetSizeBytes() + d.GetFreeBytes()})
	}
	return out
}

func drawUse(m *keepwardv1.ListRepositoryDaysResponse) *useGraph {
	days := daysOfUse(m)
	if len(days) < 2 {
		return nil
	}
	first, last := days[0], days[len(days)-1]
	known := daysBetween(first.day, last.day)
	if known < 1 {
		return nil
	}
	all := known + max(known/useAhead, 1)
	most := 1.0
	for _, d := range days {
		most = max(most, float64(d.room))
	}
	top := topOf(most)
	x := func(days float64) int { return useLeft + int(math.Round(days*useWidth/float64(all))) }
	y := func(bytes float64) int { return useHeight - int(math.Round(bytes/top*(useHeight-4))) }
	u := &useGraph{now: x(float64(known))}
	var held, room strings.Builder
	fmt.Fprintf(&held, "M%d %d", x(0), useHeight)
	for i, d := range days {
		at := x(float64(daysBetween(first.day, d.day)))
		fmt.Fprintf(&held, "L%d %d", at, y(float64(d.held)))
		verb := "L"
		if i == 0 {
			verb = "M"
		}
		fmt.Fprintf(&room, "%s%d %d", verb, at, y(float64(d.room)))
	}
	fmt.Fprintf(&held, "V%dZ", useHeight)
	fmt.Fprintf(&room, "H%d", x(float64(all)))
	u.held, u.room = held.String(), room.String()
	u.says = fmt.Sprintf("Use of the repository from %s to %s: from %s to %s of %s", first.day.Format(time.DateOnly), last.day.Format(time.DateOnly),
		words.Size(first.held), words.Size(last.held), words.Size(last.room))
	if perDay := float64(m.GetGrowth().GetBytesADay()); perDay > 0 {
		ahead := min(float64(all-known), float64(last.room-last.held)/perDay)
		u.coming = fmt.Sprintf("M%d %dL%d %d", u.now, y(float64(last.held)), x(float64(known)+ahead), y(float64(last.held)+ahead*perDay))
	}
	n := min(len(days), useLooks)
	for i := range n {
		from, to := days[i*len(days)/n], days[(i+1)*len(days)/n-1]
		left, right := x(float64(daysBetween(first.day, from.day))), x(float64(daysBetween(first.day, to.day)+1))
		u.looks = append(u.looks, speedMark{x: left, width: max(right-left, 1), text: fmt.Sprintf("%s: %s of %s", to.day.Format(time.DateOnly), words.Size(to.held), words.Size(to.room))})
	}
	for _, share := range []float64{0, .5, 1} {
		u.scale = append(u.scale, speedMark{y: y(top * share), text: words.Size(int64(top * share))})
	}
	for i, every := 0, max(all/6, 1); i < all; i += every {
		u.times = append(u.times, hourMark{at: x(float64(i)), text: first.day.AddDate(0, 0, i).Format("2 Jan")})
	}
	return u
}

func daysBetween(a, b time.Time) int { return int(b.Sub(a) / (24 * time.Hour)) }

// useSection is the picture with what it says in words.
func (v *view) useSection(m *keepwardv1.ListRepositoryDaysResponse) section {
	s := section{title: "Use, day by day", facts: fields("Growth", words.Growth(m.GetGrowth()), "Full about", words.FullAbout(m.GetGrowth()))}
	u := drawUse(m)
	if u == nil {
		s.note = "It is drawn once it is known of two days."
		return s
	}
	s.picture = usePicture(u)
	return s
}
