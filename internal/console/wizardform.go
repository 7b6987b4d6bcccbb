package console

import (
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
	"keepward/internal/words"
)

// This file is a job as the texts of a form, and back. What a form has no input for stays as the job
// has it.

// inputKind is how an input is shown.
type inputKind int

const (
	inText   inputKind = iota
	inArea             // a list, one item a line
	inNumber           // 0 is shown as nothing
	inCheck
	inChoice
	inRadio
	inNames // names of things that there are, shown by the step itself
	inMany  // some of its choices
)

// input is one input of the wizard. Its name is that of the field of the schema, so that a fault finds
// the input that it is about.
type input struct {
	name, step  string
	kind        inputKind
	label, help string
	choices     []choice
	unit        string // behind a number
	texts       func(j *keepwardv1.Job) []string
	// put takes over what was typed; an error says what cannot be read.
	put func(j *keepwardv1.Job, texts []string) error
}

const checked = "yes"

func one(texts []string) string {
	if len(texts) == 0 {
		return ""
	}
	return texts[len(texts)-1]
}

func listOf(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

func textInput(step, name, label, help string, at func(j *keepwardv1.Job) *string) input {
	return input{
		name: name, step: step, label: label, help: help,
		texts: func(j *keepwardv1.Job) []string { return listOf(shownText(*at(j))) },
		put: func(j *keepwardv1.Job, texts []string) error {
			*at(j) = typedText(strings.TrimSpace(one(texts)))
			return nil
		},
	}
}

func choiceInput(step, name, label, help string, choices []choice, at func(j *keepwardv1.Job) *string) input {
	in := textInput(step, name, label, help, at)
	in.kind, in.choices = inChoice, choices
	return in
}

func checkInput(step, name, label, help string, at func(j *keepwardv1.Job) *bool) input {
	return input{
		name: name, step: step, kind: inCheck, label: label, help: help,
		texts: func(j *keepwardv1.Job) []string {
			if *at(j) {
				return []string{checked}
			}
			return nil
		},
		put: func(j *keepwardv1.Job, texts []string) error {
			*at(j) = one(texts) != ""
			return nil
		},
	}
}

func numberInput(step, name, label, unit, help string, at func(j *keepwardv1.Job) *int32) input {
	return input{
		name: name, step: step, kind: inNumber, label: label, unit: unit, help: help,
		texts: func(j *keepwardv1.Job) []string {
			if n := *at(j); n != 0 {
				return []string{number(int64(n))}
			}
			return nil
		},
		put: func(j *keepwardv1.Job, texts []string) error {
			text := strings.TrimSpace(one(texts))
			if text == "" {
				*at(j) = 0
				return nil
			}
			n, err := strconv.ParseInt(text, 10, 32)
			if err != nil {
				return fmt.Errorf("%q is no whole number up to %d", text, math.MaxInt32)
			}
			*at(j) = int32(n)
			return nil
		},
	}
}

func durationInput(step, name, label, help string, at func(j *keepwardv1.Job) **durationpb.Duration) input {
	return input{
		name: name, step: step, label: label, help: help,
		texts: func(j *keepwardv1.Job) []string {
			if d := (*at(j)).AsDuration(); d != 0 {
				return []string{words.FormatDuration(d)}
			}
			return nil
		},
		put: func(j *keepwardv1.Job, texts []string) error {
			text := strings.TrimSpace(one(texts))
			if text == "" {
				*at(j) = nil
				return nil
			}
			d, err := words.ParseDuration(text)
			if err != nil {
				return fmt.Errorf("%q is no time; write it as 90s, 20m, 1h30m or 7d", text)
			}
			*at(j) = durationpb.New(d)
			return nil
		},
	}
}

func areaInput(step, name, label, help string, at func(j *keepwardv1.Job) *[]string) input {
	return input{
		name: name, step: step, kind: inArea, label: label, help: help,
		texts: func(j *keepwardv1.Job) []string {
			lines := make([]string, len(*at(j)))
			for i, item := range *at(j) {
				lines[i] = shownText(item)
			}
			return listOf(strings.Join(lines, "\n"))
		},
		put: func(j *keepwardv1.Job, texts []string) error {
			*at(j) = lines(texts)
			return nil
		},
	}
}

// namesInput is names, of which a form may send several under one name, or several lines.
func namesInput(step, name, label, help string, at func(j *keepwardv1.Job) *[]string) input {
	return input{
		name: name, step: step, kind: inNames, label: label, help: help,
		texts: func(j *keepwardv1.Job) (out []string) {
			for _, item := range *at(j) {
				out = append(out, shownText(item))
			}
			return out
		},
		put: func(j *keepwardv1.Job, texts []string) error {
			*at(j) = lines(texts)
			return nil
		},
	}
}

// lines are the lines of texts without the empty ones.
func lines(texts []string) (out []string) {
	for _, text := range texts {
		for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
			if line = strings.TrimSpace(line); line != "" {
				out = append(out, typedText(line))
			}
		}
	}
	return out
}

