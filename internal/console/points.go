package console

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	v1 "keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/words"
)

// pointsShown is how many restore points a page of the list has.
const pointsShown = 100

// pointFilter is what the list of restore points was asked for. behind: the last point of the page before.
type pointFilter struct {
	computer, job, repository string
	deleted                   bool
	behind                    string
}

func (f pointFilter) link(behind string) string {
	return link("/points", "computer", f.computer, "job", f.job, "repository", f.repository, "deleted", yesIf(f.deleted), "behind", behind)
}

// narrowed tells whether it leaves points out.
func (f pointFilter) narrowed() bool {
	f.behind = ""
	return f != pointFilter{}
}

// pointRow is a restore point as the list shows it.
type pointRow struct {
	id, computer, job, repository string
	kind, state                   string
	files, size, why              string
	point                         *keepwardv1.Point // has the times
}

func (v *view) point(p *keepwardv1.Point) pointRow {
	n := p.GetCounters()
	row := pointRow{
		id: words.Safe(short(p.GetId())), computer: words.Safe(p.GetComputer()), job: words.Safe(p.GetJob()), repository: words.Safe(p.GetRepository()),
		kind: "incremental", state: p.GetCompleteness(), files: words.Count(n.GetDoneFiles() - n.GetDoneDirs()), size: words.Size(n.GetDoneBytes()),
		why: v.says(strings.Join(p.GetKeptBecause(), ", ")), point: p,
	}
	if p.GetFull() {
		row.kind = "full"
	}
	if p.GetPartial() {
		row.state = "partial, " + row.state
	}
	switch {
	case p.GetDeleted() != nil:
		row.state, row.why = "deleted, "+row.state, words.Safe(p.GetDeletedBecause())
	case p.GetHeld():
		row.state, row.why = "on hold, "+row.state, strings.TrimSuffix("held: "+words.Safe(p.GetHoldReason()), ": ")
	}
	return row
}

// pointTable is a page of the list; more: there is another one behind it.
type pointTable struct {
	filter pointFilter
	rows   []pointRow
	more   bool
}

func (c *console) pointList(w http.ResponseWriter, r *http.Request, v *view) error {
	q := r.URL.Query()
	t := pointTable{filter: pointFilter{computer: q.Get("computer"), job: q.Get("job"), repository: q.Get("repository"), deleted: q.Get("deleted") != "", behind: q.Get("behind")}}
	f := t.filter
	m, err := call(r.Context(), c.client.points.ListPoints, &keepwardv1.ListPointsRequest{
		Computer: f.computer, Job: f.job, Repository: f.repository, Deleted: f.deleted, Behind: f.behind, Limit: pointsShown + 1,
	})
	var wrong *problem
	switch kind := errs.KindOf(err); {
	case kind == errs.Invalid || kind == errs.NotFound:
		wrong = problemOf(v, err) // the filter can be put right where it is
	case err != nil:
		return err
	}
	points := m.GetPoints()
	t.more = len(points) > pointsShown
	for _, p := range points[:min(len(points), pointsShown)] {
		t.rows = append(t.rows, v.point(p))
	}
	status := http.StatusOK
	if wrong != nil {
		status = statusOf(err)
	}
	v.title, v.at = "Restore points", "points"
	c.show(w, r, status, pointsPage(v, t, wrong))
	return nil
}

// pointLink is the page of a point.
func pointLink(id string) string { return link("/points/show", "point", id) }

func readPoint(ctx context.Context, c *client, id string) (*keepwardv1.Point, error) {
	m, err := call(ctx, c.points.GetPoint, &keepwardv1.GetPointRequest{Name: id})
	return m.GetPoint(), err
}

// pointView is what the page of a point shows.
type pointView struct {
	row      pointRow
	facts    []field
	kept     []string
	counters []field
	proof    []field // of its repository, as far as it is known
	offers   []offer
}

func (c *console) pointPage(w http.ResponseWriter, r *http.Request, v *view) error {
	p, err := readPoint(r.Context(), c.client, r.URL.Query().Get("point"))
	if err != nil {
		return err
	}
	out := pointView{row: v.point(p), offers: v.offers(p.GetId(), pointOffers(p)...), counters: countersOf(p.GetCounters())}
	for _, text := range p.GetKeptBecause() {
		out.kept = append(out.kept, v.says(text))
	}
	f := p.GetFiles()
	list := func(items []string) string { return words.Safe(strings.Join(items, ", ")) }
	out.facts = fields(
		"State", out.row.state, "Kind", out.row.kind, "Files", out.row.files, "Size", out.row.size,
		"Hold", words.Safe(p.GetHoldReason()), "Deleted because", words.Safe(p.GetDeletedBecause()),
		"Taken", list(f.GetInclude()), "Left out", list(f.GetExclude()), "Only", list(f.GetOnly()), "Built on", words.Safe(short(p.GetParent())), "Full id", words.Safe(p.GetId()),
	)
	// The proof is that of the whole repository: packs are proved, and a point is spread over many.
	m, err := call(r.Context(), c.client.repositories.GetRepository, &keepwardv1.GetRepositoryRequest{Name: p.GetRepository()})
	if err == nil {
		out.proof = v.proofFacts(m.GetRepository().GetProof())
	} else if errs.KindOf(err) != errs.NotFound {
		return err
	}
	v.title, v.at = "Restore point "+out.row.id, "points"
	c.show(w, r, http.StatusOK, pointPage(v, out))
	return nil
}

