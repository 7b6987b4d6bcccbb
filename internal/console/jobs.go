package console

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	v1 "keepward/api/keepward/v1/keepwardv1connect"
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
	return jobRow{
		name: words.Safe(j.GetName()), kind: j.GetType(), who: words.Safe(words.Few(whoOf(j))), repository: words.Safe(j.GetRepository()),
		schedule: words.Safe(j.GetSchedule()), disabled: j.GetDisabled(), job: j,
	}
}

// whoOf are the computers and groups of a job.
func whoOf(j *keepwardv1.Job) []string {
	who := slices.Clone(j.GetComputers())
	for _, g := range j.GetGroups() {
		who = append(who, "group "+g)
	}
	return who
}

// jobLink is a page of a job. Its name stands in the query: it is any text to a browser.
func jobLink(path, name string) string { return link(path, "job", name) }

// jobFilter is what the list was asked for.
type jobFilter struct{ text, show string }

// jobShows are what the list can be narrowed to.
var jobShows = []choice{{"", "All"}, {"failed", "Last run failed"}, {"warning", "Last run with warnings"}, {"never", "Never ran"}, {"disabled", "Disabled"}, {"hand", "Only by hand"}}

func (f jobFilter) passes(j *keepwardv1.Job) bool {
	text := strings.ToLower(strings.Join(append(whoOf(j), j.GetName(), j.GetRepository(), j.GetDescription(), j.GetType()), "\n"))
	if !strings.Contains(text, strings.ToLower(f.text)) {
		return false
	}
	switch f.show {
	case "failed":
		return job.Status(j.GetLastResult()).Result() == job.ResultFailed
	case "warning":
		return job.Status(j.GetLastResult()).Result() == job.ResultWarning
	case "never":
		return j.GetLastSession() == 0
	case "disabled":
		return j.GetDisabled()
	case "hand":
		return !j.GetDisabled() && j.GetSchedule() == ""
	}
	return true
}

// jobTable is what the list shows; all: how many there are without the filter.
type jobTable struct {
	filter jobFilter
	rows   []jobRow
	all    int
}

func (c *console) jobTable(r *http.Request) (jobTable, error) {
	q := r.URL.Query()
	t := jobTable{filter: jobFilter{text: q.Get("text"), show: q.Get("show")}}
	m, err := call(r.Context(), c.client.jobs.ListJobs, &keepwardv1.ListJobsRequest{})
	t.all = len(m.GetJobs())
	for _, j := range m.GetJobs() {
		if t.filter.passes(j) {
			t.rows = append(t.rows, rowOfJob(j))
		}
	}
	return t, err
}

func (f jobFilter) link(path string) string { return link(path, "text", f.text, "show", f.show) }

func (c *console) jobList(w http.ResponseWriter, r *http.Request, v *view) error {
	t, err := c.jobTable(r)
	if err != nil {
		return err
	}
	v.title, v.at = "Jobs", "jobs"
	c.show(w, r, http.StatusOK, jobsPage(v, t))
	return nil
}

// jobListPart is the table, which is asked for again and again.
func (c *console) jobListPart(w http.ResponseWriter, r *http.Request, v *view) error {
	t, err := c.jobTable(r)
	if err != nil {
		return err
	}
	c.show(w, r, http.StatusOK, jobsBody(v, t))
	return nil
}

// jobView is what the page of a job shows.
type jobView struct {
	row      jobRow
	facts    []field
	coming   []*keepwardv1.NextRun
	when     string
	warnings []string
	recent   []sessionRow
}

// edits tells whether the wizard can change it.
func (j jobView) edits() bool { return isBackupJob(j.row.job) }

func isBackupJob(j *keepwardv1.Job) bool {
	return j.GetType() == "" || job.Type(j.GetType()) == job.Backup
}

