package server

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/notify"
)

const hookSecret = "0123456789abcdef0123456789abcdef"

// post is one request that a receiver got.
type post struct {
	Event notify.Event
	Body  struct{ Subject, Body string }
	raw   []byte
}

// receiver is the other side of a webhook: it checks every signature, and answers as it is told.
type receiver struct {
	*httptest.Server
	t      *testing.T
	posts  chan post
	mu     sync.Mutex
	answer func(w http.ResponseWriter, r *http.Request) // nil: 200
}

func receive(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{t: t, posts: make(chan post, 1000)} // more than any test sends
	r.Server = httptest.NewTLSServer(http.HandlerFunc(r.take))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) take(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		r.t.Error(err)
	}
	at, err := strconv.ParseInt(req.Header.Get(notify.HeaderTimestamp), 10, 64)
	if err != nil || req.Header.Get(notify.HeaderSignature) != notify.Sign(hookSecret, time.Unix(at, 0), body) {
		r.t.Errorf("the signature %q of %s does not fit", req.Header.Get(notify.HeaderSignature), body)
	}
	p := post{raw: body}
	if err := json.Unmarshal(body, &p.Event); err != nil {
		r.t.Error(err)
	}
	if err := json.Unmarshal(body, &p.Body); err != nil {
		r.t.Error(err)
	}
	if p.Event.ID == "" || p.Event.ID != req.Header.Get(notify.HeaderEvent) || p.Event.Kind != req.Header.Get(notify.HeaderKind) {
		r.t.Errorf("headers %v do not fit %s", req.Header, body)
	}
	r.mu.Lock()
	answer := r.answer
	r.mu.Unlock()
	r.posts <- p
	if answer != nil {
		answer(w, req)
	}
}

func (r *receiver) answers(fn func(w http.ResponseWriter, r *http.Request)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = fn
}

func (r *receiver) next() post {
	r.t.Helper()
	select {
	case p := <-r.posts:
		return p
	case <-time.After(20 * time.Second):
		r.t.Fatal("nothing came")
		panic("unreachable")
	}
}

// notices is the notification service as an administrator calls it.
func (s *testServer) notices() keepwardv1connect.NotifyServiceClient {
	return keepwardv1connect.NewNotifyServiceClient(s.client, s.url(), as(s.token))
}

func (s *testServer) hook(r *receiver, name string) {
	s.t.Helper()
	must(s.notices().SaveNotifyTarget(s.t.Context(), connect.NewRequest(&keepwardv1.SaveNotifyTargetRequest{
		Target: &keepwardv1.NotifyTarget{Name: name, Webhook: &keepwardv1.Webhook{Url: r.URL + "/in", Ca: pemOf(r.Certificate())}}, Secret: hookSecret,
	})))(s.t)
}

func (s *testServer) rule(r *keepwardv1.NotifyRule) {
	s.t.Helper()
	must(s.notices().SaveNotifyRule(s.t.Context(), connect.NewRequest(&keepwardv1.SaveNotifyRuleRequest{Rule: r})))(s.t)
}

// withRepositoryAs is withRepository on a server that is configured otherwise.
func withRepositoryAs(t *testing.T, otherwise func(*Config)) (*testServer, *fakeTransport) {
	t.Helper()
	return withRepositoryIn(t, t.TempDir(), otherwise)
}

func withRepositoryIn(t *testing.T, dir string, otherwise func(*Config)) (*testServer, *fakeTransport) {
	t.Helper()
	s, f, _ := withTransportIn(t, dir, otherwise)
	if _, err := s.createRepository("main", "t1", "/srv/main"); err != nil {
		t.Fatal(err)
	}
	return s, f
}

