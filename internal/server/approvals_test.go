package server

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

func (f *fakeTransport) MarkPoints(_ context.Context, req *connect.Request[keepwardv1.MarkPointsRequest]) (*connect.Response[keepwardv1.MarkPointsResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lost != nil {
		return nil, f.lost
	}
	res := &keepwardv1.MarkPointsResponse{}
	for _, id := range req.Msg.GetPoints() {
		res.Points = append(res.Points, &keepwardv1.PointMark{Point: id})
	}
	return connect.NewResponse(res), nil
}

const isAsked = "approval.asked"

const (
	pointOne = "11111111aaaaaaaaaaaaaaaaaaaaaaaa"
	pointTwo = "22222222aaaaaaaaaaaaaaaaaaaaaaaa"
)

// fourEyes is a site where ann and bob, administrators, need each other.
type fourEyes struct {
	*testServer
	f        *fakeTransport
	ann, bob string
	clock    *clock
}

func withFourEyes(t *testing.T) *fourEyes {
	t.Helper()
	c := &clock{at: time.Now()}
	s, f := withRepositoryAs(t, func(cfg *Config) { cfg.now, cfg.NotifyEvery = c.now, 10*time.Millisecond })
	j := docs()
	j.Retention = &keepwardv1.Retention{KeepLast: 7, KeepDays: 30}
	must2(s.createJob(j))(t)
	s.inCatalog(func(ctx context.Context, tx *sql.Tx) error {
		for _, id := range []string{pointOne, pointTwo} {
			if err := catalog.AddPoint(ctx, tx, &keepwardv1.Point{Id: id, Computer: "web1", Job: "docs", Repository: "main", Time: timestamppb.Now(), Full: true, Completeness: "complete"}); err != nil {
				return err
			}
		}
		return nil
	})
	e := &fourEyes{testServer: s, f: f, ann: s.user("ann", "admin"), bob: s.user("bob", "admin"), clock: c}
	s.user("eve", "operator")
	if err := e.makesCall(e.ann, keepwardv1connect.SettingsServiceSetSettingProcedure, &keepwardv1.SetSettingRequest{Name: "second_person", Value: "on"}); err != nil {
		t.Fatal(err)
	}
	return e
}

// makesCall makes any call; its answer is of no interest.
func (s *testServer) makesCall(token, procedure string, m proto.Message) error {
	s.t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		s.t.Fatal(err)
	}
	raw := &emptypb.Empty{}
	raw.ProtoReflect().SetUnknown(b)
	_, err = connect.NewClient[emptypb.Empty, emptypb.Empty](s.client, s.url()+procedure, as(token), connect.WithInterceptors(wire.Errors())).CallUnary(s.t.Context(), connect.NewRequest(raw))
	return err
}

func (s *testServer) approvals(token string) keepwardv1connect.ApprovalServiceClient {
	return keepwardv1connect.NewApprovalServiceClient(s.client, s.url(), as(token))
}

// waits lists what waits for a decision.
func (e *fourEyes) waits() []*keepwardv1.Approval {
	e.t.Helper()
	return must(e.approvals(e.bob).ListApprovals(e.t.Context(), connect.NewRequest(&keepwardv1.ListApprovalsRequest{Waiting: true})))(e.t).GetApprovals()
}

// asks makes a call that must be asked for, and answers its approval.
func (e *fourEyes) asks(token, procedure string, m proto.Message) *keepwardv1.Approval {
	e.t.Helper()
	if err := e.makesCall(token, procedure, m); errs.CodeOf(err) != isAsked {
		e.t.Fatalf("%s: %v", callName(procedure), err)
	}
	return e.waits()[0]
}

func (e *fourEyes) grants(token string, id int64) (*keepwardv1.Approval, error) {
	res, err := e.approvals(token).GrantApproval(e.t.Context(), connect.NewRequest(&keepwardv1.GrantApprovalRequest{Id: id, Note: "seen"}))
	if err != nil {
		return nil, err
	}
	return res.Msg.GetApproval(), nil
}

func (e *fourEyes) state(id int64) string {
	e.t.Helper()
	return must(e.approvals(e.ann).GetApproval(e.t.Context(), connect.NewRequest(&keepwardv1.GetApprovalRequest{Id: id})))(e.t).GetApproval().GetState()
}

