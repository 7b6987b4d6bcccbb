package console

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
	"keepward/internal/words"
)

// The measures of the graph of a session's speed. It is drawn by the server, as all graphs here are: it
// needs no script, and a part that comes in live is the same drawing with other numbers.
const (
	speedLeft   = 86 // what stands on the left
	speedWidth  = 790
	speedHeight = 150
	speedFoot   = 18
	speedSlots  = 240 // of the sum of several tasks
	speedLooks  = 60  // parts of the graph to point at
	speedRows   = 60  // of the table of a task
	// speedEvery is how long a live page goes on with the speed that it has: a slot is not shorter.
	speedEvery = 2 * time.Second
)

// The three that are drawn.
const (
	speedRead = iota
	speedSent
	speedStored
	speedLines
)

var speedClasses = [speedLines]string{"read", "sent", "stored"}

// speedLabels are what they are called.
func speedLabels(s *keepwardv1.Session) [speedLines]string {
	if job.Type(s.GetType()) == job.Restore {
		return [speedLines]string{"read", "fetched", "written"}
	}
	return speedClasses
}

// speedSlot is what was moved in a slot; bytes.
type speedSlot struct {
	bytes   [speedLines]float64
	running bool
}

// speedGrid is the speed of one task, or of several together.
type speedGrid struct {
	start, until time.Time
	every        time.Duration
	slots        []speedSlot
}

func gridOf(t *keepwardv1.TaskSpeed) speedGrid {
	g := speedGrid{start: t.GetStart().AsTime(), until: t.GetUntil().AsTime(), every: t.GetEvery().AsDuration()}
	at := func(list []int64, i int) float64 {
		if i < len(list) {
			return float64(list[i])
		}
		return 0
	}
	if g.every <= 0 {
		return speedGrid{}
	}
	for i, running := range t.GetRunning() {
		g.slots = append(g.slots, speedSlot{[speedLines]float64{at(t.GetReadBytes(), i), at(t.GetSentBytes(), i), at(t.GetStoredBytes(), i)}, running})
	}
	return g
}

// sumOf lays tasks over each other, and goes on to a moment if that is not zero: what waits moves
// nothing, and the graph says so.
func sumOf(tasks []*keepwardv1.TaskSpeed, to time.Time) speedGrid {
	var out speedGrid
	var grids []speedGrid
	for _, t := range tasks {
		g := gridOf(t)
		if len(g.slots) == 0 {
			continue
		}
		grids = append(grids, g)
		if out.start.IsZero() || g.start.Before(out.start) {
			out.start = g.start
		}
		out.until, out.every = maxTime(out.until, g.until), max(out.every, g.every)
	}
	if len(grids) == 0 {
		return out
	}
	out.until = maxTime(out.until, to)
	for out.until.Sub(out.start)/out.every >= speedSlots {
		out.every *= 2
	}
	out.slots = make([]speedSlot, out.until.Sub(out.start)/out.every+1)
	for _, g := range grids {
		for i, v := range g.slots {
			out.lay(g.start.Add(time.Duration(i)*g.every), g.every, v)
		}
	}
	if last := len(out.slots) - 1; last > 0 && out.slots[last] == (speedSlot{}) && !out.start.Add(time.Duration(last)*out.every).Before(out.until) {
		out.slots = out.slots[:last] // it begins where all ends
	}
	return out
}

