package console

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	v1 "keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	goodToken = "kwt1.good"
	password  = "correct horse"
	codeUser  = "ann" // needs a one-time code
	// hostile is a name that is markup, turns the direction of writing and moves a cursor. Paths
	// need not be UTF-8 besides.
	hostile = "<script>alert(1)</script>\u202e\x1b[31m\"'&"
)

// fakeAPI answers as the server does, of a site with hostile names. It keeps what it was asked
// to do.
type fakeAPI struct {
	v1.UnimplementedAccessServiceHandler
	v1.UnimplementedUserServiceHandler
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
	v1.UnimplementedSettingsServiceHandler
	v1.UnimplementedUpdateServiceHandler
	v1.UnimplementedConnectionServiceHandler

	killed  *keepwardv1.KillSessionRequest
	saved   *keepwardv1.Job // what was written last
	changed bool            // somebody else has changed the job since it was read
	jobGone bool
	ended   string     // the token that was revoked
	peering sync.Mutex // a page may make several calls at once
	peer    string
	changes chan *keepwardv1.Session // what a watch tells; closed at the end of the session
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
	mount(v1.NewSettingsServiceHandler(f, opt))
	mount(v1.NewUpdateServiceHandler(f, opt))
	mount(v1.NewConnectionServiceHandler(f, opt))
	answer := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.peering.Lock()
		f.peer = r.RemoteAddr
		f.peering.Unlock()
		if r.URL.Path != v1.AccessServiceLoginProcedure && r.Header.Get("Authorization") != "Bearer "+goodToken {
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
	return &keepwardv1.Repository{Name: hostile, Status: "online", Transport: hostile, Path: hostile, SizeBytes: 10, FreeBytes: 90, Conditions: fakeConditions()}
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
	return connect.NewResponse(&keepwardv1.ListRepositoriesResponse{Repositories: []*keepwardv1.Repository{fakeRepository()}}), nil
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

// browser is a client of a console that keeps cookies and follows nothing.
type browser struct {
	t   *testing.T
	api *fakeAPI
	url string
	*http.Client
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	api := &fakeAPI{changes: make(chan *keepwardv1.Session)}
	srv := httptest.NewUnstartedServer(New(Config{API: api.handler(), Contents: api, May: func(role, _ string) bool { return role == "admin" }, Version: "test", Log: slog.New(slog.DiscardHandler)}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := srv.Client()
	c.Jar = jar
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(c.CloseIdleConnections)
	return &browser{t: t, api: api, url: srv.URL, Client: c}
}

// loggedIn is a browser with a token.
func loggedIn(t *testing.T) *browser {
	t.Helper()
	b := newBrowser(t)
	res := b.post("/login", url.Values{"user": {"admin"}, "password": {password}})
	if res.StatusCode != http.StatusSeeOther {
		t.Fatalf("the login is answered with %s", res.Status)
	}
	return b
}

// ask sends a request as a browser does that stands on a page of this console.
func (b *browser) ask(method, path string, form url.Values, header ...string) *http.Response {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := b.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func (b *browser) get(path string, header ...string) *http.Response {
	b.t.Helper()
	return b.ask(http.MethodGet, path, nil, header...)
}

func (b *browser) post(path string, form url.Values, header ...string) *http.Response {
	b.t.Helper()
	return b.ask(http.MethodPost, path, form, header...)
}

func text(t *testing.T, res *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// pages are all pages behind the login, and the parts that live ones ask for.
var pages = []string{
	"/", "/overview", "/sessions", "/sessions/7", "/sessions/7?level=error&text=x&file=y&after=/%FF", "/sessions/7/speed", "/sessions/7/kill", "/sessions/7/commit", "/sessions/7/suspend", "/sessions/7/priority",
	"/sessions/waits", "/sessions/do?act=kill&id=7",
	"/jobs", "/jobs/part", "/jobs/run?job=x", "/jobs/show?job=x", "/jobs/show/part?job=x", "/jobs/yaml?job=x", "/jobs/do/disable?job=x", "/jobs/do/delete?job=x",
	"/jobs/edit?job=x&step=name", "/jobs/edit?job=x&step=computers", "/jobs/edit?job=x&step=files", "/jobs/edit?job=x&step=repository", "/jobs/edit?job=x&step=retention",
	"/jobs/edit?job=x&step=storage", "/jobs/edit?job=x&step=guest", "/jobs/edit?job=x&step=schedule", "/jobs/edit?job=x&step=summary", "/jobs/clone?job=x",
	"/computers", "/repositories", "/points", "/overview/days", "/computers/days", "/computers/days?computer=x&days=7", "/computers/days?skip=50", "/sessions?computer=x&day=2026-11-23",
	"/restore", "/restore/points?computer=x", "/restore/browse?point=3fa1&path=/srv/%E2%80%AE%1B%FF", "/restore/find?text=x",
	"/restore/versions?computer=x&path=/x", "/restore/preview?point=3fa1&path=/srv/%E2%80%AE%1B%FF",
	"/restore/to?point=3fa1&path=/srv/%E2%80%AE%1B%FF",
	"/points/show?point=3fa1", "/do/hold-point?of=3fa1", "/do/delete-point?of=3fa1",
	"/computers/show?computer=x", "/groups", "/groups/show?group=x", "/tokens", "/updates", "/updates/show?rollout=4", "/do/edit-group?of=x", "/repositories/show?repository=x", "/resources", "/traffic", "/windows", "/settings", "/users", "/do/edit-repository?of=x", "/do/set-setting?of=long", "/do/edit-rule?of=long", "/do/edit-window?of=long", "/do/set-limit?of=x", "/do/edit-connection?of=x", "/do/set-tags?of=x",
}

func TestEveryPageIsAnsweredWithStrictHeaders(t *testing.T) {
	b := loggedIn(t)
	for _, path := range append([]string{"/login", "/assets/app.js", "/nowhere", "/sessions/8"}, pages...) {
		res := b.get(path)
		csp := res.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: the policy %q lacks %s", path, csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") {
			t.Errorf("%s: the policy is %q", path, csp)
		}
		if got := res.Header.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s: X-Content-Type-Options is %q", path, got)
		}
		want := "no-store"
		if strings.HasPrefix(path, "/assets/") {
			want = "no-cache"
		}
		if got := res.Header.Get("Cache-Control"); got != want {
			t.Errorf("%s: Cache-Control is %q, want %s", path, got, want)
		}
	}
}

func TestNoPageHasCodeOrStyleInIt(t *testing.T) {
	b := loggedIn(t)
	for _, path := range append([]string{"/login"}, pages...) {
		page := text(t, b.get(path))
		for _, bad := range []string{"<style", " style=", "javascript:", " onclick", " onload", "hx-on", "<script>"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s contains %q", path, bad)
			}
		}
	}
}

func TestHostileNamesAppearAsText(t *testing.T) {
	b := loggedIn(t)
	for _, path := range pages {
		res := b.get(path)
		page := text(t, res)
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s is answered with %s: %s", path, res.Status, page)
		}
		if strings.Contains(page, "<script>alert") || strings.ContainsAny(page, "\u202e\x1b") || strings.Contains(page, "\xff") {
			t.Errorf("%s shows a hostile name as it is", path)
		}
		if !strings.Contains(page, "&lt;script&gt;alert(1)&lt;/script&gt;") {
			t.Errorf("%s does not show the hostile name at all", path)
		}
	}
}

func TestALoginGivesATokenThatOnlyThisHostGetsOverTLS(t *testing.T) {
	b := newBrowser(t)
	res := b.post("/login", url.Values{"user": {"admin"}, "password": {password}, "next": {"/jobs"}})
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/jobs" {
		t.Fatalf("the login is answered with %s to %s", res.Status, res.Header.Get("Location"))
	}
	c := res.Header.Get("Set-Cookie")
	for _, want := range []string{"__Host-keepward=" + goodToken, "Path=/", "HttpOnly", "Secure", "SameSite=Strict"} {
		if !strings.Contains(c, want) {
			t.Errorf("the cookie %q lacks %s", c, want)
		}
	}
	if strings.Contains(c, "Domain") || strings.Contains(c, "Max-Age") {
		t.Errorf("the cookie %q goes to more than this host, or outlives the browser", c)
	}
	if !strings.HasPrefix(b.api.peer, "127.0.0.1:") {
		t.Errorf("the API saw the login come from %q: guessing is counted by address", b.api.peer)
	}
}

func TestAWrongPasswordIsSaidAndGivesNothing(t *testing.T) {
	b := newBrowser(t)
	res := b.post("/login", url.Values{"user": {"admin"}, "password": {"wrong"}})
	page := text(t, res)
	if res.StatusCode != http.StatusUnauthorized || !strings.Contains(page, "user or password is wrong") || res.Header.Get("Set-Cookie") != "" {
		t.Errorf("a wrong password is answered with %s, %q: %s", res.Status, res.Header.Get("Set-Cookie"), page)
	}
	if strings.Contains(page, "wrong\"") || !strings.Contains(page, `autocomplete="current-password"`) {
		t.Error("the password comes back in the page, or there is nothing to try again with")
	}
}

func TestALoginLeadsToNoOtherSite(t *testing.T) {
	for next, want := range map[string]string{
		"/sessions?status=failed": "/sessions?status=failed", "": "/", "//evil.example": "/", "https://evil.example/": "/",
		`/\evil.example`: "/", "javascript:alert(1)": "/", "evil": "/", "/\t/evil.example": "/", "http:/jobs": "/",
	} {
		if got := localPath(next); got != want {
			t.Errorf("%q leads to %q, want %q", next, got, want)
		}
	}
}

func TestWhoHasNoTokenIsSentToTheLogin(t *testing.T) {
	for name, token := range map[string]string{"none": "", "one that counts no more": "kwt1.old"} {
		b := newBrowser(t)
		site, err := url.Parse(b.url)
		if err != nil {
			t.Fatal(err)
		}
		// A token that counts no more is taken away by the answer.
		show := func() {
			if token != "" {
				b.Jar.SetCookies(site, []*http.Cookie{{Name: tokenCookie, Value: token, Path: "/", Secure: true}})
			}
		}
		for _, path := range append([]string{"/sessions/live", "/sessions/7/live", "/sessions/7/log?after=0"}, pages...) {
			show()
			res := b.get(path)
			if res.StatusCode != http.StatusSeeOther || !strings.HasPrefix(res.Header.Get("Location"), "/login") {
				t.Errorf("token %s: %s is answered with %s to %q", name, path, res.Status, res.Header.Get("Location"))
			}
			if strings.Contains(text(t, res), "script") {
				t.Errorf("token %s: %s says something of the site", name, path)
			}
			show()
			// What a page's own script asks for cannot be sent elsewhere.
			if res := b.get(path, "HX-Request", "true"); res.StatusCode != http.StatusUnauthorized {
				t.Errorf("token %s: a script that asks for %s is answered with %s", name, path, res.Status)
			}
		}
		show()
		if res := b.post("/sessions/7/kill", url.Values{}); res.StatusCode != http.StatusSeeOther || b.api.killed != nil {
			t.Errorf("token %s: a session is killed: %s", name, res.Status)
		}
	}
}

func TestPostsOfOtherSitesAreRefused(t *testing.T) {
	b := loggedIn(t)
	for name, header := range map[string][]string{
		"another site":               {"Sec-Fetch-Site", "cross-site"},
		"another host of the domain": {"Sec-Fetch-Site", "same-site"},
		"an old browser":             {"Sec-Fetch-Site", "", "Origin", "https://evil.example"},
		"a page without an origin":   {"Sec-Fetch-Site", "", "Origin", "null"},
	} {
		for _, path := range []string{"/sessions/7/kill", "/jobs/run?job=x", "/login", "/logout"} {
			if res := b.post(path, url.Values{"password": {password}}, header...); res.StatusCode != http.StatusForbidden {
				t.Errorf("%s posts to %s: %s", name, path, res.Status)
			}
		}
	}
	if b.api.killed != nil {
		t.Error("a session was killed for another site")
	}
}

func TestASessionIsKilledAfterItWasSaidWhatComesOfIt(t *testing.T) {
	b := loggedIn(t)
	page := text(t, b.get("/sessions/7/commit"))
	if b.api.killed != nil || !strings.Contains(page, "partial restore point") {
		t.Fatalf("asking does %v and says %s", b.api.killed, page)
	}
	res := b.post("/sessions/7/commit", url.Values{})
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/sessions/7" {
		t.Errorf("answered with %s to %q", res.Status, res.Header.Get("Location"))
	}
	if b.api.killed.GetId() != 7 || !b.api.killed.GetCommit() {
		t.Errorf("the API was asked for %v", b.api.killed)
	}
}