func (e *fourEyes) deleted(id string) bool {
	e.t.Helper()
	p := must(keepwardv1connect.NewPointServiceClient(e.client, e.url(), as(e.token)).GetPoint(e.t.Context(), connect.NewRequest(&keepwardv1.GetPointRequest{Name: id})))(e.t)
	return p.GetPoint().GetDeleted() != nil
}

func deletion(ids ...string) *keepwardv1.ChangePointsRequest {
	return &keepwardv1.ChangePointsRequest{Names: ids, Reason: "old"}
}

const deletes = keepwardv1connect.PointServiceDeletePointsProcedure

func TestWhatIsApprovedIsDone(t *testing.T) {
	e := withFourEyes(t)
	a := e.asks(e.ann, deletes, deletion(pointOne[:8]))
	if e.deleted(pointOne) {
		t.Fatal("it was done before anybody approved it")
	}
	if a.GetUser() != "ann" || a.GetCall() != "PointService/DeletePoints" || a.GetAgain() || !strings.Contains(a.GetWhat(), pointOne+" of web1") || !strings.Contains(a.GetWhat(), "reason: old") {
		t.Errorf("what waits is %v", a)
	}
	// The same again is the same approval, and not another one.
	if again := e.asks(e.ann, deletes, deletion(pointOne[:8])); again.GetId() != a.GetId() || len(e.waits()) != 1 {
		t.Errorf("asked twice there are %v", e.waits())
	}
	if _, err := e.grants(e.ann, a.GetId()); errs.CodeOf(err) != "approval.own" {
		t.Errorf("the one who asked approves: %v", err)
	}
	token := must(e.apiTokens(e.bob).CreateAPIToken(t.Context(), connect.NewRequest(&keepwardv1.CreateAPITokenRequest{Name: "ci", Role: "admin"})))(t).GetToken()
	if _, err := e.grants(token, a.GetId()); errs.CodeOf(err) != "approval.by-token" {
		t.Errorf("a program approves: %v", err)
	}
	if _, err := e.grants(e.login("eve", goodPassword), a.GetId()); errs.KindOf(err) != errs.Denied {
		t.Errorf("an operator approves: %v", err)
	}
	e.confirmed(e.bob, time.Now().Add(-2*time.Hour))
	if _, err := e.grants(e.bob, a.GetId()); errs.CodeOf(err) != unconfirmed {
		t.Errorf("a login that was not confirmed approves: %v", err)
	}
	if e.deleted(pointOne) {
		t.Fatal("what was refused was done")
	}
	must2(e.confirm(e.bob, goodPassword, ""))(t)
	done, err := e.grants(e.bob, a.GetId())
	if err != nil || done.GetState() != "done" || done.GetDecidedBy() != "bob" || done.GetNote() != "seen" || done.GetError() != "" {
		t.Fatalf("approved it is %v (%v)", done, err)
	}
	if !e.deleted(pointOne) || e.deleted(pointTwo) {
		t.Error("what was approved was not done, or more")
	}
	if _, err := e.grants(e.bob, a.GetId()); errs.CodeOf(err) != "approval.decided" {
		t.Errorf("approved twice: %v", err)
	}
	// It was ann who did it; bob has let her.
	want := fmt.Sprintf("ann PointService/DeletePoints names=%s reason=old >approval=%d", pointOne[:8], a.GetId())
	rows := e.audited("DeletePoints")
	if len(rows) != 3 || !strings.HasPrefix(rows[0], want) || !strings.HasSuffix(rows[0], isAsked) || rows[2] != want+": ok" {
		t.Errorf("the audit log has\n%s", strings.Join(rows, "\n"))
	}
	if rows := e.audited("GrantApproval"); !slices.Contains(rows, fmt.Sprintf("bob ApprovalService/GrantApproval id=%d: ok", a.GetId())) {
		t.Errorf("the audit log has\n%s", strings.Join(rows, "\n"))
	}
}

