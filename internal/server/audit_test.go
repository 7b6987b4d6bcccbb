package server

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/audit"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

func (s *testServer) audits() keepwardv1connect.AuditServiceClient {
	return keepwardv1connect.NewAuditServiceClient(s.client, s.url(), as(s.token))
}

func (s *testServer) users(token string) keepwardv1connect.UserServiceClient {
	return keepwardv1connect.NewUserServiceClient(s.client, s.url(), as(token))
}

func (s *testServer) apiTokens(token string) keepwardv1connect.APITokenServiceClient {
	return keepwardv1connect.NewAPITokenServiceClient(s.client, s.url(), as(token))
}

// audited lists calls as text, the oldest first: user call named -> answered: outcome.
func (s *testServer) audited(call string) []string {
	s.t.Helper()
	var out []string
	for _, c := range must(s.audits().ListAudit(s.t.Context(), connect.NewRequest(&keepwardv1.ListAuditRequest{Call: call, Limit: 1000})))(s.t).GetCalls() {
		text := string(c.GetUser()) + " " + c.GetCall()
		for _, n := range c.GetNamed() {
			text += " " + n.GetField() + "=" + string(n.GetValue())
		}
		for _, n := range c.GetAnswered() {
			text += " >" + n.GetField() + "=" + string(n.GetValue())
		}
		out = append(out, text+": "+c.GetOutcome())
	}
	slices.Reverse(out)
	return out
}

