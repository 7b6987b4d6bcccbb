package console

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
	"keepward/internal/words"
)

// glance is what the overview shows.
type glance struct {
	computers, unprotected, offline int
	good, warned, failed            int // sessions of the last 24 hours
	running, waiting                int
	conditions                      []*keepwardv1.Condition
	active                          []sessionRow
	repositories                    []repositoryRow
}

// shownActive bounds the sessions of the overview; the list of sessions has all.
const shownActive = 10

func (c *console) glance(ctx context.Context, v *view) (*glance, error) {
	m, err := call(ctx, c.client.status.GetStatus, &keepwardv1.GetStatusRequest{})
	if err != nil {
		return nil, err
	}
	g := &glance{computers: len(m.GetComputers()), conditions: m.GetConditions()}
	for _, one := range m.GetComputers() {
		if slices.Contains(one.GetViews(), "unprotected") {
			g.unprotected++
		}
		if slices.Contains(one.GetViews(), "offline") {
			g.offline++
		}
	}
	for _, s := range m.GetRecent() {
		switch job.Status(s.GetStatus()).Result() {
		case job.ResultSuccess:
			g.good++
		case job.ResultWarning:
			g.warned++
		case job.ResultFailed:
			g.failed++
		}
	}
	for _, s := range m.GetActive() {
		if job.Status(s.GetStatus()).Class() == job.Parked {
			g.waiting++
		} else {
			g.running++
		}
		if len(g.active) < shownActive {
			g.active = append(g.active, v.row(s, 0))
		}
	}
	// Errors first; of one severity those that began last.
	slices.SortStableFunc(g.conditions, func(a, b *keepwardv1.Condition) int {
		return cmp.Or(cmp.Compare(a.GetSeverity(), b.GetSeverity()), b.GetSince().AsTime().Compare(a.GetSince().AsTime()))
	})
	for _, r := range m.GetRepositories() {
		g.repositories = append(g.repositories, v.repository(r))
	}
	return g, nil
}

// protected are the computers that are backed up as they should be.
func (g *glance) protected() int { return g.computers - g.unprotected }

func (g *glance) errors() (n int) {
	for _, one := range g.conditions {
		if one.GetSeverity() == "error" {
			n++
		}
	}
	return n
}

func (c *console) overview(w http.ResponseWriter, r *http.Request, v *view) error {
	g, err := c.glance(r.Context(), v)
	if err != nil {
		return err
	}
	v.title, v.at = "Overview", "overview"
	c.show(w, r, http.StatusOK, overviewPage(v, g))
	return nil
}

// overviewPart is the part of the overview that is asked for again and again.
func (c *console) overviewPart(w http.ResponseWriter, r *http.Request, v *view) error {
	g, err := c.glance(r.Context(), v)
	if err != nil {
		return err
	}
	c.show(w, r, http.StatusOK, overviewBody(v, g))
	return nil
}

// repositoryRow is a repository as lists show it.
type repositoryRow struct {
	name, status, place string
	used, free          string
	full                int // percent of the space that it has or could have; -1: not known
	points              string
	streams             string
	conditions          []*keepwardv1.Condition
}

func (v *view) repository(r *keepwardv1.Repository) repositoryRow {
	row := repositoryRow{
		name: words.Safe(r.GetName()), status: r.GetStatus(), place: words.Safe(r.GetTransport() + ":" + r.GetPath()),
		used: words.Size(r.GetSizeBytes()), full: -1, points: words.Count(r.GetPoints()),
		streams: number(int64(r.GetStreams())) + " / " + number(int64(r.GetWriters())), conditions: r.GetConditions(),
	}
	if all := r.GetSizeBytes() + r.GetFreeBytes(); r.GetFreeBytes() > 0 {
		row.free, row.full = words.Size(r.GetFreeBytes()), int(float64(r.GetSizeBytes())/float64(all)*100)
		row.used += " of " + words.Size(all)
	}
	return row
}