// shownText is a text as an input shows it: one that a line of a form cannot hold, or of which not all
// is seen, stands in quotes, with escapes as Go has them.
func shownText(text string) string {
	if text == "" || text == strings.TrimSpace(text) && !strings.HasPrefix(text, `"`) && !strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return text
	}
	return strconv.Quote(text)
}

// typedText is what a text in an input means.
func typedText(text string) string {
	if strings.HasPrefix(text, `"`) {
		if plain, err := strconv.Unquote(text); err == nil {
			return plain
		}
	}
	return text
}

// The steps of the wizard, by name.
const (
	stepMode       = "mode"
	stepName       = "name"
	stepComputers  = "computers"
	stepFiles      = "files"
	stepRepository = "repository"
	stepRetention  = "retention"
	stepStorage    = "storage"
	stepGuest      = "guest"
	stepSchedule   = "schedule"
	stepSummary    = "summary"
)

// wizardSteps are the steps in their order. fields are those of the schema whose faults belong to a
// step although it has no input for them.
var wizardSteps = []struct {
	name, label string
	fields      []string
}{
	{stepMode, "Mode", []string{"type"}},
	{stepName, "Name and priority", nil},
	{stepComputers, "Computers", nil},
	{stepFiles, "Files", []string{"files", "overrides", "commands"}},
	{stepRepository, "Repository", nil},
	{stepRetention, "Retention", []string{"retention"}},
	{stepStorage, "Storage and speed", nil},
	{stepGuest, "Applications and scripts", []string{"applications", "scripts"}},
	{stepSchedule, "Schedule", nil},
	{stepSummary, "Summary", nil},
}

func stepIndex(name string) int {
	for i, s := range wizardSteps {
		if s.name == name {
			return i
		}
	}
	return 0
}

// ofRetention begins the names of the inputs of its rules.
const ofRetention = "retention."

