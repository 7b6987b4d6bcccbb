package console

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	v1 "keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

const (
	goodToken = "kwt1.good"
	password  = "correct horse"
	codeUser  = "ann" // needs a one-time code
	// hostile is a name that is markup, turns the direction of writing and moves a cursor. Paths
	// need not be UTF-8 besides.
	hostile = "<script>alert(1)</script>\u202e\x1b[31m\"'&"
)

// fakeReader is a role that may look at what every user may, as far as a test here asks for it.
const fakeReader = "reader"

// fakeMay is who may what: administrators everything.
func fakeMay(role, procedure string) bool {
	return role == "admin" || role == fakeReader && (procedure == v1.NotifyServiceListNotifyRulesProcedure || procedure == v1.NotifyServiceListReportsProcedure)
}

// fakeAPI answers as the server does, of a site with hostile names. It keeps what it was asked
// to do.
type fakeAPI struct {
	v1.UnimplementedAccessServiceHandler
	v1.UnimplementedUserServiceHandler
	v1.UnimplementedOneTimeCodeServiceHandler
	v1.UnimplementedPasskeyServiceHandler
	v1.UnimplementedSignOnServiceHandler
	v1.UnimplementedAPITokenServiceHandler
	v1.UnimplementedStatusServiceHandler
	v1.UnimplementedComputerServiceHandler
	v1.UnimplementedRepositoryServiceHandler
	v1.UnimplementedJobServiceHandler
	v1.UnimplementedJobPreviewServiceHandler
	v1.UnimplementedProtectionServiceHandler
	v1.UnimplementedGroupServiceHandler
	v1.UnimplementedCredentialServiceHandler
	v1.UnimplementedQueueServiceHandler
	v1.UnimplementedSessionServiceHandler
	v1.UnimplementedSessionDetailServiceHandler
	v1.UnimplementedPointServiceHandler
	v1.UnimplementedContentServiceHandler
	v1.UnimplementedRestoreServiceHandler
	v1.UnimplementedTrafficServiceHandler
	v1.UnimplementedNotifyServiceHandler
	v1.UnimplementedApprovalServiceHandler
	v1.UnimplementedAuditServiceHandler
	v1.UnimplementedSettingsServiceHandler
	v1.UnimplementedUpdateServiceHandler
	v1.UnimplementedConnectionServiceHandler

	killed     *keepwardv1.KillSessionRequest
	saved      *keepwardv1.Job // what was written last
	changed    bool            // somebody else has changed the job since it was read
	jobGone    bool
	noPasskeys bool
	ended      string     // the token that was revoked
	peering    sync.Mutex // a page may make several calls at once
	peer       string
	changes    chan *keepwardv1.Session // what a watch tells; closed at the end of the session
	fakePoints
	role string // of who calls; empty: admin
	// What was looked for in a log, and how reading one ends.
	foundLog   *keepwardv1.ReadLogPageRequest
	foundFiles *keepwardv1.ListFileErrorsRequest
	logBreaks  error
	fakeThings
}