func TestWhatTheAPIRefusesIsSaidWhereItWasAsked(t *testing.T) {
	b := loggedIn(t)
	for path, code := range map[string]string{"/sessions/7/suspend": "session.not-suspended", "/jobs/run?job=x": "job.busy"} {
		res := b.post(path, url.Values{})
		if page := text(t, res); res.StatusCode != http.StatusConflict || !strings.Contains(page, code) || !strings.Contains(page, "Leave it as it is") {
			t.Errorf("%s is answered with %s: %s", path, res.Status, page)
		}
	}
	res := b.get("/sessions?job=unknown")
	if page := text(t, res); res.StatusCode != http.StatusNotFound || !strings.Contains(page, "there is no job unknown") || !strings.Contains(page, `value="unknown"`) {
		t.Errorf("an unknown job is answered with %s: %s", res.Status, page)
	}
}

// message reads one message of a stream of events.
func message(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	var all strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream ends with %v after %q", err, all.String())
		}
		if line == "\n" {
			return all.String()
		}
		all.WriteString(line)
	}
}

func TestALiveSessionIsSentAsItChangesAndEndsWithIt(t *testing.T) {
	b := loggedIn(t)
	told := make(chan struct{})
	var site sync.WaitGroup
	site.Go(func() {
		b.api.changes <- fakeSession()
		<-told
		s := fakeSession()
		s.Status = "Completed"
		b.api.changes <- s
		close(b.api.changes)
	})
	r := bufio.NewReader(b.get("/sessions/7/live", "HX-Request", "true").Body)
	if m := message(t, r); !strings.HasPrefix(m, "data: ") || !strings.Contains(m, "Running") || !strings.Contains(m, "50 %") {
		t.Errorf("first: %s", m)
	}
	close(told) // the first came before the second was there: it streams
	if m := message(t, r); !strings.Contains(m, "Completed") {
		t.Errorf("then: %s", m)
	}
	if m := message(t, r); !strings.HasPrefix(m, "event: done\n") {
		t.Errorf("at last: %s", m)
	}
	site.Wait()
}

