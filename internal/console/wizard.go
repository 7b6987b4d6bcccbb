package console

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/retention"
	"keepward/internal/words"
)

// The wizard keeps nothing on the server: all that was filled in goes with the form from step to step,
// and a job is written when it is saved, at once and whole. What is left half done leaves nothing behind.

// What a wizard is about.
const (
	draftNew   = "new"
	draftEdit  = "edit"
	draftClone = "clone"
)

// The names in the form that are none of a job.
const (
	keyDraft    = "draft"
	keyOf       = "of"
	keyRevision = "revision"
	keyWas      = "was"
	keyStep     = "step"
	keyGo       = "go"
	keyLook     = "look"
	// keyWhole is the last of the form: without it only a part of it has come.
	keyWhole = "whole"
)

// What the buttons of a step ask for; any other is the name of a step to go to.
const (
	goNext   = "next"
	goBack   = "back"
	goStay   = "stay"
	goSave   = "save"
	goRun    = "run"
	goStepAt = "step:"
)

// draft is a job that is being made or changed, as its form has it.
type draft struct {
	kind     string
	of       string // the job that is changed, or that it began as a copy of
	revision int64  // of that job, as this draft knows it
	step     string
	form     url.Values
	was      url.Values // the form as that revision has it
}

func (d draft) edits() bool { return d.kind == draftEdit }

// instead is the job whose place it takes.
func (d draft) instead() string {
	if d.edits() {
		return d.of
	}
	return ""
}

func (d draft) wasText() string {
	if len(d.was) == 0 {
		return ""
	}
	text, err := json.Marshal(d.was)
	if err != nil {
		return "" // texts always can be written
	}
	return string(text)
}

func draftOf(form url.Values) (draft, error) {
	d := draft{kind: form.Get(keyDraft), of: typedText(form.Get(keyOf)), step: wizardSteps[stepIndex(form.Get(keyStep))].name, form: url.Values{}}
	if form.Get(keyWhole) == "" || !slices.Contains([]string{draftNew, draftEdit, draftClone}, d.kind) || (d.of == "") != (d.kind == draftNew) {
		return d, errs.New(errs.Invalid, "", "read the form: a part of it is missing, so nothing was saved").
			WithHint("go back, load the page again, and wait until all of it is there")
	}
	if d.edits() {
		n, err := strconv.ParseInt(form.Get(keyRevision), 10, 64)
		if err == nil {
			err = json.Unmarshal([]byte(form.Get(keyWas)), &d.was)
		}
		if err != nil {
			return d, errs.New(errs.Invalid, "", "read the form: it does not say which revision of job %s it began with", d.of).
				WithHint("open the job again; nothing was saved")
		}
		d.revision = n
	}
	for _, in := range inputsOf(form) {
		if texts := slices.DeleteFunc(slices.Clone(form[in.name]), func(s string) bool { return strings.TrimSpace(s) == "" }); len(texts) > 0 {
			d.form[in.name] = texts
		}
	}
	compact(d.form)
	return d, nil
}

// told is what a draft learned of its job that was changed, or deleted, meanwhile.
type told struct {
	gone        bool
	taken, both []change // what was taken over, and what both have changed
}

// change is a field that was changed elsewhere.
type change struct{ label, saved, mine string }

// wizard is what a page of the wizard shows.
type wizard struct {
	draft
	base   *keepwardv1.Job
	job    *keepwardv1.Job // as it would be saved
	res    *keepwardv1.PreviewJobResponse
	faults []stepFault
	// shown: the faults of the present step are said; before it was tried once they are not.
	shown bool
	told  *told
	wrong *problem
	look  *lookView
	// effects are what comes of the changes, beside what they say.
	effects []string

	computers    []*keepwardv1.Computer
	groups       []*keepwardv1.Group
	repositories []*keepwardv1.Repository
	credentials  []string
	windows      []*keepwardv1.Window
}

// stepFault is a fault with where it is put right.
type stepFault struct {
	formFault
	step string
}

func (w *wizard) faultsOf(step string) (out []stepFault) {
	for _, f := range w.faults {
		if f.step == step {
			out = append(out, f)
		}
	}
	return out
}

// faultsAt are the faults of an input, where they are said.
func (w *wizard) faultsAt(name string) (out []formFault) {
	if !w.shown {
		return nil
	}
	for _, f := range w.faults {
		if f.input == name {
			out = append(out, f.formFault)
		}
	}
	return out
}

// labelOf is what an input is called.
func (w *wizard) labelOf(name string) string {
	for _, in := range inputsOf(w.form) {
		if in.name == name {
			return in.label
		}
	}
	return name
}

