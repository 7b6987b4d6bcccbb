package server

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// keyed makes a request with a key.
func keyed[T any](m *T, key string) *connect.Request[T] {
	r := connect.NewRequest(m)
	r.Header().Set(keyHeader, key)
	return r
}

// once calls a repeater as a user, with a handler that counts.
type once struct {
	t      *testing.T
	r      *repeater
	user   int64
	calls  int
	handle func(ctx context.Context) (*keepwardv1.StartSessionResponse, error) // nil: answers the number of the call
}

// newOnce has two users: 1 and 2.
func newOnce(t *testing.T) *once {
	db := openCatalog(t)
	err := db.Write(t.Context(), func(tx *sql.Tx) error {
		for _, name := range []string{"ann", "ben"} {
			if _, err := catalog.AddUser(t.Context(), tx, catalog.User{Name: name, Role: roleAdmin, Password: "x", Created: time.Now()}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return &once{t: t, user: 1, r: newRepeater(db, seal.Secret{1}, slog.New(slog.DiscardHandler))}
}

// restarted is another server with the same catalog.
func (o *once) restarted() {
	o.r = newRepeater(o.r.db, seal.Secret{1}, slog.New(slog.DiscardHandler))
}

// specified has the spec that a handler gives its requests.
type specified struct {
	*connect.Request[keepwardv1.RunJobRequest]
	spec connect.Spec
}

func (s specified) Spec() connect.Spec { return s.spec }

func (o *once) run(ctx context.Context, procedure, job, key string) (int64, error) {
	req := specified{keyed(&keepwardv1.RunJobRequest{Name: job}, key), connect.Spec{
		Procedure: procedure, Schema: keepwardv1.File_keepward_v1_admin_proto.Services().ByName("JobService").Methods().ByName("RunJob"),
	}}
	res, err := o.r.WrapUnary(func(ctx context.Context, _ connect.AnyRequest) (connect.AnyResponse, error) {
		o.calls++
		if o.handle != nil {
			m, err := o.handle(ctx)
			return connect.NewResponse(m), err
		}
		return connect.NewResponse(&keepwardv1.StartSessionResponse{Session: int64(o.calls)}), nil
	})(context.WithValue(ctx, callerKey{}, caller{user: catalog.User{ID: o.user}}), req)
	if err != nil {
		return 0, err
	}
	return res.Any().(*keepwardv1.StartSessionResponse).GetSession(), nil
}

const (
	runJob      = keepwardv1connect.JobServiceRunJobProcedure
	createToken = keepwardv1connect.AccessServiceCreateTokenProcedure
)

func (o *once) want(job, key string, session int64, code string) {
	o.t.Helper()
	got, err := o.run(o.t.Context(), runJob, job, key)
	if got != session || errs.CodeOf(err) != code || code == "" && err != nil {
		o.t.Errorf("run %s with key %q: session %d, %v; want %d and %q", job, key, got, err, session, code)
	}
}

func TestTheSameCallWithTheSameKeyIsDoneOnce(t *testing.T) {
	o := newOnce(t)
	o.want("docs", "k1", 1, "")
	o.want("docs", "k1", 1, "")
	o.restarted()
	o.want("docs", "k1", 1, "")
	o.want("docs", "k2", 2, "")
	o.want("docs", "", 3, "")
	o.want("docs", "", 4, "")
	o.want("other", "k1", 0, "idempotency.other-request")
	if _, err := o.run(t.Context(), keepwardv1connect.JobServiceDeleteJobProcedure, "docs", "k1"); errs.CodeOf(err) != "idempotency.other-request" {
		t.Errorf("another call with the key: %v", err)
	}
	o.user = 2
	o.want("docs", "k1", 5, "")
	if o.calls != 5 {
		t.Errorf("%d calls were made, want 5", o.calls)
	}
}

func TestWhatFailedIsDoneAgain(t *testing.T) {
	o := newOnce(t)
	o.handle = func(context.Context) (*keepwardv1.StartSessionResponse, error) {
		return nil, errs.New(errs.Busy, "job.busy", "not now")
	}
	o.want("docs", "k1", 0, "job.busy")
	o.handle = nil
	o.want("docs", "k1", 2, "")
	o.want("docs", "k1", 2, "")
}

func TestWhatAServerThatWasKilledHadBegunIsNotDoneAgain(t *testing.T) {
	o := newOnce(t)
	func() {
		defer func() { _ = recover() }() // as good as killed: nothing behind the call is done
		o.handle = func(context.Context) (*keepwardv1.StartSessionResponse, error) { panic("killed") }
		o.want("docs", "k1", 0, "")
	}()
	o.handle = nil
	o.restarted()
	o.want("docs", "k1", 0, "idempotency.unknown")
	if o.calls != 1 {
		t.Errorf("%d calls were made, want 1", o.calls)
	}
}

func TestAServerThatStopsDuringACallDoesNotKnowWhatBecameOfIt(t *testing.T) {
	o := newOnce(t)
	stop, cancel := context.WithCancel(t.Context())
	o.r.stop = stop
	o.handle = func(ctx context.Context) (*keepwardv1.StartSessionResponse, error) {
		cancel()
		<-ctx.Done()
		return nil, errs.New(errs.Cancelled, "", "run: %w", ctx.Err())
	}
	if _, err := o.run(t.Context(), runJob, "docs", "k1"); errs.KindOf(err) != errs.Cancelled {
		t.Errorf("the call that was stopped: %v", err)
	}
	o.handle = nil
	o.restarted()
	o.want("docs", "k1", 0, "idempotency.unknown")
}

func TestWhoHangsUpGetsTheAnswerWhenHeComesAgain(t *testing.T) {
	o := newOnce(t)
	ctx, hangUp := context.WithCancel(t.Context())
	o.handle = func(ctx context.Context) (*keepwardv1.StartSessionResponse, error) {
		hangUp()
		return &keepwardv1.StartSessionResponse{Session: 7}, ctx.Err()
	}
	if _, err := o.run(ctx, runJob, "docs", "k1"); err != nil {
		t.Errorf("the call did not go on: %v", err)
	}
	o.want("docs", "k1", 7, "")
}

func TestACallWaitsForTheOneWithItsKey(t *testing.T) {
	o := newOnce(t)
	r := o.r
	synctest.Test(t, func(t *testing.T) {
		r.running = map[keyOf]chan struct{}{} // of this bubble
		done, err := r.begin(t.Context(), keyOf{1, "k"}, runJob)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.begin(t.Context(), keyOf{1, "k"}, runJob); errs.CodeOf(err) != "idempotency.running" {
			t.Errorf("a call whose key is in use: %v", err)
		}
		if other, err := r.begin(t.Context(), keyOf{2, "k"}, runJob); err != nil {
			t.Errorf("the key of another user: %v", err)
		} else {
			other()
		}
		second := make(chan error, 1)
		go func() {
			release, err := r.begin(t.Context(), keyOf{1, "k"}, runJob)
			if err == nil {
				release()
			}
			second <- err
		}()
		synctest.Wait()
		select {
		case err := <-second:
			t.Errorf("it did not wait: %v", err)
		default:
		}
		done()
		if err := <-second; err != nil {
			t.Errorf("it waited, and then: %v", err)
		}
		if len(r.running) > 0 {
			t.Errorf("keys are held by nobody: %v", r.running)
		}
	})
}

func TestAKeyIsForgottenAfterADay(t *testing.T) {
	o := newOnce(t)
	begin := time.Now()
	o.r.now = func() time.Time { return begin }
	o.want("docs", "k1", 1, "")
	o.r.now = func() time.Time { return begin.Add(keysKept - time.Second) }
	o.want("docs", "k1", 1, "")
	o.r.now = func() time.Time { return begin.Add(keysKept) }
	o.want("docs", "k1", 2, "")
}

func TestTheSweepKeepsTheNewestKeysOfEachUser(t *testing.T) {
	o := newOnce(t)
	begin := time.Now()
	for i := range 5 {
		o.r.now = func() time.Time { return begin.Add(time.Duration(i) * time.Minute) }
		o.want("docs", "k"+string(rune('0'+i)), int64(i+1), "")
	}
	o.user = 2
	o.want("docs", "k0", 6, "")
	err := o.r.db.Write(t.Context(), func(tx *sql.Tx) error { return catalog.SweepKeyedCalls(t.Context(), tx, begin, 2) })
	if err != nil {
		t.Fatal(err)
	}
	var left string
	if err := o.r.db.Read().QueryRowContext(t.Context(), `SELECT group_concat(user_id || key, ' ') FROM (SELECT * FROM idempotency_keys ORDER BY user_id, key)`).Scan(&left); err != nil {
		t.Fatal(err)
	}
	if left != "1k3 1k4 2k0" {
		t.Errorf("left are %q", left)
	}
}

func TestWhatIsNoKeyIsRefused(t *testing.T) {
	o := newOnce(t)
	for _, key := range []string{"a b", "a\x1b[31m", "schlüssel", strings.Repeat("k", keyMost+1)} {
		o.want("docs", key, 0, "idempotency.key")
	}
	o.want("docs", strings.Repeat("k", keyMost), 1, "")
}

func TestASecretAnswerIsKeptNowhere(t *testing.T) {
	o := newOnce(t)
	if _, err := o.run(t.Context(), createToken, "very-secret-word", "k1"); err != nil {
		t.Fatal(err)
	}
	_, err := o.run(t.Context(), createToken, "very-secret-word", "k1")
	if errs.CodeOf(err) != "idempotency.answered" || errs.HintOf(err) == "" || o.calls != 1 {
		t.Errorf("the same call again, the %d.: %v (%s)", o.calls, err, errs.HintOf(err))
	}
	var answer []byte
	if err := o.r.db.Read().QueryRowContext(t.Context(), `SELECT answer FROM idempotency_keys`).Scan(&answer); err != nil || answer != nil {
		t.Errorf("kept is %x, %v", answer, err)
	}
}

// secretNames are the names of what must not be kept.
var secretNames = []protoreflect.Name{"token", "secret", "password", "passphrase", "recovery_key", "codes", "url", "id_key", "computer_key"}

// TestEveryAnswerWithASecretHasARow looks at all that calls with keys answer.
func TestEveryAnswerWithASecretHasARow(t *testing.T) {
	seen := 0
	for _, s := range publicServices() {
		for _, call := range publicCalls(s) {
			procedure := procedureOf(call)
			if methods[procedure].audit != each || call.IsStreamingServer() {
				continue
			}
			seen++
			had := map[protoreflect.FullName]bool{}
			var look func(m protoreflect.MessageDescriptor) string
			look = func(m protoreflect.MessageDescriptor) string {
				had[m.FullName()] = true
				for i := range m.Fields().Len() {
					f := m.Fields().Get(i)
					if (f.Kind() == protoreflect.StringKind || f.Kind() == protoreflect.BytesKind) && slices.Contains(secretNames, f.Name()) && !notSecret[f.FullName()] {
						return string(f.FullName())
					}
					if of := f.Message(); of != nil && !had[of.FullName()] {
						if found := look(of); found != "" {
							return found
						}
					}
				}
				return ""
			}
			found := look(call.Output())
			if _, decided := repeatRules[procedure]; found != "" && !decided {
				t.Errorf("%s answers %s, and repeatRules does not say what becomes of that", procedure, found)
			}
		}
	}
	if seen < 40 {
		t.Errorf("only %d calls were looked at", seen)
	}
}

// notSecret are fields with such a name that hold none.
var notSecret = map[protoreflect.FullName]bool{
	"keepward.v1.Webhook.url": true, // shown to administrators, and without the secret it is signed with
	"keepward.v1.Group.url":   true, // where a list is read
}

// TestEveryCallThatMakesSomethingTakesAKeyOrSaysWhyNot: by its name.
func TestEveryCallThatMakesSomethingTakesAKeyOrSaysWhyNot(t *testing.T) {
	made := []string{"Create", "Add", "Start", "Run", "Retry", "Restore", "Check", "Sweep", "Rescan", "Rebuild", "Reconcile", "Update", "Begin", "Attach", "Save"}
	for procedure, rule := range methods {
		name := procedure[strings.LastIndexByte(procedure, '/')+1:]
		makes := slices.ContainsFunc(made, func(s string) bool { return strings.HasPrefix(name, s) })
		if makes && rule.may&users != 0 && rule.audit != each && repeatRules[procedure].why == "" {
			t.Errorf("%s makes something and takes no key", procedure)
		}
	}
	for procedure, rule := range repeatRules {
		if methods[procedure].audit != each || rule.why == "" || rule.how == kept {
			t.Errorf("%s has a row that decides nothing", procedure)
		}
	}
}

// TestACallWithAKeyIsMadeOnceOverARestart is the whole way: a real server, asked over its port.
func TestACallWithAKeyIsMadeOnceOverARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "server")
	s := start(t, dir)
	create := func(s *testServer, name, key string) (*connect.Response[keepwardv1.CreateUserResponse], error) {
		users := keepwardv1connect.NewUserServiceClient(s.client, s.url(), as(s.token))
		return users.CreateUser(t.Context(), keyed(&keepwardv1.CreateUserRequest{Name: name, Role: "viewer", Password: "a very long one"}, key))
	}
	first, err := create(s, "ann", "k1")
	if err != nil {
		t.Fatal(err)
	}
	s.stop()
	s = start(t, dir)
	again, err := create(s, "ann", "k1")
	if err != nil {
		t.Fatalf("the same call again: %v", err)
	}
	if !proto.Equal(first.Msg, again.Msg) || again.Header().Get(repeatedHeader) == "" || first.Header().Get(repeatedHeader) != "" {
		t.Errorf("the answer is %v with %v, want %v", again.Msg, again.Header(), first.Msg)
	}
	if _, err := create(s, "ann", "k2"); errs.KindOf(err) != errs.Exists || strings.HasPrefix(errs.CodeOf(err), "idempotency") {
		t.Errorf("with another key it is another call: %v", err)
	}
	if _, err := create(s, "ben", "k1"); errs.CodeOf(err) != "idempotency.other-request" {
		t.Errorf("another request with the key: %v", err)
	}
	var plain int
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, catalogFile)+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	err = db.QueryRowContext(t.Context(), `SELECT count(*) FROM idempotency_keys WHERE answer IS NULL OR instr(answer, CAST('ann' AS BLOB))`).Scan(&plain)
	if err := errors.Join(err, db.Close()); err != nil || plain > 0 {
		t.Errorf("%d answers are missing or kept in clear: %v", plain, err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url()+keepwardv1connect.RepositoryServiceRebuildCatalogProcedure, strings.NewReader("\x00\x00\x00\x00\x02{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Content-Type": {"application/connect+json"}, "Authorization": {"Bearer " + s.token}, keyHeader: {"k3"}}
	res, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body := make([]byte, 4096)
	n, _ := res.Body.Read(body)
	if _ = res.Body.Close(); !strings.Contains(string(body[:n]), "idempotency.stream") {
		t.Errorf("a stream with a key: %s", body[:n])
	}
}
