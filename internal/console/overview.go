package console

import (
	"context"
	"net/http"

	"golang.org/x/sync/errgroup"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/words"
)

// glance is what the overview shows.
type glance struct {
	computers, unprotected, offline int64
	counts                          *keepwardv1.StatusCounts
	conditions                      []*keepwardv1.Condition // the first of them
	active                          []sessionRow
	repositories                    []repositoryRow
}

func (c *console) glance(ctx context.Context, v *view) (*glance, error) {
	m, err := call(ctx, c.client.status.GetStatus, &keepwardv1.GetStatusRequest{Brief: true})
	if err != nil {
		return nil, err
	}
	g := &glance{computers: m.GetCounts().GetComputers(), counts: m.GetCounts(), conditions: m.GetConditions()}
	for _, one := range m.GetViews() {
		switch one.GetView() {
		case "unprotected":
			g.unprotected = one.GetComputers()
		case "offline":
			g.offline = one.GetComputers()
		}
	}
	for _, s := range m.GetActive() {
		g.active = append(g.active, v.row(s, 0))
	}
	for _, r := range m.GetRepositories() {
		g.repositories = append(g.repositories, v.repository(r))
	}
	return g, nil
}

// protected are the computers that are backed up as they should be.
func (g *glance) protected() int64 { return g.computers - g.unprotected }

// more is how many conditions there are that are not shown.
func (g *glance) more() int64 { return g.counts.GetConditions() - int64(len(g.conditions)) }

func (c *console) overview(w http.ResponseWriter, r *http.Request, v *view) error {
	var g *glance
	var worst *heat
	var day *hourGraph
	all, ctx := errgroup.WithContext(r.Context()) // each looks through all computers, sessions or jobs
	all.Go(func() (err error) { g, err = c.glance(ctx, v); return err })
	all.Go(func() (err error) { worst, err = c.worst(ctx); return err })
	all.Go(func() (err error) { day, err = c.hourGraph(ctx, v); return err })
	if err := all.Wait(); err != nil {
		return err
	}
	v.title, v.at = "Overview", "overview"
	c.show(w, r, http.StatusOK, overviewPage(v, g, worst, day))
	return nil
}

// overviewPart is the part of the overview that is asked for again and again.
func (c *console) overviewPart(w http.ResponseWriter, r *http.Request, v *view) error {
	g, err := c.glance(r.Context(), v)
	if err != nil {
		return err
	}
	c.show(w, r, http.StatusOK, overviewBody(v, g, nil, nil))
	return nil
}

// repositoryRow is a repository as lists show it.
type repositoryRow struct {
	name, status, place string
	to                  string // its page
	used, free          string
	full                int // percent of the space that it has or could have; -1: not known
	points              string
	streams             string
	fills, grows        string // when it is full, and how fast it grows
	debt                string // what was not proved in time
	proof               string // about what is proved, where there is no debt
	conditions          []*keepwardv1.Condition
}

func (v *view) repository(r *keepwardv1.Repository) repositoryRow {
	row := repositoryRow{
		name: words.Safe(r.GetName()), to: repositoryLink(r.GetName()), status: r.GetStatus(), place: words.Safe(r.GetTransport() + ":" + r.GetPath()),
		used: words.Size(r.GetSizeBytes()), full: -1, points: words.Count(r.GetPoints()),
		streams: number(int64(r.GetStreams())) + " / " + number(int64(r.GetWriters())), conditions: r.GetConditions(),
	}
	if r.GetGrowth() != nil {
		row.fills, row.grows = words.FullAbout(r.GetGrowth()), words.Growth(r.GetGrowth())
	}
	switch p := r.GetProof(); {
	case r.GetProofDays() == 0:
		row.proof = "no time is set"
	case p.GetDuePacks() > 0:
		row.debt = words.Plural(p.GetDuePacks(), "pack") + ", " + words.Size(p.GetDueBytes())
		row.proof = "not proved within " + words.Plural(int64(r.GetProofDays()), "day")
	case p.GetPacks() > 0:
		row.proof = "none: all proved within " + words.Plural(int64(r.GetProofDays()), "day")
	}
	if all := r.GetSizeBytes() + r.GetFreeBytes(); r.GetFreeBytes() > 0 {
		row.free, row.full = words.Size(r.GetFreeBytes()), int(float64(r.GetSizeBytes())/float64(all)*100)
		row.used += " of " + words.Size(all)
	}
	return row
}