func TestWhatIsRefusedOrTakenBackOrTooLateIsNotDone(t *testing.T) {
	e := withFourEyes(t)
	refuse := func(token string, id int64) string {
		return must(e.approvals(token).RefuseApproval(t.Context(), connect.NewRequest(&keepwardv1.RefuseApprovalRequest{Id: id})))(t).GetApproval().GetState()
	}
	one := e.asks(e.ann, deletes, deletion(pointOne))
	if got := refuse(e.bob, one.GetId()); got != "refused" {
		t.Errorf("refused it is %s", got)
	}
	two := e.asks(e.ann, deletes, deletion(pointOne))
	if two.GetId() == one.GetId() {
		t.Error("what was refused waits again")
	}
	if got := refuse(e.ann, two.GetId()); got != "withdrawn" {
		t.Errorf("taken back it is %s", got)
	}
	three := e.asks(e.ann, deletes, deletion(pointOne))
	e.clock.pass(72*time.Hour + time.Second)
	if got := e.state(three.GetId()); got != "expired" {
		t.Errorf("after three days it is %s", got)
	}
	for _, id := range []int64{one.GetId(), two.GetId(), three.GetId()} {
		if _, err := e.grants(e.bob, id); errs.CodeOf(err) != "approval.decided" {
			t.Errorf("approval %d: %v", id, err)
		}
	}
	if _, err := e.grants(e.bob, 4711); errs.CodeOf(err) != "approval.unknown" {
		t.Errorf("an approval that is not there: %v", err)
	}
	if e.deleted(pointOne) {
		t.Error("it was done")
	}
}

func TestWhatHasChangedSinceIsNotDone(t *testing.T) {
	e := withFourEyes(t)
	shorter := func() *keepwardv1.UpdateJobRequest {
		j := must(e.jobs().GetJob(t.Context(), connect.NewRequest(&keepwardv1.GetJobRequest{Name: "docs"})))(t).GetJob()
		j.Revision, j.Retention = 0, &keepwardv1.Retention{KeepLast: 1}
		return &keepwardv1.UpdateJobRequest{Job: j}
	}
	job := e.asks(e.ann, keepwardv1connect.JobServiceUpdateJobProcedure, shorter())
	longer := shorter().GetJob()
	longer.Retention = &keepwardv1.Retention{KeepLast: 70, KeepDays: 300}
	must(e.jobs().UpdateJob(t.Context(), connect.NewRequest(&keepwardv1.UpdateJobRequest{Job: longer})))(t)
	if a, err := e.grants(e.bob, job.GetId()); err != nil || a.GetState() != "failed" || !strings.Contains(a.GetError(), "changed meanwhile") {
		t.Errorf("a job that somebody else has changed: %v (%v)", a, err)
	}

	// A backup that was made meanwhile is no change.
	again := e.asks(e.ann, keepwardv1connect.JobServiceUpdateJobProcedure, shorter())
	e.inCatalog(func(ctx context.Context, tx *sql.Tx) error {
		return catalog.AddPoint(ctx, tx, &keepwardv1.Point{Id: "44444444", Computer: "web1", Job: "docs", Repository: "main", Time: timestamppb.Now(), Full: true, Completeness: "complete"})
	})
	if a, err := e.grants(e.bob, again.GetId()); err != nil || a.GetState() != "done" {
		t.Errorf("after a backup: %v (%v)", a, err)
	}

	both := e.asks(e.ann, deletes, deletion(pointOne, pointTwo))
	one := e.asks(e.ann, deletes, deletion(pointOne))
	if a, err := e.grants(e.bob, one.GetId()); err != nil || a.GetState() != "done" {
		t.Fatal(a, err)
	}
	if a, err := e.grants(e.bob, both.GetId()); err != nil || a.GetState() != "failed" || !strings.Contains(a.GetError(), "ask for it again") && !strings.Contains(a.GetError(), "would now") {
		t.Errorf("two points of which one is gone: %v (%v)", a, err)
	}
	if e.deleted(pointTwo) {
		t.Error("it was done")
	}
}

func TestNobodyAsksForWhoIsGone(t *testing.T) {
	e := withFourEyes(t)
	cyd := e.user("cyd", "admin")
	a := e.asks(cyd, deletes, deletion(pointOne))
	must(e.users(e.token).EditUser(t.Context(), connect.NewRequest(&keepwardv1.EditUserRequest{Name: "cyd", Role: "operator"})))(t)
	if got, err := e.grants(e.bob, a.GetId()); err != nil || got.GetState() != "failed" {
		t.Errorf("of an operator: %v (%v)", got, err)
	}
	must(e.users(e.token).EditUser(t.Context(), connect.NewRequest(&keepwardv1.EditUserRequest{Name: "cyd", Role: "admin"})))(t)
	b := e.asks(cyd, deletes, deletion(pointOne))
	must(e.users(e.token).RemoveUser(t.Context(), connect.NewRequest(&keepwardv1.RemoveUserRequest{Name: "cyd"})))(t)
	e.user("cyd", "admin")
	e.inCatalog(func(ctx context.Context, tx *sql.Tx) error { // the same number, too
		_, err := tx.ExecContext(ctx, `UPDATE approvals SET user_id = (SELECT id FROM users WHERE name = 'cyd')`)
		return err
	})
	if got, err := e.grants(e.bob, b.GetId()); err != nil || got.GetState() != "failed" || !strings.Contains(got.GetError(), "is gone") {
		t.Errorf("of somebody else of the same name: %v (%v)", got, err)
	}
	if e.deleted(pointOne) {
		t.Error("it was done")
	}
}