// lay adds a slot of another grid: to each of its own the part that lies in it.
func (g *speedGrid) lay(from time.Time, every time.Duration, v speedSlot) {
	first := int(from.Sub(g.start) / g.every)
	for i := max(first, 0); i < len(g.slots); i++ {
		begin := g.start.Add(time.Duration(i) * g.every)
		end := begin.Add(g.every)
		if !begin.Before(from.Add(every)) {
			break
		}
		share := float64(minTime(end, from.Add(every)).Sub(maxTime(begin, from))) / float64(every)
		if i == len(g.slots)-1 && from.Add(every).After(end) { // nothing was moved behind the end
			share = float64(from.Add(every).Sub(maxTime(begin, from))) / float64(every)
		}
		for k := range v.bytes {
			g.slots[i].bytes[k] += v.bytes[k] * share
		}
		g.slots[i].running = g.slots[i].running || v.running
	}
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// spans is how much of a slot has passed: all, but for the last one.
func (g speedGrid) spans(i int) time.Duration {
	if i < len(g.slots)-1 {
		return g.every
	}
	// A slot that has just begun says nothing of a rate yet.
	return min(max(g.until.Sub(g.start.Add(time.Duration(i)*g.every)), g.every/4), g.every)
}

// rate is bytes a second in slots from i up to j.
func (g speedGrid) rate(k, i, j int) float64 {
	bytes, took := 0.0, time.Duration(0)
	for n := i; n < j; n++ {
		bytes, took = bytes+g.slots[n].bytes[k], took+g.spans(n)
	}
	return bytes / max(took.Seconds(), math.SmallestNonzeroFloat32)
}

// ran tells whether something ran in slots from i up to j.
func (g speedGrid) ran(i, j int) bool {
	return slices.ContainsFunc(g.slots[i:j], func(v speedSlot) bool { return v.running })
}

// speedLine is one of the three, drawn.
type speedLine struct {
	class, label string
	path         string
	mean, most   string
}

// speedMark is a part of the drawing with something to say about it.
type speedMark struct {
	x, y, width int
	text        string
}

// speedGraph is rates over a time, such as a session's speed, drawn. One without lines is not shown.
type speedGraph struct {
	session  int64
	lines    []speedLine
	gaps     []speedMark
	looks    []speedMark
	scale    []speedMark
	from, to string
	slot     string
	says     string
}

// topOf is a round number not below one, as people count bytes: 1, 2 or 5 times a power of ten of the unit.
func topOf(most float64) float64 {
	unit := 1.0
	for most >= 1024*unit && unit < 1<<60 {
		unit *= 1024
	}
	for _, n := range []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1024} {
		if n*unit >= most {
			return n * unit
		}
	}
	return most
}

func perSecondText(n float64) string { return words.Size(int64(n)) + "/s" }

// speedOf draws how fast a session was.
func (v *view) speedOf(s *keepwardv1.Session, tasks []*keepwardv1.TaskSpeed) speedGraph {
	to := v.now
	if over(s) {
		to = time.Time{}
	}
	out := v.drawRates(sumOf(tasks, to), speedLabels(s))
	out.session = s.GetId()
	return out
}

// drawRates draws up to three rates over a time, each with its label.
func (v *view) drawRates(g speedGrid, labels [speedLines]string) (out speedGraph) {
	n := len(g.slots)
	if n == 0 {
		return out
	}
	most := 1.0
	for i := range n {
		for k := range speedLines {
			most = max(most, g.rate(k, i, i+1))
		}
	}
	top := topOf(most)
	x := func(i int) int { return speedLeft + i*speedWidth/n }
	y := func(rate float64) int { return speedHeight - int(math.Round(rate/top*(speedHeight-4))) }
	for k := range speedLines {
		var path strings.Builder
		all, peak, took, open := 0.0, 0.0, time.Duration(0), false
		for i, slot := range g.slots {
			if !slot.running {
				open = false
				continue
			}
			rate := g.rate(k, i, i+1)
			all, peak, took = all+slot.bytes[k], max(peak, rate), took+g.spans(i)
			step := "V"
			if !open {
				step = fmt.Sprintf("M%d ", x(i))
			}
			fmt.Fprintf(&path, "%s%dH%d", step, y(rate), x(i+1))
			open = true
		}
		if all == 0 {
			continue
		}
		out.lines = append(out.lines, speedLine{
			class: speedClasses[k], label: labels[k], path: path.String(), mean: perSecondText(all / took.Seconds()), most: perSecondText(peak),
		})
	}
	if len(out.lines) == 0 {
		return out
	}
	for i := 0; i < n; {
		j := i
		for j < n && !g.slots[j].running {
			j++
		}
		if j > i {
			begin, end := g.start.Add(time.Duration(i)*g.every), minTime(g.start.Add(time.Duration(j)*g.every), g.until)
			out.gaps = append(out.gaps, speedMark{x: x(i), width: max(x(j)-x(i), 2), text: "nothing ran from " + v.clock(begin) + ", " + words.Span(max(end.Sub(begin), 0))})
		}
		i = j + 1
	}
	for i := range min(n, speedLooks) {
		from, to := i*n/min(n, speedLooks), (i+1)*n/min(n, speedLooks)
		out.looks = append(out.looks, speedMark{x: x(from), width: x(to) - x(from), text: v.speedText(g, labels, from, to)})
	}
	for _, share := range []float64{0, .5, 1} {
		out.scale = append(out.scale, speedMark{y: y(top * share), text: perSecondText(top * share)})
	}
	out.from, out.to, out.slot = v.clock(g.start), v.clock(g.until), words.Span(g.every)
	for _, l := range out.lines {
		out.says += fmt.Sprintf("%s %s in the mean, %s at most; ", l.label, l.mean, l.most)
	}
	return out
}