func (c *console) jobView(r *http.Request, v *view) (jobView, error) {
	m, err := call(r.Context(), c.client.jobs.GetJob, &keepwardv1.GetJobRequest{Name: r.URL.Query().Get("job"), NextRuns: calendarRuns})
	if err != nil {
		return jobView{}, err
	}
	out := jobView{row: rowOfJob(m.GetJob()), facts: jobFacts(v, m.GetJob()), coming: m.GetComing(), when: m.GetWhen(), warnings: m.GetWarnings()}
	for _, s := range m.GetRecent() {
		out.recent = append(out.recent, v.row(s, 0))
	}
	return out, nil
}

func (c *console) job(w http.ResponseWriter, r *http.Request, v *view) error {
	j, err := c.jobView(r, v)
	if err != nil {
		return err
	}
	v.title, v.at = "Job "+j.row.name, "jobs"
	c.show(w, r, http.StatusOK, jobPage(v, j))
	return nil
}

// jobPart is the part of a job's page that is asked for again and again.
func (c *console) jobPart(w http.ResponseWriter, r *http.Request, v *view) error {
	j, err := c.jobView(r, v)
	if err != nil {
		return err
	}
	c.show(w, r, http.StatusOK, jobBody(v, j))
	return nil
}

func yesIf(is bool) string {
	if is {
		return "yes"
	}
	return ""
}

func countIf(n int32, unit string) string {
	if n == 0 {
		return ""
	}
	return strings.TrimSpace(number(int64(n)) + " " + unit)
}

// duration is a time that is set; empty: it is not.
func duration(d *durationpb.Duration) string {
	if d.AsDuration() == 0 {
		return ""
	}
	return words.FormatDuration(d.AsDuration())
}

// placed is the script of a place, if there is one.
func placed(s *keepwardv1.Scripts, p job.Place) *keepwardv1.Script {
	return scriptAt(&keepwardv1.Job{Scripts: s}, p)
}

// jobFacts is a job in names and values; what is as usual is left out.
func jobFacts(v *view, j *keepwardv1.Job) []field {
	f := j.GetFiles()
	list := func(items []string) string { return words.Safe(strings.Join(items, ", ")) }
	priority := ""
	if n := j.GetPriority(); n > 0 {
		priority = fmt.Sprintf("%03d", n)
	} else if j.GetHighPriority() {
		priority = "high"
	}
	mode := "the server"
	if j.GetMode() == job.ModeAgent {
		mode = "each computer's agent"
	}
	retention := ""
	if isBackupJob(j) || j.GetRetention() != nil {
		retention = policyOf(j.GetRetention()).String()
	}
	out := fields(
		"Description", words.Safe(j.GetDescription()), "Type", j.GetType(), "Managed by", mode, "Priority", priority,
		"Computers", list(j.GetComputers()), "Groups", list(j.GetGroups()),
		"Takes", list(f.GetInclude()), "Leaves out", list(f.GetExclude()), "Only", list(f.GetOnly()),
		"One file system", yesIf(f.GetOneFileSystem()), "Tagged caches", yesIf(f.GetIncludeCaches()), "Temporary files", yesIf(f.GetIncludeTemporary()),
		"Live file system", yesIf(f.GetLive()), "No change tracking", yesIf(f.GetNoTracking()),
		"Repository", words.Safe(j.GetRepository()), "Retention", retention,
		"Compression", j.GetCompression(), "Reads everything", countIf(j.GetFullReadEvery(), "th run"), "A second session", j.GetDuplicates(),
		"Full speed", yesIf(j.GetFullSpeed()), "Processors", countIf(j.GetProcessors(), "at most"), "Data connections", countIf(j.GetConnections(), ""),
		"On a battery", j.GetOnBattery(), "On a metered network", j.GetOnMetered(),
		"Schedule", cmp.Or(words.Safe(j.GetSchedule()), "only by hand"), "Disabled", yesIf(j.GetDisabled()), "Spread over", duration(j.GetJitter()),
		"Missed runs", j.GetMissed(), "Attempts", countIf(j.GetAttempts(), ""), "Between attempts", duration(j.GetRestartInterval()),
	)
	for _, a := range j.GetApplications() {
		out = append(out, field{"Application", words.Safe(a.GetKind() + " " + a.GetName() + ", " + a.GetMode())})
	}
	for _, r := range job.Scripts {
		if s := placed(j.GetScripts(), r.Place); s.GetPath() != "" {
			out = append(out, field{"Script " + strings.ReplaceAll(string(r.Place), "-", " "), words.Safe(strings.Join(append([]string{s.GetPath()}, s.GetArguments()...), " "))})
		}
	}
	for _, o := range j.GetCommands() {
		out = append(out, field{"Command " + words.Safe(o.GetName()), words.Safe(strings.Join(append([]string{o.GetPath()}, o.GetArguments()...), " "))})
	}
	for _, o := range j.GetOverrides() {
		out = append(out, field{"Files of its own", words.Safe(o.GetComputer())})
	}
	return out
}