// ready tells whether it can be saved.
func (w *wizard) ready() bool { return len(w.faults) == 0 }

func (w *wizard) title() string {
	switch w.kind {
	case draftEdit:
		return "Edit job " + words.Safe(w.of)
	case draftClone:
		return "Clone job " + words.Safe(w.of)
	}
	return "New backup job"
}

// inputs are those of the present step, in their order.
func (w *wizard) inputs() (out []input) {
	for _, in := range wizardInputs {
		if in.step == w.step {
			out = append(out, in)
		}
	}
	return out
}

// input is one of the wizard's, by its name.
func (w *wizard) input(name string) input {
	i := slices.IndexFunc(wizardInputs, func(in input) bool { return in.name == name })
	return wizardInputs[i] // the pages name only what there is
}

func (w *wizard) texts(name string) []string { return w.form[name] }

// text is what an input shows: what cannot be seen stands in it with escapes.
func (w *wizard) text(name string) string {
	list := w.form[name]
	if len(list) == 0 {
		return ""
	}
	var out []string
	for line := range strings.SplitSeq(strings.ReplaceAll(list[len(list)-1], "\r\n", "\n"), "\n") {
		out = append(out, shownText(typedText(strings.TrimSpace(line))))
	}
	return strings.Join(out, "\n")
}

// has tells whether something is among the names that were chosen.
func (w *wizard) has(name, value string) bool { return slices.Contains(lines(w.form[name]), value) }

// hidden are the texts of the inputs that the present step does not show.
func (w *wizard) hidden() (out []field) {
	for _, in := range inputsOf(w.form) {
		if in.step == w.step && !(in.name == "name" && w.edits()) {
			continue
		}
		if in.kind == inNames {
			for _, text := range w.form[in.name] {
				out = append(out, field{in.name, shownText(typedText(text))})
			}
			continue
		}
		if text := w.text(in.name); text != "" {
			out = append(out, field{in.name, text})
		}
	}
	return out
}

// applications are the inputs of each application, and of one that may be added.
func (w *wizard) applications() (out [][]input) {
	n := applicationsIn(w.form)
	for i := range min(n+1, applicationsMost) {
		out = append(out, applicationInputs(i, w.form.Get(applicationName(i, "kind"))))
	}
	return out
}

// policy says in words what is kept.
func (w *wizard) policy() string { return policyOf(w.job.GetRetention()).String() }

func policyOf(r *keepwardv1.Retention) retention.Policy {
	return retention.Policy{
		KeepLast: int(r.GetKeepLast()), KeepDays: int(r.GetKeepDays()), Weekly: int(r.GetWeekly()),
		Monthly: int(r.GetMonthly()), Yearly: int(r.GetYearly()), MinPoints: int(r.GetMinPoints()),
	}
}

// calendarRuns is how many coming runs the wizard and the page of a job ask for: those of five weeks,
// where they are not more than one in an hour.
const calendarRuns = 35 * 24

// judge has the server look at the job that the form makes.
func (c *console) judge(ctx context.Context, d draft) (*wizard, error) {
	w := &wizard{draft: d, base: newJob()}
	if d.of != "" {
		m, err := call(ctx, c.client.jobs.GetJob, &keepwardv1.GetJobRequest{Name: d.of})
		switch {
		case errs.KindOf(err) == errs.NotFound:
			w.kind, w.of, w.revision, w.was = draftNew, "", 0, nil
			w.told = &told{gone: true}
		case err != nil:
			return nil, err
		default:
			w.base = m.GetJob()
		}
	}
	if w.base.GetType() != "" && job.Type(w.base.GetType()) != job.Backup {
		return nil, errs.New(errs.Invalid, "", "change job %s: the console changes jobs of type %s only, and this one is of type %s", w.of, job.Backup, w.base.GetType()).
			WithHint("use the command line: keepward job edit %s", w.of)
	}
	if w.edits() && w.revision != w.base.GetRevision() {
		w.learn(w.base)
	}
	j, bad := jobOf(w.base, w.form)
	if w.edits() {
		j.Name = w.of
	}
	for _, f := range bad {
		step, name := stepOf(f.input, inputsOf(w.form))
		w.faults = append(w.faults, stepFault{formFault{input: name, text: f.text}, step})
	}
	var err error
	if w.res, err = call(ctx, c.client.previews.PreviewJob, &keepwardv1.PreviewJobRequest{Job: j, InsteadOf: w.instead(), NextRuns: calendarRuns, LeaveOutStrangers: true, Year: true}); err != nil {
		return nil, err
	}
	w.job = w.res.GetJob()
	w.job.Revision = w.revision
	for _, f := range w.res.GetFaults() {
		step, name := stepOf(f.GetField(), inputsOf(w.form))
		if name != "" && slices.ContainsFunc(bad, func(b formFault) bool { return b.input == name }) {
			continue // what was typed there cannot be read at all
		}
		w.faults = append(w.faults, stepFault{formFault{input: name, text: f.GetText(), hint: f.GetHint()}, step})
	}
	return w, nil
}