func (v *view) speedText(g speedGrid, labels [speedLines]string, i, j int) string {
	text := v.clock(g.start.Add(time.Duration(i)*g.every)) + ": "
	if !g.ran(i, j) {
		return text + "nothing ran"
	}
	var parts []string
	for k, label := range labels {
		if label == "" {
			continue
		}
		parts = append(parts, label+" "+perSecondText(g.rate(k, i, j)))
	}
	return text + strings.Join(parts, ", ")
}

// speed is a session's speed, as it is drawn.
func (c *console) speed(ctx context.Context, v *view, s *keepwardv1.Session) (speedGraph, error) {
	m, err := call(ctx, c.client.details.GetSessionSpeed, &keepwardv1.GetSessionSpeedRequest{Id: s.GetId()})
	if err != nil {
		return speedGraph{}, err
	}
	return v.speedOf(s, m.GetTasks()), nil
}

// speedTable is the speed of one task in numbers.
func (v *view) speedTable(s *keepwardv1.Session, t *keepwardv1.TaskSpeed) section {
	of := "Task " + words.Safe(t.GetTask())
	for _, k := range s.GetTasks() {
		if k.GetId() == t.GetTask() {
			of = words.Safe(cmp.Or(k.GetComputer(), "repository "+cmp.Or(k.GetRepository(), s.GetRepository())))
		}
	}
	g, labels := gridOf(t), speedLabels(s)
	out := section{title: of, columns: columns("From", ">"+upper(labels[speedRead]), ">"+upper(labels[speedSent]), ">"+upper(labels[speedStored]), "~For"), empty: "Nothing is known."}
	n := len(g.slots)
	for r := range min(n, speedRows) {
		i, j := r*n/min(n, speedRows), (r+1)*n/min(n, speedRows)
		row := []cell{{text: v.clock(g.start.Add(time.Duration(i) * g.every))}}
		for k := range speedLines {
			text := "nothing ran"
			if g.ran(i, j) {
				text = perSecondText(g.rate(k, i, j))
			}
			row = append(row, cell{text: text})
		}
		out.rows = append(out.rows, append(row, cell{text: words.Span(time.Duration(j-i) * g.every)}))
	}
	return out
}

func upper(word string) string { return strings.ToUpper(word[:1]) + word[1:] }

// speedTasks bounds the tasks whose speed is shown in numbers on one page.
const speedTasks = 20

// sessionSpeed shows in numbers what the graph draws, of each task.
func (c *console) sessionSpeed(w http.ResponseWriter, r *http.Request, v *view) error {
	id, err := sessionID(r)
	if err != nil {
		return err
	}
	m, err := call(r.Context(), c.client.sessions.GetSession, &keepwardv1.GetSessionRequest{Id: id})
	if err != nil {
		return err
	}
	speeds, err := call(r.Context(), c.client.details.GetSessionSpeed, &keepwardv1.GetSessionSpeedRequest{Id: id})
	if err != nil {
		return err
	}
	s := sheet{crumb: choice{"/sessions/" + number(id), "Session " + number(id)}, heading: "Speed of session " + number(id), of: words.Safe(m.GetSession().GetJob())}
	tasks := speeds.GetTasks()
	for _, t := range tasks[:min(len(tasks), speedTasks)] {
		s.sections = append(s.sections, v.speedTable(m.GetSession(), t))
	}
	if n := len(tasks) - speedTasks; n > 0 {
		s.notices = append(s.notices, fmt.Sprintf("The first %d tasks are shown; of %s more the command line tells: keepward session speed %d", speedTasks, words.Count(int64(n)), id))
	}
	if len(s.sections) == 0 {
		s.sections = append(s.sections, section{note: "Nothing was moved, or nothing is known of it: what ran before this version of the server has left no speed."})
	}
	c.showSheet(w, r, v, "sessions", s)
	return nil
}