// document is YAML as a page shows it: what would not be seen, or would turn the writing, stands in it
// with escapes. Nothing else is changed.
func document(yaml []byte) string {
	var out strings.Builder
	for _, r := range strings.ToValidUTF8(string(yaml), "\ufffd") {
		if r == '\n' || unicode.IsPrint(r) {
			out.WriteRune(r)
		} else {
			out.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return out.String()
}

// yamlOf asks for the document of a job.
func (c *console) yamlOf(r *http.Request) (name string, yaml []byte, err error) {
	m, err := call(r.Context(), c.client.jobs.GetJob, &keepwardv1.GetJobRequest{Name: r.URL.Query().Get("job")})
	if err != nil {
		return "", nil, err
	}
	name = m.GetJob().GetName()
	p, err := call(r.Context(), c.client.previews.PreviewJob, &keepwardv1.PreviewJobRequest{Job: m.GetJob(), InsteadOf: name})
	return name, p.GetYaml(), err
}

func (c *console) jobYAML(w http.ResponseWriter, r *http.Request, v *view) error {
	name, yaml, err := c.yamlOf(r)
	if err != nil {
		return err
	}
	v.title, v.at = "Job "+words.Safe(name)+" as YAML", "jobs"
	c.show(w, r, http.StatusOK, yamlPage(v, name, document(yaml)))
	return nil
}

// jobFile is the document of a job as a file. No part of its name comes from elsewhere.
func (c *console) jobFile(w http.ResponseWriter, r *http.Request, _ *view) error {
	_, yaml, err := c.yamlOf(r)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/yaml; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="job.yaml"`)
	_, _ = w.Write(yaml) // who has gone need not know
	return nil
}

// jobAct is something that can be done to a job at once. Each has a page that says what comes of it.
type jobAct struct {
	name, verb string
	danger     bool
	procedure  string // the call that it makes: who may make it is offered it
	offered    func(j *keepwardv1.Job) bool
	comes      func(j *keepwardv1.Job) []string
	do         func(r *http.Request, c *client, j *keepwardv1.Job) error
}

var jobActs = []jobAct{
	{
		name: "disable", verb: "Disable",
		procedure: v1.JobServiceUpdateJobProcedure,
		offered:   func(j *keepwardv1.Job) bool { return !j.GetDisabled() },
		comes: func(j *keepwardv1.Job) []string {
			return []string{
				"Its schedule does not start it any more. It can still be started by hand.",
				"What runs now goes on. Restore points stay, and its retention goes on.",
				"Its computers may come to count as not protected.",
			}
		},
		do: func(r *http.Request, c *client, j *keepwardv1.Job) error { return switchJob(r, c, j, true) },
	},
	{
		name: "enable", verb: "Enable",
		procedure: v1.JobServiceUpdateJobProcedure,
		offered:   func(j *keepwardv1.Job) bool { return j.GetDisabled() },
		comes: func(j *keepwardv1.Job) []string {
			if j.GetSchedule() == "" {
				return []string{"It has no schedule: it still runs only when it is told to."}
			}
			return []string{"Its schedule starts it again, from its next time on. Runs that fell out meanwhile are not made up for."}
		},
		do: func(r *http.Request, c *client, j *keepwardv1.Job) error { return switchJob(r, c, j, false) },
	},
	{
		name: "delete", verb: "Delete", danger: true,
		procedure: v1.JobServiceDeleteJobProcedure,
		offered:   func(*keepwardv1.Job) bool { return true },
		comes: func(j *keepwardv1.Job) []string {
			return []string{
				"The definition of the job is gone, and with it its schedule and its rules of retention. To keep it, download its YAML first.",
				"Its restore points stay, for ever, unless repository " + words.Safe(j.GetRepository()) + " has a time after which points without a job go (keepward repository show, unprotected after).",
				"Its sessions stay in the list.",
				"It is refused while a session of it is not over, or another job starts after it.",
			}
		},
		do: func(r *http.Request, c *client, j *keepwardv1.Job) error {
			_, err := call(r.Context(), c.jobs.DeleteJob, &keepwardv1.DeleteJobRequest{Name: j.GetName()})
			return err
		},
	},
}

// switchJob writes the job as it was just read, and is refused if somebody changed it since.
func switchJob(r *http.Request, c *client, j *keepwardv1.Job, disabled bool) error {
	j.Disabled = disabled
	_, err := call(r.Context(), c.jobs.UpdateJob, &keepwardv1.UpdateJobRequest{Job: j})
	return err
}

// jobActsOf are those that make sense for a job now, and that who looks may do.
func (v *view) jobActsOf(j *keepwardv1.Job) (out []jobAct) {
	for _, a := range jobActs {
		if a.offered(j) && v.mayCall(a.procedure) {
			out = append(out, a)
		}
	}
	return out
}

func (a jobAct) link(name string) string { return jobLink("/jobs/do/"+a.name, name) }

func (c *console) askedJob(r *http.Request) (*keepwardv1.Job, jobAct, error) {
	i := slices.IndexFunc(jobActs, func(a jobAct) bool { return a.name == r.PathValue("act") })
	if i < 0 {
		return nil, jobAct{}, errs.New(errs.NotFound, "", "there is no such page")
	}
	m, err := call(r.Context(), c.client.jobs.GetJob, &keepwardv1.GetJobRequest{Name: r.URL.Query().Get("job")})
	return m.GetJob(), jobActs[i], err
}

func (c *console) askJobAct(w http.ResponseWriter, r *http.Request, v *view) error {
	j, a, err := c.askedJob(r)
	if err != nil {
		return err
	}
	c.answerJobAct(w, r, v, http.StatusOK, j, a, nil)
	return nil
}

func (c *console) answerJobAct(w http.ResponseWriter, r *http.Request, v *view, status int, j *keepwardv1.Job, a jobAct, wrong *problem) {
	v.title, v.at = a.verb+" job "+words.Safe(j.GetName()), "jobs"
	c.show(w, r, status, jobActPage(v, rowOfJob(j), a, a.comes(j), wrong))
}

func (c *console) doJobAct(w http.ResponseWriter, r *http.Request, v *view) error {
	j, a, err := c.askedJob(r)
	if err != nil {
		return err
	}
	if err := a.do(r, c.client, j); err != nil {
		if expired(err) {
			return err
		}
		c.answerJobAct(w, r, v, statusOf(err), j, a, problemOf(v, err))
		return nil
	}
	to := jobLink("/jobs/show", j.GetName())
	if a.danger {
		to = "/jobs"
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
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
	return runForm{row: rowOfJob(j), backup: isBackupJob(j), coming: m.GetComing(), when: m.GetWhen(), warnings: m.GetWarnings()}, nil
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
