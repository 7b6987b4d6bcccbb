package console

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

func (f *fakeAPI) ListPriorities(context.Context, *connect.Request[keepwardv1.ListPrioritiesRequest]) (*connect.Response[keepwardv1.ListPrioritiesResponse], error) {
	five := int32(5)
	return connect.NewResponse(&keepwardv1.ListPrioritiesResponse{Priorities: []*keepwardv1.PriorityDigit{{Level: "type/verify", Default: 6}, {Level: "computer/" + hostile, Digit: &five, Default: 6}}}), nil
}

func (f *fakeAPI) SetPriority(_ context.Context, req *connect.Request[keepwardv1.SetPriorityRequest]) (*connect.Response[keepwardv1.SetPriorityResponse], error) {
	return connect.NewResponse(&keepwardv1.SetPriorityResponse{}), f.did("digit %s %s", req.Msg.GetLevel(), or(req.Msg.Digit))
}

func (f *fakeAPI) PauseServer(_ context.Context, req *connect.Request[keepwardv1.PauseServerRequest]) (*connect.Response[keepwardv1.PauseServerResponse], error) {
	return connect.NewResponse(&keepwardv1.PauseServerResponse{}), f.did("pause %q", req.Msg.GetReason())
}

func (f *fakeAPI) ResumeServer(context.Context, *connect.Request[keepwardv1.ResumeServerRequest]) (*connect.Response[keepwardv1.ResumeServerResponse], error) {
	return connect.NewResponse(&keepwardv1.ResumeServerResponse{}), f.did("resume")
}

func (f *fakeAPI) SaveCredential(_ context.Context, req *connect.Request[keepwardv1.SaveCredentialRequest]) (*connect.Response[keepwardv1.SaveCredentialResponse], error) {
	c := req.Msg.GetCredential()
	return connect.NewResponse(&keepwardv1.SaveCredentialResponse{}), f.did("credential %s %s %q %q %v", c.GetName(), c.GetUser(), c.GetDescription(), req.Msg.GetSecret(), req.Msg.GetReplace())
}

func (f *fakeAPI) DeleteCredential(_ context.Context, req *connect.Request[keepwardv1.DeleteCredentialRequest]) (*connect.Response[keepwardv1.DeleteCredentialResponse], error) {
	return connect.NewResponse(&keepwardv1.DeleteCredentialResponse{}), f.did("delete credential %s", req.Msg.GetName())
}

func (f *fakeAPI) ListAudit(_ context.Context, req *connect.Request[keepwardv1.ListAuditRequest]) (*connect.Response[keepwardv1.ListAuditResponse], error) {
	res := &keepwardv1.ListAuditResponse{}
	last := uint64(500)
	if req.Msg.GetBefore() > 0 {
		last = req.Msg.GetBefore() - 1
	}
	for n := last; n > 0 && len(res.GetCalls()) < int(req.Msg.GetLimit()); n-- {
		c := &keepwardv1.AuditedCall{Number: n, Time: timestamppb.Now(), User: []byte(hostile), Role: "admin", Call: "JobService/RunJob", Address: hostile, Outcome: "ok", Times: 1, Named: []*keepwardv1.AuditNamed{{Field: "name", Value: []byte(hostile + "\xff")}}}
		if n%2 == 0 {
			c.Outcome, c.Times, c.Answered = "", 3, c.GetNamed()
		}
		if req.Msg.GetUser() == "" || req.Msg.GetUser() == hostile {
			res.Calls = append(res.Calls, c)
		}
	}
	return connect.NewResponse(res), nil
}

func (f *fakeAPI) ListRepositoryKeys(context.Context, *connect.Request[keepwardv1.ListRepositoryKeysRequest]) (*connect.Response[keepwardv1.ListRepositoryKeysResponse], error) {
	if f.away {
		return nil, errs.New(errs.Unavailable, "repository.offline", "look at %s: its host is not connected", hostile)
	}
	return connect.NewResponse(&keepwardv1.ListRepositoryKeysResponse{Keys: []*keepwardv1.RepositoryKey{
		{Number: "01", Form: "recovery key", Label: hostile, Created: timestamppb.Now(), Current: true}, {Number: "02", Form: "passphrase", Label: hostile},
	}}), nil
}

