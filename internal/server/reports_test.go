package server

import (
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/notify"
	"keepward/internal/notify/notifytest"
)

func (s *testServer) saveReport(r *keepwardv1.Report) (*keepwardv1.Report, error) {
	res, err := s.notices().SaveReport(s.t.Context(), connect.NewRequest(&keepwardv1.SaveReportRequest{Report: r}))
	if err != nil {
		return nil, err
	}
	return res.Msg.GetReport(), nil
}

// parts are the parts of a mail by their type.
func parts(t *testing.T, header interface{ Get(string) string }, body io.Reader, out map[string]string) map[string]string {
	t.Helper()
	kind, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(kind, "multipart/") {
		text, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		out[kind] = header.Get("Content-ID") + string(text)
		return out
	}
	r := multipart.NewReader(body, params["boundary"])
	for {
		p, err := r.NextPart()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		parts(t, p.Header, p, out)
	}
}

func TestAReportComesOnceAtEachOfItsMoments(t *testing.T) {
	c := &clock{at: time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)}
	dir := t.TempDir()
	s := startAs(t, dir, often(c))
	hook, mail := receive(t), notifytest.ServeMail(t, func(*notifytest.MailServer) {})
	s.hook(hook, "by-hook")
	s.mailbox(mail, "by-mail")
	s.rule(&keepwardv1.NotifyRule{Name: "all", Targets: []string{"by-hook"}, Events: []string{"session"}})
	r, err := s.saveReport(&keepwardv1.Report{Name: "morning", Targets: []string{"by-mail", "by-hook"}, Schedule: "daily 07:00 in UTC"})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.GetNext().AsTime(); !got.Equal(time.Date(2026, 11, 24, 7, 0, 0, 0, time.UTC)) || r.GetPeriod() != "daily" {
		t.Errorf("it comes %v: %v", got, r)
	}
	if _, err := s.saveReport(&keepwardv1.Report{Name: "off", Targets: []string{"by-hook"}, Schedule: "daily 07:00 in UTC", Disabled: true}); err != nil {
		t.Fatal(err)
	}
	good := s.rescan() // a session to count
	c.pass(59 * time.Minute)
	if p := hook.next(); p.Event.Kind != notify.SessionSuccess || p.Event.Session.ID != good.GetId() {
		t.Fatalf("before its moment came %s", p.raw)
	}
	sentReports := func() (n int) {
		for _, one := range s.sent() {
			if strings.HasPrefix(one.GetKind(), "report.") && one.GetStatus() == "delivered" {
				n++
			}
		}
		return n
	}
	if n := sentReports(); n > 0 {
		t.Fatalf("%d came before their moment", n)
	}
	c.pass(2 * time.Minute)
	until(t, "it is delivered to both", func() bool { return sentReports() == 2 })
	p := hook.next()
	if p.Event.Kind != notify.ReportDaily || p.Event.Report == nil || p.Event.Report.Name != "morning" || p.Event.Report.To.Sub(p.Event.Report.From) != day {
		t.Fatalf("by webhook came %s", p.raw)
	}
	m, err := netmail.ReadMessage(strings.NewReader(<-mail.Mails))
	if err != nil {
		t.Fatal(err)
	}
	if m.Header.Get("Keepward-Kind") != notify.ReportDaily || m.Header.Get("Keepward-Event") != p.Event.ID {
		t.Errorf("by mail came %v", m.Header)
	}
	got := parts(t, m.Header, m.Body, map[string]string{})
	if !strings.Contains(got["text/plain"], "Sessions:") || !strings.Contains(got["text/html"], "<h1") {
		t.Errorf("the parts of the mail: %v", got)
	}

	// It is off over two of its moments: one comes for both, on the next start.
	s.stop()
	c.pass(2 * day)
	s = startAs(t, dir, often(c))
	until(t, "it is delivered to both once more", func() bool { return sentReports() == 4 })
	if p := hook.next(); p.Event.Kind != notify.ReportDaily {
		t.Errorf("after the start came %s", p.raw)
	}
	<-mail.Mails
	next := must(s.notices().ListReports(t.Context(), connect.NewRequest(&keepwardv1.ListReportsRequest{})))(t).Reports
	if len(next) != 2 || !next[0].GetNext().AsTime().Equal(time.Date(2026, 11, 27, 7, 0, 0, 0, time.UTC)) || next[1].GetNext() != nil {
		t.Errorf("they come next: %v", next)
	}

	// By hand one comes beside those.
	sent := must(s.notices().SendReport(t.Context(), connect.NewRequest(&keepwardv1.SendReportRequest{Name: "morning"})))(t)
	if p := hook.next(); p.Event.ID != sent.GetEvent() {
		t.Errorf("by hand came %s", p.raw)
	}
	<-mail.Mails
	if n := sentReports(); n > 6 || len(mail.Mails) > 0 || len(hook.posts) > 0 {
		t.Errorf("%d were sent", n)
	}
	for _, name := range []string{"by-mail", "by-hook"} {
		_, err := s.notices().DeleteNotifyTarget(t.Context(), connect.NewRequest(&keepwardv1.DeleteNotifyTargetRequest{Name: name}))
		if errs.KindOf(err) != errs.Busy {
			t.Errorf("delete target %s: %v", name, err)
		}
	}
}

