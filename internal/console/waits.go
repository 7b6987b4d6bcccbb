package console

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/words"
)

// waitsMost bounds of how many sessions it is asked what they wait for: the ones that go first.
const waitsMost = 100

// waitsEvery is how often estimates are made anew while nothing else changes.
const waitsEvery = 5 * time.Second

// waitRow is one task that waits, for one resource or one reason.
type waitRow struct {
	session     int64
	name, of    string
	priority    string
	what, taken string
	why         string
	wait        *keepwardv1.Wait
	holders     []*keepwardv1.Holder
}

// waitView is who waits for whom.
type waitView struct {
	rows  []waitRow
	held  []*keepwardv1.Resource
	more  int // sessions that were not asked
	graph *waitGraph
}

func (c *console) waitView(ctx context.Context, v *view) (*waitView, error) {
	m, err := call(ctx, c.client.sessions.ListSessions, &keepwardv1.ListSessionsRequest{Active: true})
	if err != nil {
		return nil, err
	}
	var waiting []*keepwardv1.Session
	for _, s := range m.GetSessions() {
		if job.Status(s.GetStatus()).Class() == job.Parked || anyTask(s, job.Waiting, job.Queued) {
			waiting = append(waiting, s)
		}
	}
	slices.SortStableFunc(waiting, func(a, b *keepwardv1.Session) int {
		return cmp.Or(cmp.Compare(a.GetPriority(), b.GetPriority()), cmp.Compare(a.GetId(), b.GetId()))
	})
	out := &waitView{more: max(len(waiting)-waitsMost, 0)}
	for _, s := range waiting[:min(len(waiting), waitsMost)] {
		got, err := call(ctx, c.client.sessions.GetSession, &keepwardv1.GetSessionRequest{Id: s.GetId()})
		if errs.KindOf(err) == errs.NotFound {
			continue // it went meanwhile
		}
		if err != nil {
			return nil, err
		}
		for _, one := range got.GetSession().GetWaits() {
			out.rows = append(out.rows, v.waitRows(got.GetSession(), one)...)
		}
	}
	all, err := call(ctx, c.client.sessions.ListResources, &keepwardv1.ListResourcesRequest{})
	if err != nil {
		return nil, err
	}
	for _, r := range all.GetResources() {
		if len(r.GetHolders())+len(r.GetWaiters()) > 0 {
			out.held = append(out.held, r)
		}
	}
	out.graph = graphOf(out.rows)
	return out, nil
}

func (v *view) waitRows(s *keepwardv1.Session, one *keepwardv1.Wait) (out []waitRow) {
	row := waitRow{
		session: s.GetId(), name: words.Safe(cmp.Or(s.GetJob(), s.GetType())), of: words.Safe(one.GetComputer()),
		priority: fmt.Sprintf("%03d", s.GetPriority()), wait: one, why: v.why(one.GetReason(), nil),
	}
	for _, r := range one.GetResources() {
		row.what, row.taken = words.Safe(r.GetLabel()), fmt.Sprintf("%s: %d of %d taken", r.GetKind(), r.GetUsed(), r.GetCapacity())
		row.holders = r.GetHolders()
		out = append(out, row)
	}
	if len(one.GetSessions()) > 0 || len(out) == 0 {
		row.what, row.taken, row.holders = "", "", one.GetSessions()
		out = append(out, row)
	}
	return out
}

func (c *console) waits(w http.ResponseWriter, r *http.Request, v *view) error {
	z, err := c.waitView(r.Context(), v)
	if err != nil {
		return err
	}
	v.title, v.at = "Who waits for whom", "sessions"
	c.show(w, r, http.StatusOK, waitsPage(v, z))
	return nil
}

// waitsLive sends all anew whenever a session comes, goes, or moves on. That one makes progress is no news
// here, but what is estimated from it is.
func (c *console) waitsLive(w http.ResponseWriter, r *http.Request, v *view) error {
	l := newLiveList()
	var out *events
	var last string
	var at time.Time
	err := receive(r.Context(), c.client.sessions.WatchSessions, &keepwardv1.WatchSessionsRequest{Filter: &keepwardv1.ListSessionsRequest{Active: true}}, func(m *keepwardv1.WatchSessionsResponse) error {
		v.now = time.Now()
		l.take(m, v.now)
		is := standingOf(l.shown)
		if out != nil && is == last && v.now.Sub(at) < waitsEvery {
			return nil
		}
		z, err := c.waitView(r.Context(), v)
		if err != nil {
			return err
		}
		if out == nil {
			if out, err = begin(w); err != nil {
				return err
			}
		}
		last, at = is, v.now
		return out.send(r.Context(), "", waitsBody(v, z))
	})
	if out != nil {
		return nil // it has begun: the browser comes again by itself
	}
	return quiet(r.Context(), err)
}

