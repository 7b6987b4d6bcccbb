package manager

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"fmt"
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
	priority   int      // 0: that of the type
	high       bool     // the first of its type
	startAt    time.Time
	definition proto.Message
}

// randomID is the name of a task or an attempt: nobody can guess it.
func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	return hex.EncodeToString(b[:])
}

// RunJob starts a session of a job and answers its number.
func (m *Manager) RunJob(ctx context.Context, name string, full bool) (int64, error) {
	return m.runJob(ctx, name, full, m.user(ctx))
}

// RunJobAt puts a session of a job into the queue that starts at a time, and answers its number.
func (m *Manager) RunJobAt(ctx context.Context, name string, full bool, at time.Time) (int64, error) {
	r, err := m.jobRequest(ctx, name, full, m.user(ctx))
	if err != nil {
		return 0, err
	}
	r.startAt = at
	return m.submit(ctx, r)
}

func (m *Manager) runJob(ctx context.Context, name string, full bool, by string) (int64, error) {
	r, err := m.jobRequest(ctx, name, full, by)
	if err != nil {
		return 0, err
	}
	return m.submit(ctx, r)
}

// jobRequest is a session of a job.
func (m *Manager) jobRequest(ctx context.Context, name string, full bool, by string) (r request, err error) {
	j, err := catalog.GetJob(ctx, m.deps.DB.Read(), name)
	if err != nil {
		return r, err
	}
	if len(j.GetComputers()) == 0 {
		return r, errs.New(errs.Invalid, "job.no-computers", "run job %s: it names no computer", name)
	}
	why := ""
	if every := int(j.GetFullReadEvery()); every > 0 && !full {
		since, err := catalog.SinceFull(ctx, m.deps.DB.Read(), name)
		if err != nil {
			return r, err
		}
		if full = since+1 >= every; full {
			why = fmt.Sprintf("this run reads all files: the job does so every %d runs", every)
		}
	}
	return request{
		typ: job.Backup, job: name, repository: j.GetRepository(), full: full, why: why, by: by,
		computers: j.GetComputers(), high: j.GetHighPriority(), definition: j,
	}, nil
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
	definition, err := catalog.Definition(r.definition)
	if err != nil {
		return 0, err
	}
	now := time.Now()
	if r.computers, err = m.submittable(r, now); err != nil {
		return 0, err
	}
	row := catalog.Session{
		Job: r.job, Type: r.typ, Status: job.Queued, Priority: cmp.Or(r.priority, m.priority(r.typ, r.high)), Repository: r.repository,
		Full: r.full, StartedBy: r.by, Definition: definition, Created: now,
	}
	err = m.deps.DB.Write(ctx, func(tx *sql.Tx) error { return addSession(ctx, tx, &row, r) })
	if err != nil {
		return 0, err
	}
	s, err := m.load(ctx, row)
	if err != nil {
		return 0, err
	}
	m.register(s)
	s.post("", evQueueNote{})
	m.chores.post(s.run)
	return row.ID, nil
}

func addSession(ctx context.Context, tx *sql.Tx, row *catalog.Session, r request) error {
	if err := catalog.AddSession(ctx, tx, row); err != nil {
		return err
	}
	x := &turn{now: row.Created}
	for i, computer := range r.computers {
		t := &task{row: catalog.Task{
			ID: randomID(), Session: row.ID, Position: i, Computer: computer, Repository: r.repository,
			Status: job.Queued, Point: r.point, StartAt: r.startAt,
		}}
		if err := catalog.PutTask(ctx, tx, &t.row); err != nil {
			return err
		}
		x.status(t, job.None, job.Queued, job.Cause(job.None, job.Queued), r.by)
		if r.why != "" && i == 0 {
			x.line(t, levelInfo, partServer, "backup.full-read", r.why)
		}
	}
	for _, e := range x.events {
		row.LastSeq++
		e.Seq = row.LastSeq
	}
	if err := catalog.AddEvents(ctx, tx, x.events); err != nil {
		return err
	}
	return catalog.PutSession(ctx, tx, row)
}