// learn brings the draft to the job as it is now, and notes what of it was changed elsewhere.
func (w *wizard) learn(now *keepwardv1.Job) {
	form := formOf(now)
	merged, taken, both := merge(w.form, w.was, form)
	label := func(name string) string {
		for _, of := range []url.Values{merged, form, w.was} {
			for _, in := range inputsOf(of) {
				if in.name == name {
					return in.label
				}
			}
		}
		return name
	}
	t := &told{}
	for _, name := range taken {
		t.taken = append(t.taken, change{label(name), oneLine(form[name]), ""})
	}
	for _, name := range both {
		t.both = append(t.both, change{label(name), oneLine(form[name]), oneLine(w.form[name])})
	}
	w.told, w.form, w.was, w.revision = t, merged, form, now.GetRevision()
}

// oneLine is the texts of an input in one line.
func oneLine(texts []string) string {
	return words.Safe(cmp.Or(strings.Join(lines(texts), ", "), "nothing"))
}

// furnish asks for what there is to choose from in the present step.
func (c *console) furnish(ctx context.Context, w *wizard) error {
	var err error
	switch w.step {
	case stepComputers, stepFiles:
		var m *keepwardv1.ListComputersResponse
		if m, err = call(ctx, c.client.computers.ListComputers, &keepwardv1.ListComputersRequest{}); err != nil {
			return err
		}
		w.computers = m.GetComputers()
		var g *keepwardv1.ListGroupsResponse
		if g, err = call(ctx, c.client.groups.ListGroups, &keepwardv1.ListGroupsRequest{}); err != nil {
			return err
		}
		for _, one := range g.GetGroups() {
			w.groups = append(w.groups, one.GetGroup())
		}
	case stepRepository:
		var m *keepwardv1.ListRepositoriesResponse
		m, err = call(ctx, c.client.repositories.ListRepositories, &keepwardv1.ListRepositoriesRequest{})
		w.repositories = m.GetRepositories()
	case stepGuest:
		var m *keepwardv1.ListCredentialsResponse
		m, err = call(ctx, c.client.credentials.ListCredentials, &keepwardv1.ListCredentialsRequest{})
		for _, one := range m.GetCredentials() {
			w.credentials = append(w.credentials, one.GetName())
		}
	case stepSchedule:
		var m *keepwardv1.ListWindowsResponse
		m, err = call(ctx, c.client.queue.ListWindows, &keepwardv1.ListWindowsRequest{})
		w.windows = m.GetWindows()
	case stepSummary:
		w.effects, err = c.effects(ctx, w)
	}
	return err
}

// effects says what comes of changes that reach further than to the next run.
func (c *console) effects(ctx context.Context, w *wizard) (out []string, err error) {
	changed := func(field string) bool {
		return slices.ContainsFunc(w.res.GetChanged(), func(f string) bool { return within(f, field) })
	}
	if !w.edits() || !w.ready() {
		return nil, nil
	}
	if changed("computers") || changed("groups") {
		out = append(out, "The restore points of computers that are not in the job any more stay where they are.")
	}
	if changed("repository") {
		out = append(out, "The restore points made so far stay in repository "+words.Safe(w.base.GetRepository())+". The next run reads everything, and stores it in "+words.Safe(w.job.GetRepository())+".")
	}
	if changed("retention") {
		m, err := call(ctx, c.client.jobs.PreviewRetention, &keepwardv1.PreviewRetentionRequest{Job: w.of, Retention: whole(w.job).GetRetention()})
		if err != nil {
			return nil, err
		}
		text := "By the new rules " + words.Plural(m.GetKept(), "restore point") + " would stay, and " + words.Plural(m.GetDeleted(), "restore point") + " would go with the next run"
		if m.GetFreedBytes() > 0 {
			text += ", which frees about " + words.Size(m.GetFreedBytes())
		}
		out = append(out, text+". What goes can be taken back for a while: keepward point undelete.")
	}
	return out, nil
}

func (c *console) showWizard(w http.ResponseWriter, r *http.Request, v *view, status int, z *wizard) error {
	if err := c.furnish(r.Context(), z); err != nil {
		return err
	}
	v.title, v.at = z.title(), "jobs"
	c.show(w, r, status, wizardPage(v, z))
	return nil
}

