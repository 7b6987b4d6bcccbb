package console

import (
	"net/http"
	"strings"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/words"
)

// computerViews are the views that the list of computers can be narrowed to.
var computerViews = []choice{
	{"", "All"}, {"unprotected", "Not protected"}, {"offline", "Offline"}, {"out-of-date", "Out of date"}, {"untrusted", "Not trusted"},
}

// computerRow is a computer as the list shows it.
type computerRow struct {
	name, status, system, version, groups string
	needs                                 []string
	computer                              *keepwardv1.Computer // has the times and conditions
}

// computersShown is how many computers a page has.
const computersShown = 100

// computerTable is a page of the list of computers.
type computerTable struct {
	view, text, after string
	rows              []computerRow
	found             int64 // in all pages
	more              bool
}

// link is the list with this filter, behind a computer.
func (t computerTable) link(view, after string) string {
	return link("/computers", "view", view, "text", t.text, "after", after)
}

// next is the page behind this one.
func (t computerTable) next() string {
	return t.link(t.view, t.rows[len(t.rows)-1].computer.GetName())
}

func (c *console) computerList(w http.ResponseWriter, r *http.Request, v *view) error {
	q := r.URL.Query()
	t := computerTable{view: q.Get("view"), text: q.Get("text"), after: q.Get("after")}
	m, err := call(r.Context(), c.client.computers.ListComputers, &keepwardv1.ListComputersRequest{View: t.view, Text: t.text, After: t.after, Limit: computersShown})
	if err != nil {
		return err
	}
	t.found, t.more = m.GetFound(), m.GetMore()
	for _, one := range m.GetComputers() {
		row := computerRow{
			name: words.Safe(one.GetName()), status: one.GetStatus(), system: words.Safe(strings.Trim(one.GetOs()+"/"+one.GetArch(), "/")),
			version: words.Safe(one.GetAgentVersion()), groups: words.Safe(words.Few(one.GetGroups())), computer: one,
		}
		for _, in := range one.GetViews() {
			for _, known := range computerViews {
				if in != "offline" && known.value == in { // the status says that
					row.needs = append(row.needs, strings.ToLower(known.label))
				}
			}
		}
		t.rows = append(t.rows, row)
	}
	v.title, v.at = "Computers", "computers"
	c.show(w, r, http.StatusOK, computersPage(v, t))
	return nil
}

func (c *console) repositoryList(w http.ResponseWriter, r *http.Request, v *view) error {
	m, err := call(r.Context(), c.client.repositories.ListRepositories, &keepwardv1.ListRepositoriesRequest{})
	if err != nil {
		return err
	}
	var rows []repositoryRow
	for _, one := range m.GetRepositories() {
		rows = append(rows, v.repository(one))
	}
	v.title, v.at = "Repositories", "repositories"
	c.show(w, r, http.StatusOK, repositoriesPage(v, rows))
	return nil
}

// pointsShown is how many restore points the list shows, the newest ones.
const pointsShown = 200

// pointFilter is what the list of restore points was asked for.
type pointFilter struct{ computer, job string }

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
	if p.GetHeld() {
		row.why = strings.TrimSuffix("held: "+words.Safe(p.GetHoldReason()), ": ")
	}
	return row
}

func (c *console) pointList(w http.ResponseWriter, r *http.Request, v *view) error {
	q := r.URL.Query()
	f := pointFilter{computer: q.Get("computer"), job: q.Get("job")}
	m, err := call(r.Context(), c.client.points.ListPoints, &keepwardv1.ListPointsRequest{Computer: f.computer, Job: f.job, Limit: pointsShown})
	var wrong *problem
	switch kind := errs.KindOf(err); {
	case kind == errs.Invalid || kind == errs.NotFound:
		wrong = problemOf(v, err) // the filter can be put right where it is
	case err != nil:
		return err
	}
	var rows []pointRow
	for _, p := range m.GetPoints() {
		rows = append(rows, v.point(p))
	}
	status := http.StatusOK
	if wrong != nil {
		status = statusOf(err)
	}
	v.title, v.at = "Restore points", "points"
	c.show(w, r, status, pointsPage(v, f, rows, wrong))
	return nil
}