// wizardInputs are all inputs but those of applications, of which a job has as many as it likes.
var wizardInputs = slices.Concat([]input{
	func() input {
		in := choiceInput(stepMode, "mode", "Who manages the job", "", []choice{
			{job.ModeServer, "The server. It starts the job, runs its scripts, and knows of other jobs"},
			{job.ModeAgent, "Each computer's agent. It goes by the calendar alone, also while the server is away: for laptops"},
		}, func(j *keepwardv1.Job) *string { return &j.Mode })
		in.kind = inRadio
		return in
	}(),

	textInput(stepName, "name", "Name", "Letters, digits, dots, underscores and dashes", func(j *keepwardv1.Job) *string { return &j.Name }),
	textInput(stepName, "description", "Description", "A remark for people", func(j *keepwardv1.Job) *string { return &j.Description }),
	checkInput(stepName, "high_priority", "High priority", "It goes before other jobs of its kind", func(j *keepwardv1.Job) *bool { return &j.HighPriority }),
	numberInput(stepName, "priority", "Priority of its own", "", "1 goes first, 999 last. Empty: what the digits of its type, computer and agent make", func(j *keepwardv1.Job) *int32 { return &j.Priority }),

	namesInput(stepComputers, "computers", "Computers", "", func(j *keepwardv1.Job) *[]string { return &j.Computers }),
	namesInput(stepComputers, "groups", "Groups", "", func(j *keepwardv1.Job) *[]string { return &j.Groups }),

	areaInput(stepFiles, "files.include", "Take", "Directories and files, absolute, one a line. / is the whole computer", func(j *keepwardv1.Job) *[]string { return &j.Files.Include }),
	areaInput(stepFiles, "files.exclude", "Leave out", "Patterns as in .gitignore, one a line. They win over what is taken", func(j *keepwardv1.Job) *[]string { return &j.Files.Exclude }),
	areaInput(stepFiles, "files.only", "Only files that match", "Masks such as *.docx, one a line. Empty: all files", func(j *keepwardv1.Job) *[]string { return &j.Files.Only }),
	checkInput(stepFiles, "files.one_file_system", "Stay on one file system", "Do not cross into what is mounted below", func(j *keepwardv1.Job) *bool { return &j.Files.OneFileSystem }),
	checkInput(stepFiles, "files.include_caches", "Take tagged caches", "Directories that CACHEDIR.TAG marks", func(j *keepwardv1.Job) *bool { return &j.Files.IncludeCaches }),
	checkInput(stepFiles, "files.include_temporary", "Take temporary files", "Temporary folders, caches and swap files, which are left out otherwise", func(j *keepwardv1.Job) *bool { return &j.Files.IncludeTemporary }),
	checkInput(stepFiles, "files.live", "Read the live file system", "Take no snapshot: files are read as they are at their turn", func(j *keepwardv1.Job) *bool { return &j.Files.Live }),
	checkInput(stepFiles, "files.no_tracking", "Keep nothing on the computer", "Nothing there tells the next backup what has changed: every file is compared", func(j *keepwardv1.Job) *bool { return &j.Files.NoTracking }),

	func() input {
		in := textInput(stepRepository, "repository", "Repository", "", func(j *keepwardv1.Job) *string { return &j.Repository })
		in.kind = inNames
		return in
	}(),

	numberInput(stepRetention, ofRetention+"keep_last", "Newest points", "points", "", func(j *keepwardv1.Job) *int32 { return &j.Retention.KeepLast }),
	numberInput(stepRetention, ofRetention+"keep_days", "All of the last", "days", "", func(j *keepwardv1.Job) *int32 { return &j.Retention.KeepDays }),
	numberInput(stepRetention, ofRetention+"weekly", "One of each week, for", "weeks", "", func(j *keepwardv1.Job) *int32 { return &j.Retention.Weekly }),
	numberInput(stepRetention, ofRetention+"monthly", "One of each month, for", "months", "", func(j *keepwardv1.Job) *int32 { return &j.Retention.Monthly }),
	numberInput(stepRetention, ofRetention+"yearly", "One of each year, for", "years", "", func(j *keepwardv1.Job) *int32 { return &j.Retention.Yearly }),
	numberInput(stepRetention, ofRetention+"min_points", "Never fewer than", "points", "Whatever their age", func(j *keepwardv1.Job) *int32 { return &j.Retention.MinPoints }),

	choiceInput(stepStorage, "compression", "Compression", "", []choice{
		{"auto", "Automatic: fast, and harder where it pays"}, {"none", "None"}, {"fast", "Fast (S2)"}, {"zstd", "zstd"}, {"high", "High (zstd, slower)"},
	}, func(j *keepwardv1.Job) *string { return &j.Compression }),
	numberInput(stepStorage, "full_read_every", "Read everything again every", "runs", "Whatever the point before says. Empty: never", func(j *keepwardv1.Job) *int32 { return &j.FullReadEvery }),
	choiceInput(stepStorage, "duplicates", "A second session while one is not over", "", append([]choice{{"", "As the setting duplicates says"}}, choicesOf(job.DuplicatePolicies)...), func(j *keepwardv1.Job) *string { return &j.Duplicates }),
	checkInput(stepStorage, "full_speed", "Full speed", "Other work of the computers does not go first", func(j *keepwardv1.Job) *bool { return &j.FullSpeed }),
	numberInput(stepStorage, "processors", "Processors of a computer", "at most", "Empty: all", func(j *keepwardv1.Job) *int32 { return &j.Processors }),
	numberInput(stepStorage, "connections", "Data connections of a task", "", fmt.Sprintf("1 to %d. Empty: as the setting data_connections says", job.MostDataConnections), func(j *keepwardv1.Job) *int32 { return &j.Connections }),
	textInput(stepStorage, "on_battery", "On a battery", "What starts by itself: run, wait, or a charge down to which it runs, such as 30%", func(j *keepwardv1.Job) *string { return &j.OnBattery }),
	choiceInput(stepStorage, "on_metered", "On a metered network", "What starts by itself", []choice{{job.SupplyWait, "Wait"}, {job.SupplyRun, "Run"}}, func(j *keepwardv1.Job) *string { return &j.OnMetered }),
}, scriptInputs(), []input{
	textInput(stepSchedule, "schedule", "It runs", "Empty: only when it is told to", func(j *keepwardv1.Job) *string { return &j.Schedule }),
	checkInput(stepSchedule, "disabled", "Disabled", "The schedule does not start it", func(j *keepwardv1.Job) *bool { return &j.Disabled }),
	durationInput(stepSchedule, "jitter", "Spread the computers over", "Such as 1h, up to 24h: each has its own place in it. Empty: all start at once", func(j *keepwardv1.Job) **durationpb.Duration { return &j.Jitter }),
	choiceInput(stepSchedule, "missed", "A run missed while the server was down", "", []choice{{job.DefaultMissed, "Run once when it is back"}, {"skip", "Leave it out"}}, func(j *keepwardv1.Job) *string { return &j.Missed }),
	numberInput(stepSchedule, "attempts", "Attempts of each phase", "attempts", fmt.Sprintf("Empty: as the setting attempts says (%d, where nobody changed it)", job.DefaultAttempts), func(j *keepwardv1.Job) *int32 { return &j.Attempts }),
	durationInput(stepSchedule, "restart_interval", "From one attempt to the next", "Such as 20m. Empty: as the setting restart_interval says ("+words.FormatDuration(job.DefaultRestartInterval)+", where nobody changed it)", func(j *keepwardv1.Job) **durationpb.Duration { return &j.RestartInterval }),
})