// openWizard answers with the first step, or the one that was asked for.
func (c *console) openWizard(kind string) page {
	return func(w http.ResponseWriter, r *http.Request, v *view) error {
		q := r.URL.Query()
		d := draft{kind: kind, step: wizardSteps[stepIndex(q.Get("step"))].name, form: formOf(newJob())}
		if kind != draftNew {
			m, err := call(r.Context(), c.client.jobs.GetJob, &keepwardv1.GetJobRequest{Name: q.Get("job")})
			if err != nil {
				return err
			}
			j := m.GetJob()
			d.of, d.form = j.GetName(), formOf(j)
			if kind == draftEdit {
				d.revision, d.was = j.GetRevision(), formOf(j)
			} else {
				d.form.Del("name")
			}
		}
		z, err := c.judge(r.Context(), d)
		if err != nil {
			return err
		}
		z.shown = z.edits() || z.step == stepSummary
		return c.showWizard(w, r, v, http.StatusOK, z)
	}
}

// wizardForm is the wizard as a form was sent.
func (c *console) wizardForm(r *http.Request) (*wizard, error) {
	if err := r.ParseForm(); err != nil {
		return nil, errs.New(errs.Invalid, "", "read the form: %w", err)
	}
	d, err := draftOf(r.PostForm)
	if err != nil {
		return nil, err
	}
	return c.judge(r.Context(), d)
}

func (c *console) doWizard(w http.ResponseWriter, r *http.Request, v *view) error {
	z, err := c.wizardForm(r)
	if err != nil {
		return err
	}
	status := http.StatusOK
	switch act := r.PostForm.Get(keyGo); {
	case act == goSave || act == goRun:
		return c.saveWizard(w, r, v, z, act == goRun)
	case act == goBack:
		z.move(stepIndex(z.step) - 1)
	case strings.HasPrefix(act, goStepAt):
		z.move(stepIndex(strings.TrimPrefix(act, goStepAt)))
	case act == goStay:
		z.shown = true
	case len(z.faultsOf(z.step)) > 0:
		z.shown, status = true, http.StatusBadRequest
	default:
		z.move(stepIndex(z.step) + 1)
	}
	return c.showWizard(w, r, v, status, z)
}

// move goes to another step. The last one says all faults.
func (w *wizard) move(to int) {
	w.step = wizardSteps[min(max(to, 0), len(wizardSteps)-1)].name
	w.shown = w.edits() || w.step == stepSummary
}

// saveWizard writes the job, unless there is something to be told first.
func (c *console) saveWizard(w http.ResponseWriter, r *http.Request, v *view, z *wizard, run bool) error {
	z.step, z.shown = stepSummary, true
	if !z.ready() {
		return c.showWizard(w, r, v, http.StatusBadRequest, z)
	}
	if z.told != nil {
		return c.showWizard(w, r, v, http.StatusConflict, z)
	}
	var err error
	if z.edits() {
		_, err = call(r.Context(), c.client.jobs.UpdateJob, &keepwardv1.UpdateJobRequest{Job: z.job})
	} else {
		z.job.Revision = 0
		_, err = call(r.Context(), c.client.jobs.CreateJob, &keepwardv1.CreateJobRequest{Job: z.job})
	}
	if z.edits() && (errs.CodeOf(err) == "job.changed" || errs.KindOf(err) == errs.NotFound) {
		// It was changed between the look at it and the writing.
		if z, err = c.judge(r.Context(), z.draft); err != nil {
			return err
		}
		z.step, z.shown = stepSummary, true
		return c.showWizard(w, r, v, http.StatusConflict, z)
	}
	if err != nil {
		if expired(err) {
			return err
		}
		z.wrong = problemOf(v, err)
		return c.showWizard(w, r, v, statusOf(err), z)
	}
	if !run {
		http.Redirect(w, r, jobLink("/jobs/show", z.job.GetName()), http.StatusSeeOther)
		return nil
	}
	m, err := call(r.Context(), c.client.jobs.RunJob, &keepwardv1.RunJobRequest{Name: z.job.GetName()})
	if err != nil && !expired(err) { // the job is saved all the same
		f, formErr := c.runForm(r, z.job.GetName())
		if formErr != nil {
			return formErr
		}
		c.answerRun(w, r, v, statusOf(err), f, problemOf(v, err))
		return nil
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/sessions/"+number(m.GetSession()), http.StatusSeeOther)
	return nil
}

// checkWizard says what is wrong with a step while it is filled in.
func (c *console) checkWizard(w http.ResponseWriter, r *http.Request, v *view) error {
	z, err := c.wizardForm(r)
	if err != nil {
		return err
	}
	z.shown = true
	c.show(w, r, http.StatusOK, wizardChecks(v, z))
	return nil
}