func TestWhatAnswersASecretIsMadeAgainByWhoAsked(t *testing.T) {
	e := withFourEyes(t)
	export := func(token string) (string, error) {
		res, err := keepwardv1connect.NewRepositoryServiceClient(e.client, e.url(), as(token)).ExportRecoveryKey(t.Context(), connect.NewRequest(&keepwardv1.ExportRecoveryKeyRequest{Name: "main"}))
		if err != nil {
			return "", err
		}
		return res.Msg.GetRecoveryKey(), nil
	}
	if _, err := export(e.ann); errs.CodeOf(err) != isAsked {
		t.Fatal(err)
	}
	a := e.waits()[0]
	if !a.GetAgain() {
		t.Errorf("it is %v", a)
	}
	got, err := e.grants(e.bob, a.GetId())
	if err != nil || got.GetState() != "granted" {
		t.Fatalf("granted it is %v (%v)", got, err)
	}
	if _, err := export(e.bob); errs.CodeOf(err) != isAsked {
		t.Errorf("who approved has it for himself: %v", err)
	}
	// A try that fails does not use it up.
	e.meddle("UPDATE repositories SET name = 'other' WHERE name = 'main'")
	if _, err := export(e.ann); errs.KindOf(err) != errs.NotFound {
		t.Errorf("of a repository that is not there: %v", err)
	}
	e.meddle("UPDATE repositories SET name = 'main' WHERE name = 'other'")
	if key, err := export(e.ann); err != nil || key == "" {
		t.Errorf("the key is %q (%v)", key, err)
	}
	if got := e.state(a.GetId()); got != "done" {
		t.Errorf("it is %s", got)
	}
	if _, err := export(e.ann); errs.CodeOf(err) != isAsked {
		t.Errorf("approved once, it was made twice: %v", err)
	}
	// An approval that nobody uses is over in time.
	last := e.waits()[0]
	must2(e.grants(e.bob, last.GetId()))(t)
	e.clock.pass(72*time.Hour + time.Second)
	if _, err := export(e.ann); errs.CodeOf(err) != isAsked {
		t.Errorf("after three days: %v", err)
	}
	if got := e.state(last.GetId()); got != "expired" {
		t.Errorf("it is %s", got)
	}
}

// What was granted is what was shown: the same files do something else once somebody has changed the job.
func TestWhatIsMadeAgainMustBeWhatWasShown(t *testing.T) {
	e := withFourEyes(t)
	const apply = keepwardv1connect.ConfigServiceApplyProcedure
	files := &keepwardv1.ApplyRequest{Files: []*keepwardv1.SourceFile{{Name: "a.yaml", Content: []byte(strings.Replace(e.export(), "keep_days: 30", "keep_days: 3", 1))}}}
	a := e.asks(e.ann, apply, files)
	must2(e.grants(e.bob, a.GetId()))(t)
	j := must(e.jobs().GetJob(t.Context(), connect.NewRequest(&keepwardv1.GetJobRequest{Name: "docs"})))(t).GetJob()
	j.Retention.KeepDays = 300
	must(e.jobs().UpdateJob(t.Context(), connect.NewRequest(&keepwardv1.UpdateJobRequest{Job: j})))(t)
	if b := e.asks(e.ann, apply, files); b.GetId() == a.GetId() || !strings.Contains(b.GetWhat(), "300 days") {
		t.Errorf("it is asked for as %v", b)
	}
	j = must(e.jobs().GetJob(t.Context(), connect.NewRequest(&keepwardv1.GetJobRequest{Name: "docs"})))(t).GetJob()
	if j.GetRetention().GetKeepDays() != 300 {
		t.Errorf("the job has %v", j.GetRetention())
	}
}

