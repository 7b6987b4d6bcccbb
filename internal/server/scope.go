package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/group"
	"keepward/internal/job"
	"keepward/internal/manager"
)

// scope is what a call is to those who are limited to the computers of groups. There is no zero: a
// call must say.
type scope int

const (
	// site calls are about the whole site, and refused.
	site scope = iota + 1
	// ofCaller calls are about who calls, and name no computer.
	ofCaller
	// listed calls answer what is within. What they name in fields of their own must be within.
	listed
	// The call names one thing, which must be within.
	ofComputer
	ofJob
	ofSession
	ofPoint
)

// scoper is the one place where limits to groups are kept: it looks at what a call names before it is
// made, and at every answer before it leaves. What is not within is as if it were not there. It is an
// interceptor, and safe for concurrent use.
type scoper struct {
	db     *catalog.DB
	log    *slog.Logger
	audits *auditor
	now    func() time.Time
}

// horizon is what a caller may know of.
type horizon struct {
	ctx       context.Context
	db        catalog.Queryer
	computers map[string]bool
	site      *group.Site
}

// of finds what c may know of at this moment.
func (s *scoper) of(ctx context.Context, c caller) (*horizon, error) {
	all, err := group.Load(ctx, s.db.Read(), s.now())
	if err != nil {
		return nil, err
	}
	w := &horizon{ctx: ctx, db: s.db.Read(), site: all}
	for _, groups := range [][]string{c.user.Groups, c.token.Groups} {
		if len(groups) == 0 {
			continue
		}
		in := map[string]bool{}
		for _, g := range groups {
			for _, m := range all.Members(g).List {
				if w.computers == nil || w.computers[m.GetComputer()] {
					in[m.GetComputer()] = true
				}
			}
		}
		w.computers = in
	}
	return w, nil
}

func (w *horizon) all(computers []string) bool {
	return len(computers) > 0 && !slices.ContainsFunc(computers, func(c string) bool { return !w.computers[c] })
}

// job is within if all that it names is: whoever starts or reads it deals with all of it.
func (w *horizon) job(j *keepwardv1.Job) bool {
	names := slices.Clone(j.GetComputers())
	for _, g := range j.GetGroups() {
		for _, m := range w.site.Members(g).List {
			names = append(names, m.GetComputer())
		}
	}
	for _, m := range j.GetMembers() {
		names = append(names, m.GetComputer())
	}
	return w.all(names)
}

func (w *horizon) jobNamed(name string) (bool, error) {
	j, err := catalog.GetJob(w.ctx, w.db, name)
	if errs.KindOf(err) == errs.NotFound {
		return false, nil
	}
	return err == nil && w.job(j), err
}

// session is within if every computer is that takes or took part in it.
func (w *horizon) session(id int64) (bool, error) {
	tasks, err := catalog.Tasks(w.ctx, w.db, id)
	if err != nil {
		return false, err
	}
	var names []string
	for _, t := range tasks {
		names = append(names, t.Computer)
	}
	if len(names) > 0 {
		return w.all(names), nil
	}
	s, err := catalog.GetSession(w.ctx, w.db, id) // nobody takes part yet
	if err != nil || s.Job == "" {
		return false, nil
	}
	return w.jobNamed(s.Job)
}

// point finds all that a name may mean; words that mean a time need the computer named.
func (w *horizon) point(name string) (bool, error) {
	if name == "" || strings.Trim(strings.ToLower(name), "0123456789abcdef") != "" {
		return false, nil
	}
	points, err := catalog.Points(w.ctx, w.db, catalog.PointFilter{Prefix: strings.ToLower(name), Deleted: true, Bare: true})
	if err != nil {
		return false, err
	}
	for _, p := range points {
		if !w.computers[p.GetComputer()] {
			return false, nil
		}
	}
	return len(points) > 0, nil
}

// allows looks at what a call names.
func (w *horizon) allows(how scope, m any) (bool, error) {
	ok, named := true, false
	computer := func(name string) {
		if name != "" {
			ok, named = ok && w.computers[name], true
		}
	}
	if m, is := m.(interface{ GetComputer() string }); is {
		computer(m.GetComputer())
	}
	if m, is := m.(interface{ GetTargetComputer() string }); is {
		computer(m.GetTargetComputer())
	}
	var jobs []string
	if m, is := m.(interface{ GetJob() string }); is && m.GetJob() != "" {
		jobs = append(jobs, m.GetJob())
	}
	if m, is := m.(*keepwardv1.RunJobRequest); is && m.GetAfter() != "" {
		jobs = append(jobs, m.GetAfter())
	}
	var points []string
	switch m := m.(type) {
	case *keepwardv1.GetComputerRequest:
		computer(m.GetName())
	case *keepwardv1.GetPointRequest:
		points = append(points, m.GetName())
	case *keepwardv1.DiffRequest:
		points = append(points, m.GetA(), m.GetB())
	case *keepwardv1.WatchSessionsRequest:
		return w.allows(how, m.GetFilter())
	case interface{ GetPoint() string }:
		points = append(points, m.GetPoint())
	}
	if how == ofJob {
		if m, is := m.(interface{ GetName() string }); is {
			jobs = append(jobs, m.GetName())
		}
	}
	for _, name := range jobs {
		in, err := w.jobNamed(name)
		if err != nil {
			return false, err
		}
		ok, named = ok && in, true
	}
	if how == ofSession {
		in, err := w.session(m.(interface{ GetId() int64 }).GetId())
		if err != nil {
			return false, err
		}
		ok, named = ok && in, true
	}
	// With a computer only its points count, whatever they are called.
	if of, is := m.(interface{ GetComputer() string }); !is || of.GetComputer() == "" {
		for _, name := range points {
			if name == "" && how == listed {
				continue
			}
			in, err := w.point(name)
			if err != nil {
				return false, err
			}
			ok, named = ok && in, true
		}
	}
	return ok && (named || how == listed || how == ofCaller), nil
}