// verified checks the chain as the catalog has it.
func verified(t *testing.T, db *catalog.DB) uint64 {
	t.Helper()
	var c audit.Chain
	for {
		rows, err := catalog.AuditRows(t.Context(), db.Read(), c.Head().Number, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) == 0 {
			return c.Head().Number
		}
		for _, r := range rows {
			if err := c.Next(r); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// meddle runs a statement on the catalog of a server that runs.
func (s *testServer) meddle(statement string) {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.dir, catalogFile)+"?_pragma=busy_timeout(10000)")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(s.t.Context(), statement); err != nil {
		s.t.Fatal(err)
	}
}

func TestEveryChangeRefusalAndLoginIsInTheAuditLog(t *testing.T) {
	s := start(t, t.TempDir())
	ctx := t.Context()
	made := must(s.access(s.token).CreateToken(ctx, connect.NewRequest(&keepwardv1.CreateTokenRequest{Role: "agent", Name: "web1"})))(t)
	if _, err := s.jobs().DeleteJob(ctx, connect.NewRequest(&keepwardv1.DeleteJobRequest{Name: "no\nsuch"})); errs.KindOf(err) != errs.NotFound {
		t.Fatal(err)
	}
	must(s.access(s.token).ListTokens(ctx, connect.NewRequest(&keepwardv1.ListTokensRequest{})))(t)
	hostile := "\x1b[31m\u202e\x00" + strings.Repeat("é", 500)
	for _, user := range []string{"admin", hostile} {
		if _, err := s.access("").Login(ctx, connect.NewRequest(&keepwardv1.LoginRequest{User: user, Password: "wrong"})); errs.KindOf(err) != errs.Denied {
			t.Fatal(err)
		}
	}
	must(s.access("").Login(ctx, connect.NewRequest(&keepwardv1.LoginRequest{User: "admin", Password: s.password()})))(t)
	if _, err := s.enrol("garbage", wire.RoleAgent, "web1"); err == nil {
		t.Fatal("joined")
	}
	if _, err := s.enrol(made.Token, wire.RoleAgent, "web1"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.access("kwt1.x").RevokeToken(ctx, connect.NewRequest(&keepwardv1.RevokeTokenRequest{Id: "x"})); errs.KindOf(err) != errs.Denied {
		t.Fatal(err)
	}
	got := s.audited("")
	for i, want := range []string{
		"admin AccessService/CreateToken role=agent name=web1 >info.id=" + made.Info.Id + " >info.name=web1: ok",
		"admin JobService/DeleteJob name=no\nsuch: job.unknown",
		"admin AccessService/Login: access.login",
		"\x1b[31m\u202e\x00é",
		"admin AccessService/Login: ok",
		" EnrolService/Join role=agent name=web1: ",
		" EnrolService/Join role=agent name=web1: ok",
		" AccessService/RevokeToken: access.token-unknown",
	} {
		if i >= len(got) || !strings.HasPrefix(got[i], want) {
			t.Fatalf("row %d of\n%q\nis not %q", i, got, want)
		}
	}
	if len(got) != 8 || len(got[3]) > 300 {
		t.Errorf("%d calls, the name that was claimed has %d bytes", len(got), len(got[3]))
	}
	for _, c := range must(s.audits().ListAudit(ctx, connect.NewRequest(&keepwardv1.ListAuditRequest{})))(t).GetCalls() {
		if c.GetAddress() != "127.0.0.1" {
			t.Errorf("%s came from %q", c.GetCall(), c.GetAddress())
		}
		if who := string(c.GetUser()); who == "admin" && c.GetOutcome() != "access.login" && (c.GetRole() != roleAdmin || c.GetToken() == "") {
			t.Errorf("%s: role %q, token %q", c.GetCall(), c.GetRole(), c.GetToken())
		}
	}
	for _, secret := range []string{s.password(), s.token, made.Token, "wrong", "garbage"} {
		if text := strings.Join(s.audited(""), "\n"); strings.Contains(text, secret) {
			t.Errorf("%q is in the audit log", secret)
		}
	}
	s.stop()
	db, err := catalog.Open(context.WithoutCancel(ctx), filepath.Join(s.dir, catalogFile))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if n := verified(t, db); n != 10 {
		t.Errorf("%d rows, want 10: two of the calls have a row for their end", n)
	}
}

// TestWhatCannotBeWrittenDownIsNotDone makes the audit log refuse rows, as a disk does that fails at
// just that.
func TestWhatCannotBeWrittenDownIsNotDone(t *testing.T) {
	s := start(t, t.TempDir())
	ctx := t.Context()
	good := s.joinToken(wire.RoleAgent, "web1")
	rows := func() int { return len(s.audited("")) }
	before := rows()
	s.meddle(`CREATE TRIGGER refuse BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no'); END`)
	if _, err := s.access(s.token).CreateToken(ctx, connect.NewRequest(&keepwardv1.CreateTokenRequest{Role: "agent", Name: "web2"})); errs.CodeOf(err) != "audit.not-written" {
		t.Errorf("a change: %v", err)
	}
	stream, err := keepwardv1connect.NewRepositoryServiceClient(s.client, s.url(), as("")).RebuildCatalog(ctx, shown(&keepwardv1.RebuildCatalogRequest{}, s.token))
	if err != nil {
		t.Fatal(err)
	}
	for stream.Receive() {
		t.Error("a stream was answered")
	}
	if err := wire.FromConnect(stream.Err()); errs.CodeOf(err) != "audit.not-written" {
		t.Errorf("a stream: %v", err)
	}
	_ = stream.Close()
	if _, err := s.access("").Login(ctx, connect.NewRequest(&keepwardv1.LoginRequest{User: "admin", Password: s.password()})); errs.CodeOf(err) != "audit.not-written" {
		t.Errorf("a login: %v", err)
	}
	if _, err := s.enrol(good, wire.RoleAgent, "web1"); errs.CodeOf(err) != "audit.not-written" {
		t.Errorf("a node that joins: %v", err)
	}
	if n := len(must(s.access(s.token).ListTokens(ctx, connect.NewRequest(&keepwardv1.ListTokensRequest{})))(t).Tokens); n != 1 {
		t.Errorf("%d join tokens, want the one from before", n)
	}
	if n := len(must(s.computers().ListComputers(ctx, connect.NewRequest(&keepwardv1.ListComputersRequest{})))(t).Computers); n != 0 {
		t.Errorf("%d computers joined", n)
	}
	if list := must(s.apiTokens(s.token).ListAPITokens(ctx, connect.NewRequest(&keepwardv1.ListAPITokensRequest{Kind: catalog.TokenLogin})))(t).Tokens; len(list) != 0 {
		t.Errorf("a login came about: %v", list)
	}
	if n := rows(); n != before {
		t.Errorf("%d calls are in the log, want %d", n, before)
	}
	s.meddle(`DROP TRIGGER refuse`)
	if _, err := s.enrol(good, wire.RoleAgent, "web1"); err != nil {
		t.Errorf("the token was spent by the join that was not done: %v", err)
	}
}

// TestACallWhoseEndCannotBeWrittenIsAnswered: it is done, and the log says that its outcome is not known.
func TestACallWhoseEndCannotBeWrittenIsAnswered(t *testing.T) {
	s := start(t, t.TempDir())
	s.meddle(`CREATE TRIGGER refuse BEFORE INSERT ON audit WHEN NEW.kind = 'end' BEGIN SELECT RAISE(ABORT, 'no'); END`)
	s.joinToken(wire.RoleAgent, "web1")
	if got := s.audited("CreateToken"); len(got) != 1 || !strings.HasSuffix(got[0], "name=web1: ") {
		t.Errorf("the log says %q", got)
	}
	if !strings.Contains(s.log.String(), "audit row not written") {
		t.Error("the server's log does not tell of it")
	}
}

// shown is a request with a token, for streams.
func shown[T any](m *T, token string) *connect.Request[T] {
	r := connect.NewRequest(m)
	r.Header().Set("Authorization", "Bearer "+token)
	return r
}

func testAuditor(t *testing.T) (*auditor, *handClock, *catalog.DB) {
	t.Helper()
	db, clock := openCatalog(t), &handClock{time.Unix(1_700_000_000, 0)}
	return newAuditor(db, slog.New(slog.DiscardHandler), clock.now), clock, db
}

// counts is how many rows there are, and how many calls they stand for.
func counts(t *testing.T, db *catalog.DB) (rows int, calls uint64) {
	t.Helper()
	verified(t, db)
	list, err := catalog.AuditRows(t.Context(), db.Read(), 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		calls += r.Times
	}
	return len(list), calls
}

func TestWhoKnocksFillsNoDisk(t *testing.T) {
	a, clock, db := testAuditor(t)
	knock := func(user, addr string) {
		r := a.row(t.Context(), keepwardv1connect.AccessServiceLoginProcedure, addr)
		r.User = user
		a.refused(t.Context(), r, errs.New(errs.Denied, "access.login", "x"))
	}
	for range 1000 {
		knock("ann", "192.0.2.1:5000")
	}
	if rows, _ := counts(t, db); rows != 1 {
		t.Errorf("%d rows of one guesser, want 1", rows)
	}
	clock.pass(refusedFor)
	a.flush(t.Context(), false)
	if rows, calls := counts(t, db); rows != 2 || calls != 1000 {
		t.Errorf("%d rows of %d calls after a minute, want 2 of 1000", rows, calls)
	}
	for i := range 5000 { // names and addresses are made up
		knock(fmt.Sprint("user", i), fmt.Sprintf("10.%d.%d.1:1", i>>8, i&255))
	}
	if rows, _ := counts(t, db); rows > 2+refusedKept+1 {
		t.Errorf("%d rows of many guessers", rows)
	}
	a.flush(t.Context(), true)
	if _, calls := counts(t, db); calls != 6000 {
		t.Errorf("the rows stand for %d calls, want 6000", calls)
	}
	clock.pass(2 * refusedFor)
	a.flush(t.Context(), false)
	a.flush(t.Context(), false)
	clock.pass(2 * refusedFor)
	a.flush(t.Context(), false)
	if len(a.refusal) != 0 {
		t.Errorf("%d are kept of guessers that are quiet", len(a.refusal))
	}
}

func TestReadingTheSameThingIsWrittenDownOnceInAWhile(t *testing.T) {
	a, clock, db := testAuditor(t)
	browse := func(path string, failure error) {
		t.Helper()
		c, err := a.begin(t.Context(), keepwardv1connect.PointServiceBrowseProcedure, "192.0.2.1:"+fmt.Sprint(1000+len(path)), &keepwardv1.BrowseRequest{Point: "latest", Computer: "web1", Path: []byte(path)})
		if err != nil {
			t.Fatal(err)
		}
		c.end(t.Context(), &keepwardv1.BrowseResponse{}, failure)
	}
	for _, step := range []struct {
		path string
		err  error
		wait time.Duration
		rows int // in all
	}{
		{"/srv", errs.New(errs.Unavailable, "browse.unread", "x"), 0, 2},
		{"/srv", nil, 0, 4}, // what failed does not count
		{"/srv", nil, 0, 4},
		{"/etc", nil, 0, 6},
		{"/srv", nil, readFor - time.Second, 6},
		{"/srv", nil, time.Second, 8},
	} {
		clock.pass(step.wait)
		browse(step.path, step.err)
		if rows, _ := counts(t, db); rows != step.rows {
			t.Errorf("%s after %s: %d rows, want %d", step.path, step.wait, rows, step.rows)
		}
	}
}

// fill gives every field a value that tells its name.
func fill(m protoreflect.Message, deeper int) {
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		var v protoreflect.Value
		switch {
		case f.IsMap() || f.ContainingOneof() != nil && !f.ContainingOneof().IsSynthetic():
			continue
		case f.Message() != nil:
			if deeper == 0 {
				continue
			}
			inner := m.NewField(f)
			if f.IsList() {
				inner = inner.List().NewElement()
			}
			fill(inner.Message(), deeper-1)
			v = inner
		case f.Kind() == protoreflect.StringKind:
			v = protoreflect.ValueOfString("<" + string(f.Name()) + ">")
		case f.Kind() == protoreflect.BytesKind:
			v = protoreflect.ValueOfBytes([]byte("<" + string(f.Name()) + ">"))
		case f.Kind() == protoreflect.BoolKind:
			v = protoreflect.ValueOfBool(true)
		case f.Kind() == protoreflect.Int64Kind && !f.IsList():
			v = protoreflect.ValueOfInt64(7)
		default:
			continue
		}
		if f.IsList() {
			m.Mutable(f).List().Append(v)
		} else {
			m.Set(f, v)
		}
	}
}

// secretFields hold what must never be in a row, in whatever message they are.
var secretFields = []string{
	"password", "current_password", "secret", "passphrase", "recovery_key", "token", "code", "codes", "csr", "content", "data", "value", "url", "key", "arguments", "environment", "yaml",
}

func TestNoSecretIsNamed(t *testing.T) {
	nothing := map[string]bool{ // what names nothing, or only who calls, whom each row has
		keepwardv1connect.AccessServiceConfirmLoginProcedure:  true,
		keepwardv1connect.PasskeyServiceBeginPasskeyProcedure: true, keepwardv1connect.PasskeyServiceLoginByPasskeyProcedure: true,
		keepwardv1connect.SignOnServiceConnectSignOnProcedure: true, keepwardv1connect.SignOnServiceFinishSignOnProcedure: true,
		keepwardv1connect.SignOnServiceTestSignOnProviderProcedure: true, keepwardv1connect.SignOnServiceRemoveSignOnProviderProcedure: true, // there is one
		keepwardv1connect.JobServiceResumeRetentionProcedure: true, keepwardv1connect.QueueServiceResumeServerProcedure: true,
	}
	for method, rule := range methods {
		if rule.audit == silent {
			continue
		}
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", ".")))
		if err != nil {
			t.Fatal(err)
		}
		of := d.(protoreflect.MethodDescriptor)
		for i, by := range []naming{asked, answered} {
			name := []protoreflect.MessageDescriptor{of.Input(), of.Output()}[i].FullName()
			mt, err := protoregistry.GlobalTypes.FindMessageByName(name)
			if err != nil {
				t.Fatal(err)
			}
			m := mt.New()
			fill(m, 4)
			named := namedBy(m.Interface(), by)
			for _, n := range named {
				for _, secret := range secretFields {
					if n.Value == "<"+secret+">" {
						t.Errorf("%s: field %s of %s is in the row", method, n.Field, name)
					}
				}
			}
			if i == 0 && len(named) == 0 && !nothing[method] {
				t.Errorf("%s: its row does not say of what", method)
			}
		}
	}
}

func TestARowIsBounded(t *testing.T) {
	m := &keepwardv1.ChangePointsRequest{Reason: strings.Repeat("r", 100_000)}
	for i := range 10_000 {
		m.Names = append(m.Names, fmt.Sprintf("%d\xff%s", i, strings.Repeat("x", 1000)))
	}
	named := namedBy(proto.Message(m), asked)
	if n := len(audit.EncodeNamed(named)); n > 12<<10 || len(named) != namedMost+1 {
		t.Errorf("%d things, %d bytes", len(named), n)
	}
	if last := named[namedMost]; last.Field != "more" || last.Value != fmt.Sprint(10_001-namedMost) {
		t.Errorf("the last is %q", last)
	}
}

func TestWhoGuessesIsLockedOutAndWrittenDown(t *testing.T) {
	s := start(t, t.TempDir())
	login := func(password string) error {
		_, err := s.access("").Login(t.Context(), connect.NewRequest(&keepwardv1.LoginRequest{User: "admin", Password: password}))
		return err
	}
	for range freeTriesOfUser {
		if err := login("wrong"); errs.CodeOf(err) != "access.login" {
			t.Fatal(err)
		}
	}
	if err := login(s.password()); errs.CodeOf(err) != "access.throttled" {
		t.Fatalf("the right password at once after %d wrong ones: %v", freeTriesOfUser, err)
	}
	if got := strings.Join(s.audited("Login"), "\n"); got != "admin AccessService/Login: access.login\nadmin AccessService/Login: access.throttled" {
		t.Errorf("the log says\n%s", got)
	}
	must(s.access(s.token).ListTokens(t.Context(), connect.NewRequest(&keepwardv1.ListTokensRequest{})))(t) // tokens go on
}

func TestARefusedCallIsWrittenDownWithWhoItWas(t *testing.T) {
	s := start(t, t.TempDir())
	token := must(s.apiTokens(s.token).CreateAPIToken(t.Context(), connect.NewRequest(&keepwardv1.CreateAPITokenRequest{Name: "look", Role: "viewer"})))(t)
	body := strings.NewReader("")
	if status := s.send(keepwardv1connect.JobServiceDeleteJobProcedure, token.GetToken(), body); status != http.StatusForbidden {
		t.Errorf("status %d", status)
	}
	if status := s.send("/keepward.v1.%00%ff%1b/x", token.GetToken(), body); status != http.StatusForbidden {
		t.Errorf("a call that is not there: status %d", status)
	}
	if got := s.audited("unlisted"); len(got) != 1 || got[0] != " unlisted path=/keepward.v1.\x00\ufffd\x1b/x: access.unlisted" {
		t.Errorf("the log says %q", got)
	}
	calls := must(s.audits().ListAudit(t.Context(), connect.NewRequest(&keepwardv1.ListAuditRequest{Call: "DeleteJob"})))(t).GetCalls()
	if len(calls) != 1 || string(calls[0].GetUser()) != "admin" || calls[0].GetRole() != "viewer" || calls[0].GetToken() != token.GetInfo().GetId() || calls[0].GetOutcome() != "access.role" {
		t.Errorf("the log says %v", calls)
	}
}