// secondCases has, for each call that may need a second person, one that does and one that does not.
func secondCases(t *testing.T, s *testServer) map[string]struct{ needs, not proto.Message } {
	short := func(name string, r *keepwardv1.Retention) *keepwardv1.Job {
		j := docs()
		j.Name, j.Retention = name, r
		return j
	}
	s.inCatalog(func(ctx context.Context, tx *sql.Tx) error {
		return catalog.AddPoint(ctx, tx, &keepwardv1.Point{Id: "33333333", Computer: "web1", Job: "former", Repository: "main", Time: timestamppb.Now(), Full: true, Completeness: "complete"})
	})
	s.meddle("UPDATE points SET held = 1, hold_reason = 'case 7' WHERE id = '" + pointTwo + "'")
	file := func(text string) *keepwardv1.ApplyRequest {
		return &keepwardv1.ApplyRequest{Files: []*keepwardv1.SourceFile{{Name: "a.yaml", Content: []byte(text)}}}
	}
	exported := s.export()
	if !strings.Contains(exported, "keep_days: 30") {
		t.Fatalf("the job is exported as\n%s", exported)
	}
	ofOthers := &keepwardv1.SetSignOnProviderRequest{Provider: &keepwardv1.SignOnProvider{Issuer: "https://id.example.com", ClientId: "k", Name: "Example"}, Secret: "s"}
	return map[string]struct{ needs, not proto.Message }{
		deletes: {deletion(pointOne), nil},
		keepwardv1connect.PointServiceReleasePointsProcedure:            {deletion(pointTwo), deletion(pointOne)},
		keepwardv1connect.JobServiceCreateJobProcedure:                  {&keepwardv1.CreateJobRequest{Job: short("former", &keepwardv1.Retention{KeepLast: 9})}, &keepwardv1.CreateJobRequest{Job: short("new", &keepwardv1.Retention{KeepLast: 1})}},
		keepwardv1connect.JobServiceUpdateJobProcedure:                  {&keepwardv1.UpdateJobRequest{Job: short("docs", &keepwardv1.Retention{KeepLast: 7, KeepDays: 29})}, &keepwardv1.UpdateJobRequest{Job: short("docs", &keepwardv1.Retention{KeepLast: 7, KeepDays: 33})}},
		keepwardv1connect.JobServiceResumeRetentionProcedure:            {&keepwardv1.ResumeRetentionRequest{}, nil},
		keepwardv1connect.ConfigServiceApplyProcedure:                   {file(strings.Replace(exported, "keep_days: 30", "keep_days: 3", 1)), file(strings.Replace(exported, "keep_days: 30", "keep_days: 33", 1))},
		keepwardv1connect.RepositoryServiceEditRepositoryProcedure:      {&keepwardv1.EditRepositoryRequest{Name: "main", UndeleteGrace: durationpb.New(time.Hour)}, &keepwardv1.EditRepositoryRequest{Name: "main", UndeleteGrace: durationpb.New(72 * time.Hour)}},
		keepwardv1connect.RepositoryServiceExportRecoveryKeyProcedure:   {&keepwardv1.ExportRecoveryKeyRequest{Name: "main"}, nil},
		keepwardv1connect.RepositoryServiceAddRepositoryKeyProcedure:    {&keepwardv1.AddRepositoryKeyRequest{Name: "main", Label: "mine"}, nil},
		keepwardv1connect.RepositoryServiceRemoveRepositoryKeyProcedure: {&keepwardv1.RemoveRepositoryKeyRequest{Name: "main", Number: "01"}, nil},
		keepwardv1connect.SettingsServiceSetSettingProcedure:            {&keepwardv1.SetSettingRequest{Name: "second_person", Value: "No"}, &keepwardv1.SetSettingRequest{Name: "second_person", Value: "Yes"}},
		keepwardv1connect.SettingsServiceResetSettingProcedure:          {&keepwardv1.ResetSettingRequest{Name: "second_person"}, &keepwardv1.ResetSettingRequest{Name: "attempts"}},
		keepwardv1connect.UserServiceCreateUserProcedure:                {&keepwardv1.CreateUserRequest{Name: "twin", Role: "admin", Password: goodPassword}, &keepwardv1.CreateUserRequest{Name: "viewer", Role: "viewer", Password: goodPassword}},
		keepwardv1connect.UserServiceEditUserProcedure:                  {&keepwardv1.EditUserRequest{Name: "eve", Role: "admin"}, &keepwardv1.EditUserRequest{Name: "eve", Role: "restore-operator"}},
		keepwardv1connect.UserServiceSetPasswordProcedure:               {&keepwardv1.SetPasswordRequest{Name: "bob", Password: goodPassword}, &keepwardv1.SetPasswordRequest{Name: "eve", Password: goodPassword}},
		keepwardv1connect.SignOnServiceSetSignOnProviderProcedure:       {ofOthers, nil},
	}
}

