package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

func fakeGroup() *keepwardv1.GroupState {
	return &keepwardv1.GroupState{
		Group: &keepwardv1.Group{
			Name: hostile, Description: hostile, Computers: []string{hostile}, Patterns: []string{"web*"}, Exclude: []string{hostile}, File: "/" + hostile, Arguments: []string{hostile}, TimeLimit: durationpb.New(time.Minute),
		},
		Members: []*keepwardv1.GroupMember{{Computer: hostile, By: "name"}}, Excluded: []string{hostile}, Untrusted: []string{hostile}, Jobs: []string{hostile}, Warnings: []string{hostile},
		Lists: []*keepwardv1.GroupList{{Source: "file", Names: 3, Read: timestamppb.Now(), Problem: hostile}},
	}
}

func (f *fakeAPI) GetComputer(context.Context, *connect.Request[keepwardv1.GetComputerRequest]) (*connect.Response[keepwardv1.GetComputerResponse], error) {
	c := fakeComputer()
	c.Tags, c.Skew, c.Connection = []string{hostile}, durationpb.New(-time.Minute), &keepwardv1.ComputerConnection{Control: "agent", Data: "mover", Addresses: []string{hostile}}
	c.Supply = &keepwardv1.Supply{Battery: true, Charge: 40}
	return connect.NewResponse(&keepwardv1.GetComputerResponse{
		Computer: c, Points: []*keepwardv1.Point{f.point(0)}, Jobs: []*keepwardv1.Job{fakeJob()},
		Inventory: &keepwardv1.Inventory{System: hostile, Volumes: []*keepwardv1.Volume{{Mount: "/" + hostile, SizeBytes: 10, FreeBytes: 3, ReadOnly: true}}, MoreVolumes: 2},
	}), nil
}

func (f *fakeAPI) RemoveComputer(_ context.Context, req *connect.Request[keepwardv1.RemoveComputerRequest]) (*connect.Response[keepwardv1.RemoveComputerResponse], error) {
	return connect.NewResponse(&keepwardv1.RemoveComputerResponse{}), f.did("remove %s", req.Msg.GetName())
}

func (f *fakeAPI) EditComputer(_ context.Context, req *connect.Request[keepwardv1.EditComputerRequest]) (*connect.Response[keepwardv1.EditComputerResponse], error) {
	m := req.Msg
	return connect.NewResponse(&keepwardv1.EditComputerResponse{}), f.did("edit %s: %s, %s, %q", m.GetName(), m.GetControl(), m.GetData(), m.GetAddresses())
}

func (f *fakeAPI) TestConnection(context.Context, *connect.Request[keepwardv1.TestConnectionRequest]) (*connect.Response[keepwardv1.TestConnectionResponse], error) {
	return connect.NewResponse(&keepwardv1.TestConnectionResponse{Checks: []*keepwardv1.ConnectionCheck{{What: "data", From: hostile, To: hostile, Result: "fails", Failure: &keepwardv1.Failure{Message: hostile}}}}), f.did("test")
}

func (f *fakeAPI) SetTags(_ context.Context, req *connect.Request[keepwardv1.SetTagsRequest]) (*connect.Response[keepwardv1.SetTagsResponse], error) {
	return connect.NewResponse(&keepwardv1.SetTagsResponse{}), f.did("tags %q", req.Msg.GetTags())
}

func (f *fakeAPI) ListGroups(context.Context, *connect.Request[keepwardv1.ListGroupsRequest]) (*connect.Response[keepwardv1.ListGroupsResponse], error) {
	return connect.NewResponse(&keepwardv1.ListGroupsResponse{Groups: []*keepwardv1.GroupState{fakeGroup()}}), nil
}

func (f *fakeAPI) GetGroup(context.Context, *connect.Request[keepwardv1.GetGroupRequest]) (*connect.Response[keepwardv1.GetGroupResponse], error) {
	g := fakeGroup()
	if f.changed {
		g.Group.Description = "of somebody else"
	}
	return connect.NewResponse(&keepwardv1.GetGroupResponse{State: g}), nil
}

func (f *fakeAPI) CreateGroup(_ context.Context, req *connect.Request[keepwardv1.CreateGroupRequest]) (*connect.Response[keepwardv1.CreateGroupResponse], error) {
	g := req.Msg.GetGroup()
	return connect.NewResponse(&keepwardv1.CreateGroupResponse{}), f.did("create %s: %q %q", g.GetName(), g.GetComputers(), g.GetPatterns())
}

func (f *fakeAPI) UpdateGroup(_ context.Context, req *connect.Request[keepwardv1.UpdateGroupRequest]) (*connect.Response[keepwardv1.UpdateGroupResponse], error) {
	f.group = req.Msg.GetGroup()
	return connect.NewResponse(&keepwardv1.UpdateGroupResponse{}), f.did("update")
}

func (f *fakeAPI) DeleteGroup(_ context.Context, req *connect.Request[keepwardv1.DeleteGroupRequest]) (*connect.Response[keepwardv1.DeleteGroupResponse], error) {
	return connect.NewResponse(&keepwardv1.DeleteGroupResponse{}), f.did("delete %s", req.Msg.GetName())
}

