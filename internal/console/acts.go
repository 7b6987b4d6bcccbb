package console

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	keepwardv1 "keepward/api/keepward/v1"
	v1 "keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// act is something that can be done to a session. Each has a page that says what comes of it
// before it is done.
type act struct {
	name   string // in the path
	verb   string // on what leads to its page, and on its button
	short  string // in lists; empty: the verb
	danger bool
	// procedure is the call that it makes: who may make it is offered it.
	procedure string
	// offered says whether it makes sense now. The API decides, and says why not.
	offered func(*keepwardv1.Session) bool
	// comes is what comes of it.
	comes func(*keepwardv1.Session) []string
	// does it, and answers the session to look at then.
	do func(ctx context.Context, c *client, id int64, form url.Values) (int64, error)
}

// acts are in the order in which they are offered.
var acts = []act{
	{
		name: "suspend", verb: "Suspend",
		procedure: v1.SessionServiceSuspendSessionProcedure,
		offered:   func(s *keepwardv1.Session) bool { return !over(s) && !pauses(s) && !leaves(s) },
		comes: func(*keepwardv1.Session) []string {
			return []string{
				"It gives back what it holds, and others can run.",
				"It goes on from its checkpoint when it is resumed; nothing that is stored is lost.",
				"A phase that cannot be interrupted is not paused: it is refused then.",
			}
		},
		do: func(ctx context.Context, c *client, id int64, _ url.Values) (int64, error) {
			_, err := call(ctx, c.sessions.SuspendSession, &keepwardv1.SuspendSessionRequest{Id: id})
			return id, err
		},
	},
	{
		name: "resume", verb: "Resume",
		procedure: v1.SessionServiceResumeSessionProcedure,
		offered:   func(s *keepwardv1.Session) bool { return !over(s) && pauses(s) },
		comes: func(*keepwardv1.Session) []string {
			return []string{"It queues again, and goes on from its checkpoint as soon as what it needs is free."}
		},
		do: func(ctx context.Context, c *client, id int64, _ url.Values) (int64, error) {
			_, err := call(ctx, c.sessions.ResumeSession, &keepwardv1.ResumeSessionRequest{Id: id})
			return id, err
		},
	},
	{
		name: "priority", verb: "Change priority", short: "Priority",
		procedure: v1.SessionServiceSetSessionPriorityProcedure,
		offered:   func(s *keepwardv1.Session) bool { return !over(s) && !leaves(s) },
		comes: func(*keepwardv1.Session) []string {
			return []string{
				"The lower number goes first.",
				"It moves in the queue. It may interrupt sessions of a higher number, or be interrupted by one of a lower number.",
			}
		},
		do: func(ctx context.Context, c *client, id int64, form url.Values) (int64, error) {
			n, err := strconv.ParseInt(form.Get("priority"), 10, 32)
			if err != nil {
				return id, errs.New(errs.Invalid, "", "change the priority: %q is no number from 0 to 999", form.Get("priority"))
			}
			_, err = call(ctx, c.sessions.SetSessionPriority, &keepwardv1.SetSessionPriorityRequest{Id: id, Priority: int32(n)})
			return id, err
		},
	},
	{
		name: "commit", verb: "End and keep", danger: true,
		procedure: v1.SessionServiceKillSessionProcedure,
		offered:   func(s *keepwardv1.Session) bool { return isBackup(s) && !over(s) && !leaves(s) },
		comes: func(*keepwardv1.Session) []string {
			return []string{
				"It takes in no more. What it has written by then becomes a partial restore point.",
				"A partial point can be restored, but is never the latest one, and retention does not count it.",
				"This cannot be undone; what is missing comes with the next run.",
			}
		},
		do: func(ctx context.Context, c *client, id int64, _ url.Values) (int64, error) {
			return id, kill(ctx, c, id, true)
		},
	},
	{
		name: "kill", verb: "Kill", danger: true,
		procedure: v1.SessionServiceKillSessionProcedure,
		offered:   func(s *keepwardv1.Session) bool { return !over(s) },
		comes: func(s *keepwardv1.Session) []string {
			if isBackup(s) {
				return []string{
					"It ends, and leaves no restore point.",
					"What it has stored is not lost: the next run takes it over.",
					"This cannot be undone.",
				}
			}
			return []string{"It ends where it is. What it has done by then stays done.", "This cannot be undone."}
		},
		do: func(ctx context.Context, c *client, id int64, _ url.Values) (int64, error) {
			return id, kill(ctx, c, id, false)
		},
	},
	{
		name: "retry", verb: "Retry",
		procedure: v1.SessionServiceRetrySessionProcedure,
		offered: func(s *keepwardv1.Session) bool {
			return over(s) && slices.ContainsFunc(s.GetTasks(), func(t *keepwardv1.Task) bool { return undone(job.Status(t.GetStatus())) })
		},
		comes: func(*keepwardv1.Session) []string {
			return []string{
				"A new session starts with the tasks that failed or were ended early. What is done is not done again.",
				"A backup goes by its job as that is now.",
			}
		},
		do: func(ctx context.Context, c *client, id int64, _ url.Values) (int64, error) {
			m, err := call(ctx, c.sessions.RetrySession, &keepwardv1.RetrySessionRequest{Id: id})
			return m.GetSession(), err
		},
	},
}