func TestEachCallThatMayNeedASecondPerson(t *testing.T) {
	e := withFourEyes(t)
	cases := secondCases(t, e.testServer)
	for procedure, rule := range seconds {
		tt, ok := cases[procedure]
		if !ok {
			t.Errorf("%s is not tried", callName(procedure))
			continue
		}
		if methods[procedure].may&admin == 0 || methods[procedure].audit != each {
			t.Errorf("%s: whoever may make it need not be known", callName(procedure))
		}
		a := e.asks(e.ann, procedure, tt.needs)
		if a.GetCall() != callName(procedure) || a.GetWhat() == "" || a.GetAgain() != rule.again {
			t.Errorf("%s: what waits is %v", callName(procedure), a)
		}
		t.Logf("%s: %s", callName(procedure), a.GetWhat())
		if (repeatRules[procedure].how == secret || procedure == keepwardv1connect.RepositoryServiceExportRecoveryKeyProcedure) != rule.again {
			t.Errorf("%s: its answer is secret, or not, and it is made again: %v", callName(procedure), rule.again)
		}
		if tt.not != nil {
			if err := e.makesCall(e.ann, procedure, tt.not); err != nil {
				t.Errorf("%s of what takes nothing away: %v", callName(procedure), err)
			}
		}
	}
	if err := e.makesCall(e.ann, keepwardv1connect.UserServiceEditUserProcedure, &keepwardv1.EditUserRequest{Name: "bob", Role: "admin"}); err != nil {
		t.Errorf("who is an administrator stays one: %v", err)
	}
	if n := len(e.waits()); n != len(seconds) {
		t.Errorf("%d wait, of %d that were asked for", n, len(seconds))
	}
	// The client file is the way back, and no more than that. It turns the setting off, at last.
	last := func(procedure string) string {
		return fmt.Sprint(strings.Contains(procedure, "SettingsService"), procedure)
	}
	for _, procedure := range slices.SortedFunc(maps.Keys(seconds), func(a, b string) int {
		return strings.Compare(last(a), last(b))
	}) {
		rule := seconds[procedure]
		if err := e.makesCall(e.token, procedure, cases[procedure].needs); (errs.CodeOf(err) == isAsked) == rule.disk {
			t.Errorf("%s by the client file: %v", callName(procedure), err)
		}
	}
}

// Only calls of one message are asked for: of a stream it is not known what it will say.
func TestNoStreamNeedsASecondPerson(t *testing.T) {
	for procedure := range seconds {
		name := strings.ReplaceAll(strings.TrimPrefix(procedure, "/"), "/", ".")
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil {
			t.Errorf("%s: %v", procedure, err)
			continue
		}
		if m := d.(protoreflect.MethodDescriptor); m.IsStreamingClient() || m.IsStreamingServer() {
			t.Errorf("%s is a stream", procedure)
		}
	}
}

func TestWithoutTheSettingNothingIsAskedFor(t *testing.T) {
	s, _ := withRepository(t)
	ann := s.user("ann", "admin")
	if err := s.makesCall(ann, keepwardv1connect.RepositoryServiceExportRecoveryKeyProcedure, &keepwardv1.ExportRecoveryKeyRequest{Name: "main"}); err != nil {
		t.Error(err)
	}
	res := must(s.approvals(ann).ListApprovals(t.Context(), connect.NewRequest(&keepwardv1.ListApprovalsRequest{})))(t)
	if res.GetOn() || len(res.GetApprovals()) != 0 {
		t.Errorf("there are %v", res)
	}
}

