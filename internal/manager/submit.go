package manager

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// request is a session to be: what to do, and one task for each computer.
type request struct {
	typ        job.Type
	job        string
	repository string
	full       bool
	why        string // of full, if nobody asked for it
	by         string
	computers  []string // one task each; an empty name: none takes part
	point      string   // restore: what is read
	priority   int      // 0: as the digits of its tasks have it
	high       bool     // the first of its type
	startAt    time.Time
	after      string        // a job whose sessions that are there must be over before; empty: none
	planned    time.Time     // the moment of a schedule, from which jitter counts; zero: none
	jitter     time.Duration // over which the computers are spread from there
	definition proto.Message
	written    string // the definition as the catalog has it; empty: that of definition
	suspended  bool   // it begins with a pause
	// refused is why it does not start; nil: it does.
	refused *keepwardv1.Failure
	// origin is the session whose failed tasks it tries again, retry the how manieth time that is
	// done by itself, remark the line that says so.
	origin int64
	retry  int
	remark string
	// notes are more lines for the log, about who takes part.
	notes []note
}

// first is the status that the session and its tasks begin in.
func (r *request) first() job.Status {
	switch {
	case r.refused != nil:
		return job.FailedToStart
	case r.suspended:
		return job.Suspended
	}
	return job.Queued
}

// text is the definition as the catalog has it.
func (r *request) text() (string, error) {
	if r.written != "" {
		return r.written, nil
	}
	return catalog.Definition(r.definition)
}

// randomID is the name of a task or an attempt: nobody can guess it.
func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	return hex.EncodeToString(b[:])
}

// RunOptions is how somebody wants a session of a job.
type RunOptions struct {
	Full bool
	// At is when it starts; zero: at once.
	At time.Time
	// After is a job whose sessions that are there now must be over before; empty: none.
	After string
	// Suspended: it begins with a pause, and queues when it is resumed.
	Suspended bool
}

// RunJob starts a session of a job and answers its number.
func (m *Manager) RunJob(ctx context.Context, name string, full bool) (int64, error) {
	return m.RunJobWith(ctx, name, RunOptions{Full: full})
}

// RunJobWith puts a session of a job into the queue, and answers its number.
func (m *Manager) RunJobWith(ctx context.Context, name string, o RunOptions) (int64, error) {
	if o.After != "" {
		if err := m.knownJob(ctx, o.After); err != nil {
			return 0, err
		}
	}
	return m.runJobFrom(ctx, name, request{full: o.Full, by: m.user(ctx), startAt: o.At, after: o.After, suspended: o.Suspended})
}

// runJobFrom starts a session of a job; how it starts and who wants it are in r.
func (m *Manager) runJobFrom(ctx context.Context, name string, r request) (int64, error) {
	j, err := catalog.GetJob(ctx, m.deps.DB.Read(), name)
	if err != nil {
		return 0, err
	}
	if t := job.Type(j.GetType()); t != job.Backup && t != "" {
		return m.startSaved(ctx, j, r)
	}
	if len(j.GetComputers())+len(j.GetGroups()) == 0 {
		return 0, errs.New(errs.Invalid, "job.no-computers", "run job %s: it names no computer", name)
	}
	if every := int(j.GetFullReadEvery()); every > 0 && !r.full {
		since, err := catalog.SinceFull(ctx, m.deps.DB.Read(), name)
		if err != nil {
			return 0, err
		}
		if r.full = since+1 >= every; r.full {
			r.why = fmt.Sprintf("this run reads all files: the job does so every %d runs", every)
		}
	}
	r.typ, r.job, r.repository = job.Backup, name, j.GetRepository()
	r.priority, r.high = int(j.GetPriority()), j.GetHighPriority()
	r.jitter, r.definition = j.GetJitter().AsDuration(), behind(j, r.after)
	if len(j.GetGroups()) > 0 {
		return m.admitMembers(ctx, j, r)
	}
	if len(r.computers) == 0 {
		r.computers = j.GetComputers()
	}
	return m.admit(ctx, j, r)
}

// Rebuild starts a session that makes a repository's index anew from its packs, and answers its
// number.
func (m *Manager) Rebuild(ctx context.Context, repository string) (int64, error) {
	return m.maintain(ctx, job.RebuildIndex, repository, &keepwardv1.CheckRepositoryRequest{Name: repository})
}

func (m *Manager) maintain(ctx context.Context, typ job.Type, repository string, definition proto.Message) (int64, error) {
	if _, err := catalog.GetRepository(ctx, m.deps.DB.Read(), repository); err != nil {
		return 0, err
	}
	return m.submit(ctx, request{typ: typ, repository: repository, by: m.user(ctx), computers: []string{""}, definition: definition})
}

