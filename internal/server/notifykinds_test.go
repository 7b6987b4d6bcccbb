package server

import (
	"fmt"
	"maps"
	netmail "net/mail"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/notify"
	"keepward/internal/notify/notifytest"
)

// mailbox sets up a target for a mail server.
func (s *testServer) mailbox(m *notifytest.MailServer, name string) {
	s.t.Helper()
	must(s.notices().SaveNotifyTarget(s.t.Context(), connect.NewRequest(&keepwardv1.SaveNotifyTargetRequest{
		Target: &keepwardv1.NotifyTarget{Name: name, Mail: &keepwardv1.Mailbox{
			Host: "127.0.0.1", Port: int32(m.Port()), User: "keeper", From: "keepward@example.org", To: []string{"ops@example.org"}, Ca: m.CA,
		}}, Secret: "s3cret",
	})))(s.t)
}

// TestEachKindOfEventComesOnceByMailAndByWebhook has every kind of event happen on a server, and counts what
// two targets of one rule got of it.
func TestEachKindOfEventComesOnceByMailAndByWebhook(t *testing.T) {
	c := &clock{at: time.Now()}
	s := startAs(t, t.TempDir(), often(c))
	file := filepath.Join(t.TempDir(), "lab.csv")
	queue := keepwardv1connect.NewQueueServiceClient(s.client, s.url(), as(s.token))
	activity := func(disabled bool) {
		must(queue.SetActivity(t.Context(), connect.NewRequest(&keepwardv1.SetActivityRequest{Level: "server", Activities: []string{"scheduler"}, Disabled: disabled})))(t)
	}
	hook, mail := receive(t), notifytest.ServeMail(t, func(*notifytest.MailServer) {})
	s.hook(hook, "by-hook")
	s.mailbox(mail, "by-mail")
	s.rule(&keepwardv1.NotifyRule{Name: "all", Targets: []string{"by-hook", "by-mail"}})
	s.rule(&keepwardv1.NotifyRule{Name: "all-again", Targets: []string{"by-mail", "by-hook"}})

	// What each kind is about, by its own words: it is how mails and posts are counted below.
	of := map[string]string{}
	came := func(kind, about string, passing time.Duration) {
		t.Helper()
		of[kind] = about
		until(t, kind+" is delivered to both", func() bool {
			c.pass(passing) // what lasts is told after a while, and is looked for once in a minute
			n := 0
			for _, one := range s.sent() {
				if one.GetKind() == kind && one.GetStatus() == "delivered" {
					n++
				}
			}
			return n >= 2
		})
	}
	good := s.rescan()
	if good.GetStatus() != "Completed" {
		t.Fatalf("the first rescan is %s: %v\n%s", good.GetStatus(), good.GetTasks(), s.log.String())
	}
	came(notify.SessionSuccess, fmt.Sprint(good.GetId()), 0)
	s.write(file, "web9\n") // which has not joined
	s.createGroup(&keepwardv1.Group{Name: "lab", File: file})
	came(notify.SessionWarning, fmt.Sprint(s.rescan("lab").GetId()), 0)
	activity(true)
	came(notify.ConditionRaised, "activity.disabled", time.Minute)
	activity(false)
	came(notify.ConditionCleared, "activity.disabled", time.Minute)
	must(queue.PauseServer(t.Context(), connect.NewRequest(&keepwardv1.PauseServerRequest{})))(t) // the next one waits until it is killed
	id := must(s.groupAPI().RescanGroups(t.Context(), connect.NewRequest(&keepwardv1.RescanGroupsRequest{})))(t).Session
	must(s.sessions(s.token).KillSession(t.Context(), connect.NewRequest(&keepwardv1.KillSessionRequest{Id: id})))(t)
	came(notify.SessionFailed, fmt.Sprint(id), 0)
	for _, name := range []string{"by-hook", "by-mail"} {
		must(s.notices().TestNotifyTarget(t.Context(), connect.NewRequest(&keepwardv1.TestNotifyTargetRequest{Name: name})))(t)
	}
	of[notify.Test] = ""
	for _, k := range notify.Kinds {
		if _, ok := of[k.Kind]; !ok {
			t.Errorf("nothing here makes a %s", k.Kind)
		}
	}

	// All that was made is there by now: the clock stands still, and of what was put last both have theirs.
	posts, mails := map[string]string{}, map[string]string{} // kind by event
	for tested := false; !tested; {
		p := hook.next()
		if _, twice := posts[p.Event.ID]; twice {
			t.Errorf("it came twice by webhook: %s", p.raw)
		}
		if p.Event.Session != nil && fmt.Sprint(p.Event.Session.ID) != of[p.Event.Kind] {
			t.Errorf("%s tells of session %d, want %s", p.Event.Kind, p.Event.Session.ID, of[p.Event.Kind])
		}
		if tested = p.Event.Kind == notify.Test; !tested {
			posts[p.Event.ID] = p.Event.Kind
		}
	}
	for tested := false; !tested; {
		select {
		case text := <-mail.Mails:
			m, err := netmail.ReadMessage(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			kind, id := m.Header.Get("Keepward-Kind"), m.Header.Get("Keepward-Event")
			if _, twice := mails[id]; twice {
				t.Errorf("event %q came twice by mail", id)
			}
			if tested = kind == notify.Test; !tested {
				mails[id] = kind
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("of mails there came %v", mails)
		}
	}
	if !maps.Equal(posts, mails) {
		t.Errorf("by webhook came %v, by mail %v", posts, mails)
	}
	for _, k := range notify.Kinds {
		n := 0
		for _, kind := range posts {
			if kind == k.Kind {
				n++
			}
		}
		// There are other conditions of a server whose clock was moved, each with an event of its own.
		if n == 0 || n > 1 && strings.HasPrefix(k.Kind, "session.") {
			t.Errorf("%s came %d times", k.Kind, n)
		}
	}
	if len(hook.posts) > 0 || len(mail.Mails) > 0 {
		t.Errorf("behind the test there came %d posts and %d mails", len(hook.posts), len(mail.Mails))
	}
}
