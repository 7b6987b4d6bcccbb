package console

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/words"
)

const (
	// worstShown is how many computers the overview has, worstDays of how many days.
	worstShown = 10
	worstDays  = 30
	// dayBoxes bounds a page of days: each is a link.
	dayBoxes = 3000
	// dayRows is how many computers a page has at most.
	dayRows = 50
)

// dayRanges are how many days can be looked at.
var dayRanges = []int{7, 14, 30, 60, 90, 180, 365}

// dayKind is the class of a result.
func dayKind(r words.DayResult) string {
	if r.Letter == "?" || r.Name == "" {
		return "none" // as that of a newer server
	}
	return r.Name
}

// dayCell is a computer on a day.
type dayCell struct {
	words.DayResult
	kind, day, about, to string
}

type dayRow struct {
	name, to     string
	hole, failed int64
	cells        []dayCell
}

type dayMonth struct {
	name string
	days int
}

// heat is the map of computers and days.
type heat struct {
	computer, group, last string // as it was asked for
	days, skip            int
	rows                  []dayRow
	months                []dayMonth
	columns               []string // the days
	found, holes          int64
	first, until          string
}

// link is the page with this filter, behind so many computers.
func (h heat) link(skip int) string {
	days, behind := "", ""
	if h.days != worstDays {
		days = strconv.Itoa(h.days)
	}
	if skip > 0 {
		behind = strconv.Itoa(skip)
	}
	return link("/computers/days", "computer", h.computer, "group", h.group, "last", h.last, "days", days, "skip", behind)
}

// limit is how many computers a page has: fewer where there are more days.
func (h heat) limit() int { return max(1, min(dayRows, dayBoxes/max(h.days, 1))) }

func (h heat) next() int  { return h.skip + len(h.rows) }
func (h heat) back() int  { return max(0, h.skip-h.limit()) }
func (h heat) more() bool { return int64(h.next()) < h.found }

// says is the map in a sentence.
func (h heat) says() string {
	switch {
	case h.holes == 0:
		return "No computer is without a restore point for a whole day or more."
	case h.found == 1:
		return "It is without a restore point for a whole day or more."
	}
	return words.Count(h.holes) + " of " + words.Plural(h.found, "computer") + " are without a restore point for a whole day or more."
}

// reversed are the days of one computer, the newest first.
func (r dayRow) reversed() (out []dayCell) {
	for i := len(r.cells) - 1; i >= 0; i-- {
		out = append(out, r.cells[i])
	}
	return out
}

func daysLink(computer string) string { return link("/computers/days", "computer", computer) }

// heat asks for the map.
func (c *console) heat(ctx context.Context, h heat, limit int) (*heat, error) {
	m, err := call(ctx, c.client.protection.ListProtectionDays, &keepwardv1.ListProtectionDaysRequest{
		Computer: h.computer, Group: h.group, Last: h.last, Days: int32(h.days), Limit: int32(limit), Offset: int32(h.skip),
	})
	if err != nil {
		return nil, err
	}
	h.found, h.holes, h.first, h.until = m.GetFound(), m.GetWithHole(), m.GetFirst(), m.GetLast()
	first, err := time.Parse(time.DateOnly, m.GetFirst())
	if err != nil {
		return nil, err
	}
	for i := range h.days {
		day := first.AddDate(0, 0, i)
		h.columns = append(h.columns, day.Format(time.DateOnly))
		if name := day.Format("Jan 2006"); len(h.months) == 0 || h.months[len(h.months)-1].name != name {
			h.months = append(h.months, dayMonth{name: name})
		}
		h.months[len(h.months)-1].days++
	}
	for _, one := range m.GetComputers() {
		row := dayRow{name: words.Safe(one.GetComputer()), to: daysLink(one.GetComputer()), hole: int64(one.GetHoleDays()), failed: int64(one.GetFailedDays())}
		for i, word := range one.GetResults()[:min(len(h.columns), len(one.GetResults()))] {
			r := words.DayResultOf(word)
			row.cells = append(row.cells, dayCell{
				r, dayKind(r), h.columns[i], row.name + ", " + h.columns[i] + ": " + r.Label, link("/sessions", "computer", one.GetComputer(), "day", h.columns[i]),
			})
		}
		h.rows = append(h.rows, row)
	}
	return &h, nil
}

// worst is the map as the overview has it.
func (c *console) worst(ctx context.Context) (*heat, error) {
	return c.heat(ctx, heat{days: worstDays}, worstShown)
}

// worstPart is the map of the overview anew.
func (c *console) worstPart(w http.ResponseWriter, r *http.Request, v *view) error {
	h, err := c.worst(r.Context())
	if err != nil {
		return err
	}
	c.show(w, r, http.StatusOK, worstBody(h))
	return nil
}

func heatOf(q url.Values) heat {
	h := heat{computer: q.Get("computer"), group: q.Get("group"), last: q.Get("last"), days: worstDays}
	if n, err := strconv.Atoi(q.Get("days")); err == nil && n > 0 {
		h.days = min(n, 400)
	}
	if n, err := strconv.Atoi(q.Get("skip")); err == nil && n > 0 {
		h.skip = min(n, 1<<30)
	}
	return h
}

// computerDays is the page of the map, with all computers.
func (c *console) computerDays(w http.ResponseWriter, r *http.Request, v *view) error {
	asked := heatOf(r.URL.Query())
	v.title, v.at = cmp.Or(words.Safe(asked.computer), "Computers")+" day by day", "computers"
	h, err := c.heat(r.Context(), asked, asked.limit())
	if err != nil && !expired(err) && statusOf(err) < http.StatusInternalServerError {
		c.show(w, r, statusOf(err), daysPage(v, &asked, problemOf(v, err))) // the form is there to put it right
		return nil
	}
	if err != nil {
		return err
	}
	c.show(w, r, http.StatusOK, daysPage(v, h, nil))
	return nil
}
