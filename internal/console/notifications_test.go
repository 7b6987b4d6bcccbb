package console

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

func (f *fakeAPI) ListNotifyTargets(context.Context, *connect.Request[keepwardv1.ListNotifyTargetsRequest]) (*connect.Response[keepwardv1.ListNotifyTargetsResponse], error) {
	return connect.NewResponse(&keepwardv1.ListNotifyTargetsResponse{Targets: []*keepwardv1.NotifyTarget{
		{Name: "long", Description: hostile, Webhook: &keepwardv1.Webhook{Url: hostile}, Waiting: 3, Problem: hostile},
		{Name: "mail", Mail: &keepwardv1.Mailbox{Host: hostile, Security: "starttls", From: hostile, To: []string{hostile}, Ca: "A\nB"}, Delivered: timestamppb.Now()},
	}}), nil
}

func (f *fakeAPI) SaveNotifyTarget(_ context.Context, req *connect.Request[keepwardv1.SaveNotifyTargetRequest]) (*connect.Response[keepwardv1.SaveNotifyTargetResponse], error) {
	t, res := req.Msg.GetTarget(), connect.NewResponse(&keepwardv1.SaveNotifyTargetResponse{})
	if k := t.GetWebhook(); k != nil {
		return res, f.did("target %s %s %v %q %q", t.GetName(), k.GetUrl(), k.GetPlain(), k.GetCa(), req.Msg.GetSecret())
	}
	m := t.GetMail()
	return res, f.did("target %s %s:%d %s %q %s %q %q %q", t.GetName(), m.GetHost(), m.GetPort(), m.GetSecurity(), m.GetUser(), m.GetFrom(), m.GetTo(), m.GetCa(), req.Msg.GetSecret())
}

func (f *fakeAPI) TestNotifyTarget(_ context.Context, req *connect.Request[keepwardv1.TestNotifyTargetRequest]) (*connect.Response[keepwardv1.TestNotifyTargetResponse], error) {
	return connect.NewResponse(&keepwardv1.TestNotifyTargetResponse{Answer: hostile}), f.did("test %s", req.Msg.GetName())
}

func (f *fakeAPI) DeleteNotifyTarget(_ context.Context, req *connect.Request[keepwardv1.DeleteNotifyTargetRequest]) (*connect.Response[keepwardv1.DeleteNotifyTargetResponse], error) {
	return connect.NewResponse(&keepwardv1.DeleteNotifyTargetResponse{}), f.did("delete target %s", req.Msg.GetName())
}

func (f *fakeAPI) ListNotifyRules(context.Context, *connect.Request[keepwardv1.ListNotifyRulesRequest]) (*connect.Response[keepwardv1.ListNotifyRulesResponse], error) {
	return connect.NewResponse(&keepwardv1.ListNotifyRulesResponse{Rules: []*keepwardv1.NotifyRule{{
		Name: "long", Description: hostile, Targets: []string{hostile}, Events: []string{hostile}, Severity: "info", Jobs: []string{hostile}, Subject: hostile,
	}}}), nil
}

func (f *fakeAPI) SaveNotifyRule(_ context.Context, req *connect.Request[keepwardv1.SaveNotifyRuleRequest]) (*connect.Response[keepwardv1.SaveNotifyRuleResponse], error) {
	r := req.Msg.GetRule()
	return connect.NewResponse(&keepwardv1.SaveNotifyRuleResponse{}), f.did("notify %s %q %q %s %q %q %q %q %v",
		r.GetName(), r.GetTargets(), r.GetEvents(), r.GetSeverity(), r.GetJobs(), r.GetGroups(), r.GetSubject(), r.GetBody(), r.GetDisabled())
}

func (f *fakeAPI) DeleteNotifyRule(_ context.Context, req *connect.Request[keepwardv1.DeleteNotifyRuleRequest]) (*connect.Response[keepwardv1.DeleteNotifyRuleResponse], error) {
	return connect.NewResponse(&keepwardv1.DeleteNotifyRuleResponse{}), f.did("delete notify %s", req.Msg.GetName())
}

func (f *fakeAPI) ListReports(context.Context, *connect.Request[keepwardv1.ListReportsRequest]) (*connect.Response[keepwardv1.ListReportsResponse], error) {
	return connect.NewResponse(&keepwardv1.ListReportsResponse{Reports: []*keepwardv1.Report{
		{Name: "long", Description: hostile, Targets: []string{hostile}, Period: "daily", Schedule: hostile, Group: hostile, Next: timestamppb.Now()}, {Name: "off", Disabled: true},
	}}), nil
}