func (f *fakeAPI) RescanGroups(_ context.Context, req *connect.Request[keepwardv1.RescanGroupsRequest]) (*connect.Response[keepwardv1.RescanGroupsResponse], error) {
	return connect.NewResponse(&keepwardv1.RescanGroupsResponse{Session: 7}), f.did("rescan %q", req.Msg.GetNames())
}

const joinToken = "kwj1.once"

func (f *fakeAPI) CreateToken(_ context.Context, req *connect.Request[keepwardv1.CreateTokenRequest]) (*connect.Response[keepwardv1.CreateTokenResponse], error) {
	m := req.Msg
	return connect.NewResponse(&keepwardv1.CreateTokenResponse{Token: joinToken}), f.did("token %s %s %s %s", m.GetRole(), m.GetName(), m.GetGroup(), m.GetTtl().AsDuration())
}

func (f *fakeAPI) ListTokens(context.Context, *connect.Request[keepwardv1.ListTokensRequest]) (*connect.Response[keepwardv1.ListTokensResponse], error) {
	return connect.NewResponse(&keepwardv1.ListTokensResponse{Tokens: []*keepwardv1.JoinToken{{Id: "9c", Role: "agent", Name: hostile, Expires: timestamppb.New(time.Now().Add(time.Hour))}}}), nil
}

func (f *fakeAPI) RevokeToken(_ context.Context, req *connect.Request[keepwardv1.RevokeTokenRequest]) (*connect.Response[keepwardv1.RevokeTokenResponse], error) {
	return connect.NewResponse(&keepwardv1.RevokeTokenResponse{}), f.did("revoke %s", req.Msg.GetId())
}

func fakeRollout() *keepwardv1.Rollout {
	return &keepwardv1.Rollout{Id: 4, Version: hostile, User: hostile, Status: "active", Reason: hostile, Members: []*keepwardv1.RolloutMember{{Computer: hostile, Status: "failed", Session: 7, Reason: hostile}}}
}

func (f *fakeAPI) ListRollouts(context.Context, *connect.Request[keepwardv1.ListRolloutsRequest]) (*connect.Response[keepwardv1.ListRolloutsResponse], error) {
	return connect.NewResponse(&keepwardv1.ListRolloutsResponse{Rollouts: []*keepwardv1.Rollout{fakeRollout()}}), nil
}

func (f *fakeAPI) GetRollout(context.Context, *connect.Request[keepwardv1.GetRolloutRequest]) (*connect.Response[keepwardv1.GetRolloutResponse], error) {
	return connect.NewResponse(&keepwardv1.GetRolloutResponse{Rollout: fakeRollout()}), nil
}

func (f *fakeAPI) StopRollout(_ context.Context, req *connect.Request[keepwardv1.StopRolloutRequest]) (*connect.Response[keepwardv1.StopRolloutResponse], error) {
	return connect.NewResponse(&keepwardv1.StopRolloutResponse{}), f.did("stop %d", req.Msg.GetId())
}

func (f *fakeAPI) UpdateComputers(_ context.Context, req *connect.Request[keepwardv1.UpdateComputersRequest]) (*connect.Response[keepwardv1.UpdateComputersResponse], error) {
	m := req.Msg
	return connect.NewResponse(&keepwardv1.UpdateComputersResponse{Rollout: fakeRollout()}), f.did("roll out %q %q %v %s %d %v", m.GetComputers(), m.GetGroup(), m.GetAllOutOfDate(), m.GetVersion(), m.GetAtOnce(), m.GetAllowDowngrade())
}

func (f *fakeAPI) ListPackages(context.Context, *connect.Request[keepwardv1.ListPackagesRequest]) (*connect.Response[keepwardv1.ListPackagesResponse], error) {
	return connect.NewResponse(&keepwardv1.ListPackagesResponse{Packages: []*keepwardv1.AgentPackage{{Version: hostile, Os: "linux", Arch: "amd64", Imported: timestamppb.Now()}}}), nil
}

func (f *fakeAPI) RemovePackage(_ context.Context, req *connect.Request[keepwardv1.RemovePackageRequest]) (*connect.Response[keepwardv1.RemovePackageResponse], error) {
	m := req.Msg
	return connect.NewResponse(&keepwardv1.RemovePackageResponse{}), f.did("remove package %s %s/%s", m.GetVersion(), m.GetOs(), m.GetArch())
}

// Each form makes the call that its button says, with what was filled in and nothing else.
func TestFormsAskTheAPIForWhatWasFilledIn(t *testing.T) {
	for _, one := range formsAndCalls {
		b := loggedIn(t)
		res, page := b.does(one.path, one.fill...)
		if got := strings.Join(b.api.asked, "; "); got != one.want {
			t.Errorf("%s asks for %q, want %q\n%s: %s", one.path, got, one.want, res.Status, page)
		}
		if one.shows != "" {
			if res.StatusCode != http.StatusOK || !strings.Contains(page, one.shows) {
				t.Errorf("%s is answered with %s: %s", one.path, res.Status, page)
			}
		} else if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != one.to {
			t.Errorf("%s is answered with %s to %q, want %q", one.path, res.Status, res.Header.Get("Location"), one.to)
		}
	}
}