func TestALogGoesOnBehindTheLineThatWasSeen(t *testing.T) {
	b := loggedIn(t)
	r := bufio.NewReader(b.get("/sessions/7/log?after=0").Body)
	if m := message(t, r); !strings.HasPrefix(m, "id: 1\ndata: ") {
		t.Errorf("first: %s", m)
	}
	if m := message(t, r); !strings.HasPrefix(m, "event: done\n") {
		t.Errorf("then: %s", m)
	}
	for header, want := range map[string]int64{"": 5, "12": 12} {
		req := httptest.NewRequest(http.MethodGet, "/sessions/7/log?after=5", nil)
		req.Header.Set("Last-Event-ID", header)
		if n, err := seenLine(req); err != nil || n != want {
			t.Errorf("Last-Event-ID %q: line %d, %v, want %d", header, n, err, want)
		}
	}
}

// A browser that goes away ends the call that was made for it: else each closed tab would leave
// one behind.
func TestAStreamEndsWithItsBrowser(t *testing.T) {
	b := loggedIn(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/sessions/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := b.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if m := message(t, bufio.NewReader(res.Body)); !strings.Contains(m, "alert(1)") {
		t.Errorf("first: %s", m)
	}
	cancel()
	if _, err := io.ReadAll(res.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("the stream ended with %v", err)
	}
	// Closing the server waits for its handlers, and goleak looks for what they have left.
}

func TestTimesAreThoseOfTheViewer(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Skipf("no time zones here: %v", err)
	}
	for value, want := range map[string]*time.Location{"Europe%2FParis": paris, "": time.UTC, "Local": time.UTC, "..%2F..%2Fetc%2Fpasswd": time.UTC, strings.Repeat("x", 100): time.UTC} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.AddCookie(&http.Cookie{Name: zoneCookie, Value: value})
		if got := zoneOf(r); got.String() != want.String() {
			t.Errorf("%q is taken for %s, want %s", value, got, want)
		}
	}
	v := &view{now: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC), zone: paris}
	if got := v.clock(time.Date(2026, 7, 1, 10, 5, 0, 0, time.UTC)); got != "12:05:00" {
		t.Errorf("today: %s", got)
	}
	if got := v.clock(time.Date(2026, 6, 30, 21, 59, 0, 0, time.UTC)); got != "2026-06-30 23:59" {
		t.Errorf("yesterday: %s", got)
	}
	if got := v.says("starts at 2026-07-01T10:05:00Z"); got != "starts at 12:05:00" {
		t.Errorf("in a sentence: %s", got)
	}
}