func pemOf(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// clock is one that tests set.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// often has the server look all the time, by the clock of the test.
func often(c *clock) func(*Config) {
	return func(cfg *Config) {
		cfg.NotifyEvery = 10 * time.Millisecond
		if c != nil {
			cfg.now = c.now
		}
	}
}

// endSession makes a session of a job that ends as failed, and answers its number.
func (s *testServer) endSession(jobName string) int64 {
	s.t.Helper()
	ctx := s.t.Context()
	queue := keepwardv1connect.NewQueueServiceClient(s.client, s.url(), as(s.token))
	must(queue.PauseServer(ctx, connect.NewRequest(&keepwardv1.PauseServerRequest{})))(s.t) // it stays in the queue, so that it ends at once
	id := must(s.jobs().RunJob(ctx, connect.NewRequest(&keepwardv1.RunJobRequest{Name: jobName})))(s.t).Session
	must(s.sessions(s.token).KillSession(ctx, connect.NewRequest(&keepwardv1.KillSessionRequest{Id: id})))(s.t)
	return id
}

// until asks again and again whether something is so, as a client does that waits.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for tick := time.NewTicker(5 * time.Millisecond); !so(); {
		select {
		case <-ctx.Done():
			t.Fatal("it did not come to pass that " + what)
		case <-tick.C:
		}
	}
}

func (s *testServer) sent() []*keepwardv1.Notification {
	s.t.Helper()
	return must(s.notices().ListNotifications(s.t.Context(), connect.NewRequest(&keepwardv1.ListNotificationsRequest{})))(s.t).Notifications
}

func TestTheEndOfASessionIsToldOnce(t *testing.T) {
	s, _ := withRepositoryAs(t, often(nil))
	r := receive(t)
	s.hook(r, "ops")
	s.rule(&keepwardv1.NotifyRule{Name: "a", Targets: []string{"ops"}, Events: []string{"session"}, Jobs: []string{}, Subject: "{{.Job}}: {{.Status}}"})
	s.rule(&keepwardv1.NotifyRule{Name: "b", Targets: []string{"ops"}, Events: []string{"session.failed"}})
	s.rule(&keepwardv1.NotifyRule{Name: "c", Targets: []string{"ops"}, Events: []string{"session.success"}})
	if _, err := s.createJob(docs()); err != nil {
		t.Fatal(err)
	}
	first := s.endSession("docs")
	p := r.next()
	if p.Event.Kind != notify.SessionFailed || p.Event.Session.ID != first || p.Event.Job != "docs" || p.Event.Severity != "error" || p.Body.Subject != "docs: Killed" {
		t.Errorf("told: %s", p.raw)
	}
	second := s.endSession("docs") // what comes in between would be told before it
	if p := r.next(); p.Event.Session.ID != second {
		t.Errorf("told in between: %s", p.raw)
	}
	until(t, "both are noted", func() bool {
		list := s.sent()
		return len(list) == 2 && list[0].Status == "delivered" && list[1].Status == "delivered"
	})
}

func TestWhatIsNotTakenIsSentAgainWithTheSameID(t *testing.T) {
	c := &clock{at: time.Now()}
	s, _ := withRepositoryAs(t, often(c))
	r := receive(t)
	left := 2
	r.answers(func(w http.ResponseWriter, _ *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if left--; left >= 0 {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, "out \x1b[31mof order\x00")
		}
	})
	s.hook(r, "ops")
	s.rule(&keepwardv1.NotifyRule{Name: "a", Targets: []string{"ops"}, Events: []string{"session"}})
	if _, err := s.createJob(docs()); err != nil {
		t.Fatal(err)
	}
	s.endSession("docs")
	id := ""
	for try := range 3 {
		p := r.next()
		if id == "" {
			id = p.Event.ID
		}
		if p.Event.ID != id {
			t.Errorf("try %d has the id %s, not %s", try, p.Event.ID, id)
		}
		if try < 2 {
			until(t, "the refusal is noted", func() bool { n := s.sent()[0]; return n.Tries == int32(try+1) })
			if n := s.sent()[0]; n.Status != "waiting" || !strings.Contains(n.Problem, `out \x1b[31mof order\x00`) {
				t.Errorf("noted %v", n)
			}
			if list := s.status().Conditions; !hasCondition(list, "notify.undelivered", "ops") {
				t.Errorf("conditions: %v", list)
			}
			c.pass(time.Hour)
		}
	}
	until(t, "it has arrived", func() bool { return s.sent()[0].Status == "delivered" })
	if list := s.status().Conditions; hasCondition(list, "notify.undelivered", "ops") {
		t.Errorf("conditions afterwards: %v", list)
	}
	c.pass(time.Hour)
	s.endSession("docs")
	if p := r.next(); p.Event.ID == id {
		t.Error("what has arrived was sent again")
	}
}

