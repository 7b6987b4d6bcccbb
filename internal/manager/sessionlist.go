package manager

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// This file is lists of sessions: by a filter, once or live.

// listMost bounds a list whatever it asks for: all of it is held in memory.
const listMost = 10_000

// ListSessions lists sessions, the newest first.
func (m *Manager) ListSessions(ctx context.Context, req *connect.Request[keepwardv1.ListSessionsRequest]) (*connect.Response[keepwardv1.ListSessionsResponse], error) {
	f, err := m.filterOf(ctx, req.Msg)
	if err != nil {
		return nil, err
	}
	list, err := m.sessions(ctx, f)
	if err != nil {
		return nil, err
	}
	if f.Job != "" && len(list) == 0 {
		if err := m.knownJob(ctx, f.Job); err != nil {
			return nil, err
		}
	}
	return connect.NewResponse(&keepwardv1.ListSessionsResponse{Sessions: list}), nil
}

// filterOf reads a filter, and refuses what it does not know.
func (m *Manager) filterOf(ctx context.Context, r *keepwardv1.ListSessionsRequest) (catalog.SessionFilter, error) {
	f := catalog.SessionFilter{
		Active: r.GetActive(), Job: r.GetJob(), Computer: r.GetComputer(), Type: job.Type(r.GetType()), Since: moment(r.GetSince()),
		Until: moment(r.GetUntil()), Text: r.GetText(), Before: r.GetBefore(), Limit: min(int(r.GetLimit()), listMost), Within: within(ctx),
	}
	if f.Limit <= 0 {
		f.Limit = defaultList
	}
	if f.Type != "" && !f.Type.Known() {
		return f, errs.New(errs.Invalid, "session.filter", "list sessions: there is no type %q", f.Type).WithHint("for example: backup, restore, verify, sweep")
	}
	for _, word := range r.GetStatuses() {
		statuses, ok := statusesOf(word)
		if !ok {
			return f, errs.New(errs.Invalid, "session.filter", "list sessions: there is no status %q", word).WithHint("there is %s", statusWords())
		}
		f.Statuses = append(f.Statuses, statuses...)
	}
	if f.Computer != "" {
		return f, m.knownComputer(ctx, f.Computer)
	}
	return f, nil
}

// statusesOf are the statuses that a word means: one by its name, or all of a result.
func statusesOf(word string) (out []job.Status, ok bool) {
	for _, r := range job.Statuses {
		if strings.EqualFold(word, string(r.Status)) {
			return []job.Status{r.Status}, true
		}
		if result := r.Status.Result(); result != job.ResultNone && strings.EqualFold(word, string(result)) {
			out = append(out, r.Status)
		}
	}
	return out, len(out) > 0
}

// statusWords are the words that statusesOf knows.
func statusWords() string {
	var words []string
	for _, r := range job.Statuses {
		words = append(words, string(r.Status))
	}
	return strings.Join(append(words, string(job.ResultSuccess), string(job.ResultWarning)), ", ")
}

func moment(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

// knownJob refuses the name of a job that is not there, with the nearest ones.
func (m *Manager) knownJob(ctx context.Context, name string) error {
	_, err := catalog.GetJob(ctx, m.deps.DB.Read(), name)
	return err
}

// WatchSessions sends the sessions of a filter, and then what becomes of them.
func (m *Manager) WatchSessions(ctx context.Context, req *connect.Request[keepwardv1.WatchSessionsRequest], stream *connect.ServerStream[keepwardv1.WatchSessionsResponse]) error {
	if err := m.waitReady(ctx); err != nil {
		return err
	}
	f, err := m.filterOf(ctx, req.Msg.GetFilter())
	if err != nil {
		return err
	}
	return m.watchList(ctx, f, stream.Send)
}

func (m *Manager) watchList(ctx context.Context, f catalog.SessionFilter, send func(*keepwardv1.WatchSessionsResponse) error) error {
	changed, end := m.hub.watch(allSessions)
	defer end()
	watched, leave := m.watched.join(f)
	defer leave()
	var shown map[int64]*keepwardv1.Session
	for {
		list, err := watched.sessions(ctx, m, f)
		if err != nil {
			return err
		}
		res, now := difference(shown, list)
		for _, id := range res.GetGone() {
			if s, err := m.currentSession(ctx, id); err == nil { // else it is forgotten
				res.Sessions = append(res.Sessions, s)
			}
		}
		if res.GetWhole() || len(res.GetSessions())+len(res.GetGone()) > 0 {
			if err := send(res); err != nil {
				return err
			}
		}
		shown = now
		if err := sleep(ctx, watchEvery); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watchedLists has each list that is watched read once after a change, whoever many watch it: most
// consoles show the same. The lists are shared, and must not be changed. The zero value is ready to use.
type watchedLists struct {
	mu    sync.Mutex
	lists map[string]*watchedList
}

type watchedList struct {
	watchers int

	mu      sync.Mutex // held while it is read: the others wait for what comes of it
	changes int64      // how many there had been when it was read
	list    []*keepwardv1.Session
}

// join answers the list of a filter, and how to leave it: the last who leaves forgets it.
func (w *watchedLists) join(f catalog.SessionFilter) (*watchedList, func()) {
	key := fmt.Sprintf("%+v", f)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lists == nil {
		w.lists = map[string]*watchedList{}
	}
	l := w.lists[key]
	if l == nil {
		l = &watchedList{changes: -1}
		w.lists[key] = l
	}
	l.watchers++
	return l, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if l.watchers--; l.watchers == 0 {
			delete(w.lists, key)
		}
	}
}

func (l *watchedList) sessions(ctx context.Context, m *Manager, f catalog.SessionFilter) ([]*keepwardv1.Session, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	same, now := m.hub.since(l.changes)
	if same {
		return l.list, nil
	}
	list, err := m.sessions(ctx, f)
	if err != nil {
		return nil, err
	}
	l.changes, l.list = now, list
	return list, nil
}

// difference is what a watcher must be told who was shown something, and what is shown then; nil
// before the first time.
func difference(shown map[int64]*keepwardv1.Session, list []*keepwardv1.Session) (*keepwardv1.WatchSessionsResponse, map[int64]*keepwardv1.Session) {
	res := &keepwardv1.WatchSessionsResponse{Whole: shown == nil}
	now := make(map[int64]*keepwardv1.Session, len(list))
	for _, s := range list {
		now[s.GetId()] = s
		if had := shown[s.GetId()]; had != s && !proto.Equal(had, s) {
			res.Sessions = append(res.Sessions, s)
		}
	}
	for id := range shown {
		if now[id] == nil {
			res.Gone = append(res.Gone, id)
		}
	}
	slices.SortFunc(res.Gone, func(a, b int64) int { return cmp.Compare(b, a) })
	return res, now
}
