package server

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/wire"
)

// methodOf is a method of the schema.
func methodOf(t *testing.T, procedure string) protoreflect.MethodDescriptor {
	t.Helper()
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(procedure, "/"), "/", ".")))
	if err != nil {
		t.Fatal(err)
	}
	return d.(protoreflect.MethodDescriptor)
}

// reaches tells whether a message has one of these in it, however deep.
func reaches(m protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool, what ...protoreflect.Name) bool {
	if slices.Contains(what, m.Name()) {
		return true
	}
	if seen[m.FullName()] {
		return false
	}
	seen[m.FullName()] = true
	for i := range m.Fields().Len() {
		if of := m.Fields().Get(i).Message(); of != nil && reaches(of, seen, what...) {
			return true
		}
	}
	return false
}

// TestEveryCallSaysWhatItIsToThoseWhoAreLimited walks the role table.
func TestEveryCallSaysWhatItIsToThoseWhoAreLimited(t *testing.T) {
	naming := []protoreflect.Name{"computer", "computers", "target_computer", "point", "points", "session", "sessions", "job"}
	for procedure, rule := range methods {
		if rule.scope < site || rule.scope > ofPoint {
			t.Errorf("%s does not say what it is to those who are limited", procedure)
			continue
		}
		in, out := methodOf(t, procedure).Input(), methodOf(t, procedure).Output()
		field := func(name protoreflect.Name) bool { return in.Fields().ByName(name) != nil }
		switch rule.scope {
		case ofCaller:
			if rule.may&users == 0 {
				break
			}
			if slices.ContainsFunc(naming, field) || reaches(out, map[protoreflect.FullName]bool{}, "Computer", "Session", "Job", "Point", "Task", "Condition", "Repository") {
				t.Errorf("%s is about more than who calls", procedure)
			}
		case listed:
			if name := methodOf(t, procedure).Name(); !strings.HasPrefix(string(name), "List") && !slices.Contains([]protoreflect.Name{"Find", "WatchSessions", "GetStatus"}, name) {
				t.Errorf("%s is no list: it must say what it names", procedure)
			}
		case ofComputer, ofJob:
			if !field("name") && !field("job") {
				t.Errorf("%s names nothing by a name", procedure)
			}
		case ofSession:
			if f := in.Fields().ByName("id"); f == nil || f.Kind() != protoreflect.Int64Kind {
				t.Errorf("%s names no session", procedure)
			}
		case ofPoint:
			if !field("computer") && !field("point") {
				t.Errorf("%s names no point", procedure)
			}
		}
	}
}