func hasCondition(list []*keepwardv1.Condition, code, subject string) bool {
	for _, c := range list {
		if c.GetCode() == code && c.GetSubject() == subject {
			return true
		}
	}
	return false
}

func TestAServerThatWasCutOffSendsAgain(t *testing.T) {
	c := &clock{at: time.Now()}
	dir := t.TempDir()
	s, _ := withRepositoryIn(t, dir, often(c))
	r := receive(t)
	hanging, release := make(chan struct{}, 1), make(chan struct{})
	var once sync.Once
	free := func() { once.Do(func() { close(release) }) }
	t.Cleanup(free)
	r.answers(func(http.ResponseWriter, *http.Request) {
		hanging <- struct{}{}
		<-release // it has the message, and never says so
	})
	s.hook(r, "ops")
	s.rule(&keepwardv1.NotifyRule{Name: "a", Targets: []string{"ops"}, Events: []string{"session"}})
	if _, err := s.createJob(docs()); err != nil {
		t.Fatal(err)
	}
	s.endSession("docs")
	id := r.next().Event.ID
	<-hanging
	s.stop()
	r.answers(nil)
	free()
	s = startAs(t, dir, often(c))
	if p := r.next(); p.Event.ID != id {
		t.Errorf("the new server sent %s, not %s again", p.Event.ID, id)
	}
	until(t, "it has arrived", func() bool { return s.sent()[0].Status == "delivered" })
}