func TestOnlyWhatMakesSenseIsOffered(t *testing.T) {
	offered := func(s *keepwardv1.Session) string {
		var names []string
		for _, a := range (&view{}).actsOf(s) {
			names = append(names, a.name)
		}
		return strings.Join(names, " ")
	}
	for _, one := range []struct {
		typ, status, want string
	}{
		{"backup", "Running", "suspend priority commit kill"},
		{"verify", "Running", "suspend priority kill"},
		{"backup", "Suspended", "resume priority commit kill"},
		{"backup", "Kill Pending", "kill"},
		{"backup", "Completed", ""},
		{"backup", "Failed", "retry"},
		{"backup", "Committed", "retry"},
	} {
		s := &keepwardv1.Session{Type: one.typ, Status: one.status, Tasks: []*keepwardv1.Task{{Status: one.status}}}
		if got := offered(s); got != one.want {
			t.Errorf("%s, %s: %s, want %s", one.typ, one.status, got, one.want)
		}
	}
}

// A live list shows what its messages come to, the newest first.
func TestALiveListTakesWhatComesAndGoes(t *testing.T) {
	l, now := newLiveList(), time.Unix(100, 0)
	v := &view{now: now, zone: time.UTC}
	running := func(id, bytes int64) *keepwardv1.Session {
		return &keepwardv1.Session{Id: id, Status: "Running", Progress: &keepwardv1.Progress{Counters: &keepwardv1.Counters{DoneBytes: bytes}}}
	}
	l.take(&keepwardv1.WatchSessionsResponse{Whole: true, Sessions: []*keepwardv1.Session{running(1, 0), running(2, 0)}}, now)
	l.take(&keepwardv1.WatchSessionsResponse{Sessions: []*keepwardv1.Session{running(3, 0), running(2, 2048)}, Gone: []int64{1}}, now.Add(2*time.Second))
	rows := must(l.rows(t.Context(), v))(t)
	if len(rows) != 2 || rows[0].id != 3 || rows[1].id != 2 || rows[1].rate != "1.00 KiB/s" {
		t.Errorf("it shows %+v", rows)
	}
	l.take(&keepwardv1.WatchSessionsResponse{Whole: true}, now)
	if rows := must(l.rows(t.Context(), v))(t); len(rows) != 0 || len(l.rates) != 0 {
		t.Errorf("after a message that is whole and empty it shows %v", rows)
	}
}