// formsAndCalls: a form, what is filled in, the call, and where one gets, or what the page says then.
var formsAndCalls = []struct {
	path            string
	fill            []string
	want, to, shows string
}{
	{path: "/do/confirm-login", fill: []string{"password", "horse", "code", "123456"}, want: "confirm horse 123456", shows: "go back to where you were"},
	{path: "/do/remove-computer?of=x", want: "remove x", to: "/computers"},
	{path: "/do/edit-connection?of=x", fill: []string{"control", "server", "addresses", "a:1\r\n b:2 \r\n"}, want: `edit x: server, mover, ["a:1" "b:2"]`, to: "/computers/show?computer=x"},
	{path: "/do/test-connection?of=x", want: "test", shows: "fails"},
	{path: "/do/set-tags?of=x", fill: []string{"tags", "a\r\n\"b\\n\""}, want: `tags ["a" "b\n"]`, to: "/computers/show?computer=x"},
	{path: "/do/update-agent?of=x", fill: []string{"version", "1.2", "downgrade", "yes"}, want: `roll out ["x"] "" false 1.2 0 true`, to: "/updates/show?rollout=4"},
	{path: "/do/new-group", fill: []string{"name", "lab", "more", "a\nb", "patterns", "web*"}, want: `create lab: ["a" "b"] ["web*"]`, to: "/groups/show?group=lab"},
	{path: "/do/delete-group?of=lab", want: "delete lab", to: "/groups"},
	{path: "/do/rescan-groups?of=lab", want: `rescan ["lab"]`, to: "/sessions/7"},
	{path: "/do/rescan-groups", want: `rescan []`, to: "/sessions/7"},
	{path: "/do/update-group?of=lab", fill: []string{"at_once", "3"}, want: `roll out [] "lab" false  3 false`, to: "/updates/show?rollout=4"},
	{path: "/do/new-join-token", fill: []string{"role", "transport", "name", "store", "ttl", "10m"}, want: "token transport store  10m0s", shows: joinToken},
	{path: "/do/new-join-token?of=lab", want: "token agent  lab 1h0m0s", shows: joinToken},
	{path: "/do/revoke-join-token?of=9c", want: "revoke 9c", to: "/tokens"},
	{path: "/do/update-old", want: `roll out [] "" true  0 false`, to: "/updates/show?rollout=4"},
	{path: "/do/stop-rollout?of=4", want: "stop 4", to: "/updates/show?rollout=4"},
	{path: "/do/edit-repository?of=x", fill: []string{"streams", "4", "read", "100MB/s"}, want: `repository x streams=4 writers=- read="100MB/s" write=-`, to: "/repositories/show?repository=x"},
	{path: "/do/check-repository?of=x", fill: []string{"data", "yes", "budget", "2h"}, want: "check x true 2h0m0s", to: "/sessions/7"},
	{path: "/do/sweep-repository?of=x", fill: []string{"dry", "yes"}, want: "sweep x true false", to: "/sessions/7"},
	{path: "/do/sweep-repository?of=x", fill: []string{"compact", "yes"}, want: "sweep x false true", to: "/sessions/7"},
	{path: "/do/reconcile-repository?of=x", want: "reconcile x", to: "/sessions/7"},
	{path: "/do/rebuild-index?of=x", want: "rebuild x", to: "/sessions/7"},
	{path: "/do/set-setting?of=long", fill: []string{"value", "3h"}, want: "set long 3h", to: "/settings"},
	{path: "/do/reset-setting?of=long", want: "reset long", to: "/settings"},
	{path: "/do/new-rule", fill: []string{"name", "branch", "limit", "5MB/s", "source", "10.1.0.0/16\r\nany"}, want: `rule branch 5MB/s ["10.1.0.0/16" "any"]`, to: "/traffic"},
	{path: "/do/edit-rule?of=long", fill: []string{"limit", "6MB/s"}, want: "rule long 6MB/s [" + strconv.Quote(hostile) + "]", to: "/traffic"},
	{path: "/do/delete-rule?of=long", want: "delete rule long", to: "/traffic"},
	{path: "/do/new-mail-target", fill: []string{"name", "ops", "host", "mail.example.org", "port", "25", "security", "none", "from", "a@b.c", "to", "d@e.f\r\ng@h.i"}, want: `target ops mail.example.org:25 none "" a@b.c ["d@e.f" "g@h.i"] "" ""`, to: "/notifications"},
	{path: "/do/edit-mail-target?of=mail", fill: []string{"user", "keeper", "secret", " s3 cret"}, want: "target mail " + hostile + ":0 starttls \"keeper\" " + hostile + " [" + strconv.Quote(hostile) + "] \"A\\nB\" \" s3 cret\"", to: "/notifications"},
	{path: "/do/new-webhook-target", fill: []string{"name", "chat", "url", "https://x", "secret", "0123456789abcdef"}, want: `target chat https://x false "" "0123456789abcdef"`, to: "/notifications"},
	{path: "/do/edit-webhook-target?of=long", fill: []string{"plain", "yes"}, want: "target long " + hostile + ` true "" ""`, to: "/notifications"},
	{path: "/do/test-target?of=long", want: "test long", shows: "The message was not taken: "},
	{path: "/do/delete-target?of=long", want: "delete target long", to: "/notifications"},
	{path: "/do/new-notify-rule", fill: []string{"name", "night", "targets", "long", "events", "session.failed", "severity", "error", "jobs", "a\r\nb", "body", "x\r\ny"}, want: `notify night ["long"] ["session.failed"] error ["a" "b"] [] "" "x\ny" false`, to: "/notifications"},
	{path: "/do/edit-notify-rule?of=long", fill: []string{"disabled", "yes", "groups", "lab"}, want: "notify long [" + strconv.Quote(hostile) + "] [" + strconv.Quote(hostile) + "] info [" + strconv.Quote(hostile) + `] ["lab"] ` + strconv.Quote(hostile) + ` "" true`, to: "/notifications"},
	{path: "/do/delete-notify-rule?of=long", want: "delete notify long", to: "/notifications"},
	{path: "/do/new-report", fill: []string{"name", "morning", "targets", "long", "period", "weekly", "group", "lab"}, want: `report morning ["long"] weekly "" lab false`, to: "/notifications"},
	{path: "/do/edit-report?of=long", fill: []string{"schedule", "daily 06:00"}, want: "report long [" + strconv.Quote(hostile) + `] daily "daily 06:00" ` + hostile + " false", to: "/notifications"},
	{path: "/do/send-report?of=long", want: "send long", to: "/notifications"},
	{path: "/do/delete-report?of=long", want: "delete report long", to: "/notifications"},
	{path: "/do/set-priority", fill: []string{"level", "computer/x", "digit", "3"}, want: "digit computer/x 3", to: "/windows"},
	{path: "/do/set-priority?of=type/verify", fill: []string{"digit", "0"}, want: "digit type/verify 0", to: "/windows"},
	{path: "/do/reset-priority?of=type/verify", want: "digit type/verify -", to: "/windows"},
	{path: "/do/pause-server", fill: []string{"reason", "new switch"}, want: `pause "new switch"`, to: "/"},
	{path: "/do/resume-server", want: "resume", shows: "was not paused"},
	{path: "/do/new-credential", fill: []string{"name", "pg", "user", "keeper", "secret", " s3 cret"}, want: `credential pg keeper "" " s3 cret" false`, to: "/credentials"},
	{path: "/do/edit-credential?of=long", fill: []string{"user", "keeper", "secret", "x"}, want: `credential long keeper "" "x" true`, to: "/credentials"},
	{path: "/do/delete-credential?of=long", want: "delete credential long", to: "/credentials"},
	{path: "/do/new-repository", fill: []string{"name", "off", "transport", "store", "path", "/srv/off", "streams", "3"}, want: "create repository off store:/srv/off 3 0", shows: "key-of-it"},
	{path: "/do/export-recovery-key?of=x", want: "export x", shows: "key-of-it"},
	{path: "/do/add-recovery-key?of=x", fill: []string{"label", "safe", "replace", "yes"}, want: `add key x "safe" "" true`, shows: "key-of-it"},
	{path: "/do/add-passphrase?of=x", fill: []string{"password", "long horse", "again", "long horse"}, want: `add key x "" "long horse" false`, to: "/repositories/show?repository=x"},
	{path: "/do/remove-key?of=02&repository=x", want: "remove key x 02", to: "/repositories/show?repository=x"},
	{path: "/do/detach-repository?of=x", fill: []string{"jobs", "yes"}, want: "detach x true", to: "/repositories"},
	{path: "/do/enrol-codes", fill: []string{"password", "horse"}, want: "enrol horse", shows: "JBSWY3DP"},
	{path: "/do/confirm-codes", fill: []string{"code", " 123456 "}, want: "codes confirmed 123456", shows: "aaaa-bbbb"},
	{path: "/do/renew-recovery-codes", fill: []string{"code", "123456"}, want: "codes renewed 123456", shows: "cccc-dddd"},
	{path: "/do/remove-codes", fill: []string{"code", "123456"}, want: `codes removed "" 123456`, to: "/account"},
	{path: "/do/remove-codes-of?of=long", want: `codes removed "long" `, to: "/users"},
	{path: "/do/grant-approval?of=9", fill: []string{"note", " agreed "}, want: `grant 9 "agreed"`, to: "/approvals"},
	{path: "/do/refuse-approval?of=9", fill: []string{"note", "no"}, want: `refuse 9 "no"`, to: "/approvals"},
	{path: "/do/withdraw-approval?of=8", want: `refuse 8 ""`, to: "/approvals"},
	{path: "/do/new-window", fill: []string{"name", "night", "open", "daily 20:00-06:00", "hold", "yes"}, want: `window night ["daily 20:00-06:00"] [] [] true`, to: "/windows"},
	{path: "/do/edit-week?of=long", fill: []string{"hour", "tue-3"}, want: "window long [\"tue 03:00-04:00\"] [] [" + strconv.Quote(hostile) + "] false", to: "/windows"},
	{path: "/do/delete-window?of=long", want: "delete window long", to: "/windows"},
	{path: "/do/switch-off", fill: []string{"level", "server", "activities", "restore", "time", "2h"}, want: `switch off server ["restore"] 2h0m0s`, to: "/windows"},
	{path: "/do/switch-on?of=server&activity=restore", want: `switch on server ["restore"] 0s`, to: "/windows"},
	{path: "/do/set-limit", fill: []string{"level", "server", "sessions", "4"}, want: "limit server 4", to: "/windows"},
	{path: "/do/new-user", fill: []string{"name", "eve", "role", "operator", "password", "a b", "again", "a b"}, want: "user eve operator a b", to: "/users"},
	{path: "/do/edit-user?of=long", fill: []string{"role", "viewer"}, want: "role long viewer", to: "/users"},
	{path: "/do/set-password?of=long", fill: []string{"password", "a", "again", "a"}, want: "password long a ", to: "/users"},
	{path: "/do/own-password", fill: []string{"current", "b", "password", "a", "again", "a"}, want: "password  a b", to: "/account"},
	{path: "/do/disconnect-sign-on?of=9d", want: "disconnect 9d", to: "/account"},
	{path: "/do/set-sign-on", fill: []string{"client", "kw", "secret", "a b"}, want: "sign-on https://id.example.com kw a b", to: "/users"},
	{path: "/do/test-sign-on", want: "test sign-on", shows: "The provider answers"},
	{path: "/do/remove-sign-on", want: "remove sign-on", to: "/users"},
	{path: "/do/remove-passkey?of=9c", want: `remove passkey  9c`, to: "/account"},
	{path: "/do/remove-passkey?of=9c&user=long", want: `remove passkey long 9c`, to: "/users/passkeys?user=long"},
	{path: "/do/remove-user?of=long", want: "remove user long", to: "/users"},
	{path: "/do/new-api-token", fill: []string{"name", "ci", "role", "viewer", "ttl", "2d"}, want: "api token ci viewer 48h0m0s", shows: apiToken},
	{path: "/do/remove-package?of=1&os=linux&arch=arm64", want: "remove package 1 linux/arm64", to: "/updates"},
}