func kill(ctx context.Context, c *client, id int64, commit bool) error {
	m, err := call(ctx, c.sessions.KillSession, &keepwardv1.KillSessionRequest{Id: id, Commit: commit})
	if err == nil && m.GetOver() {
		return errs.New(errs.Busy, "", "session %d is over already: %s", id, m.GetSession().GetStatus())
	}
	return err
}

func over(s *keepwardv1.Session) bool { return job.Status(s.GetStatus()).Final() }

func isBackup(s *keepwardv1.Session) bool { return job.Type(s.GetType()) == job.Backup }

// anyTask tells whether a session or one of its tasks is in one of these statuses.
func anyTask(s *keepwardv1.Session, list ...job.Status) bool {
	return slices.Contains(list, job.Status(s.GetStatus())) ||
		slices.ContainsFunc(s.GetTasks(), func(t *keepwardv1.Task) bool { return slices.Contains(list, job.Status(t.GetStatus())) })
}

func pauses(s *keepwardv1.Session) bool { return anyTask(s, job.Suspended, job.SuspendPending) }

func leaves(s *keepwardv1.Session) bool { return job.Status(s.GetStatus()) == job.KillPending }

// undone tells whether a task that ended so can be tried again.
func undone(s job.Status) bool {
	return s.Result() == job.ResultFailed || s == job.Committed
}

// acts are those that who looks may do.
func (v *view) acts() []act {
	var out []act
	for _, a := range acts {
		if v.mayCall(a.procedure) {
			out = append(out, a)
		}
	}
	return out
}

// actsOf are those that make sense for a session now, and that who looks may do.
func (v *view) actsOf(s *keepwardv1.Session) []act {
	var out []act
	for _, a := range v.acts() {
		if a.offered(s) {
			out = append(out, a)
		}
	}
	return out
}

func (a act) inList() string { return cmp.Or(a.short, a.verb) }

// link is the page of an act on a session.
func (a act) link(id int64) string { return fmt.Sprintf("/sessions/%d/%s", id, a.name) }

func sessionID(r *http.Request) (int64, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil || id < 1 {
		return 0, errs.New(errs.NotFound, "", "%q is no number of a session", r.PathValue("id"))
	}
	return id, nil
}

// asked is the session and the act that a path names.
func (c *console) asked(r *http.Request) (*keepwardv1.Session, act, error) {
	id, err := sessionID(r)
	if err != nil {
		return nil, act{}, err
	}
	i := slices.IndexFunc(acts, func(a act) bool { return a.name == r.PathValue("act") })
	if i < 0 {
		return nil, act{}, errs.New(errs.NotFound, "", "there is no such page")
	}
	m, err := call(r.Context(), c.client.sessions.GetSession, &keepwardv1.GetSessionRequest{Id: id})
	return m.GetSession(), acts[i], err
}

func (c *console) askAct(w http.ResponseWriter, r *http.Request, v *view) error {
	s, a, err := c.asked(r)
	if err != nil {
		return err
	}
	c.answerAct(w, r, v, http.StatusOK, s, a, nil)
	return nil
}

func (c *console) answerAct(w http.ResponseWriter, r *http.Request, v *view, status int, s *keepwardv1.Session, a act, wrong *problem) {
	v.title, v.at = fmt.Sprintf("%s session %d", a.verb, s.GetId()), "sessions"
	c.show(w, r, status, actPage(v, v.row(s, 0), a, a.comes(s), wrong))
}

func (c *console) doAct(w http.ResponseWriter, r *http.Request, v *view) error {
	s, a, err := c.asked(r)
	if err != nil {
		return err
	}
	if err := r.ParseForm(); err != nil {
		return errs.New(errs.Invalid, "", "read the form: %w", err)
	}
	id, err := a.do(r.Context(), c.client, s.GetId(), r.PostForm)
	if err != nil {
		if expired(err) {
			return err
		}
		c.answerAct(w, r, v, statusOf(err), s, a, problemOf(v, err))
		return nil
	}
	http.Redirect(w, r, fmt.Sprintf("/sessions/%d", id), http.StatusSeeOther)
	return nil
}