func TestAPanicOfACallIsAnError(t *testing.T) {
	c := newClient(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("defect") }))
	if _, err := call(t.Context(), c.status.GetStatus, &keepwardv1.GetStatusRequest{}); err == nil {
		t.Error("a call that panicked has no error")
	}
}

// What one open list costs each time when something in it changes.
func BenchmarkAPageOfSessions(b *testing.B) {
	l, v := newLiveList(), &view{now: time.Unix(100, 0), zone: time.UTC}
	m := &keepwardv1.WatchSessionsResponse{Whole: true}
	for i := range pageSize {
		s := fakeSession()
		s.Id = int64(i + 1)
		m.Sessions = append(m.Sessions, s)
	}
	l.take(m, v.now)
	rec := httptest.NewRecorder()
	out, err := begin(rec)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		rec.Body.Reset()
		out.last = nil
		if err := out.send(b.Context(), "", sessionsBody(v, sessionTable{rows: must(l.rows(b.Context(), v))(b)})); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rec.Body.Len()), "bytes/message")
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

func TestALoginTakesAOneTimeCode(t *testing.T) {
	b := newBrowser(t)
	for code, want := range map[string]string{"": "access.code-needed", "000000": "was used already"} {
		res := b.post("/login", url.Values{"user": {codeUser}, "password": {password}, "code": {code}, "next": {"/jobs"}})
		if page := text(t, res); res.StatusCode != http.StatusUnauthorized || !strings.Contains(page, want) || !strings.Contains(page, `value="/jobs"`) || strings.Contains(page, password) || len(res.Cookies()) != 0 {
			t.Errorf("with the code %q: %s, cookies %v\n%s", code, res.Status, res.Cookies(), page)
		}
	}
	if page := text(t, b.get("/login")); !strings.Contains(page, `autocomplete="one-time-code"`) {
		t.Errorf("the form does not ask for a code:\n%s", page)
	}
	if res := b.post("/login", url.Values{"user": {codeUser}, "password": {password}, "code": {"123456"}, "next": {"/jobs"}}); res.Header.Get("Location") != "/jobs" {
		t.Errorf("with the right code: %s to %q", res.Status, res.Header.Get("Location"))
	}
}

