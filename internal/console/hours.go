package console

import (
	"context"
	"net/http"
	"strings"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/words"
)

// The picture of the hours, in its own units.
const (
	hoursLeft   = 40 // where the numbers stand
	hoursWidth  = 840
	hoursHeight = 96
	hoursFoot   = 18
	// hoursLeast is what a full column stands for at least, so that one session does not look like many.
	hoursLeast = 4
	// hoursMark is how many hours are between two that are named.
	hoursMark = 6
	// comingListed is how many coming runs the overview has.
	comingListed = 8
)

// hourBox is the part of an hour that came to one result, or is to come.
type hourBox struct {
	kind             string
	x, y, wide, high int
}

// hourMark is a place on an axis.
type hourMark struct {
	at   int
	text string
}

// hourLook is an hour to point at.
type hourLook struct {
	x, wide int
	text    string
}

// hourGraph is the hours before and behind now as a picture, and what comes next.
type hourGraph struct {
	boxes []hourBox
	looks []hourLook
	times []hourMark
	scale []hourMark
	now   int
	says  string
	runs  []comingRow
	found int64
}

// comingRow is a coming run as it is listed.
type comingRow struct {
	run               *keepwardv1.NextRun
	job, to, kind, in string
	about             string
}

// more is how many runs are not listed.
func (d *hourGraph) more() int64 { return d.found - int64(len(d.runs)) }

func (c *console) hourGraph(ctx context.Context, v *view) (*hourGraph, error) {
	m, err := call(ctx, c.client.status.ListHours, &keepwardv1.ListHoursRequest{Runs: comingListed})
	if err != nil {
		return nil, err
	}
	return v.drawHours(m), nil
}

// hoursPart is the picture anew.
func (c *console) hoursPart(w http.ResponseWriter, r *http.Request, v *view) error {
	d, err := c.hourGraph(r.Context(), v)
	if err != nil {
		return err
	}
	c.show(w, r, http.StatusOK, hoursBody(v, d))
	return nil
}

// drawHours draws the hours as columns: what ended from below, by its result, and on it what is to come.
func (v *view) drawHours(m *keepwardv1.ListHoursResponse) *hourGraph {
	d := &hourGraph{found: m.GetFound()}
	for _, r := range m.GetRuns() {
		row := comingRow{
			run: r.GetRun(), job: words.Safe(r.GetJob()), to: jobLink("/jobs/show", r.GetJob()), kind: words.Safe(r.GetType()),
			in: words.Span(max(r.GetRun().GetTime().AsTime().Sub(v.now), 0)),
		}
		if r.GetAboutSeconds() > 0 {
			row.about = words.Span(time.Duration(r.GetAboutSeconds()) * time.Second)
		}
		d.runs = append(d.runs, row)
	}
	hours := m.GetHours()
	most := int64(hoursLeast)
	var ended [3]int64
	for _, h := range hours {
		ended[0], ended[1], ended[2] = ended[0]+h.GetSuccess(), ended[1]+h.GetWarning(), ended[2]+h.GetFailed()
		most = max(most, h.GetSuccess()+h.GetWarning()+h.GetFailed()+h.GetComing())
	}
	d.says = "Sessions by the hour: in the last 24 hours " + words.Count(ended[0]) + " succeeded, " + words.Count(ended[1]) + " ended with warnings and " +
		words.Count(ended[2]) + " failed; schedules start " + words.Count(d.found) + " in the next 24"
	for _, n := range []int64{most, most / 2} {
		d.scale = append(d.scale, hourMark{at: hoursHeight - int(n*hoursHeight/most), text: words.Count(n)})
	}
	place := func(i int) int { return hoursLeft + i*hoursWidth/max(len(hours), 1) }
	for i, h := range hours {
		start, x, wide := h.GetStart().AsTime(), place(i), place(i+1)-place(i)
		if since := v.now.Sub(start); since >= 0 && since < time.Hour {
			d.now = x + int(since*time.Duration(wide)/time.Hour)
		}
		local := start.In(v.zone)
		if local.Hour()%hoursMark == 0 {
			d.times = append(d.times, hourMark{at: x, text: local.Format("15:04")})
		}
		var told []string
		y, sum := hoursHeight, int64(0)
		for _, part := range []struct {
			n          int64
			kind, says string
		}{
			{h.GetSuccess(), "good", "succeeded"},
			{h.GetWarning(), "warn", "ended with warnings"},
			{h.GetFailed(), "bad", "failed"},
			{h.GetComing(), "coming", "to start"},
		} {
			if part.n == 0 {
				continue
			}
			told = append(told, words.Count(part.n)+" "+part.says)
			// Places come from sums, so that roundings do not add up; what there is of is seen.
			sum += part.n
			top := min(hoursHeight-int(sum*hoursHeight/most), y-2)
			d.boxes = append(d.boxes, hourBox{kind: part.kind, x: x + 1, y: max(top, 0), wide: max(wide-2, 1), high: y - max(top, 0)})
			y = max(top, 0)
		}
		if len(told) > 0 {
			text := local.Format("Monday 15:04") + " to " + local.Add(time.Hour).Format("15:04") + ": " + strings.Join(told, ", ")
			d.looks = append(d.looks, hourLook{x: x, wide: wide, text: text})
		}
	}
	return d
}