func choicesOf(list []string) (out []choice) {
	for _, text := range list {
		out = append(out, choice{text, text})
	}
	return out
}

// scriptAt is the script of a place. In what whole made there is one at each.
func scriptAt(j *keepwardv1.Job, p job.Place) *keepwardv1.Script {
	s := j.GetScripts()
	switch p {
	case job.ServerBefore:
		return s.GetServerBefore()
	case job.AgentBefore:
		return s.GetAgentBefore()
	case job.PreFreeze:
		return s.GetPreFreeze()
	case job.PostThaw:
		return s.GetPostThaw()
	case job.AgentAfter:
		return s.GetAgentAfter()
	}
	return s.GetServerAfter()
}

func scriptInputs() (out []input) {
	for _, r := range job.Scripts {
		at := "scripts." + r.Field + "."
		where := "Absolute, on each computer"
		if r.OnServer {
			where = "A name below the server's folder of scripts"
		}
		out = append(out,
			textInput(stepGuest, at+"path", "Program", where, func(j *keepwardv1.Job) *string { return &scriptAt(j, r.Place).Path }),
			areaInput(stepGuest, at+"arguments", "Arguments", "One a line", func(j *keepwardv1.Job) *[]string { return &scriptAt(j, r.Place).Arguments }),
			durationInput(stepGuest, at+"time_limit", "Time limit", "Empty: "+words.FormatDuration(job.DefaultScriptLimit), func(j *keepwardv1.Job) **durationpb.Duration { return &scriptAt(j, r.Place).TimeLimit }))
		if r.Gates {
			out = append(out, checkInput(stepGuest, at+"go_on", "Go on where it fails", "Its failure is a warning", func(j *keepwardv1.Job) *bool { return &scriptAt(j, r.Place).GoOn }))
		}
	}
	return out
}

// whole has all messages that inputs put something into. What stays empty, the server leaves out.
func whole(j *keepwardv1.Job) *keepwardv1.Job {
	j = proto.CloneOf(j)
	if j.Files == nil {
		j.Files = &keepwardv1.FileSelection{}
	}
	if j.Retention == nil {
		j.Retention = &keepwardv1.Retention{}
	}
	if j.Scripts == nil {
		j.Scripts = &keepwardv1.Scripts{}
	}
	for _, at := range []**keepwardv1.Script{&j.Scripts.ServerBefore, &j.Scripts.AgentBefore, &j.Scripts.PreFreeze, &j.Scripts.PostThaw, &j.Scripts.AgentAfter, &j.Scripts.ServerAfter} {
		if *at == nil {
			*at = &keepwardv1.Script{}
		}
	}
	return j
}