// proofFacts say how much of a repository has been compared with its hashes.
func (v *view) proofFacts(p *keepwardv1.ProofState) []field {
	if p == nil {
		return nil
	}
	of := func(packs, bytes int64) string {
		if packs == 0 {
			return ""
		}
		return words.Plural(packs, "pack") + ", " + words.Size(bytes)
	}
	oldest := ""
	if at, ok := moment(p.GetOldest()); ok {
		oldest = v.clock(at)
	}
	lost := some(max(p.GetLostChunks(), 0))
	return fields("All", of(p.GetPacks(), p.GetBytes()), "Proved at some time", of(p.GetProvedPacks(), p.GetProvedBytes()), "Proof is due", of(p.GetDuePacks(), p.GetDueBytes()),
		"Oldest proof", oldest, "Damaged packs", some(p.GetDamagedPacks()), "Lost chunks", lost)
}

// pointOffers are the deeds that make sense on a point.
func pointOffers(p *keepwardv1.Point) []string {
	switch {
	case p.GetDeleted() != nil:
		return []string{"undelete-point"}
	case p.GetHeld():
		return []string{"release-point"}
	}
	return []string{"hold-point", "delete-point"}
}

type pointCall = func(context.Context, *connect.Request[keepwardv1.ChangePointsRequest]) (*connect.Response[keepwardv1.ChangePointsResponse], error)

// pointDeed is a deed that marks one point. Each takes a reason, which stands in the audit log and, of a
// hold or deletion, with the point.
func pointDeed(name, verb, procedure string, danger bool, method func(*client) pointCall, comes ...string) deed {
	return deed{
		name: name, verb: verb, procedure: procedure, part: "points", danger: danger,
		ask: func(d *doing) (form, error) {
			p, err := readPoint(d, d.c, d.of)
			if err != nil {
				return form{}, err
			}
			row := d.v.point(p)
			f := form{
				about: "restore point " + row.id, back: pointLink(p.GetId()), comes: comes,
				facts:  fields("Computer", row.computer, "Job", row.job, "Time", d.v.exact(p.GetTime().AsTime()), "Repository", row.repository, "State", row.state, "Files", row.files, "Size", row.size),
				inputs: []entry{written(inText, "reason", "Reason", "", "For those who ask later.")},
			}
			if !slices.Contains(pointOffers(p), name) {
				f.missing = "It is now: " + row.state + ". There is nothing to do."
			}
			return f, nil
		},
		do: func(d *doing) (done, error) {
			p, err := readPoint(d, d.c, d.of) // the form may name it by a prefix
			if err != nil {
				return done{}, err
			}
			_, err = call(d, method(d.c), &keepwardv1.ChangePointsRequest{Names: []string{p.GetId()}, Reason: d.text("reason")})
			return done{to: pointLink(p.GetId())}, err
		},
	}
}

var pointDeeds = []deed{
	pointDeed(
		"hold-point", "Hold", v1.PointServiceHoldPointsProcedure, false, func(c *client) pointCall { return c.points.HoldPoints },
		"Nothing deletes it then: no retention, no user, no sweep.",
		"It is kept, with all that it needs, until somebody releases it.",
	),
	pointDeed(
		"release-point", "Release", v1.PointServiceReleasePointsProcedure, true, func(c *client) pointCall { return c.points.ReleasePoints },
		"From then on it is kept as the retention of its job says.",
		"If retention does not keep it, its next run deletes it.",
	),
	pointDeed(
		"delete-point", "Delete", v1.PointServiceDeletePointsProcedure, true, func(c *client) pointCall { return c.points.DeletePoints },
		"It is hidden at once, and nothing is restored from it.",
		"It can be undeleted until the grace time of its repository is over. Its page says until when, once it is deleted.",
		"After that the sweep of the repository gives its space back, and it is gone.",
	),
	pointDeed(
		"undelete-point", "Undelete", v1.PointServiceUndeletePointsProcedure, false, func(c *client) pointCall { return c.points.UndeletePoints },
		"It is there again, as if it had not been deleted.",
		"If the retention of its job does not keep it, its next run deletes it again. To keep it, hold it then.",
		"It is refused if a sweep has purged it meanwhile.",
	),
}
