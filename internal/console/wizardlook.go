package console

import (
	"cmp"
	"net/http"
	"strings"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/words"
)

// lookView is what a backup would take of a computer, or how far the look at it is.
type lookView struct {
	computer, progress string
	result             *keepwardv1.DryRun
	wrong              *problem
}

// The columns of its tables.
var (
	takenHeads   = []string{"Path", "Files", "Size", "Note"}
	leftOutHeads = []string{"By", "Files", "Size", "Note"}
	sizeHeads    = []string{"Path", "Size"}
	problemHeads = []string{"Path", "Level", "Problem"}
)

func isNumber(head string) bool { return head == "Files" || head == "Size" }

// take takes over what the server tells of the look.
func (l *lookView) take(v *view, m *keepwardv1.DryRunResponse) {
	if f := m.GetFailure(); f != nil {
		l.progress, l.wrong = "", &problem{text: v.says(f.GetMessage()), hint: v.says(f.GetHint()), code: f.GetCode()}
		return
	}
	if l.result = m.GetResult(); l.result != nil {
		l.progress = ""
		return
	}
	n := m.GetProgress().GetCounters()
	l.progress = "Looking: " + words.Entries(n.GetDoneFiles(), n.GetDoneDirs()) + ", " + words.Size(n.GetDoneBytes())
}

func (l *lookView) taken() string {
	t := l.result.GetTaken()
	return words.Entries(t.GetFiles()+t.GetDirs(), t.GetDirs()) + ", " + words.Size(t.GetBytes())
}

// amountCells are files and bytes; empty where nobody looked.
func amountCells(n *keepwardv1.Amount) []string {
	if n == nil {
		return []string{"", ""}
	}
	return []string{words.Count(n.GetFiles()), words.Size(n.GetBytes())}
}

func (l *lookView) includes() (out [][]string) {
	for _, i := range l.result.GetIncludes() {
		note := words.Safe(i.GetText())
		if i.GetState() != "taken" {
			note = i.GetState() + ": " + note
		}
		out = append(out, append(append([]string{words.Safe(string(i.GetPath()))}, amountCells(i.GetAmount())...), note))
	}
	return out
}

func (l *lookView) leftOut() (out [][]string) {
	for _, r := range l.result.GetLeftOut() {
		note := r.GetWhat()
		if n := r.GetUnseen(); n > 0 {
			if note != "" {
				note += "; "
			}
			note += "not looked into: " + words.Count(n)
		}
		out = append(out, append(append([]string{words.Safe(ruleText(r))}, amountCells(r.GetAmount())...), words.Safe(note)))
	}
	return out
}

// ruleNames are what leaves something out, by its kind; the rule itself stands behind.
var ruleNames = map[string]string{
	"exclude": "leave out", "only": "no mask:", "automatic": "by itself:", "cache-tag": "CACHEDIR.TAG", "file-system": "another file system",
	"system": "state of the system", "snapshots": "own snapshots",
}

// ruleText names a rule.
func ruleText(r *keepwardv1.DryRunRule) string {
	return strings.TrimSpace(cmp.Or(ruleNames[r.GetKind()], r.GetKind()) + " " + r.GetRule())
}

func sizeLines(list []*keepwardv1.DryRunSize) (out [][]string) {
	for _, l := range list {
		out = append(out, []string{words.Safe(string(l.GetPath())), words.Size(l.GetBytes())})
	}
	return out
}

func (l *lookView) problems() (out [][]string) {
	for _, p := range l.result.GetProblems() {
		out = append(out, []string{words.Safe(string(p.GetPath())), p.GetLevel(), words.Safe(p.GetText())})
	}
	if more := l.result.GetErrors() + l.result.GetWarnings() - int64(len(out)); more > 0 {
		out = append(out, []string{"and " + words.Count(more) + " more", "", ""})
	}
	return out
}

// lookWizard has the agent of a computer say what the job would take, and tells it as it goes on. It
// ends when nobody listens any more.
func (c *console) lookWizard(w http.ResponseWriter, r *http.Request, v *view) error {
	z, err := c.wizardForm(r)
	if err != nil {
		return err
	}
	live := r.Header.Get("HX-Request") != ""
	l := &lookView{computer: typedText(r.PostForm.Get(keyLook))}
	req := &keepwardv1.DryRunRequest{Job: z.job, Computers: []string{l.computer}}
	var out *events
	if l.computer == "" {
		err = errs.New(errs.Invalid, "", "look: the job has no computer yet").WithHint("choose one in the step Computers")
	} else {
		err = receive(r.Context(), c.client.jobs.DryRun, req, func(m *keepwardv1.DryRunResponse) (err error) {
			v.now = time.Now()
			l.take(v, m)
			if !live {
				return nil
			}
			if out == nil {
				if out, err = begin(w); err != nil {
					return err
				}
			}
			return out.send(r.Context(), "", lookBody(v, l))
		})
	}
	switch {
	case r.Context().Err() != nil:
		return nil
	case expired(err):
		return err
	case err != nil:
		l.progress, l.wrong = "", problemOf(v, err)
		if out != nil {
			_ = out.send(r.Context(), "", lookBody(v, l)) // it has begun: it can only end
			return nil
		}
	case out != nil:
		return nil
	}
	if live {
		c.show(w, r, http.StatusOK, lookBody(v, l)) // the page shows it where the result would be
		return nil
	}
	z.look = l
	return c.showWizard(w, r, v, http.StatusOK, z)
}