func TestBadTargetsAndRulesAreRefused(t *testing.T) {
	s := start(t, t.TempDir())
	r := receive(t)
	s.hook(r, "ops")
	ctx, api := t.Context(), s.notices()
	mail := func(change func(*keepwardv1.Mailbox)) *keepwardv1.NotifyTarget {
		m := &keepwardv1.Mailbox{Host: "mail.example.org", From: "keepward@example.org", To: []string{"ops@example.org"}}
		change(m)
		return &keepwardv1.NotifyTarget{Name: "m", Mail: m}
	}
	hook := func(url string) *keepwardv1.NotifyTarget {
		return &keepwardv1.NotifyTarget{Name: "h", Webhook: &keepwardv1.Webhook{Url: url}}
	}
	for what, tt := range map[string]struct {
		target *keepwardv1.NotifyTarget
		secret string
		code   string
	}{
		"neither":           {&keepwardv1.NotifyTarget{Name: "x"}, "", "notify.target"},
		"plain http":        {hook("http://example.org/"), hookSecret, "notify.plain"},
		"a file":            {hook("file:///etc/passwd"), hookSecret, "notify.url"},
		"no secret":         {hook("https://example.org/"), "", "notify.secret"},
		"a short secret":    {hook("https://example.org/"), "short", "notify.secret"},
		"a secret of lines": {hook("https://example.org/"), hookSecret + "\r\nX: y", "notify.secret"},
		"injected from":     {mail(func(m *keepwardv1.Mailbox) { m.From = "a@b.c\r\nBcc: d@e.f" }), "", "notify.mail"},
		"injected to":       {mail(func(m *keepwardv1.Mailbox) { m.To = []string{"a@b.c\nBcc: d@e.f"} }), "", "notify.mail"},
		"nobody":            {mail(func(m *keepwardv1.Mailbox) { m.To = nil }), "", "notify.mail"},
		"password in plain": {mail(func(m *keepwardv1.Mailbox) { m.Security, m.User = "none", "u" }), "p", "notify.mail"},
		"no password":       {mail(func(m *keepwardv1.Mailbox) { m.User = "u" }), "", "notify.secret"},
		"odd security":      {mail(func(m *keepwardv1.Mailbox) { m.Security = "some" }), "", "notify.mail"},
	} {
		_, err := api.SaveNotifyTarget(ctx, connect.NewRequest(&keepwardv1.SaveNotifyTargetRequest{Target: tt.target, Secret: tt.secret}))
		if errs.CodeOf(err) != tt.code {
			t.Errorf("%s: %v", what, err)
		}
	}
	rule := func(change func(*keepwardv1.NotifyRule)) *keepwardv1.NotifyRule {
		r := &keepwardv1.NotifyRule{Name: "r", Targets: []string{"ops"}}
		change(r)
		return r
	}
	for what, tt := range map[string]struct {
		rule *keepwardv1.NotifyRule
		code string
	}{
		"no target":       {rule(func(r *keepwardv1.NotifyRule) { r.Targets = nil }), "notify.rule"},
		"unknown event":   {rule(func(r *keepwardv1.NotifyRule) { r.Events = []string{"sess"} }), "notify.rule"},
		"unknown grade":   {rule(func(r *keepwardv1.NotifyRule) { r.Severity = "loud" }), "notify.rule"},
		"unknown field":   {rule(func(r *keepwardv1.NotifyRule) { r.Body = "{{.Nothing}}" }), "notify.template"},
		"unclosed":        {rule(func(r *keepwardv1.NotifyRule) { r.Subject = "{{.Job" }), "notify.template"},
		"endless":         {rule(func(r *keepwardv1.NotifyRule) { r.Body = "{{range 1000000000000}}{{end}}" }), "notify.template"},
		"hidden endless":  {rule(func(r *keepwardv1.NotifyRule) { r.Body = "{{if .Job}}{{with .Job}}{{range 9}}x{{end}}{{end}}{{end}}" }), "notify.template"},
		"enormous":        {rule(func(r *keepwardv1.NotifyRule) { r.Body = `{{printf "%1000000000d" 1}}` }), "notify.template"},
		"only for failed": {rule(func(r *keepwardv1.NotifyRule) { r.Body = `{{if .Session}}{{.Session.ID}}{{end}}` }), "notify.template"},
	} {
		_, err := api.SaveNotifyRule(ctx, connect.NewRequest(&keepwardv1.SaveNotifyRuleRequest{Rule: tt.rule}))
		if errs.CodeOf(err) != tt.code {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, r := range map[string]*keepwardv1.NotifyRule{
		"unknown target": rule(func(r *keepwardv1.NotifyRule) { r.Targets = []string{"opps"} }),
		"unknown job":    rule(func(r *keepwardv1.NotifyRule) { r.Jobs = []string{"x"} }),
		"unknown group":  rule(func(r *keepwardv1.NotifyRule) { r.Groups = []string{"x"} }),
	} {
		if _, err := api.SaveNotifyRule(ctx, connect.NewRequest(&keepwardv1.SaveNotifyRuleRequest{Rule: r})); errs.KindOf(err) != errs.NotFound {
			t.Errorf("%s: %v", what, err)
		}
	}
	s.rule(rule(func(*keepwardv1.NotifyRule) {}))
	if _, err := api.DeleteNotifyTarget(ctx, connect.NewRequest(&keepwardv1.DeleteNotifyTargetRequest{Name: "ops"})); errs.CodeOf(err) != "notify.used" {
		t.Errorf("a target in use: %v", err)
	}
	if strings.Contains(s.log.String(), hookSecret) {
		t.Error("the log has the secret")
	}
}