// A form that is sent as it was shown changes nothing, however its names look.
func TestAnUntouchedFormKeepsHostileNames(t *testing.T) {
	b := loggedIn(t)
	if res, page := b.does("/do/edit-group?of=x"); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("answered with %s: %s", res.Status, page)
	}
	want := fakeGroup().GetGroup()
	want.Name = "x"
	if got := b.api.group; got.String() != want.String() {
		t.Errorf("the group becomes %v, want %v", got, want)
	}
}

// Who saves what somebody else has changed since the form was shown is told, sees both values, and
// overwrites it only then.
func TestAChangeOfWhatWasChangedMeanwhileIsSaidFirst(t *testing.T) {
	b := loggedIn(t)
	form := formOn(text(t, b.get("/do/edit-group?of=x")))
	form.Set("description", "mine")
	b.api.changed = true
	res := b.post("/do/edit-group?of=x", form)
	page := text(t, res)
	if res.StatusCode != http.StatusConflict || len(b.api.asked) > 0 || !strings.Contains(page, "saved is of somebody else; yours is mine") {
		t.Fatalf("answered with %s, asked %v: %s", res.Status, b.api.asked, page)
	}
	if res := b.post("/do/edit-group?of=x", formOn(page)); res.StatusCode != http.StatusSeeOther || b.api.group.GetDescription() != "mine" {
		t.Errorf("the second time: %s, %v", res.Status, b.api.group)
	}
}