func TestLogoutEndsTheToken(t *testing.T) {
	b := loggedIn(t)
	if res := b.post("/logout", url.Values{}); res.Header.Get("Location") != "/login?why=out" || b.api.ended != "4f2a" {
		t.Errorf("answered with %s to %q, ended is %q", res.Status, res.Header.Get("Location"), b.api.ended)
	}
	if res := b.get("/"); res.StatusCode != http.StatusSeeOther {
		t.Errorf("the browser still has the token: %s", res.Status)
	}
	again := loggedIn(t)
	again.api.ended = "before"
	if res := again.post("/logout", url.Values{}); res.Header.Get("Location") != "/login?why=kept" {
		t.Errorf("a token that was not ended: %s to %q", res.Status, res.Header.Get("Location"))
	}
	if res := again.get("/"); res.StatusCode != http.StatusSeeOther {
		t.Errorf("the browser still has it: %s", res.Status)
	}
}

// htmx begins at once where it is loaded behind the page, and does not know an extension that comes
// later: every live part of the page stays dead then.
func TestTheExtensionIsThereWhenHtmxBegins(t *testing.T) {
	page := text(t, loggedIn(t).get("/"))
	if !strings.Contains(page, `<script src="/assets/htmx.min.js"></script><script src="/assets/hx-sse.min.js" defer></script>`) {
		t.Errorf("the scripts are loaded in another way:\n%s", page)
	}
}

// must takes the answer out of what may not fail.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// The row of a session that is over is drawn once, and again when it has changed or the day has.
func TestTheRowOfASessionThatIsOverIsDrawnOnce(t *testing.T) {
	l, v := newLiveList(), &view{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), zone: time.UTC}
	over := func(status string) *keepwardv1.Session {
		s := fakeSession()
		s.Id, s.Status, s.Ended = 5, status, timestamppb.New(v.now)
		return s
	}
	drawn := func() string {
		t.Helper()
		rows := must(l.rows(t.Context(), v))(t)
		if len(rows) != 1 || rows[0].html == "" {
			t.Fatalf("it shows %+v", rows)
		}
		return rows[0].html
	}
	l.take(&keepwardv1.WatchSessionsResponse{Whole: true, Sessions: []*keepwardv1.Session{over("Completed")}}, v.now)
	drawn()
	l.drawn[5] = drawnRow{l.drawn[5].session, l.drawn[5].day, "kept"}
	if drawn() != "kept" {
		t.Error("it is drawn again although nothing has changed")
	}
	v.now = v.now.AddDate(0, 0, 1)
	if html := drawn(); html == "kept" || !strings.Contains(html, "Completed") {
		t.Errorf("the day after it is\n%s", html)
	}
	l.take(&keepwardv1.WatchSessionsResponse{Sessions: []*keepwardv1.Session{over("Failed")}}, v.now)
	if html := drawn(); !strings.Contains(html, "Failed") {
		t.Errorf("after a change it is\n%s", html)
	}
	l.take(&keepwardv1.WatchSessionsResponse{Gone: []int64{5}}, v.now)
	if len(l.drawn) != 0 {
		t.Error("what is gone is kept")
	}
}
