package manager

import (
	"context"
	"runtime"
	"sync"
	"weak"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
)

// load makes a session of what the catalog has of it.
func (m *Manager) load(ctx context.Context, row catalog.Session) (*session, error) {
	return m.loadFrom(ctx, row, &records{q: m.deps.DB.Read()})
}

// records is where sessions are read from: the catalog, a question for each thing, or what was
// read of all sessions that are not over: a start of the server with a hundred thousand of them
// would be three hundred thousand questions.
type records struct {
	q        catalog.Queryer
	all      bool
	places   map[string]catalog.Repository
	tasks    map[int64][]catalog.Task
	attempts map[string]catalog.Attempt
}

// readRecords reads what there is of all sessions that are not over.
func readRecords(ctx context.Context, q catalog.Queryer) (*records, error) {
	r := &records{q: q, all: true, places: map[string]catalog.Repository{}, tasks: map[int64][]catalog.Task{}, attempts: map[string]catalog.Attempt{}}
	places, err := catalog.Repositories(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, p := range places {
		r.places[p.Name] = p
	}
	tasks, err := catalog.ActiveTasks(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, t := range tasks {
		r.tasks[t.Session] = append(r.tasks[t.Session], t)
	}
	attempts, err := catalog.ActiveAttempts(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, a := range attempts {
		r.attempts[a.Task] = a // the newest is the last
	}
	return r, nil
}

// recordsOf are those of a session that has just been written.
func recordsOf(q catalog.Queryer, session int64, tasks []catalog.Task) *records {
	return &records{q: q, all: true, tasks: map[int64][]catalog.Task{session: tasks}}
}

func (r *records) repository(ctx context.Context, name string) (catalog.Repository, error) {
	if p, ok := r.places[name]; ok {
		return p, nil
	}
	return catalog.GetRepository(ctx, r.q, name)
}

func (r *records) tasksOf(ctx context.Context, session int64) ([]catalog.Task, error) {
	if r.all {
		return r.tasks[session], nil
	}
	return catalog.Tasks(ctx, r.q, session)
}

// newestAttempt is the newest attempt of a task, and whether there is one.
func (r *records) newestAttempt(ctx context.Context, task string) (catalog.Attempt, bool, error) {
	if r.all {
		a, ok := r.attempts[task]
		return a, ok, nil
	}
	list, err := catalog.Attempts(ctx, r.q, task)
	if err != nil || len(list) == 0 {
		return catalog.Attempt{}, false, err
	}
	return list[0], true, nil
}

// jobTexts are the jobs that sessions have been made of, each once however many sessions there are
// of it. One that no session has any more goes by itself. Nobody may change them.
type jobTexts struct {
	mu     sync.Mutex
	byText map[string]weak.Pointer[keepwardv1.Job]
}

func newJobTexts() *jobTexts { return &jobTexts{byText: map[string]weak.Pointer[keepwardv1.Job]{}} }

// of is the job of a session, as it was at submission.
func (t *jobTexts) of(row catalog.Session) (*keepwardv1.Job, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if j := t.byText[row.Definition].Value(); j != nil {
		return j, nil
	}
	j, err := catalog.DefinitionOf(row, &keepwardv1.Job{})
	if err != nil || j == nil {
		return j, err
	}
	own := weak.Make(j)
	t.byText[row.Definition] = own
	runtime.AddCleanup(j, func(text string) { t.drop(text, own) }, row.Definition)
	return j, nil
}

// drop forgets a text whose job is gone, unless it was made anew meanwhile.
func (t *jobTexts) drop(text string, own weak.Pointer[keepwardv1.Job]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byText[text] == own {
		delete(t.byText, text)
	}
}