const apiToken = "kwt1.once"

func or(p *int32) string {
	if p == nil {
		return "-"
	}
	return fmt.Sprint(*p)
}

func orText(p *string) string {
	if p == nil {
		return "-"
	}
	return strconv.Quote(*p)
}

func (f *fakeAPI) GetRepositoryStats(context.Context, *connect.Request[keepwardv1.GetRepositoryStatsRequest]) (*connect.Response[keepwardv1.GetRepositoryStatsResponse], error) {
	if f.away {
		return nil, errs.New(errs.Unavailable, "repository.offline", "look at %s: its host is not connected", hostile)
	}
	r := fakeRepository()
	r.Streams, r.Proof = 2, &keepwardv1.ProofState{Packs: 3, Oldest: timestamppb.Now()}
	return connect.NewResponse(&keepwardv1.GetRepositoryStatsResponse{Stats: &keepwardv1.RepositoryStats{
		Repository: r, LogicalBytes: 90, RawBytes: 30, StoredBytes: 10, Computers: []*keepwardv1.ComputerStats{{Computer: hostile}}, Jobs: []*keepwardv1.JobStats{{Job: hostile}},
		Proofs: []*keepwardv1.ProofAge{{Within: durationpb.New(time.Hour), Packs: 3}, {Never: true}},
	}}), nil
}

func (f *fakeAPI) EditRepository(_ context.Context, req *connect.Request[keepwardv1.EditRepositoryRequest]) (*connect.Response[keepwardv1.EditRepositoryResponse], error) {
	m := req.Msg
	return connect.NewResponse(&keepwardv1.EditRepositoryResponse{}), f.did("repository %s streams=%s writers=%s read=%s write=%s", m.GetName(), or(m.Streams), or(m.Writers), orText(m.ReadLimit), orText(m.WriteLimit))
}