func (f *fakeAPI) CreateRepository(_ context.Context, req *connect.Request[keepwardv1.CreateRepositoryRequest]) (*connect.Response[keepwardv1.CreateRepositoryResponse], error) {
	r := req.Msg.GetRepository()
	return connect.NewResponse(&keepwardv1.CreateRepositoryResponse{RecoveryKey: "key-of-it"}), f.did("create repository %s %s:%s %d %d", r.GetName(), r.GetTransport(), r.GetPath(), r.GetStreams(), r.GetWriters())
}

func (f *fakeAPI) ExportRecoveryKey(_ context.Context, req *connect.Request[keepwardv1.ExportRecoveryKeyRequest]) (*connect.Response[keepwardv1.ExportRecoveryKeyResponse], error) {
	return connect.NewResponse(&keepwardv1.ExportRecoveryKeyResponse{RecoveryKey: "key-of-it"}), f.did("export %s", req.Msg.GetName())
}

func (f *fakeAPI) AddRepositoryKey(_ context.Context, req *connect.Request[keepwardv1.AddRepositoryKeyRequest]) (*connect.Response[keepwardv1.AddRepositoryKeyResponse], error) {
	res := &keepwardv1.AddRepositoryKeyResponse{}
	if req.Msg.GetPassphrase() == "" {
		res.RecoveryKey = "key-of-it"
	}
	return connect.NewResponse(res), f.did("add key %s %q %q %v", req.Msg.GetName(), req.Msg.GetLabel(), req.Msg.GetPassphrase(), req.Msg.GetReplace())
}

func (f *fakeAPI) RemoveRepositoryKey(_ context.Context, req *connect.Request[keepwardv1.RemoveRepositoryKeyRequest]) (*connect.Response[keepwardv1.RemoveRepositoryKeyResponse], error) {
	return connect.NewResponse(&keepwardv1.RemoveRepositoryKeyResponse{}), f.did("remove key %s %s", req.Msg.GetName(), req.Msg.GetNumber())
}

func (f *fakeAPI) DetachRepository(_ context.Context, req *connect.Request[keepwardv1.DetachRepositoryRequest]) (*connect.Response[keepwardv1.DetachRepositoryResponse], error) {
	return connect.NewResponse(&keepwardv1.DetachRepositoryResponse{}), f.did("detach %s %v", req.Msg.GetName(), req.Msg.GetDeleteDisabledJobs())
}

func TestTheAuditLogIsPaged(t *testing.T) {
	b := loggedIn(t)
	first := text(t, b.get("/audit?user=&call=Run"))
	if !strings.Contains(first, `href="/audit?before=401&amp;call=Run"`) || strings.Count(first, "RunJob") != auditShown || !strings.Contains(first, "not known") || !strings.Contains(first, "3 times") {
		t.Errorf("the first page is\n%s", first)
	}
	last := text(t, b.get("/audit?before=101&call=Run"))
	if strings.Contains(last, "Older ones") || !strings.Contains(last, `href="/audit?call=Run"`) || strings.Count(last, "RunJob") != 100 {
		t.Errorf("the last page is\n%s", last)
	}
	if none := text(t, b.get("/audit?user=nobody")); !strings.Contains(none, "No call passes") || !strings.Contains(none, `value="nobody"`) {
		t.Errorf("without a call the page is\n%s", none)
	}
	b.api.role = "viewer"
	if page := text(t, b.get("/audit")); strings.Contains(page, "RunJob") || !strings.Contains(page, "for administrators") {
		t.Errorf("a viewer sees\n%s", page)
	}
}

func TestKeysOfARepositoryWhoseHostIsAway(t *testing.T) {
	b := loggedIn(t)
	b.api.away = true
	res := b.get("/repositories/show?repository=x")
	if page := text(t, res); res.StatusCode != http.StatusOK || !strings.Contains(page, "It is not known now: look at") || !strings.Contains(page, "its host is not connected") {
		t.Errorf("answered with %s:\n%s", res.Status, page)
	}
	b.api.away = false
	page := text(t, b.get("/repositories/show?repository=x"))
	if !strings.Contains(page, "/do/remove-key?of=02") || strings.Contains(page, "/do/remove-key?of=01") {
		t.Errorf("the key that is in use is offered to be removed, or the other one is not")
	}
	if res := b.get("/do/remove-key?of=77&repository=x"); res.StatusCode != http.StatusNotFound {
		t.Errorf("a key that is not there: %s", res.Status)
	}
}
