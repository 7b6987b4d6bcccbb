package console

import (
	"fmt"
	"net/http"
	"strings"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/words"
)

// jobRow is a job as the list shows it.
type jobRow struct {
	name, kind, who, repository, schedule string
	disabled                              bool
	job                                   *keepwardv1.Job // has the times
}

func rowOfJob(j *keepwardv1.Job) jobRow {
	who := append([]string{}, j.GetComputers()...)
	for _, g := range j.GetGroups() {
		who = append(who, "group "+g)
	}
	return jobRow{
		name: words.Safe(j.GetName()), kind: j.GetType(), who: words.Safe(words.Few(who)), repository: words.Safe(j.GetRepository()),
		schedule: words.Safe(j.GetSchedule()), disabled: j.GetDisabled(), job: j,
	}
}

func (c *console) jobList(w http.ResponseWriter, r *http.Request, v *view) error {
	m, err := call(r.Context(), c.client.jobs.ListJobs, &keepwardv1.ListJobsRequest{})
	if err != nil {
		return err
	}
	var rows []jobRow
	for _, j := range m.GetJobs() {
		rows = append(rows, rowOfJob(j))
	}
	v.title, v.at = "Jobs", "jobs"
	c.show(w, r, http.StatusOK, jobsPage(v, rows))
	return nil
}

// shownRuns is how many coming runs a job is shown with.
const shownRuns = 3

// runForm is what the page that starts a job shows.
type runForm struct {
	row      jobRow
	backup   bool
	coming   []*keepwardv1.NextRun
	when     string
	warnings []string
}

func (c *console) runForm(r *http.Request, name string) (runForm, error) {
	m, err := call(r.Context(), c.client.jobs.GetJob, &keepwardv1.GetJobRequest{Name: name, NextRuns: shownRuns})
	if err != nil {
		return runForm{}, err
	}
	j := m.GetJob()
	return runForm{row: rowOfJob(j), backup: j.GetType() == "" || job.Type(j.GetType()) == job.Backup, coming: m.GetComing(), when: m.GetWhen(), warnings: m.GetWarnings()}, nil
}

func (c *console) askRun(w http.ResponseWriter, r *http.Request, v *view) error {
	f, err := c.runForm(r, r.URL.Query().Get("job"))
	if err != nil {
		return err
	}
	c.answerRun(w, r, v, http.StatusOK, f, nil)
	return nil
}

func (c *console) answerRun(w http.ResponseWriter, r *http.Request, v *view, status int, f runForm, wrong *problem) {
	v.title, v.at = "Run job "+f.row.name, "jobs"
	c.show(w, r, status, runPage(v, f, wrong))
}

func (c *console) doRun(w http.ResponseWriter, r *http.Request, v *view) error {
	if err := r.ParseForm(); err != nil {
		return errs.New(errs.Invalid, "", "read the form: %w", err)
	}
	f, err := c.runForm(r, r.URL.Query().Get("job"))
	if err != nil {
		return err
	}
	m, err := call(r.Context(), c.client.jobs.RunJob, &keepwardv1.RunJobRequest{Name: f.row.job.GetName(), Full: r.PostForm.Get("full") != ""})
	if err != nil {
		if expired(err) {
			return err
		}
		c.answerRun(w, r, v, statusOf(err), f, problemOf(v, err))
		return nil
	}
	http.Redirect(w, r, fmt.Sprintf("/sessions/%d", m.GetSession()), http.StatusSeeOther)
	return nil
}

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

func (c *console) computerList(w http.ResponseWriter, r *http.Request, v *view) error {
	chosen := r.URL.Query().Get("view")
	m, err := call(r.Context(), c.client.computers.ListComputers, &keepwardv1.ListComputersRequest{View: chosen})
	if err != nil {
		return err
	}
	var rows []computerRow
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
		rows = append(rows, row)
	}
	v.title, v.at = "Computers", "computers"
	c.show(w, r, http.StatusOK, computersPage(v, chosen, rows))
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