// ofComputers are the areas of the conditions whose subject is a computer.
var ofComputers = map[string]bool{"agent": true, "computer": true, "changes": true, "update": true}

// keeps tells of a message whether it is within, and takes out of it what says something of others.
func (w *horizon) keeps(m proto.Message) (bool, error) {
	switch m := m.(type) {
	case *keepwardv1.Computer:
		return w.computers[m.GetName()], nil
	case *keepwardv1.ProtectedComputer:
		return w.computers[m.GetComputer()], nil
	case *keepwardv1.Point:
		return w.computers[m.GetComputer()], nil
	case *keepwardv1.Task:
		return w.computers[m.GetComputer()], nil
	case *keepwardv1.FindResponse:
		return w.computers[m.GetComputer()], nil
	case *keepwardv1.Wait:
		return w.computers[m.GetComputer()], nil
	case *keepwardv1.Holder:
		return w.computers[m.GetComputer()], nil
	case *keepwardv1.Condition:
		area, _, _ := strings.Cut(m.GetCode(), ".")
		return w.computers[m.GetSubject()] && ofComputers[area], nil // a repository may be called as a computer is
	case *keepwardv1.Session:
		return w.session(m.GetId())
	case *keepwardv1.Job:
		return w.job(m), nil
	case *keepwardv1.Reason:
		m.Args, m.Text = nil, m.GetCode() // its words name who is in the way
	case *keepwardv1.NextRun:
		m.After = ""
	case *keepwardv1.ViewCount, *keepwardv1.Transport, *keepwardv1.Repository:
		return false, nil // of the whole site
	}
	return true, nil
}

// prune takes out of an answer what is not within. ok is false if that is the answer itself, or a part
// without which it makes no sense.
func (w *horizon) prune(m protoreflect.Message) (ok bool, err error) {
	if ok, err = w.keeps(m.Interface()); !ok || err != nil {
		return false, err
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap() || f.Message() == nil:
		case f.IsList():
			kept, list := 0, v.List()
			for i := range list.Len() {
				var in bool
				if in, err = w.prune(list.Get(i).Message()); err != nil {
					return false
				}
				if in {
					list.Set(kept, list.Get(i))
					kept++
				}
			}
			list.Truncate(kept)
		default:
			var in bool
			in, err = w.prune(v.Message())
			if ok = ok && in; !ok {
				return false
			}
		}
		return err == nil
	})
	return ok && err == nil, err
}

// limit is the limits of one call; nil: there are none.
func (s *scoper) limit(ctx context.Context, procedure string) (*limit, error) {
	c, ok := callerOf(ctx)
	if !ok || !c.limited() {
		return nil, nil
	}
	w, err := s.of(ctx, c)
	if err != nil {
		return nil, err
	}
	return &limit{scoper: s, horizon: w, caller: c, procedure: procedure, how: methods[procedure].scope}, nil
}

type limit struct {
	*scoper
	*horizon
	caller    caller
	procedure string
	how       scope
}

// refused is the answer about what is not within: the same as about what is not there at all.
func (l *limit) refused() error {
	return errs.New(errs.NotFound, "access.not-within", "call %s: there is no such thing among the computers that user %s is for", callName(l.procedure), l.caller.user.Name).
		WithHint("restore points without a computer are named by their ids")
}

func (l *limit) asks(ctx context.Context, addr string, m any) error {
	ok, err := l.allows(l.how, m)
	if err != nil || ok {
		return err
	}
	err = l.refused()
	l.log.Warn("call refused", "method", l.procedure, "peer", addr, "user", l.caller.user.Name, "reason", err)
	if methods[l.procedure].audit == silent { // the others have a row that says so
		r := l.audits.row(ctx, l.procedure, addr)
		r.Named = namedBy(m, asked)
		l.audits.refused(ctx, r, err)
	}
	return err
}

// says is what l leaves of an answer; nil: nothing. The answer itself is not touched: parts of it may be
// on their way to others.
func (l *limit) says(m any) (proto.Message, error) {
	p, ok := m.(proto.Message)
	if !ok {
		return nil, nil
	}
	if l.how == ofCaller {
		return p, nil
	}
	p = proto.Clone(p)
	if ok, err := l.prune(p.ProtoReflect()); err != nil || !ok {
		return nil, err
	}
	return p, nil
}