// standingOf is the status and the reason of every task, as one text: the same as long as nobody moves on.
func standingOf(shown map[int64]*keepwardv1.Session) string {
	var out strings.Builder
	for _, id := range slices.Sorted(maps.Keys(shown)) {
		s := shown[id]
		fmt.Fprintf(&out, "%d %s %d", id, s.GetStatus(), s.GetPriority())
		for _, t := range s.GetTasks() {
			fmt.Fprintf(&out, " %s %s", t.GetStatus(), t.GetReason())
		}
		out.WriteByte('\n')
	}
	return out.String()
}

// The drawing: who waits, what for, and who has that, from left to right.
const (
	graphRow    = 44 // from one box to the next
	graphBox    = 34
	graphTop    = 10
	graphWidth  = 250
	graphSecond = 325
	graphThird  = 650
	graphEnd    = graphThird + graphWidth
	// graphMost bounds the boxes of a column: more is a heap of lines. The table has all.
	graphMost = 30
	graphText = 34 // characters of a text that fit into a box
)

// graphNode is a box; graphEdge a line from the right of one to the left of another.
type graphNode struct {
	kind, title, sub string
	x, y             int
}
type graphEdge struct {
	d       string
	leaving bool
}
type waitGraph struct {
	nodes  []graphNode
	edges  []graphEdge
	height int
}

// graphOf draws rows; nil where nobody is waited for, or there is too much to be seen.
func graphOf(rows []waitRow) *waitGraph {
	g := &waitGraph{}
	at := map[string]int{} // where the box of a thing is in nodes
	count := [3]int{}
	columns := [3]int{0, graphSecond, graphThird}
	node := func(column int, key, kind, title, sub string) int {
		key = fmt.Sprint(column, "/", key)
		if i, ok := at[key]; ok {
			return i
		}
		at[key] = len(g.nodes)
		g.nodes = append(g.nodes, graphNode{kind, clipped(title), clipped(sub), columns[column], graphTop + count[column]*graphRow})
		count[column]++
		return at[key]
	}
	drawn := map[string]bool{}
	edge := func(from, to int, leaving bool) {
		a, b := g.nodes[from], g.nodes[to]
		x1, y1, x2, y2 := a.x+graphWidth, a.y+graphBox/2, b.x, b.y+graphBox/2
		d := fmt.Sprintf("M%d %d C%d %d %d %d %d %d", x1, y1, (x1+x2)/2, y1, (x1+x2)/2, y2, x2, y2)
		if !drawn[d] {
			drawn[d] = true
			g.edges = append(g.edges, graphEdge{d, leaving})
		}
	}
	for _, r := range rows {
		if len(r.holders) == 0 {
			continue
		}
		waiter := node(0, fmt.Sprint(r.session), "waiter", fmt.Sprintf("Session %d %s", r.session, r.name), "priority "+r.priority)
		middle := node(1, cmp.Or(r.what+r.taken, fmt.Sprint("end/", r.session)), "thing", cmp.Or(r.what, "must end first"), r.taken)
		edge(waiter, middle, false)
		for _, h := range r.holders {
			holder := node(2, fmt.Sprint(h.GetSession()), "holder", fmt.Sprintf("Session %d %s", h.GetSession(), words.Safe(cmp.Or(h.GetJob(), h.GetType()))), fmt.Sprintf("%s, priority %03d", h.GetStatus(), h.GetPriority()))
			edge(middle, holder, h.GetLeaving())
		}
	}
	most := max(count[0], count[1], count[2])
	if most == 0 || most > graphMost {
		return nil
	}
	g.height = 2*graphTop + most*graphRow
	return g
}

func clipped(text string) string {
	if r := []rune(text); len(r) > graphText {
		return string(r[:graphText-1]) + "…"
	}
	return text
}
