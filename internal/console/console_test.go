package console

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pages are all pages behind the login, and the parts that live ones ask for.
var pages = []string{
	"/", "/overview", "/sessions", "/sessions/7", "/sessions/7?level=error&text=x&file=y&after=/%FF", "/sessions/7/speed", "/sessions/7/kill", "/sessions/7/commit", "/sessions/7/suspend", "/sessions/7/priority",
	"/sessions/waits", "/sessions/do?act=kill&id=7",
	"/jobs", "/jobs/part", "/jobs/run?job=x", "/jobs/show?job=x", "/jobs/show/part?job=x", "/jobs/yaml?job=x", "/jobs/do/disable?job=x", "/jobs/do/delete?job=x",
	"/jobs/edit?job=x&step=name", "/jobs/edit?job=x&step=computers", "/jobs/edit?job=x&step=files", "/jobs/edit?job=x&step=repository", "/jobs/edit?job=x&step=retention",
	"/jobs/edit?job=x&step=storage", "/jobs/edit?job=x&step=guest", "/jobs/edit?job=x&step=schedule", "/jobs/edit?job=x&step=summary", "/jobs/clone?job=x",
	"/computers", "/repositories", "/points", "/overview/days", "/overview/hours", "/computers/days", "/computers/days?computer=x&days=7", "/computers/days?skip=50", "/sessions?computer=x&day=2026-11-23",
	"/restore", "/restore/points?computer=x", "/restore/browse?point=3fa1&path=/srv/%E2%80%AE%1B%FF", "/restore/find?text=x",
	"/restore/versions?computer=x&path=/x", "/restore/preview?point=3fa1&path=/srv/%E2%80%AE%1B%FF",
	"/restore/to?point=3fa1&path=/srv/%E2%80%AE%1B%FF",
	"/points/show?point=3fa1", "/do/hold-point?of=3fa1", "/do/delete-point?of=3fa1",
	"/computers/show?computer=x", "/groups", "/groups/show?group=x", "/tokens", "/updates", "/updates/show?rollout=4", "/do/edit-group?of=x", "/repositories/show?repository=x", "/resources", "/traffic", "/windows", "/notifications", "/notifications/report?report=long", "/do/edit-mail-target?of=mail", "/do/edit-webhook-target?of=long", "/do/edit-notify-rule?of=long", "/do/edit-report?of=long", "/audit", "/credentials", "/do/detach-repository?of=x", "/do/remove-key?of=02&repository=x", "/do/new-repository", "/approvals", "/do/grant-approval?of=9", "/do/refuse-approval?of=9", "/settings", "/users", "/users/passkeys?user=x", "/account", "/do/remove-passkey?of=9c", "/do/set-sign-on", "/do/disconnect-sign-on?of=9d", "/do/edit-repository?of=x", "/do/set-setting?of=long", "/do/edit-rule?of=long", "/do/edit-window?of=long", "/do/set-limit?of=x", "/do/edit-connection?of=x", "/do/set-tags?of=x",
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