// plain takes the names of others out of an error, which may tell what is nearest.
func (l *limit) plain(err error) error {
	if err != nil && l.how != ofCaller && errs.KindOf(err) == errs.NotFound {
		return l.refused()
	}
	return err
}

// wholly has a call that counts what it does not answer, or answers a page of it, answer all: what is
// counted must be what is within. It answers which page was asked for.
func wholly(m any) (p page) {
	switch m := m.(type) {
	case *keepwardv1.GetStatusRequest:
		m.Brief = false
	case *keepwardv1.ListComputersRequest:
		p, m.Limit, m.After = page{int(m.GetLimit()), m.GetAfter()}, 0, ""
	}
	return p
}

// page is a part of a list: so many, 0 for all, that come behind a name.
type page struct {
	limit int
	after string
}

// recount counts what an answer has after others were taken out of it.
func recount(m proto.Message, p page) {
	switch m := m.(type) {
	case *keepwardv1.GetStatusResponse:
		n := &keepwardv1.StatusCounts{Computers: int64(len(m.GetComputers())), Conditions: int64(len(m.GetConditions()))}
		for _, s := range m.GetActive() {
			countSession(n, job.Status(s.GetStatus()), 1)
		}
		for _, s := range m.GetRecent() {
			countSession(n, job.Status(s.GetStatus()), 1)
		}
		m.Views = nil
		views := map[string]int64{}
		for _, c := range m.GetComputers() {
			for _, view := range c.GetViews() {
				views[view]++
			}
		}
		for _, view := range viewNames {
			m.Views = append(m.Views, &keepwardv1.ViewCount{View: view, Computers: views[view]})
		}
		for _, c := range m.GetConditions() {
			if c.GetSeverity() == severityError {
				n.Errors++
			}
		}
		m.Counts = n
	case *keepwardv1.ListComputersResponse:
		m.Found = int64(len(m.GetComputers()))
		m.Computers = slices.DeleteFunc(m.Computers, func(c *keepwardv1.Computer) bool { return c.GetName() <= p.after })
		if m.More = p.limit > 0 && len(m.Computers) > p.limit; m.More {
			m.Computers = m.Computers[:p.limit]
		}
	}
}

func (s *scoper) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		l, err := s.limit(ctx, req.Spec().Procedure)
		if err != nil {
			return nil, err
		}
		if l == nil {
			return next(ctx, req)
		}
		if err := l.asks(ctx, req.Peer().Addr, req.Any()); err != nil {
			return nil, err
		}
		p := wholly(req.Any())
		res, err := next(manager.Within(ctx, slices.Sorted(maps.Keys(l.computers))), req)
		if err != nil {
			return nil, l.plain(err)
		}
		left, err := l.says(res.Any())
		if err != nil {
			return nil, err
		}
		if left == nil {
			return nil, l.refused()
		}
		recount(left, p)
		if whole := res.Any().(proto.Message); left != whole { // the outermost message is this call's own
			proto.Reset(whole)
			proto.Merge(whole, left)
		}
		return res, nil
	}
}

func (*scoper) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (s *scoper) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		c, ok := callerOf(ctx)
		if !ok || !c.limited() {
			return next(ctx, conn)
		}
		w, err := s.of(ctx, c)
		if err != nil {
			return err
		}
		ctx = manager.Within(ctx, slices.Sorted(maps.Keys(w.computers)))
		stream := &limitedStream{StreamingHandlerConn: conn, ctx: ctx, s: s}
		err = next(ctx, stream)
		if stream.refused != nil {
			return stream.refused
		}
		if stream.limit != nil {
			err = stream.limit.plain(err)
		}
		return err
	}
}

// limitedStream looks at what comes and goes.
type limitedStream struct {
	connect.StreamingHandlerConn
	ctx     context.Context
	s       *scoper
	looked  bool
	limit   *limit
	refused error
}

func (s *limitedStream) Receive(m any) error {
	err := s.StreamingHandlerConn.Receive(m)
	if s.looked || err != nil && !errors.Is(err, io.EOF) { // an end without a message is an empty one
		return err
	}
	s.looked = true
	l, lerr := s.s.limit(s.ctx, s.Spec().Procedure)
	if lerr == nil {
		s.limit = l
		lerr = l.asks(s.ctx, s.Peer().Addr, m)
	}
	if lerr != nil {
		s.refused = lerr
		return lerr
	}
	return err
}

// Send leaves out a message of which nothing is within. Who is within is looked at anew: a watch may
// last for days.
func (s *limitedStream) Send(m any) error {
	l, err := s.s.limit(s.ctx, s.Spec().Procedure)
	if err != nil {
		return err
	}
	left, err := l.says(m)
	if err != nil || left == nil {
		return err
	}
	return s.StreamingHandlerConn.Send(left)
}