func TestASecondPersonMustBeThere(t *testing.T) {
	s := start(t, t.TempDir())
	on := &keepwardv1.SetSettingRequest{Name: "second_person", Value: "on"}
	if err := s.makesCall(s.token, keepwardv1connect.SettingsServiceSetSettingProcedure, on); errs.CodeOf(err) != "approval.alone" || errs.HintOf(err) == "" {
		t.Errorf("with one administrator: %v", err)
	}
	ann := s.user("ann", "admin")
	if err := s.makesCall(ann, keepwardv1connect.SettingsServiceSetSettingProcedure, on); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"removed": s.makesCall(ann, keepwardv1connect.UserServiceRemoveUserProcedure, &keepwardv1.RemoveUserRequest{Name: "admin"}),
		"demoted": s.makesCall(s.token, keepwardv1connect.UserServiceEditUserProcedure, &keepwardv1.EditUserRequest{Name: "ann", Role: "viewer"}),
	} {
		if errs.CodeOf(err) != "user.last-second" || errs.HintOf(err) == "" {
			t.Errorf("one of the last two is %s: %v", what, err)
		}
	}
}

func TestOneUserCannotFillTheListOfApprovals(t *testing.T) {
	e := withFourEyes(t)
	for i := range approvalsMost {
		e.asks(e.ann, keepwardv1connect.RepositoryServiceAddRepositoryKeyProcedure, &keepwardv1.AddRepositoryKeyRequest{Name: "main", Label: fmt.Sprint(i)})
	}
	if err := e.makesCall(e.ann, deletes, deletion(pointOne)); errs.CodeOf(err) != "approval.too-many" {
		t.Errorf("one more: %v", err)
	}
	e.asks(e.bob, deletes, deletion(pointOne)) // others may
	if err := e.makesCall(e.ann, deletes, deletion(strings.Repeat("f", 32))); errs.CodeOf(err) != "point.unknown" {
		t.Errorf("what would be refused anyway: %v", err)
	}
	_, err := e.approvals(e.bob).GrantApproval(t.Context(), connect.NewRequest(&keepwardv1.GrantApprovalRequest{Id: e.waits()[1].GetId(), Note: strings.Repeat("x", noteMost+1)}))
	if errs.CodeOf(err) != "approval.note" {
		t.Errorf("a long note: %v", err)
	}
}

func TestAServerThatEndedInTheMiddleOfAnApprovedCallSaysSo(t *testing.T) {
	e := withFourEyes(t)
	a := e.asks(e.ann, deletes, deletion(pointOne))
	key := e.asks(e.ann, keepwardv1connect.RepositoryServiceExportRecoveryKeyProcedure, &keepwardv1.ExportRecoveryKeyRequest{Name: "main"})
	must2(e.grants(e.bob, key.GetId()))(t)
	e.meddle(fmt.Sprintf("UPDATE approvals SET state = 'granted' WHERE id = %d", a.GetId())) // as it stands while it is made
	e.stop()
	s := start(t, e.dir)
	// Also while it begins: the settings are read behind the moment from which it answers.
	if err := s.makesCall(e.bob, keepwardv1connect.RepositoryServiceExportRecoveryKeyProcedure, &keepwardv1.ExportRecoveryKeyRequest{Name: "main"}); errs.CodeOf(err) != isAsked {
		t.Errorf("right after the start: %v", err)
	}
	got := must(s.approvals(s.token).ListApprovals(t.Context(), connect.NewRequest(&keepwardv1.ListApprovalsRequest{})))(t)
	states := map[int64]string{}
	for _, one := range got.GetApprovals() {
		states[one.GetId()] = one.GetState()
		if one.GetId() == a.GetId() && !strings.Contains(one.GetError(), "look whether it was done") {
			t.Errorf("it says %q", one.GetError())
		}
	}
	if states[a.GetId()] != "failed" || states[key.GetId()] != "granted" || !got.GetOn() {
		t.Errorf("after the start they are %v", got)
	}
}

func TestWhatWaitsForApprovalIsACondition(t *testing.T) {
	e := withFourEyes(t)
	a := e.asks(e.ann, deletes, deletion(pointOne))
	e.clock.pass(2 * alarmsEvery)
	deadline := time.Now().Add(20 * time.Second)
	for {
		var found *keepwardv1.Condition
		for _, c := range e.status().GetConditions() {
			if c.GetCode() == "approval.waiting" {
				found = c
			}
		}
		if found != nil {
			if found.GetSubject() != fmt.Sprint(a.GetId()) || !strings.Contains(found.GetText(), "ann") || !strings.Contains(found.GetHint(), "approval show") {
				t.Errorf("the condition is %v", found)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody is told")
		}
		time.Sleep(50 * time.Millisecond)
	}
}