func (f *fakeAPI) SaveReport(_ context.Context, req *connect.Request[keepwardv1.SaveReportRequest]) (*connect.Response[keepwardv1.SaveReportResponse], error) {
	r := req.Msg.GetReport()
	return connect.NewResponse(&keepwardv1.SaveReportResponse{}), f.did("report %s %q %s %q %s %v", r.GetName(), r.GetTargets(), r.GetPeriod(), r.GetSchedule(), r.GetGroup(), r.GetDisabled())
}

func (f *fakeAPI) PreviewReport(_ context.Context, req *connect.Request[keepwardv1.PreviewReportRequest]) (*connect.Response[keepwardv1.PreviewReportResponse], error) {
	m := &keepwardv1.PreviewReportResponse{Subject: hostile, Text: "Sessions: 3\n" + hostile, Html: hostile}
	if req.Msg.GetName() != "off" {
		m.Picture = []byte("\x89PNG\r\n\x1a\n")
	}
	return connect.NewResponse(m), nil
}

func (f *fakeAPI) SendReport(_ context.Context, req *connect.Request[keepwardv1.SendReportRequest]) (*connect.Response[keepwardv1.SendReportResponse], error) {
	return connect.NewResponse(&keepwardv1.SendReportResponse{}), f.did("send %s", req.Msg.GetName())
}

func (f *fakeAPI) DeleteReport(_ context.Context, req *connect.Request[keepwardv1.DeleteReportRequest]) (*connect.Response[keepwardv1.DeleteReportResponse], error) {
	return connect.NewResponse(&keepwardv1.DeleteReportResponse{}), f.did("delete report %s", req.Msg.GetName())
}

func (f *fakeAPI) ListNotifications(context.Context, *connect.Request[keepwardv1.ListNotificationsRequest]) (*connect.Response[keepwardv1.ListNotificationsResponse], error) {
	return connect.NewResponse(&keepwardv1.ListNotificationsResponse{Notifications: []*keepwardv1.Notification{{Target: hostile, Status: "waiting", Subject: hostile, Problem: hostile, Tries: 2, Created: timestamppb.Now()}}}), nil
}

func TestNewTargetsRulesAndReportsReplaceNothing(t *testing.T) {
	for _, path := range []string{"/do/new-mail-target", "/do/new-webhook-target", "/do/new-notify-rule", "/do/new-report"} {
		b := loggedIn(t)
		res, page := b.does(path, "name", "long")
		if res.StatusCode != http.StatusConflict || len(b.api.asked) > 0 {
			t.Errorf("%s of a name that there is: %s, asked for %q\n%s", path, res.Status, b.api.asked, page)
		}
	}
}

func TestAReportIsShownWithItsPicture(t *testing.T) {
	b := loggedIn(t)
	page := text(t, b.get("/notifications/report?report=long"))
	if !strings.Contains(page, `src="/notifications/picture?report=long"`) || !strings.Contains(page, "Sessions: 3\n") {
		t.Errorf("the page: %s", page)
	}
	res := b.get("/notifications/picture?report=long")
	if got := text(t, res); res.Header.Get("Content-Type") != "image/png" || !strings.HasPrefix(got, "\x89PNG") {
		t.Errorf("the picture is %s: %q", res.Header.Get("Content-Type"), got)
	}
	if page := text(t, b.get("/notifications/report?report=off")); strings.Contains(page, "<img") {
		t.Errorf("a report without a picture shows one: %s", page)
	}
	if res := b.get("/notifications/picture?report=off"); res.StatusCode != http.StatusNotFound {
		t.Errorf("a picture that there is not: %s", res.Status)
	}
}

func TestWhoMayNotKnowTargetsSeesTheRest(t *testing.T) {
	b := loggedIn(t)
	b.api.role = fakeReader
	page := text(t, b.get("/notifications"))
	for want, there := range map[string]bool{"<h2>Rules</h2>": true, "<h2>Reports</h2>": true, "<h2>Targets</h2>": false, "<h2>Sent, and on their way</h2>": false, "/do/new-report": false, "/do/send-report": false} {
		if strings.Contains(page, want) != there {
			t.Errorf("%s is there: %v", want, !there)
		}
	}
}