func (m *Manager) user(ctx context.Context) string {
	if m.deps.User == nil {
		return ""
	}
	return m.deps.User(ctx)
}

// submit writes a session with its tasks and lets it run. When it returns the session is in
// the catalog: it runs, now or after a restart.
func (m *Manager) submit(ctx context.Context, r request) (int64, error) {
	if err := m.waitReady(ctx); err != nil {
		return 0, err
	}
	definition, err := r.text()
	if err != nil {
		return 0, err
	}
	now := time.Now()
	if r.computers, err = m.submittable(r, now); err != nil {
		return 0, err
	}
	priorities, err := m.priorities(ctx, r)
	if err != nil {
		return 0, err
	}
	row := catalog.Session{
		Job: r.job, Type: r.typ, Status: r.first(), Priority: slices.Min(priorities), Repository: r.repository,
		Full: r.full, StartedBy: r.by, Definition: definition, Created: now, Origin: r.origin, Retry: r.retry,
	}
	if row.Status.Final() {
		row.Failure, row.Ended = r.refused, now
	}
	var tasks []catalog.Task
	err = m.deps.DB.Write(ctx, func(tx *sql.Tx) (err error) {
		tasks, err = addSession(ctx, tx, &row, r, priorities)
		return err
	})
	if err != nil {
		return 0, err
	}
	if row.Status.Final() {
		return row.ID, nil
	}
	// It is in the catalog: from here on it runs, whether its caller still listens or not.
	if err := m.setOut(context.WithoutCancel(ctx), row, tasks); err != nil {
		m.log.Error("session not read after it was submitted, will try again", "session", row.ID, "error", err)
		m.chores.post(func(ctx context.Context) { m.setOutLate(ctx, row, tasks) })
	}
	return row.ID, nil
}

// setOut lets a session run that was written just now.
func (m *Manager) setOut(ctx context.Context, row catalog.Session, tasks []catalog.Task) error {
	s, err := m.loadFrom(ctx, row, recordsOf(m.deps.DB.Read(), row.ID, tasks))
	if err != nil {
		return err
	}
	m.register(s)
	s.post("", evQueueNote{})
	return nil
}

// setOutLate tries that again until it is done: only the next start of the server would find the
// session, and nobody could even end it.
func (m *Manager) setOutLate(ctx context.Context, row catalog.Session, tasks []catalog.Task) {
	for sleep(ctx, writeAgain) == nil {
		if m.setOut(ctx, row, tasks) == nil {
			return
		}
	}
}

// addSession adds a session and answers its tasks.
func addSession(ctx context.Context, tx *sql.Tx, row *catalog.Session, r request, priorities []int) ([]catalog.Task, error) {
	if err := catalog.AddSession(ctx, tx, row); err != nil {
		return nil, err
	}
	row.LastSeq = 0    // it may be called again
	if r.origin != 0 { // in one step, so that it is done once
		if err := catalog.EndRetry(ctx, tx, r.origin); err != nil {
			return nil, err
		}
	}
	x := &turn{now: row.Created}
	tasks := make([]catalog.Task, 0, len(r.computers))
	for i, computer := range r.computers {
		t := &task{row: catalog.Task{
			ID: randomID(), Session: row.ID, Position: i, Computer: computer, Repository: r.repository,
			Status: row.Status, Point: r.point, Failure: r.refused, Ended: row.Ended, StartAt: r.startsAt(computer).UTC().Round(0), Priority: priorities[i],
		}}
		if r.suspended {
			t.row.SuspendedBy = r.by
		}
		if err := catalog.AddTask(ctx, tx, &t.row); err != nil {
			return nil, err
		}
		tasks = append(tasks, t.row)
		x.status(t, job.None, row.Status, job.Cause(job.None, row.Status), r.by)
		if r.refused != nil {
			x.line(t, levelError, partServer, r.refused.GetCode(), r.refused.GetMessage())
		}
		if r.remark != "" && i == 0 {
			x.line(t, levelInfo, partServer, "session.retry", r.remark)
		}
		for _, n := range r.notes {
			if i == 0 {
				x.line(t, n.level, partServer, n.code, n.text)
			}
		}
		if r.why != "" && i == 0 {
			x.line(t, levelInfo, partServer, "backup.full-read", r.why)
		}
	}
	for _, e := range x.events {
		row.LastSeq++
		e.Seq = row.LastSeq
	}
	if err := catalog.AddEvents(ctx, tx, x.events); err != nil {
		return nil, err
	}
	return tasks, catalog.PutSession(ctx, tx, row)
}