// newJob is what the wizard begins with.
func newJob() *keepwardv1.Job {
	return &keepwardv1.Job{
		Type: string(job.Backup), Mode: job.ModeServer, Compression: "auto", Missed: job.DefaultMissed,
		OnBattery: job.DefaultOnBattery, OnMetered: job.DefaultOnMetered,
	}
}

// formOf is a job as the texts of the form.
func formOf(j *keepwardv1.Job) url.Values {
	j = whole(j)
	out := url.Values{}
	for _, in := range wizardInputs {
		if texts := in.texts(j); len(texts) > 0 {
			out[in.name] = texts
		}
	}
	for i, a := range j.GetApplications() {
		for _, in := range applicationInputs(i, a.GetKind()) {
			if texts := in.texts(j); len(texts) > 0 {
				out[in.name] = texts
			}
		}
	}
	return out
}

// formFault is something wrong with what was filled in.
type formFault struct{ input, text, hint string }

// jobOf puts what the form has into a job that is the base of it.
func jobOf(base *keepwardv1.Job, form url.Values) (*keepwardv1.Job, []formFault) {
	j := whole(base)
	var bad []formFault
	put := func(in input) {
		if err := in.put(j, form[in.name]); err != nil {
			bad = append(bad, formFault{input: in.name, text: err.Error()})
		}
	}
	for _, in := range wizardInputs {
		put(in)
	}
	j.Applications = nil // the form has all there is of them
	for i := range applicationsIn(form) {
		j.Applications = append(j.Applications, &keepwardv1.Application{})
		for _, in := range applicationInputs(i, form.Get(applicationName(i, "kind"))) {
			put(in)
		}
	}
	return j, bad
}

func applicationName(i int, field string) string { return fmt.Sprintf("applications[%d].%s", i, field) }

// applicationsMost bounds the rows of a form.
const applicationsMost = 64

// applicationsIn is how many rows of applications a form has.
func applicationsIn(form url.Values) (n int) {
	for i := range applicationsMost {
		if form.Has(applicationName(i, "kind")) {
			n = i + 1
		}
	}
	return n
}

// compact takes the rows of applications out of a form of which no kind is chosen: so each has the number
// in it that it has in the job.
func compact(form url.Values) {
	const rows = "applications["
	kept := map[string]string{}
	n := 0
	for i := range applicationsIn(form) {
		if form.Get(applicationName(i, "kind")) != "" {
			kept[fmt.Sprint(i)] = fmt.Sprint(n)
			n++
		}
	}
	moved := url.Values{}
	for name, texts := range form {
		rest, ok := strings.CutPrefix(name, rows)
		if !ok {
			continue
		}
		delete(form, name)
		if i, field, ok := strings.Cut(rest, "]"); ok && kept[i] != "" {
			moved[rows+kept[i]+"]"+field] = texts
		}
	}
	maps.Copy(form, moved)
}

// applicationModes are what becomes of a backup whose application cannot be protected.
var applicationModes = []choice{
	{job.ApplicationRequire, "The backup fails where it cannot be protected"},
	{job.ApplicationTry, "Try: else a warning, and the files alone"},
	{job.ApplicationDisable, "Nothing is done about it"},
}