func TestAReportOnAGroupTellsOfNobodyElse(t *testing.T) {
	c := &clock{at: time.Now()}
	s, _ := withRepositoryAs(t, often(c)) // of computer web1
	r := receive(t)
	s.hook(r, "ops")
	s.createGroup(&keepwardv1.Group{Name: "shop", Patterns: []string{"web1"}})
	s.createGroup(&keepwardv1.Group{Name: "lab", Patterns: []string{"nobody"}})
	c.pass(8 * day) // web1 is not protected
	until(t, "the status says it", func() bool { return hasCondition(s.status().Conditions, "computer.unprotected", "web1") })
	show := func(name string) (*keepwardv1.PreviewReportResponse, notify.Report) {
		t.Helper()
		m := must(s.notices().PreviewReport(t.Context(), connect.NewRequest(&keepwardv1.PreviewReportRequest{Name: name})))(t)
		must(s.notices().SendReport(t.Context(), connect.NewRequest(&keepwardv1.SendReportRequest{Name: name})))(t)
		var e notify.Event
		if err := json.Unmarshal(r.next().raw, &e); err != nil {
			t.Fatal(err)
		}
		return m, *e.Report
	}
	for name, group := range map[string]string{"all": "", "shop": "shop", "lab": "lab"} {
		if _, err := s.saveReport(&keepwardv1.Report{Name: name, Targets: []string{"ops"}, Period: "weekly", Group: group}); err != nil {
			t.Fatal(err)
		}
	}
	m, all := show("all")
	if !strings.Contains(m.GetText(), "web1") || !strings.Contains(m.GetText(), "REPOSITORIES") || len(m.GetPicture()) == 0 || all.Computers != 1 || all.Conditions < 2 {
		t.Errorf("on all: %v\n%s", all, m.GetText())
	}
	if strings.Contains(m.GetHtml(), "<a ") || strings.HasSuffix(m.GetText(), "none\n") {
		t.Errorf("it leads to a console of which nobody said where it is:\n%s", m.GetText())
	}
	settings := keepwardv1connect.NewSettingsServiceClient(s.client, s.url(), as(s.token))
	must(settings.SetSetting(t.Context(), connect.NewRequest(&keepwardv1.SetSettingRequest{Name: "console_url", Value: "https://keep.example.org"})))(t)
	until(t, "it leads to the console", func() bool {
		m := must(s.notices().PreviewReport(t.Context(), connect.NewRequest(&keepwardv1.PreviewReportRequest{Name: "all"})))(t)
		return strings.Contains(m.GetHtml(), `<a href="https://keep.example.org"`) && strings.HasSuffix(m.GetText(), "https://keep.example.org\n")
	})
	m, shop := show("shop")
	if !strings.Contains(m.GetText(), "web1") || strings.Contains(m.GetText(), "REPOSITORIES") || strings.Contains(m.GetText(), "recovery key") || shop.Computers != 1 || shop.Conditions == 0 || shop.Conditions >= all.Conditions {
		t.Errorf("on the group: %v\n%s", shop, m.GetText())
	}
	m, lab := show("lab")
	if strings.Contains(m.GetText(), "web1") || strings.Contains(m.GetHtml(), "web1") || len(m.GetPicture()) > 0 || lab.Computers != 0 || lab.Conditions != 0 {
		t.Errorf("on another group: %v\n%s", lab, m.GetText())
	}
	if _, err := s.groupAPI().DeleteGroup(t.Context(), connect.NewRequest(&keepwardv1.DeleteGroupRequest{Name: "lab"})); errs.CodeOf(err) != "group.told" {
		t.Errorf("delete its group: %v", err)
	}
	must(s.notices().DeleteReport(t.Context(), connect.NewRequest(&keepwardv1.DeleteReportRequest{Name: "lab"})))(t)
	must(s.groupAPI().DeleteGroup(t.Context(), connect.NewRequest(&keepwardv1.DeleteGroupRequest{Name: "lab"})))(t)
}

func TestAReportThatCouldNotComeIsRefused(t *testing.T) {
	s := start(t, t.TempDir())
	r := receive(t)
	s.hook(r, "ops")
	good := func() *keepwardv1.Report { return &keepwardv1.Report{Name: "morning", Targets: []string{"ops"}} }
	for what, spoil := range map[string]func(*keepwardv1.Report){
		"no name":           func(r *keepwardv1.Report) { r.Name = "" },
		"no target":         func(r *keepwardv1.Report) { r.Targets = nil },
		"an unknown target": func(r *keepwardv1.Report) { r.Targets = []string{"opps"} },
		"an unknown group":  func(r *keepwardv1.Report) { r.Group = "shop" },
		"an unknown period": func(r *keepwardv1.Report) { r.Period = "yearly" },
		"no schedule":       func(r *keepwardv1.Report) { r.Schedule = "sometimes" },
		"no moments":        func(r *keepwardv1.Report) { r.Schedule = "after docs" },
		"no zone":           func(r *keepwardv1.Report) { r.Schedule = "daily 07:00 in computer" },
		"all the time":      func(r *keepwardv1.Report) { r.Schedule = "every 15m" },
		"a long remark":     func(r *keepwardv1.Report) { r.Description = strings.Repeat("x", 1025) },
	} {
		one := good()
		spoil(one)
		if _, err := s.saveReport(one); errs.KindOf(err) != errs.Invalid && errs.KindOf(err) != errs.NotFound {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := s.saveReport(good()); err != nil {
		t.Error(err)
	}
}
