package manager

import (
	"context"
	"database/sql"
	"errors"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/job"
)

// taskScripts is what a task knows of the scripts of its job; nil: the job has none. The journal
// (begun, in itself and in shared) is written with every change of the task, so that an order to
// run a script is given only when its start is in the catalog.
type taskScripts struct {
	scripts *keepwardv1.Scripts
	shared  *sessionScripts
	begun   map[job.Place]*catalog.Script // of the computer
	// there tells whether the computer's agent is connected.
	there func() bool

	verdict *catalog.Verdict // how the task ends once the scripts after it have run
	last    bool             // nothing is left to do: the next final status is the end
	calling bool             // a call about a script of the computer is under way
	stopped bool             // the script that runs was told to end
	askAt   time.Time        // when the agent is asked again that could not be reached
	giveUp  time.Time        // until when an agent that cannot be reached is waited for
}

// sessionScripts are those of the server, which run once for all tasks of a session.
type sessionScripts struct {
	tasks []*task
	begun map[job.Place]*catalog.Script
	// here are those that this process of the server has ordered: others that did not end are lost.
	here map[job.Place]bool
	// stops end those that run in this process.
	stops map[job.Place]context.CancelCauseFunc
}

// evScript: a script has ended, or its agent could not be asked.
type evScript struct {
	place job.Place
	end   *keepwardv1.ScriptEnd // nil: nobody knows
	away  string                // why nobody knows
}

// scriptOf is the script of a place; nil: there is none.
func scriptOf(s *keepwardv1.Scripts, p job.Place) *keepwardv1.Script {
	var one *keepwardv1.Script
	switch p {
	case job.ServerBefore:
		one = s.GetServerBefore()
	case job.AgentBefore:
		one = s.GetAgentBefore()
	case job.PreFreeze:
		one = s.GetPreFreeze()
	case job.PostThaw:
		one = s.GetPostThaw()
	case job.AgentAfter:
		one = s.GetAgentAfter()
	case job.ServerAfter:
		one = s.GetServerAfter()
	}
	if one.GetPath() == "" {
		return nil
	}
	return one
}

// row is the journal's row of a script; nil: it was not started.
func (s *taskScripts) row(p job.Place) *catalog.Script {
	if p.Row().OnServer {
		return s.shared.begun[p]
	}
	return s.begun[p]
}

// under tells whether a script was started and has not ended.
func (s *taskScripts) under(p job.Place) bool {
	row := s.row(p)
	return row != nil && row.End == nil
}

// loadScripts gives the tasks of a session the scripts of their job.
func (m *Manager) loadScripts(ctx context.Context, s *session) error {
	if s.row.Type != job.Backup || s.plan.interval.GetScripts() == nil {
		return nil
	}
	shared := &sessionScripts{tasks: s.tasks, begun: map[job.Place]*catalog.Script{}, here: map[job.Place]bool{}, stops: map[job.Place]context.CancelCauseFunc{}}
	byID := map[string]*taskScripts{}
	for _, t := range s.tasks {
		agent := agentOf(t.row.Computer)
		t.scripts = &taskScripts{
			scripts: s.plan.interval.GetScripts(), shared: shared, begun: map[job.Place]*catalog.Script{},
			there: func() bool { return m.down(agent) == nil },
		}
		byID[t.row.ID] = t.scripts
	}
	rows, err := catalog.Scripts(ctx, m.deps.DB.Read(), s.row.ID)
	if err != nil {
		return err
	}
	for i := range rows {
		if row := &rows[i]; row.Task == "" {
			shared.begun[row.Place] = row
		} else if own := byID[row.Task]; own != nil {
			own.begun[row.Place] = row
		}
	}
	verdicts, err := catalog.Verdicts(ctx, m.deps.DB.Read(), s.row.ID)
	if err != nil {
		return err
	}
	for i := range verdicts {
		if own := byID[verdicts[i].Task]; own != nil {
			own.verdict = &verdicts[i]
		}
	}
	return nil
}

// saveScripts writes the journal: what of it is old is the same as before.
func saveScripts(ctx context.Context, tx *sql.Tx, t *task) error {
	s := t.scripts
	if s == nil {
		return nil
	}
	var err error
	for _, rows := range []map[job.Place]*catalog.Script{s.begun, s.shared.begun} {
		for _, row := range rows {
			err = errors.Join(err, catalog.PutScript(ctx, tx, row))
		}
	}
	switch {
	case err != nil:
		return err
	case t.row.Status.Final():
		return catalog.DropVerdict(ctx, tx, t.row.ID)
	case s.verdict != nil:
		return catalog.PutVerdict(ctx, tx, s.verdict)
	}
	return nil
}

// preparing tells whether the task runs the scripts before its job. It holds nothing then.
func (t *task) preparing() bool {
	return t.scripts != nil && t.scripts.verdict == nil && active(t.row.Status) && t.row.Phase == job.PhasePrepare
}

// concluding tells whether it is known how the task ends, and scripts after it have yet to run. It
// holds nothing then.
func (t *task) concluding() bool {
	return t.scripts != nil && t.scripts.verdict != nil && !t.row.Status.Final()
}

// bare tells whether the task holds nothing although its status may: only scripts of it run.
func (t *task) bare() bool { return t.preparing() || t.concluding() }