func (f *fakeAPI) started(format string, args ...any) (*connect.Response[keepwardv1.StartSessionResponse], error) {
	return connect.NewResponse(&keepwardv1.StartSessionResponse{Session: 7}), f.did(format, args...)
}

func (f *fakeAPI) CheckRepository(_ context.Context, req *connect.Request[keepwardv1.CheckRepositoryRequest]) (*connect.Response[keepwardv1.StartSessionResponse], error) {
	return f.started("check %s %v %s", req.Msg.GetName(), req.Msg.GetReadData(), req.Msg.GetBudget().AsDuration())
}

func (f *fakeAPI) SweepRepository(_ context.Context, req *connect.Request[keepwardv1.SweepRepositoryRequest]) (*connect.Response[keepwardv1.StartSessionResponse], error) {
	return f.started("sweep %s %v %v", req.Msg.GetName(), req.Msg.GetDryRun(), req.Msg.GetCompact())
}

func (f *fakeAPI) ReconcileRepository(_ context.Context, req *connect.Request[keepwardv1.ReconcileRepositoryRequest]) (*connect.Response[keepwardv1.StartSessionResponse], error) {
	return f.started("reconcile %s", req.Msg.GetName())
}

func (f *fakeAPI) RebuildIndex(_ context.Context, req *connect.Request[keepwardv1.RebuildIndexRequest]) (*connect.Response[keepwardv1.StartSessionResponse], error) {
	return f.started("rebuild %s", req.Msg.GetName())
}

func (f *fakeAPI) ListSettings(context.Context, *connect.Request[keepwardv1.ListSettingsRequest]) (*connect.Response[keepwardv1.ListSettingsResponse], error) {
	return connect.NewResponse(&keepwardv1.ListSettingsResponse{Settings: []*keepwardv1.Setting{{Name: "long", Value: hostile, Default: hostile, Meaning: hostile, Bounds: hostile, Changed: true}}}), nil
}

func (f *fakeAPI) SetSetting(_ context.Context, req *connect.Request[keepwardv1.SetSettingRequest]) (*connect.Response[keepwardv1.SetSettingResponse], error) {
	return connect.NewResponse(&keepwardv1.SetSettingResponse{}), f.did("set %s %s", req.Msg.GetName(), req.Msg.GetValue())
}

func (f *fakeAPI) ResetSetting(_ context.Context, req *connect.Request[keepwardv1.ResetSettingRequest]) (*connect.Response[keepwardv1.ResetSettingResponse], error) {
	return connect.NewResponse(&keepwardv1.ResetSettingResponse{}), f.did("reset %s", req.Msg.GetName())
}

func (f *fakeAPI) ListTrafficRules(context.Context, *connect.Request[keepwardv1.ListTrafficRulesRequest]) (*connect.Response[keepwardv1.ListTrafficRulesResponse], error) {
	return connect.NewResponse(&keepwardv1.ListTrafficRulesResponse{Rules: []*keepwardv1.TrafficRule{{
		Name: "long", Description: hostile, Source: []string{hostile}, Limit: hostile, Hours: []string{hostile}, Holds: true, Tasks: []*keepwardv1.TrafficTask{{Session: 7, Computer: hostile, Rate: &keepwardv1.TaskRate{Moving: 5, Network: 9}}},
	}}}), nil
}

func (f *fakeAPI) SaveTrafficRule(_ context.Context, req *connect.Request[keepwardv1.SaveTrafficRuleRequest]) (*connect.Response[keepwardv1.SaveTrafficRuleResponse], error) {
	m := req.Msg.GetRule()
	return connect.NewResponse(&keepwardv1.SaveTrafficRuleResponse{}), f.did("rule %s %s %q", m.GetName(), m.GetLimit(), m.GetSource())
}

func (f *fakeAPI) DeleteTrafficRule(_ context.Context, req *connect.Request[keepwardv1.DeleteTrafficRuleRequest]) (*connect.Response[keepwardv1.DeleteTrafficRuleResponse], error) {
	return connect.NewResponse(&keepwardv1.DeleteTrafficRuleResponse{}), f.did("delete rule %s", req.Msg.GetName())
}

// ListWindows has one with a hostile name, and one whose hours a week can show.
func (f *fakeAPI) ListWindows(context.Context, *connect.Request[keepwardv1.ListWindowsRequest]) (*connect.Response[keepwardv1.ListWindowsResponse], error) {
	return connect.NewResponse(&keepwardv1.ListWindowsResponse{Windows: []*keepwardv1.Window{
		{Name: hostile, Open: []string{hostile}, Computers: []string{hostile}}, {Name: "long", Open: []string{"mon-fri 20:00-06:00"}, Computers: []string{hostile}, Change: timestamppb.Now()},
	}}), nil
}

func (f *fakeAPI) SaveWindow(_ context.Context, req *connect.Request[keepwardv1.SaveWindowRequest]) (*connect.Response[keepwardv1.SaveWindowResponse], error) {
	m := req.Msg.GetWindow()
	return connect.NewResponse(&keepwardv1.SaveWindowResponse{}), f.did("window %s %q %q %q %v", m.GetName(), m.GetOpen(), m.GetClosed(), m.GetComputers(), m.GetDoNotSubmit())
}