// applicationInputs are the inputs of one application: its kind alone until that is chosen.
func applicationInputs(i int, kind string) []input {
	at := func(j *keepwardv1.Job) *keepwardv1.Application { return j.Applications[i] }
	kinds := []choice{{"", "None"}}
	for _, r := range job.Applications {
		kinds = append(kinds, choice{r.Kind, r.Agent})
	}
	out := []input{choiceInput(stepGuest, applicationName(i, "kind"), "Application", "", kinds, func(j *keepwardv1.Job) *string { return &at(j).Kind })}
	row, ok := job.Application(kind)
	if !ok {
		return out
	}
	out = append(out,
		textInput(stepGuest, applicationName(i, "name"), "Name of the instance", "In restore points. Empty: "+job.DefaultApplicationName, func(j *keepwardv1.Job) *string { return &at(j).Name }),
		choiceInput(stepGuest, applicationName(i, "mode"), "If it cannot be protected", "", applicationModes, func(j *keepwardv1.Job) *string { return &at(j).Mode }),
		textInput(stepGuest, applicationName(i, "address"), "Address", "Where it listens: the directory of a socket, or HOST:PORT. Empty: as it does by itself", func(j *keepwardv1.Job) *string { return &at(j).Address }),
		textInput(stepGuest, applicationName(i, "credential"), "Credential", "The name of one that is stored. Empty: none is needed", func(j *keepwardv1.Job) *string { return &at(j).Credential }),
		areaInput(stepGuest, applicationName(i, "computers"), "Only on", "Names of computers of the job, one a line. Empty: all", func(j *keepwardv1.Job) *[]string { return &at(j).Computers }))
	for _, s := range row.Settings {
		if !s.Restore {
			out = append(out, settingInput(i, s, at))
		}
	}
	return out
}

func settingInput(i int, s job.ApplicationSetting, at func(j *keepwardv1.Job) *keepwardv1.Application) input {
	in := input{
		name: applicationName(i, "settings."+s.Name), step: stepGuest, label: s.Name, help: s.Meaning,
		texts: func(j *keepwardv1.Job) []string { return listOf(shownText(at(j).GetSettings()[s.Name])) },
		put: func(j *keepwardv1.Job, texts []string) error {
			a := at(j)
			text := typedText(strings.TrimSpace(one(texts)))
			if text == "" || text == s.Default {
				delete(a.Settings, s.Name)
				return nil
			}
			if a.Settings == nil {
				a.Settings = map[string]string{}
			}
			a.Settings[s.Name] = text
			return nil
		},
	}
	if len(s.Choices) > 0 {
		in.kind, in.choices = inChoice, append([]choice{{"", "As usual: " + s.Default}}, choicesOf(s.Choices)...)
	} else if s.Default != "" {
		in.help += ". Empty: " + s.Default
	}
	return in
}

// inputsOf are the inputs that a form has.
func inputsOf(form url.Values) []input {
	out := slices.Clone(wizardInputs)
	for i := range applicationsIn(form) {
		out = append(out, applicationInputs(i, form.Get(applicationName(i, "kind")))...)
	}
	return out
}

// stepOf is the step at which a fault is put right.
func stepOf(field string, inputs []input) (step, name string) {
	for _, in := range inputs {
		if within(field, in.name) {
			return in.step, in.name
		}
	}
	for _, s := range wizardSteps {
		if slices.ContainsFunc(s.fields, func(f string) bool { return within(field, f) }) {
			return s.name, ""
		}
	}
	return stepSummary, ""
}

// within tells whether a field is another one, or a part of it.
func within(field, of string) bool {
	rest, ok := strings.CutPrefix(field, of)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// sameTexts tells whether an input means the same in two forms.
func sameTexts(a, b url.Values, name string) bool {
	return slices.Equal(lines(a[name]), lines(b[name]))
}

// merge brings a form together with what became of the job meanwhile: was is the job as the form began
// with it, now the job as it is. What the form did not touch is taken over; what both changed stays as
// the form has it, and is told.
func merge(form, was, now url.Values) (merged url.Values, taken, both []string) {
	names := map[string]string{}
	var order []string
	for _, of := range []url.Values{form, was, now} {
		for _, in := range inputsOf(of) {
			if _, known := names[in.name]; !known {
				names[in.name] = in.label
				order = append(order, in.name)
			}
		}
	}
	merged = url.Values{}
	for _, name := range order {
		switch {
		case sameTexts(was, now, name), sameTexts(form, now, name):
			merged[name] = form[name]
		case sameTexts(form, was, name):
			merged[name] = now[name]
			taken = append(taken, name)
		default:
			merged[name] = form[name]
			both = append(both, name)
		}
		if len(merged[name]) == 0 {
			delete(merged, name)
		}
	}
	return merged, taken, both
}

// Inputs that a step shows together.
var (
	fileSwitches = []string{"files.one_file_system", "files.include_caches", "files.include_temporary", "files.live", "files.no_tracking"}
	startInputs  = []string{"jitter", "missed", "attempts", "restart_interval"}
)