func TestWhatIsAboutTheWholeSiteIsRefusedToWhoIsLimited(t *testing.T) {
	db := openCatalog(t)
	now := time.Now()
	err := db.Write(t.Context(), func(tx *sql.Tx) error {
		for name, of := range map[string][2][]string{"user": {{"web"}, nil}, "token": {nil, {"web"}}, "nobody": {nil, nil}} {
			id, err := catalog.AddUser(t.Context(), tx, catalog.User{Name: name, Role: roleAdmin, Password: "x", Created: now, Groups: of[0]})
			if err != nil {
				return err
			}
			if err := catalog.AddAPIToken(t.Context(), tx, name, catalog.APIToken{UserID: id, Created: now, Confirmed: now, Groups: of[1]}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	reached := false
	door := newGuard(db, slog.New(slog.DiscardHandler), hour).door(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	ask := func(path, token string) bool {
		r := httptest.NewRequest(http.MethodPost, path, nil)
		r.Header.Set("Content-Type", "application/proto")
		r.Header.Set("Authorization", "Bearer "+token)
		reached = false
		door.ServeHTTP(httptest.NewRecorder(), r)
		return reached
	}
	for procedure, rule := range methods {
		if rule.may == node {
			continue
		}
		for _, who := range []string{"user", "token"} {
			if got := ask(procedure, who); got != (rule.scope != site) {
				t.Errorf("%s of a limited %s: let in %v", procedure, who, got)
			}
		}
		if !ask(procedure, "nobody") {
			t.Errorf("%s of an administrator of the whole site is refused", procedure)
		}
	}
	for page := range pages {
		if accessTo(page) != open && ask(page, "user") {
			t.Errorf("%s tells of the whole site", page)
		}
	}
}

const (
	pointInside  = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	pointOutside = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// divided is a site with web1 and web2 in the group web, and secret1 in no group of anybody's.
func divided(t *testing.T) *testServer {
	t.Helper()
	s, _ := withRepository(t)
	for _, name := range []string{"web2", "secret1"} {
		s.join(wire.RoleAgent, name, http.NotFoundHandler())
	}
	if !slices.Contains(s.computerNames(), "web1") {
		s.join(wire.RoleAgent, "web1", http.NotFoundHandler())
	}
	s.createGroup(&keepwardv1.Group{Name: "web", Patterns: []string{"web*"}})
	s.createGroup(&keepwardv1.Group{Name: "hidden", Computers: []string{"secret1"}})
	for name, of := range map[string]*keepwardv1.Job{
		"webjob": {Computers: []string{"web1"}}, "grouped": {Groups: []string{"web"}}, "secretmixed": {Computers: []string{"web1", "secret1"}},
		"secretjob": {Computers: []string{"secret1"}}, "secretgrouped": {Computers: []string{"web1"}, Groups: []string{"hidden"}},
	} {
		j := docs()
		j.Name, j.Computers, j.Groups = name, of.GetComputers(), of.GetGroups()
		if _, err := s.createJob(j); err != nil {
			t.Fatal(err)
		}
	}
	s.inCatalog(func(ctx context.Context, tx *sql.Tx) error {
		for i, of := range []struct {
			job       string
			computers []string
		}{{"webjob", []string{"web1"}}, {"secretjob", []string{"secret1"}}, {"secretmixed", []string{"web1", "secret1"}}, {"", nil}, {"webjob", []string{""}}} {
			session := catalog.Session{Job: of.job, Type: job.Backup, Status: job.Failed, Repository: "main", StartedBy: "schedule", Created: time.Now(), Ended: time.Now()}
			if err := catalog.AddSession(ctx, tx, &session); err != nil {
				return err
			}
			if session.ID != int64(i+1) {
				return fmt.Errorf("session %d has the number %d", i+1, session.ID)
			}
			for k, c := range of.computers {
				task := catalog.Task{ID: fmt.Sprintf("t%d.%d", i, k), Session: session.ID, Position: k, Computer: c, Repository: "main", Status: job.Failed, Ended: time.Now()}
				if err := catalog.AddTask(ctx, tx, &task); err != nil {
					return err
				}
			}
		}
		for id, computer := range map[string]string{pointInside: "web1", pointOutside: "secret1"} {
			p := &keepwardv1.Point{Id: id, Computer: computer, Job: "j", Repository: "main", Time: timestamppb.Now(), Full: true, Completeness: "complete"}
			if err := catalog.AddPoint(ctx, tx, p); err != nil {
				return err
			}
		}
		return nil
	})
	return s
}

func (s *testServer) computerNames() (names []string) {
	for _, c := range must(s.computers().ListComputers(s.t.Context(), connect.NewRequest(&keepwardv1.ListComputersRequest{})))(s.t).GetComputers() {
		names = append(names, c.GetName())
	}
	return names
}

// inCatalog writes to the catalog of a server that runs.
func (s *testServer) inCatalog(fn func(ctx context.Context, tx *sql.Tx) error) {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.dir, catalogFile)+"?_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	tx, err := db.BeginTx(s.t.Context(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := fn(s.t.Context(), tx); err != nil {
		s.t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		s.t.Fatal(err)
	}
}

// limitedUser makes one who is limited to the group web.
func (s *testServer) limitedUser(name, role string) (token string) {
	s.t.Helper()
	must(s.users(s.token).CreateUser(s.t.Context(), connect.NewRequest(&keepwardv1.CreateUserRequest{
		Name: name, Role: role, Password: goodPassword, Limit: &keepwardv1.UserLimit{Groups: []string{"web"}},
	})))(s.t)
	return s.login(name, goodPassword)
}

// callAny makes any call, and answers all that comes as JSON.
func (s *testServer) callAny(token, procedure string, m proto.Message) (string, error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	of := methodOf(s.t, procedure)
	mt, err := protoregistry.GlobalTypes.FindMessageByName(of.Output().FullName())
	if err != nil {
		s.t.Fatal(err)
	}
	opts := []connect.ClientOption{as(token), connect.WithSchema(of), connect.WithResponseInitializer(func(_ connect.Spec, m any) error {
		*m.(*anyMessage) = anyMessage{mt.New().Interface()}
		return nil
	}), connect.WithCodec(anyCodec{})}
	c := connect.NewClient[anyMessage, anyMessage](s.client, s.url()+procedure, opts...)
	if !of.IsStreamingServer() {
		res, err := c.CallUnary(ctx, connect.NewRequest(&anyMessage{m}))
		if err != nil {
			return "", err
		}
		return protojson.Format(res.Msg.m), nil
	}
	stream, err := c.CallServerStream(ctx, shown(&anyMessage{m}, token))
	if err != nil {
		return "", err
	}
	defer func() { _ = stream.Close() }()
	text := ""
	for stream.Receive() {
		if text += protojson.Format(stream.Msg().m); procedure == keepwardv1connect.SessionServiceWatchSessionsProcedure {
			cancel() // it has no end
			return text, nil
		}
	}
	return text, wire.FromConnect(stream.Err())
}

// anyMessage is a message whose type is known at run time only.
type anyMessage struct{ m proto.Message }

type anyCodec struct{}

func (anyCodec) Name() string                    { return "proto" }
func (anyCodec) Marshal(v any) ([]byte, error)   { return proto.Marshal(v.(*anyMessage).m) }
func (anyCodec) Unmarshal(b []byte, v any) error { return proto.Unmarshal(b, v.(*anyMessage).m) }

func TestWhoIsLimitedIsToldOfTheOwnComputersOnly(t *testing.T) {
	s := divided(t)
	ann := s.limitedUser("ann", "admin")
	for procedure, tt := range map[string]struct {
		inside  proto.Message // answered, and tells of
		has     []string
		outside []proto.Message // refused as if there were none
	}{
		keepwardv1connect.StatusServiceGetStatusProcedure: {&keepwardv1.GetStatusRequest{}, []string{"web1", "web2"}, nil},
		keepwardv1connect.ComputerServiceListComputersProcedure: {
			&keepwardv1.ListComputersRequest{}, []string{"web1", "web2"}, nil,
		},
		keepwardv1connect.ComputerServiceGetComputerProcedure: {
			&keepwardv1.GetComputerRequest{Name: "web1"},
			[]string{"web1", "webjob", pointInside},
			[]proto.Message{&keepwardv1.GetComputerRequest{Name: "secret1"}, &keepwardv1.GetComputerRequest{Name: "secret"}, &keepwardv1.GetComputerRequest{}},
		},
		keepwardv1connect.JobServiceListJobsProcedure: {&keepwardv1.ListJobsRequest{}, []string{"webjob", "grouped"}, nil},
		keepwardv1connect.JobServiceGetJobProcedure: {
			&keepwardv1.GetJobRequest{Name: "webjob"},
			[]string{"webjob"},
			[]proto.Message{&keepwardv1.GetJobRequest{Name: "secretmixed"}, &keepwardv1.GetJobRequest{Name: "secretjob"}, &keepwardv1.GetJobRequest{Name: "secretgrouped"}, &keepwardv1.GetJobRequest{Name: "secre"}},
		},
		keepwardv1connect.JobServiceGetJobFiguresProcedure: {
			&keepwardv1.GetJobFiguresRequest{Name: "webjob"}, []string{"webjob"}, []proto.Message{&keepwardv1.GetJobFiguresRequest{Name: "secretmixed"}},
		},
		keepwardv1connect.JobServicePreviewRetentionProcedure: {
			nil, nil, []proto.Message{&keepwardv1.PreviewRetentionRequest{Job: "secretjob"}, &keepwardv1.PreviewRetentionRequest{}},
		},
		keepwardv1connect.JobServiceRunJobProcedure: {
			nil, nil, []proto.Message{&keepwardv1.RunJobRequest{Name: "secretmixed"}, &keepwardv1.RunJobRequest{Name: "webjob", After: "secretjob"}},
		},
		keepwardv1connect.SessionServiceListSessionsProcedure: {
			&keepwardv1.ListSessionsRequest{},
			[]string{`"web1"`},
			[]proto.Message{&keepwardv1.ListSessionsRequest{Computer: "secret1"}, &keepwardv1.ListSessionsRequest{Job: "secretjob"}},
		},
		keepwardv1connect.SessionServiceWatchSessionsProcedure: {
			&keepwardv1.WatchSessionsRequest{}, []string{`"web1"`}, []proto.Message{&keepwardv1.WatchSessionsRequest{Filter: &keepwardv1.ListSessionsRequest{Job: "secretjob"}}},
		},
		keepwardv1connect.SessionServiceGetSessionProcedure: {
			&keepwardv1.GetSessionRequest{Id: 1},
			[]string{"webjob"},
			[]proto.Message{&keepwardv1.GetSessionRequest{Id: 2}, &keepwardv1.GetSessionRequest{Id: 3}, &keepwardv1.GetSessionRequest{Id: 4}, &keepwardv1.GetSessionRequest{Id: 5}, &keepwardv1.GetSessionRequest{Id: 999}},
		},
		keepwardv1connect.SessionServiceWatchSessionProcedure: {
			&keepwardv1.WatchSessionRequest{Id: 1}, []string{"webjob"}, []proto.Message{&keepwardv1.WatchSessionRequest{Id: 2}, &keepwardv1.WatchSessionRequest{Id: 3}},
		},
		keepwardv1connect.SessionServiceReadLogProcedure: {
			&keepwardv1.ReadLogRequest{Id: 1}, nil, []proto.Message{&keepwardv1.ReadLogRequest{Id: 2}, &keepwardv1.ReadLogRequest{Id: 3, Follow: true}},
		},
		keepwardv1connect.SessionDetailServiceGetSessionSpeedProcedure: {
			&keepwardv1.GetSessionSpeedRequest{Id: 1}, nil, []proto.Message{&keepwardv1.GetSessionSpeedRequest{Id: 2}, &keepwardv1.GetSessionSpeedRequest{Id: 3}},
		},
		keepwardv1connect.SessionDetailServiceReadLogPageProcedure:     {&keepwardv1.ReadLogPageRequest{Id: 1}, nil, []proto.Message{&keepwardv1.ReadLogPageRequest{Id: 2}, &keepwardv1.ReadLogPageRequest{Id: 3}}},
		keepwardv1connect.SessionDetailServiceListFileErrorsProcedure:  {&keepwardv1.ListFileErrorsRequest{Id: 1}, nil, []proto.Message{&keepwardv1.ListFileErrorsRequest{Id: 3}}},
		keepwardv1connect.SessionDetailServiceListScriptsProcedure:     {&keepwardv1.ListScriptsRequest{Id: 1}, nil, []proto.Message{&keepwardv1.ListScriptsRequest{Id: 3}}},
		keepwardv1connect.SessionDetailServiceListTransitionsProcedure: {&keepwardv1.ListTransitionsRequest{Id: 1}, nil, []proto.Message{&keepwardv1.ListTransitionsRequest{Id: 3}}},
		keepwardv1connect.SessionServiceKillSessionProcedure:           {nil, nil, []proto.Message{&keepwardv1.KillSessionRequest{Id: 3}}},
		keepwardv1connect.SessionServiceRetrySessionProcedure:          {nil, nil, []proto.Message{&keepwardv1.RetrySessionRequest{Id: 3}}},
		keepwardv1connect.SessionServiceSuspendSessionProcedure:        {nil, nil, []proto.Message{&keepwardv1.SuspendSessionRequest{Id: 3}}},
		keepwardv1connect.SessionServiceResumeSessionProcedure:         {nil, nil, []proto.Message{&keepwardv1.ResumeSessionRequest{Id: 3}}},
		keepwardv1connect.SessionServiceSetSessionPriorityProcedure:    {nil, nil, []proto.Message{&keepwardv1.SetSessionPriorityRequest{Id: 3}}},
		keepwardv1connect.PointServiceListPointsProcedure: {
			&keepwardv1.ListPointsRequest{},
			[]string{pointInside},
			[]proto.Message{&keepwardv1.ListPointsRequest{Computer: "secret1"}, &keepwardv1.ListPointsRequest{Job: "secretjob"}},
		},
		keepwardv1connect.PointServiceGetPointProcedure: {
			&keepwardv1.GetPointRequest{Name: "aaaa"},
			[]string{pointInside},
			[]proto.Message{
				&keepwardv1.GetPointRequest{Name: "bbbb"}, &keepwardv1.GetPointRequest{Name: "BBBB"}, &keepwardv1.GetPointRequest{Computer: "secret1"}, &keepwardv1.GetPointRequest{Name: "latest"},
				&keepwardv1.GetPointRequest{Name: "2030"}, &keepwardv1.GetPointRequest{}, &keepwardv1.GetPointRequest{Computer: "web1", Name: "bbbb"}, &keepwardv1.GetPointRequest{Before: "2030-01-01"},
			},
		},
		keepwardv1connect.PointServiceBrowseProcedure: {
			nil, nil, []proto.Message{&keepwardv1.BrowseRequest{Point: pointOutside}, &keepwardv1.BrowseRequest{}, &keepwardv1.BrowseRequest{Computer: "web1", Point: pointOutside}},
		},
		keepwardv1connect.PointServiceFindProcedure: {
			nil, nil, []proto.Message{&keepwardv1.FindRequest{Computer: "secret1"}, &keepwardv1.FindRequest{Point: pointOutside}},
		},
		keepwardv1connect.PointServiceDiffProcedure: {
			nil, nil, []proto.Message{&keepwardv1.DiffRequest{A: pointInside, B: pointOutside}, &keepwardv1.DiffRequest{Computer: "web1", A: pointInside, B: pointOutside}},
		},
		keepwardv1connect.PointServiceGetPointKeysProcedure: {
			nil, nil, []proto.Message{&keepwardv1.GetPointKeysRequest{Computer: "secret1", Repository: "main"}, &keepwardv1.GetPointKeysRequest{Repository: "main"}},
		},
		keepwardv1connect.PointServiceReadRecordsProcedure: {
			nil, nil, []proto.Message{&keepwardv1.ReadRecordsRequest{Point: pointOutside}, &keepwardv1.ReadRecordsRequest{}},
		},
		keepwardv1connect.RestoreServiceRestoreFilesProcedure: {
			nil, nil, []proto.Message{
				&keepwardv1.RestoreFilesRequest{Point: pointOutside, TargetComputer: "web1"}, &keepwardv1.RestoreFilesRequest{Point: pointInside, TargetComputer: "secret1"},
				&keepwardv1.RestoreFilesRequest{Computer: "secret1"}, &keepwardv1.RestoreFilesRequest{TargetComputer: "web1"}, &keepwardv1.RestoreFilesRequest{Computer: "web1", Point: pointOutside},
			},
		},
	} {
		if how := methods[procedure].scope; how == site || how == ofCaller {
			t.Errorf("%s is refused, or looks at nothing", procedure)
		}
		if tt.inside != nil {
			got, err := s.callAny(ann, procedure, tt.inside)
			if err != nil {
				t.Errorf("%s: %v", procedure, err)
			}
			for _, want := range tt.has {
				if !strings.Contains(got, want) {
					t.Errorf("%s does not tell of %s:\n%s", procedure, want, got)
				}
			}
			if strings.Contains(got, "secret") || strings.Contains(got, pointOutside) || strings.Contains(got, "/srv/main") {
				t.Errorf("%s tells of others:\n%s", procedure, got)
			}
			if all, err := s.callAny(s.token, procedure, tt.inside); err != nil || methods[procedure].scope == listed && !strings.Contains(all, "secret") && !strings.Contains(all, pointOutside) {
				t.Errorf("%s: who is not limited is told\n%s (%v)", procedure, all, err)
			}
		}
		for _, m := range tt.outside {
			got, err := s.callAny(ann, procedure, m)
			if errs.KindOf(err) != errs.NotFound || strings.Contains(fmt.Sprint(err, errs.HintOf(err)), "secret") {
				t.Errorf("%s of %v: %v, %s", procedure, m, err, got)
			}
		}
	}
	covered := strings.Join(s.audited("RunJob"), "\n")
	if !strings.Contains(covered, "access.not-within") {
		t.Errorf("the refusal is not in the audit log:\n%s", covered)
	}
}

func TestAStreamEndsWhenTheLimitChanges(t *testing.T) {
	s := divided(t)
	for what, limit := range map[string]*keepwardv1.UserLimit{"more": {Groups: []string{"hidden", "web"}}, "everything": {}, "less": {Groups: []string{"hidden"}}} {
		ended := s.watch(s.limitedUser(what, "viewer"))
		must(s.users(s.token).EditUser(t.Context(), connect.NewRequest(&keepwardv1.EditUserRequest{Name: what, Limit: limit})))(t)
		if err := ended(); errs.CodeOf(err) != "access.scope-changed" {
			t.Errorf("%s: ended with %v", what, err)
		}
	}
	ended := s.watch(s.user("all", "viewer"))
	must(s.users(s.token).EditUser(t.Context(), connect.NewRequest(&keepwardv1.EditUserRequest{Name: "all", Limit: &keepwardv1.UserLimit{Groups: []string{"web"}}})))(t)
	if err := ended(); errs.CodeOf(err) != "access.scope-changed" {
		t.Errorf("a stream of everything ended with %v", err)
	}
}

func (s *testServer) sees(token string) string {
	s.t.Helper()
	m := must(keepwardv1connect.NewComputerServiceClient(s.client, s.url(), as(token)).ListComputers(s.t.Context(), connect.NewRequest(&keepwardv1.ListComputersRequest{})))(s.t)
	var names []string
	for _, c := range m.GetComputers() {
		names = append(names, c.GetName())
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func TestALimitCountsAtOnceAndTokensHaveNoMore(t *testing.T) {
	s := divided(t)
	ctx := t.Context()
	ann, all := s.limitedUser("ann", "operator"), s.user("ben", "viewer")
	s.createGroup(&keepwardv1.Group{Name: "one", Computers: []string{"web1", "secret1"}})
	life := 10 * time.Hour
	token := func(by, name string, groups ...string) (string, error) {
		life -= time.Hour // none outlives the one that makes it
		res, err := s.apiTokens(by).CreateAPIToken(ctx, connect.NewRequest(&keepwardv1.CreateAPITokenRequest{Name: name, Groups: groups, Ttl: durationpb.New(life)}))
		if err != nil {
			return "", err
		}
		return res.Msg.GetToken(), nil
	}
	if _, err := token(ann, "t1", "one"); errs.CodeOf(err) != "api-token.groups" {
		t.Errorf("a token for a group of others: %v", err)
	}
	if _, err := token(all, "t1", "nowhere"); errs.CodeOf(err) != "group.unknown" {
		t.Errorf("a token for no group: %v", err)
	}
	annToken := must2(token(ann, "t2"))(t)
	one := must2(token(all, "t2", "one"))(t)
	if _, err := token(one, "t3", "web"); errs.CodeOf(err) != "api-token.groups" {
		t.Errorf("a token that makes one for more: %v", err)
	}
	below := must2(token(one, "t4"))(t)
	for who, want := range map[string]string{ann: "web1 web2", annToken: "web1 web2", all: "secret1 web1 web2", one: "secret1 web1", below: "secret1 web1"} {
		if got := s.sees(who); got != want {
			t.Errorf("sees %q, want %q", got, want)
		}
	}
	// What both allow counts; of a user the groups together.
	limit := func(name string, groups ...string) error {
		_, err := s.users(s.token).EditUser(ctx, connect.NewRequest(&keepwardv1.EditUserRequest{Name: name, Limit: &keepwardv1.UserLimit{Groups: groups}}))
		return err
	}
	for _, err := range []error{limit("ben", "web"), limit("ann", "web", "hidden", "web")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for who, want := range map[string]string{all: "web1 web2", one: "web1", below: "web1", ann: "secret1 web1 web2", annToken: "secret1 web1 web2"} {
		if got := s.sees(who); got != want {
			t.Errorf("then sees %q, want %q", got, want)
		}
	}
	if err := limit("ann", "nowhere"); errs.CodeOf(err) != "group.unknown" {
		t.Errorf("limited to no group: %v", err)
	}
	for _, group := range []string{"web", "one"} { // of a user, and of a token only
		if _, err := s.groupAPI().DeleteGroup(ctx, connect.NewRequest(&keepwardv1.DeleteGroupRequest{Name: group})); errs.KindOf(err) != errs.Busy {
			t.Errorf("group %s is deleted: %v", group, err)
		}
	}
	s.meddle("DELETE FROM protection_groups WHERE name = 'one'")
	if got := s.sees(one); got != "" {
		t.Errorf("who is limited to a group that is gone sees %q", got)
	}
	if err := s.edit("ann", "viewer"); err != nil {
		t.Fatal(err)
	}
	if got := s.sees(ann); got != "secret1 web1 web2" {
		t.Errorf("another role changed the limit: %q", got)
	}
	if err := limit("ann"); err != nil {
		t.Fatal(err)
	}
	s.createGroup(&keepwardv1.Group{Name: "later", Tags: []string{"later"}})
	if got := s.sees(ann); got != "secret1 web1 web2" {
		t.Errorf("without a limit: %q", got)
	}
}

func must2[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestAnAdministratorOfSomeComputersRulesOverNobody(t *testing.T) {
	s := divided(t)
	ctx := t.Context()
	ann := s.limitedUser("ann", "admin")
	ben := s.user("ben", "viewer")
	_, password := s.users(ann).SetPassword(ctx, connect.NewRequest(&keepwardv1.SetPasswordRequest{Name: "ben", Password: goodPassword}))
	_, list := s.apiTokens(ann).ListAPITokens(ctx, connect.NewRequest(&keepwardv1.ListAPITokensRequest{All: true}))
	_, revoke := s.apiTokens(ann).RevokeAPIToken(ctx, connect.NewRequest(&keepwardv1.RevokeAPITokenRequest{Id: catalog.TokenID(ben)}))
	_, codes := s.codes(ann).RemoveOneTimeCodes(ctx, connect.NewRequest(&keepwardv1.RemoveOneTimeCodesRequest{User: "ben"}))
	_, edit := s.users(ann).EditUser(ctx, connect.NewRequest(&keepwardv1.EditUserRequest{Name: "ann", Limit: &keepwardv1.UserLimit{}}))
	_, tags := keepwardv1connect.NewGroupServiceClient(s.client, s.url(), as(ann)).SetTags(ctx, connect.NewRequest(&keepwardv1.SetTagsRequest{}))
	for what, tt := range map[string]struct {
		err  error
		code string
	}{
		"another's password": {password, "user.not-own"}, "all tokens": {list, "api-token.all"}, "another's token": {revoke, "api-token.unknown"},
		"another's codes": {codes, "code.not-own"}, "the own limit": {edit, "access.scope"}, "tags": {tags, "access.scope"},
	} {
		if errs.CodeOf(tt.err) != tt.code {
			t.Errorf("%s: %v, want %s", what, tt.err, tt.code)
		}
	}
	// Such a one is not the last administrator either.
	if err := s.edit("admin", "viewer"); errs.CodeOf(err) != "user.last-admin" {
		t.Errorf("the last one of the whole site is demoted: %v", err)
	}
	_, err := s.users(s.token).EditUser(ctx, connect.NewRequest(&keepwardv1.EditUserRequest{Name: "admin", Limit: &keepwardv1.UserLimit{Groups: []string{"web"}}}))
	if errs.CodeOf(err) != "user.last-admin" {
		t.Errorf("the last one of the whole site is limited: %v", err)
	}
	if err := s.remove("ann"); err != nil {
		t.Errorf("one of some computers is kept: %v", err)
	}
}

// Counts and pages are of what is within: neither how many others there are nor a page emptied by what
// was taken out of it tells of them, or hides the own.
func TestCountsAndPagesOfTheLimitedAreOfTheOwnComputers(t *testing.T) {
	s := divided(t)
	ann := s.limitedUser("ann", "admin")
	ctx, client := t.Context(), s.client
	now := time.Now()
	s.inCatalog(func(ctx context.Context, tx *sql.Tx) error { // the newest of all are of others
		for i := range 40 {
			err := catalog.AddPoint(ctx, tx, &keepwardv1.Point{
				Id: fmt.Sprintf("%032x", 0xabc000+i), Computer: "secret1", Job: "secretjob", Session: 99, Repository: "main",
				Time: timestamppb.New(now.Add(time.Duration(i) * time.Minute)), Completeness: "complete",
			})
			if err != nil {
				return err
			}
			row := catalog.Session{Job: "secretjob", Type: job.Backup, Status: job.Completed, Repository: "main", Created: now, Started: now, Ended: now}
			if err := catalog.AddSession(ctx, tx, &row); err != nil {
				return err
			}
			if err := catalog.AddTask(ctx, tx, &catalog.Task{ID: fmt.Sprintf("%032x", 0xdef000+i), Session: row.ID, Computer: "secret1", Repository: "main", Status: job.Completed, Ended: now}); err != nil {
				return err
			}
		}
		return nil
	})
	points := must(keepwardv1connect.NewPointServiceClient(client, s.url(), as(ann)).ListPoints(ctx, connect.NewRequest(&keepwardv1.ListPointsRequest{Limit: 5})))(t)
	if len(points.GetPoints()) == 0 {
		t.Error("the newest points are of others, and the own ones are not listed")
	}
	sessions := must(s.sessions(ann).ListSessions(ctx, connect.NewRequest(&keepwardv1.ListSessionsRequest{Limit: 5})))(t)
	if len(sessions.GetSessions()) == 0 {
		t.Error("the newest sessions are of others, and the own ones are not listed")
	}
	computers := keepwardv1connect.NewComputerServiceClient(client, s.url(), as(ann))
	var names []string
	for after, more := "", true; more; {
		res := must(computers.ListComputers(ctx, connect.NewRequest(&keepwardv1.ListComputersRequest{Limit: 1, After: after})))(t)
		if res.GetFound() != 2 || len(res.GetComputers()) != 1 || len(names) > 2 {
			t.Fatalf("a page says that there are %d: %v", res.GetFound(), res)
		}
		after, more = res.GetComputers()[0].GetName(), res.GetMore()
		names = append(names, after)
	}
	if !slices.Equal(names, []string{"web1", "web2"}) {
		t.Errorf("the pages have %v", names)
	}
	days := keepwardv1connect.NewProtectionServiceClient(client, s.url(), as(ann))
	for i := range int32(3) {
		res := must(days.ListProtectionDays(ctx, connect.NewRequest(&keepwardv1.ListProtectionDaysRequest{Limit: 1, Offset: i})))(t)
		if res.GetFound() != 2 || i < 2 && (len(res.GetComputers()) != 1 || len(res.GetComputers()[0].GetResults()) != 30) {
			t.Errorf("page %d of days says that there are %d: %v", i, res.GetFound(), res)
		}
	}
	if _, err := days.ListProtectionDays(ctx, connect.NewRequest(&keepwardv1.ListProtectionDaysRequest{Computer: "secret1"})); errs.CodeOf(err) != "access.not-within" {
		t.Errorf("the days of another computer: %v", err)
	}
	for _, brief := range []bool{false, true} {
		res := must(keepwardv1connect.NewStatusServiceClient(client, s.url(), as(ann)).GetStatus(ctx, connect.NewRequest(&keepwardv1.GetStatusRequest{Brief: brief})))(t)
		n := res.GetCounts()
		if n.GetComputers() != 2 || n.GetSuccess()+n.GetWarning()+n.GetFailed()+n.GetRunning()+n.GetWaiting() > int64(len(res.GetRecent())+len(res.GetActive())) || n.GetConditions() != int64(len(res.GetConditions())) {
			t.Errorf("brief: %v, it counts %v of %d active, %d recent and %d conditions", brief, n, len(res.GetActive()), len(res.GetRecent()), len(res.GetConditions()))
		}
		for _, v := range res.GetViews() {
			if v.GetComputers() > 2 {
				t.Errorf("brief: %v, view %s has %d", brief, v.GetView(), v.GetComputers())
			}
		}
	}
}
