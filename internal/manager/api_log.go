package manager

import (
	"cmp"
	"context"
	"slices"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
)

const (
	// logPage is how many lines or files a page has where nobody says, logPageMost how many at most.
	logPage     = 200
	logPageMost = 1000
	// transitionsMost bounds the changes of status that are read at once.
	transitionsMost = 10_000
)

// bounded is how many of something are wanted.
func bounded(limit int32, usual, most int) int { return min(max(cmp.Or(int(limit), usual), 1), most) }

// ReadLogPage reads a page of a log.
func (m *Manager) ReadLogPage(ctx context.Context, req *connect.Request[keepwardv1.ReadLogPageRequest]) (*connect.Response[keepwardv1.ReadLogPageResponse], error) {
	for _, level := range req.Msg.GetLevels() {
		if !slices.Contains([]string{levelInfo, levelWarning, levelError}, level) {
			return nil, errs.New(errs.Invalid, "session.log-level", "search log of session %d: %q is no severity", req.Msg.GetId(), level).WithHint("it is info, warning or error")
		}
	}
	if _, err := m.currentSession(ctx, req.Msg.GetId()); err != nil {
		return nil, err
	}
	events, next, err := catalog.EventPage(ctx, m.deps.DB.Read(), req.Msg.GetId(), catalog.LogFilter{
		Levels: req.Msg.GetLevels(), Text: req.Msg.GetText(), Before: max(req.Msg.GetBefore(), 0), Limit: bounded(req.Msg.GetLimit(), logPage, logPageMost),
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.ReadLogPageResponse{Events: events, Next: next}), nil
}

// ListFileErrors reads the files of which a log has errors or warnings.
func (m *Manager) ListFileErrors(ctx context.Context, req *connect.Request[keepwardv1.ListFileErrorsRequest]) (*connect.Response[keepwardv1.ListFileErrorsResponse], error) {
	if _, err := m.currentSession(ctx, req.Msg.GetId()); err != nil {
		return nil, err
	}
	after := catalog.FilePlace{Path: req.Msg.GetAfter().GetPath(), Task: req.Msg.GetAfter().GetTask()}
	files, next, err := catalog.FileErrors(ctx, m.deps.DB.Read(), req.Msg.GetId(), req.Msg.GetText(), after, bounded(req.Msg.GetLimit(), logPage, logPageMost))
	if err != nil {
		return nil, err
	}
	out := &keepwardv1.ListFileErrorsResponse{}
	for _, f := range files {
		out.Files = append(out.Files, &keepwardv1.FileError{Lines: f.Lines, Newest: f.Newest})
	}
	if next != nil {
		out.Next = &keepwardv1.FilePlace{Path: next.Path, Task: next.Task}
	}
	return connect.NewResponse(out), nil
}

// ListTransitions reads the changes of status of a session's tasks.
func (m *Manager) ListTransitions(ctx context.Context, req *connect.Request[keepwardv1.ListTransitionsRequest]) (*connect.Response[keepwardv1.ListTransitionsResponse], error) {
	if _, err := m.currentSession(ctx, req.Msg.GetId()); err != nil {
		return nil, err
	}
	events, more, err := catalog.Transitions(ctx, m.deps.DB.Read(), req.Msg.GetId(), bounded(req.Msg.GetLimit(), transitionsMost, transitionsMost))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.ListTransitionsResponse{Events: events, More: more}), nil
}

// ListScripts says what became of the scripts of a session.
func (m *Manager) ListScripts(ctx context.Context, req *connect.Request[keepwardv1.ListScriptsRequest]) (*connect.Response[keepwardv1.ListScriptsResponse], error) {
	row, err := catalog.GetSession(ctx, m.deps.DB.Read(), req.Msg.GetId())
	if err != nil {
		return nil, err
	}
	list, err := catalog.Scripts(ctx, m.deps.DB.Read(), row.ID)
	if err != nil {
		return nil, err
	}
	out := &keepwardv1.ListScriptsResponse{}
	if len(list) == 0 {
		return connect.NewResponse(out), nil
	}
	def, err := catalog.DefinitionOf(row, &keepwardv1.Job{})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(list, func(a, b catalog.Script) int { return a.Ordered.Compare(b.Ordered) })
	for _, s := range list {
		out.Scripts = append(out.Scripts, &keepwardv1.SessionScript{
			Place: string(s.Place), Task: s.Task, Path: scriptOf(def.GetScripts(), s.Place).GetPath(), Ordered: stamp(s.Ordered), End: s.End,
		})
	}
	return connect.NewResponse(out), nil
}