func (f *fakeAPI) DeleteWindow(_ context.Context, req *connect.Request[keepwardv1.DeleteWindowRequest]) (*connect.Response[keepwardv1.DeleteWindowResponse], error) {
	return connect.NewResponse(&keepwardv1.DeleteWindowResponse{}), f.did("delete window %s", req.Msg.GetName())
}

func (f *fakeAPI) ListActivities(context.Context, *connect.Request[keepwardv1.ListActivitiesRequest]) (*connect.Response[keepwardv1.ListActivitiesResponse], error) {
	return connect.NewResponse(&keepwardv1.ListActivitiesResponse{
		Disabled:   []*keepwardv1.DisabledActivity{{Level: "computer/" + hostile, Activity: "restore", User: hostile}},
		Activities: []*keepwardv1.Activity{{Name: "restore", Meaning: hostile}},
	}), nil
}

func (f *fakeAPI) SetActivity(_ context.Context, req *connect.Request[keepwardv1.SetActivityRequest]) (*connect.Response[keepwardv1.SetActivityResponse], error) {
	m, verb := req.Msg, "switch on"
	if m.GetDisabled() {
		verb = "switch off"
	}
	return connect.NewResponse(&keepwardv1.SetActivityResponse{}), f.did("%s %s %q %s", verb, m.GetLevel(), m.GetActivities(), m.GetTime().AsDuration())
}

func (f *fakeAPI) ListLimits(context.Context, *connect.Request[keepwardv1.ListLimitsRequest]) (*connect.Response[keepwardv1.ListLimitsResponse], error) {
	return connect.NewResponse(&keepwardv1.ListLimitsResponse{Limits: []*keepwardv1.SessionLimit{{Level: "computer/" + hostile, Sessions: 2}}}), nil
}

func (f *fakeAPI) SetLimit(_ context.Context, req *connect.Request[keepwardv1.SetLimitRequest]) (*connect.Response[keepwardv1.SetLimitResponse], error) {
	return connect.NewResponse(&keepwardv1.SetLimitResponse{}), f.did("limit %s %d", req.Msg.GetLevel(), req.Msg.GetSessions())
}

func (f *fakeAPI) ListUsers(context.Context, *connect.Request[keepwardv1.ListUsersRequest]) (*connect.Response[keepwardv1.ListUsersResponse], error) {
	return connect.NewResponse(&keepwardv1.ListUsersResponse{Users: []*keepwardv1.User{{Name: hostile, Role: "viewer"}, {Name: "long", Role: "operator", OneTimeCodes: true}}}), nil
}

func (f *fakeAPI) CreateUser(_ context.Context, req *connect.Request[keepwardv1.CreateUserRequest]) (*connect.Response[keepwardv1.CreateUserResponse], error) {
	return connect.NewResponse(&keepwardv1.CreateUserResponse{}), f.did("user %s %s %s", req.Msg.GetName(), req.Msg.GetRole(), req.Msg.GetPassword())
}

func (f *fakeAPI) EditUser(_ context.Context, req *connect.Request[keepwardv1.EditUserRequest]) (*connect.Response[keepwardv1.EditUserResponse], error) {
	return connect.NewResponse(&keepwardv1.EditUserResponse{}), f.did("role %s %s", req.Msg.GetName(), req.Msg.GetRole())
}

func (f *fakeAPI) ConfirmLogin(_ context.Context, req *connect.Request[keepwardv1.ConfirmLoginRequest]) (*connect.Response[keepwardv1.ConfirmLoginResponse], error) {
	return connect.NewResponse(&keepwardv1.ConfirmLoginResponse{Until: timestamppb.New(time.Now().Add(time.Hour))}), f.did("confirm %s %s", req.Msg.GetPassword(), req.Msg.GetCode())
}

func (f *fakeAPI) SetPassword(_ context.Context, req *connect.Request[keepwardv1.SetPasswordRequest]) (*connect.Response[keepwardv1.SetPasswordResponse], error) {
	return connect.NewResponse(&keepwardv1.SetPasswordResponse{}), f.did("password %s %s %s", req.Msg.GetName(), req.Msg.GetPassword(), req.Msg.GetCurrentPassword())
}

func (f *fakeAPI) RemoveUser(_ context.Context, req *connect.Request[keepwardv1.RemoveUserRequest]) (*connect.Response[keepwardv1.RemoveUserResponse], error) {
	return connect.NewResponse(&keepwardv1.RemoveUserResponse{}), f.did("remove user %s", req.Msg.GetName())
}

func (f *fakeAPI) ListAPITokens(context.Context, *connect.Request[keepwardv1.ListAPITokensRequest]) (*connect.Response[keepwardv1.ListAPITokensResponse], error) {
	return connect.NewResponse(&keepwardv1.ListAPITokensResponse{Tokens: []*keepwardv1.APIToken{{Id: "4f", User: hostile, Kind: "token", Name: hostile}, {Id: "5a", User: hostile, Kind: "login", Address: hostile, Current: true}}}), nil
}