func (f *fakeAPI) handler() http.Handler {
	mux := http.NewServeMux()
	opt := connect.WithInterceptors(wire.Errors())
	mount := func(path string, h http.Handler) { mux.Handle(path, h) }
	mount(v1.NewAccessServiceHandler(f, opt))
	mount(v1.NewUserServiceHandler(f, opt))
	mount(v1.NewOneTimeCodeServiceHandler(f, opt))
	mount(v1.NewPasskeyServiceHandler(f, opt))
	mount(v1.NewSignOnServiceHandler(f, opt))
	mount(v1.NewAPITokenServiceHandler(f, opt))
	mount(v1.NewStatusServiceHandler(f, opt))
	mount(v1.NewComputerServiceHandler(f, opt))
	mount(v1.NewRepositoryServiceHandler(f, opt))
	mount(v1.NewJobServiceHandler(f, opt))
	mount(v1.NewJobPreviewServiceHandler(f, opt))
	mount(v1.NewProtectionServiceHandler(f, opt))
	mount(v1.NewGroupServiceHandler(f, opt))
	mount(v1.NewCredentialServiceHandler(f, opt))
	mount(v1.NewQueueServiceHandler(f, opt))
	mount(v1.NewSessionServiceHandler(f, opt))
	mount(v1.NewSessionDetailServiceHandler(f, opt))
	mount(v1.NewPointServiceHandler(f, opt))
	mount(v1.NewContentServiceHandler(f, opt))
	mount(v1.NewRestoreServiceHandler(f, opt))
	mount(v1.NewTrafficServiceHandler(f, opt))
	mount(v1.NewNotifyServiceHandler(f, opt))
	mount(v1.NewApprovalServiceHandler(f, opt))
	mount(v1.NewAuditServiceHandler(f, opt))
	mount(v1.NewSettingsServiceHandler(f, opt))
	mount(v1.NewUpdateServiceHandler(f, opt))
	mount(v1.NewConnectionServiceHandler(f, opt))
	answer := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.peering.Lock()
		f.peer = r.RemoteAddr
		f.peering.Unlock()
		open := map[string]bool{
			v1.AccessServiceLoginProcedure: true, v1.PasskeyServiceGetPasskeyChallengeProcedure: true, v1.PasskeyServiceLoginByPasskeyProcedure: true,
			v1.SignOnServiceGetSignOnProcedure: true, v1.SignOnServiceGetSignOnURLProcedure: true, v1.SignOnServiceFinishSignOnProcedure: true,
		}
		if !open[r.URL.Path] && r.Header.Get("Authorization") != "Bearer "+goodToken {
			_ = answer.Write(w, r, wire.ToConnect(errs.New(errs.Denied, "access.token-unknown", "call: the token is not known here, or has expired")))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (f *fakeAPI) Login(_ context.Context, req *connect.Request[keepwardv1.LoginRequest]) (*connect.Response[keepwardv1.LoginResponse], error) {
	if req.Msg.GetPassword() != password {
		return nil, errs.New(errs.Denied, "access.login", "log in as %q: user or password is wrong", req.Msg.GetUser())
	}
	if req.Msg.GetUser() == codeUser && req.Msg.GetCode() == "" {
		return nil, errs.New(errs.Denied, "access.code-needed", "log in as %q: a one-time code is needed", codeUser)
	}
	if req.Msg.GetUser() == codeUser && req.Msg.GetCode() != "123456" {
		return nil, errs.New(errs.Denied, "access.code", "log in as %q: the one-time code is wrong, or was used already", codeUser)
	}
	return connect.NewResponse(&keepwardv1.LoginResponse{Token: goodToken, User: req.Msg.GetUser()}), nil
}

func fakeSession() *keepwardv1.Session {
	return &keepwardv1.Session{
		Id: 7, Job: hostile, Type: "backup", Status: "Running", Phase: hostile, Repository: hostile, User: hostile, Priority: 166, Started: timestamppb.Now(),
		Reason:   &keepwardv1.Reason{Code: "CONFLICT", Text: "session " + hostile + " must end first"},
		Progress: &keepwardv1.Progress{Counters: &keepwardv1.Counters{DoneBytes: 50, TotalBytes: 100, DoneFiles: 3}},
		Tasks:    []*keepwardv1.Task{{Id: "t", Computer: hostile, Status: "Running", Point: hostile}},
		Waits: []*keepwardv1.Wait{{
			Computer: hostile, Reason: &keepwardv1.Reason{Code: "STREAMS_SHORT", Text: hostile},
			Resources: []*keepwardv1.Resource{{Kind: "stream", Label: hostile, Holders: []*keepwardv1.Holder{{Session: 3, Job: hostile, Computer: hostile}}}},
		}},
	}
}

func fakeConditions() []*keepwardv1.Condition {
	return []*keepwardv1.Condition{{Code: "x", Severity: "error", Subject: hostile, Text: hostile, Hint: hostile, Since: timestamppb.Now()}}
}

func fakeComputer() *keepwardv1.Computer {
	return &keepwardv1.Computer{Name: hostile, Status: "online", Os: hostile, AgentVersion: hostile, Groups: []string{hostile}, Views: []string{"unprotected"}, Conditions: fakeConditions()}
}

func fakeRepository() *keepwardv1.Repository {
	return &keepwardv1.Repository{Name: hostile, Status: "online", Transport: hostile, Path: hostile, SizeBytes: 10, FreeBytes: 90, Conditions: fakeConditions(), Growth: fakeGrowth()}
}

func fakeJob() *keepwardv1.Job {
	return &keepwardv1.Job{
		Name: hostile, Type: "backup", Mode: "server", Description: hostile, Computers: []string{hostile}, Groups: []string{hostile}, Repository: hostile, Schedule: hostile,
		LastResult: hostile, LastSession: 7, Revision: 1, Files: &keepwardv1.FileSelection{Include: []string{"/" + hostile, "/a\nb"}, Exclude: []string{hostile}},
		Retention:    &keepwardv1.Retention{KeepLast: 7},
		Applications: []*keepwardv1.Application{{Kind: "postgresql", Name: hostile, Mode: "require", Settings: map[string]string{"database": hostile}, Computers: []string{hostile}}},
		Scripts:      &keepwardv1.Scripts{PreFreeze: &keepwardv1.Script{Path: "/" + hostile, Arguments: []string{hostile}, TimeLimit: durationpb.New(time.Minute)}},
		Commands:     []*keepwardv1.CommandSource{{Name: hostile, Path: hostile}},
		Overrides:    []*keepwardv1.FileOverride{{Computer: hostile, Include: &keepwardv1.TextList{Items: []string{hostile}}}},
	}
}

func (f *fakeAPI) GetStatus(context.Context, *connect.Request[keepwardv1.GetStatusRequest]) (*connect.Response[keepwardv1.GetStatusResponse], error) {
	return connect.NewResponse(&keepwardv1.GetStatusResponse{
		Repositories: []*keepwardv1.Repository{fakeRepository()}, Active: []*keepwardv1.Session{fakeSession()}, Conditions: fakeConditions(),
		Views:  []*keepwardv1.ViewCount{{View: "offline", Computers: 1}, {View: "unprotected", Computers: 1}},
		Counts: &keepwardv1.StatusCounts{Computers: 1, Failed: 1, Waiting: 1, Conditions: 9950 + int64(len(fakeConditions())), Errors: 1},
	}), nil
}

func (f *fakeAPI) ListComputers(context.Context, *connect.Request[keepwardv1.ListComputersRequest]) (*connect.Response[keepwardv1.ListComputersResponse], error) {
	return connect.NewResponse(&keepwardv1.ListComputersResponse{Computers: []*keepwardv1.Computer{fakeComputer()}, Found: 250, More: true}), nil
}

func (f *fakeAPI) ListRepositories(context.Context, *connect.Request[keepwardv1.ListRepositoriesRequest]) (*connect.Response[keepwardv1.ListRepositoriesResponse], error) {
	return connect.NewResponse(&keepwardv1.ListRepositoriesResponse{Repositories: []*keepwardv1.Repository{fakeRepository()}, Transports: []*keepwardv1.Transport{{Name: hostile, Status: "online"}}}), nil
}

func (f *fakeAPI) ListJobs(context.Context, *connect.Request[keepwardv1.ListJobsRequest]) (*connect.Response[keepwardv1.ListJobsResponse], error) {
	return connect.NewResponse(&keepwardv1.ListJobsResponse{Jobs: []*keepwardv1.Job{fakeJob()}}), nil
}

func (f *fakeAPI) GetJob(context.Context, *connect.Request[keepwardv1.GetJobRequest]) (*connect.Response[keepwardv1.GetJobResponse], error) {
	if f.jobGone {
		return nil, errs.New(errs.NotFound, "job.not-found", "there is no job")
	}
	j := fakeJob()
	if f.changed {
		j.Revision, j.Description, j.Retention.KeepLast = 2, "of somebody else", 9
	}
	return connect.NewResponse(&keepwardv1.GetJobResponse{Job: j, When: hostile, Warnings: []string{hostile}, Coming: fakeRuns(), Recent: []*keepwardv1.Session{fakeSession()}}), nil
}

func (f *fakeAPI) RunJob(context.Context, *connect.Request[keepwardv1.RunJobRequest]) (*connect.Response[keepwardv1.StartSessionResponse], error) {
	return nil, errs.New(errs.Busy, "job.busy", "run %s: no", hostile)
}

func (f *fakeAPI) ListSessions(_ context.Context, req *connect.Request[keepwardv1.ListSessionsRequest]) (*connect.Response[keepwardv1.ListSessionsResponse], error) {
	if req.Msg.GetJob() == "unknown" {
		return nil, errs.New(errs.NotFound, "job.not-found", "there is no job unknown")
	}
	return connect.NewResponse(&keepwardv1.ListSessionsResponse{Sessions: []*keepwardv1.Session{fakeSession()}}), nil
}

func (f *fakeAPI) GetSession(_ context.Context, req *connect.Request[keepwardv1.GetSessionRequest]) (*connect.Response[keepwardv1.GetSessionResponse], error) {
	if req.Msg.GetId() != 7 {
		return nil, errs.New(errs.NotFound, "session.not-found", "there is no session %d", req.Msg.GetId())
	}
	return connect.NewResponse(&keepwardv1.GetSessionResponse{Session: fakeSession()}), nil
}

func (f *fakeAPI) ReadLog(_ context.Context, _ *connect.Request[keepwardv1.ReadLogRequest], s *connect.ServerStream[keepwardv1.ReadLogResponse]) error {
	err := s.Send(&keepwardv1.ReadLogResponse{Events: []*keepwardv1.Event{{Seq: 1, Time: timestamppb.Now(), Level: "error", Part: "agent", Text: hostile, Path: []byte(hostile + "\xff"), Actor: hostile}}})
	return errors.Join(err, f.logBreaks)
}

func (f *fakeAPI) WatchSessions(ctx context.Context, _ *connect.Request[keepwardv1.WatchSessionsRequest], s *connect.ServerStream[keepwardv1.WatchSessionsResponse]) error {
	if err := s.Send(&keepwardv1.WatchSessionsResponse{Whole: true, Sessions: []*keepwardv1.Session{fakeSession()}}); err != nil {
		return err
	}
	<-ctx.Done() // as the server, it goes on until nobody listens
	return ctx.Err()
}

func (f *fakeAPI) WatchSession(ctx context.Context, _ *connect.Request[keepwardv1.WatchSessionRequest], s *connect.ServerStream[keepwardv1.WatchSessionResponse]) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case m, more := <-f.changes:
			if !more {
				return nil
			}
			if err := s.Send(&keepwardv1.WatchSessionResponse{Session: m}); err != nil {
				return err
			}
		}
	}
}

func (f *fakeAPI) KillSession(_ context.Context, req *connect.Request[keepwardv1.KillSessionRequest]) (*connect.Response[keepwardv1.KillSessionResponse], error) {
	f.killed = req.Msg
	return connect.NewResponse(&keepwardv1.KillSessionResponse{Session: fakeSession()}), nil
}

func (f *fakeAPI) SuspendSession(context.Context, *connect.Request[keepwardv1.SuspendSessionRequest]) (*connect.Response[keepwardv1.SuspendSessionResponse], error) {
	return nil, errs.New(errs.Busy, "session.not-suspended", "suspend session 7: %s", hostile)
}

func (f *fakeAPI) GetCaller(context.Context, *connect.Request[keepwardv1.GetCallerRequest]) (*connect.Response[keepwardv1.GetCallerResponse], error) {
	return connect.NewResponse(&keepwardv1.GetCallerResponse{Role: cmp.Or(f.role, "admin"), User: &keepwardv1.User{Name: hostile}, Token: &keepwardv1.APIToken{Id: "4f2a"}}), nil
}

func (f *fakeAPI) RevokeAPIToken(_ context.Context, req *connect.Request[keepwardv1.RevokeAPITokenRequest]) (*connect.Response[keepwardv1.RevokeAPITokenResponse], error) {
	if f.ended != "" {
		return nil, errs.New(errs.Unavailable, "test", "the catalog cannot be written")
	}
	f.ended = req.Msg.GetId()
	return connect.NewResponse(&keepwardv1.RevokeAPITokenResponse{}), nil
}