func (f *fakeAPI) CreateAPIToken(_ context.Context, req *connect.Request[keepwardv1.CreateAPITokenRequest]) (*connect.Response[keepwardv1.CreateAPITokenResponse], error) {
	return connect.NewResponse(&keepwardv1.CreateAPITokenResponse{Token: apiToken}), f.did("api token %s %s %s", req.Msg.GetName(), req.Msg.GetRole(), req.Msg.GetTtl().AsDuration())
}

// A name that there is already is not taken: the API would change what has it.
func TestWhatThereIsAlreadyIsNotMadeAnew(t *testing.T) {
	for _, path := range []string{"/do/new-rule", "/do/new-window"} {
		b := loggedIn(t)
		if res, page := b.does(path, "name", "long", "limit", "1MB/s"); res.StatusCode != http.StatusConflict || len(b.api.asked) > 0 || !strings.Contains(page, "there is one already") {
			t.Errorf("%s is answered with %s, asked %v: %s", path, res.Status, b.api.asked, page)
		}
	}
}

// A password comes back in no page, also where it was refused.
func TestPasswordsComeBackInNoPage(t *testing.T) {
	b := loggedIn(t)
	res, page := b.does("/do/new-user", "name", "eve", "password", "correct-horse", "again", "battery-staple")
	if res.StatusCode != http.StatusBadRequest || len(b.api.asked) > 0 || strings.Contains(page, "correct-horse") || strings.Contains(page, "battery-staple") || !strings.Contains(page, `value="eve"`) {
		t.Errorf("answered with %s, asked %v: %s", res.Status, b.api.asked, page)
	}
}

// The week of a window says what its hours say, and becomes hours that say the same.
func TestAWeekAndItsHoursSayTheSame(t *testing.T) {
	for _, one := range []struct {
		open, closed         []string
		wantOpen, wantClosed string
	}{
		{nil, nil, "", ""},
		{[]string{"daily"}, nil, "", ""},
		{nil, []string{"daily"}, "", "daily"},
		{[]string{"sat,sun"}, nil, "sat,sun", ""},
		{[]string{"mon-fri 08:00-18:00"}, []string{"wed 12:00-13:00"}, "mon,tue,thu,fri 08:00-18:00;wed 08:00-12:00,13:00-18:00", ""},
		{[]string{"mon-fri 20:00-06:00"}, nil, "mon 20:00-24:00;tue-fri 00:00-06:00,20:00-24:00;sat 00:00-06:00", ""},
		{[]string{"sun 22:00-04:00"}, nil, "mon 00:00-04:00;sun 22:00-24:00", ""},
		{nil, []string{"mon 00:00-01:00"}, "mon 01:00-24:00;tue-sun", ""},
	} {
		w, exact := weekOf(one.open, one.closed)
		if !exact {
			t.Errorf("%q but for %q cannot be shown", one.open, one.closed)
			continue
		}
		open, closed := w.hours()
		if strings.Join(open, ";") != one.wantOpen || strings.Join(closed, ";") != one.wantClosed {
			t.Errorf("%q but for %q becomes %q but for %q", one.open, one.closed, open, closed)
		}
		if again, exact := weekOf(open, closed); !exact || *again != *w {
			t.Errorf("%q but for %q is another week than %q but for %q", open, closed, one.open, one.closed)
		}
	}
	for _, text := range []string{"mon 08:30-18:00", "daily 20:00-05:59", "nonsense"} {
		if _, exact := weekOf([]string{text}, nil); exact {
			t.Errorf("%q is shown in whole hours", text)
		}
	}
}

// A week that is sent as it was shown leaves the hours as somebody wrote them.
func TestAnUntouchedWeekChangesNothing(t *testing.T) {
	b := loggedIn(t)
	if res, page := b.does("/do/edit-week?of=long"); res.StatusCode != http.StatusSeeOther || len(b.api.asked) > 0 {
		t.Errorf("answered with %s, asked %v: %s", res.Status, b.api.asked, page)
	}
	form := formOn(text(t, b.get("/do/edit-week?of=long")))
	if n := len(form["hour"]); n != 50 {
		t.Errorf("the week has %d open hours, want 50", n)
	}
	form.Del("hour")
	if b.post("/do/edit-week?of=long", form); len(b.api.asked) != 1 || !strings.Contains(b.api.asked[0], `window long [] ["daily"]`) {
		t.Errorf("without any hour it asks for %v: a window without hours would be open always", b.api.asked)
	}
	if page := text(t, b.get("/do/edit-week?of="+url.QueryEscape(hostile))); strings.Contains(page, `class="week"`) {
		t.Error("hours that cannot be read are shown as a week")
	}
}

// The page of a repository that cannot be reached shows what is known, and says why that is not all.
func TestTheRepositoryThatIsAwayHasItsPage(t *testing.T) {
	b := loggedIn(t)
	b.api.away = true
	res := b.get("/repositories/show?repository=x")
	page := text(t, res)
	if res.StatusCode != http.StatusOK || !strings.Contains(page, "cannot be had now") || !strings.Contains(page, "its host is not connected") || strings.Contains(page, hostile) {
		t.Errorf("it is answered with %d:\n%s", res.StatusCode, page)
	}
}
