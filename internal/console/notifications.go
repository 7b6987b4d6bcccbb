package console

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"

	keepwardv1 "keepward/api/keepward/v1"
	v1 "keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/notify"
	"keepward/internal/words"
)

// notificationsListed is how many messages the page has.
const notificationsListed = 50

func onOff(disabled bool) string {
	if disabled {
		return "disabled"
	}
	return "on"
}

// notificationList is who is told of what, and what was sent; of each part what who looks may know.
func (c *console) notificationList(w http.ResponseWriter, r *http.Request, v *view) error {
	s := sheet{heading: "Notifications", live: true, offers: v.offers("", "new-mail-target", "new-webhook-target", "new-notify-rule", "new-report")}
	for _, part := range []struct {
		procedure string
		list      func(r *http.Request, v *view) (section, error)
	}{
		{v1.NotifyServiceListNotifyTargetsProcedure, c.targetSection},
		{v1.NotifyServiceListNotifyRulesProcedure, c.notifyRuleSection},
		{v1.NotifyServiceListReportsProcedure, c.reportSection},
		{v1.NotifyServiceListNotificationsProcedure, c.sentSection},
	} {
		if !v.mayCall(part.procedure) {
			continue
		}
		one, err := part.list(r, v)
		if err != nil {
			return err
		}
		s.sections = append(s.sections, one)
	}
	c.showSheet(w, r, v, "server", s)
	return nil
}

func (c *console) targetSection(r *http.Request, v *view) (section, error) {
	m, err := call(r.Context(), c.client.notices.ListNotifyTargets, &keepwardv1.ListNotifyTargetsRequest{})
	t := section{title: "Targets", columns: columns("Target", "Goes to", "State", ">Waiting", "~Delivered", "Actions"), empty: "There is none: nobody is told of anything."}
	for _, one := range m.GetTargets() {
		name, to, edit := say(one.GetName()), say(one.GetWebhook().GetUrl()), "edit-webhook-target"
		name.sub = words.Safe(one.GetDescription())
		if b := one.GetMail(); b != nil {
			to, edit = say(strings.Join(b.GetTo(), ", ")), "edit-mail-target"
			to.sub = "over " + words.Safe(b.GetHost())
		}
		state := say(onOff(one.GetDisabled()))
		if one.GetProblem() != "" {
			state = stated("failing")
			state.sub = v.says(one.GetProblem())
		}
		t.rows = append(t.rows, []cell{name, to, state, say(words.Count(one.GetWaiting())), at(one.GetDelivered()), doable(v.offers(one.GetName(), "test-target", edit, "delete-target"))})
	}
	return t, err
}

func (c *console) notifyRuleSection(r *http.Request, v *view) (section, error) {
	m, err := call(r.Context(), c.client.notices.ListNotifyRules, &keepwardv1.ListNotifyRulesRequest{})
	t := section{title: "Rules", columns: columns("Rule", "Events", "~At least", "~About", "Targets", "State", "Actions"), empty: "There is none: of sessions and conditions nobody is told."}
	for _, one := range m.GetRules() {
		name := say(one.GetName())
		name.sub = words.Safe(one.GetDescription())
		about := slices.Clone(one.GetJobs())
		for _, g := range one.GetGroups() {
			about = append(about, "group "+g)
		}
		t.rows = append(t.rows, []cell{
			name, say(anyOf(one.GetEvents(), "all")), say(cmp.Or(one.GetSeverity(), notify.Info)), say(anyOf(about, "anything")),
			say(strings.Join(one.GetTargets(), ", ")), say(onOff(one.GetDisabled())), doable(v.offers(one.GetName(), "edit-notify-rule", "delete-notify-rule")),
		})
	}
	return t, err
}

func (c *console) reportSection(r *http.Request, v *view) (section, error) {
	m, err := call(r.Context(), c.client.notices.ListReports, &keepwardv1.ListReportsRequest{})
	t := section{title: "Reports", columns: columns("Report", "Comes", "~About", "Targets", "Next", "Actions"), empty: "There is none."}
	for _, one := range m.GetReports() {
		name := leads(one.GetName(), link("/notifications/report", "report", one.GetName()))
		name.sub = words.Safe(one.GetDescription())
		about := "all"
		if one.GetGroup() != "" {
			about = "group " + one.GetGroup()
		}
		next := at(one.GetNext())
		if one.GetNext() == nil {
			next = say(onOff(true))
		}
		t.rows = append(t.rows, []cell{name, say(one.GetSchedule()), say(about), say(strings.Join(one.GetTargets(), ", ")), next, doable(v.offers(one.GetName(), "send-report", "edit-report", "delete-report"))})
	}
	return t, err
}

func (c *console) sentSection(r *http.Request, v *view) (section, error) {
	m, err := call(r.Context(), c.client.notices.ListNotifications, &keepwardv1.ListNotificationsRequest{Limit: notificationsListed})
	t := section{title: "Sent, and on their way", columns: columns("Made", "Target", "State", "Subject", "~>Tries"), empty: "Nothing was sent in the last days."}
	for _, one := range m.GetNotifications() {
		state := stated(one.GetStatus())
		state.sub = v.says(one.GetProblem())
		t.rows = append(t.rows, []cell{at(one.GetCreated()), say(one.GetTarget()), state, say(one.GetSubject()), say(number(int64(one.GetTries())))})
	}
	return t, err
}

// reportPage is a report as it would be now.
func (c *console) reportPage(w http.ResponseWriter, r *http.Request, v *view) error {
	name := r.URL.Query().Get("report")
	m, err := call(r.Context(), c.client.notices.PreviewReport, &keepwardv1.PreviewReportRequest{Name: name})
	if err != nil {
		return err
	}
	s := sheet{crumb: choice{"/notifications", "Notifications"}, heading: "Report", of: words.Safe(name), offers: v.offers(name, "send-report", "edit-report", "delete-report")}
	s.sections = append(s.sections, section{note: words.Safe(m.GetSubject()), picture: reportText(strings.Join(linesOf([]byte(m.GetText()), false), "\n"), link("/notifications/picture", "report", name), len(m.GetPicture()) > 0)})
	c.showSheet(w, r, v, "server", s)
	return nil
}

// reportPicture is the picture of a report, made anew.
func (c *console) reportPicture(w http.ResponseWriter, r *http.Request, _ *view) error {
	m, err := call(r.Context(), c.client.notices.PreviewReport, &keepwardv1.PreviewReportRequest{Name: r.URL.Query().Get("report")})
	if err != nil {
		return err
	}
	if len(m.GetPicture()) == 0 {
		return errs.New(errs.NotFound, "", "the report has no picture: there is no computer")
	}
	w.Header().Set("Content-Type", "image/png")
	_, err = w.Write(m.GetPicture())
	return err
}

// targetNamed reads a target as it was saved.
func targetNamed(d *doing, name string) (*keepwardv1.NotifyTarget, error) {
	m, err := call(d, d.c.notices.ListNotifyTargets, &keepwardv1.ListNotifyTargetsRequest{})
	one, err := oneNamed(m.GetTargets(), err, "notification target", name)
	if err != nil {
		return nil, err
	}
	return &keepwardv1.NotifyTarget{Name: one.GetName(), Description: one.GetDescription(), Disabled: one.GetDisabled(), Webhook: one.GetWebhook(), Mail: one.GetMail()}, nil
}

func notifyRuleNamed(d *doing, name string) (*keepwardv1.NotifyRule, error) {
	m, err := call(d, d.c.notices.ListNotifyRules, &keepwardv1.ListNotifyRulesRequest{})
	return oneNamed(m.GetRules(), err, "notification rule", name)
}

func reportNamed(d *doing, name string) (*keepwardv1.Report, error) {
	m, err := call(d, d.c.notices.ListReports, &keepwardv1.ListReportsRequest{})
	one, err := oneNamed(m.GetReports(), err, "report", name)
	if err == nil {
		one.Next = nil // it is as of now
	}
	return one, err
}

// nameEntry is the name of something new.
func nameEntry() entry { return entry{name: "name", label: "Name", needed: true} }

const secretStays = "Nothing: the one that there is, as long as it goes to the same place."

func mailEntries(t *keepwardv1.NotifyTarget, secretHelp string) []entry {
	m := t.GetMail()
	port := ""
	if m.GetPort() != 0 {
		port = strconv.Itoa(int(m.GetPort()))
	}
	return []entry{
		written(inText, "host", "Mail server", m.GetHost(), "Such as mail.example.org."), written(inText, "port", "Port", port, "Nothing: 587, with TLS from the first byte on 465, with none 25."),
		written(inChoice, "security", "Connection", cmp.Or(m.GetSecurity(), notify.StartTLS), "", choice{notify.StartTLS, "STARTTLS"}, choice{notify.TLS, "TLS from the first byte on"}, choice{notify.None, "none: everybody on the way can read it"}),
		written(inText, "user", "User", m.GetUser(), "Who logs in. Nothing: nobody."),
		{name: "secret", label: "Password of that user", help: secretHelp, secret: true},
		written(inText, "from", "From", m.GetFrom(), "Such as keepward@example.org."), area("to", "To", "One address a line.", m.GetTo()),
		area("ca", "Trusted certificates", "PEM. Nothing: those of the system.", strings.Split(m.GetCa(), "\n")),
		written(inText, "description", "Description", t.GetDescription(), ""), written(inCheck, "disabled", "Disabled", yesIf(t.GetDisabled()), ""),
	}
}

func webhookEntries(t *keepwardv1.NotifyTarget, secretHelp string) []entry {
	k := t.GetWebhook()
	return []entry{
		written(inText, "url", "URL", k.GetUrl(), "Each message is posted there as JSON."),
		{name: "secret", label: "Secret that signs", help: secretHelp, secret: true},
		written(inCheck, "plain", "Plain http is meant: everybody on the way can read it", yesIf(k.GetPlain()), ""),
		area("ca", "Trusted certificates", "PEM. Nothing: those of the system.", strings.Split(k.GetCa(), "\n")),
		written(inText, "description", "Description", t.GetDescription(), ""), written(inCheck, "disabled", "Disabled", yesIf(t.GetDisabled()), ""),
	}
}

// pem is a text of several lines as it was filled in.
func (d *doing) pem(name string) string { return strings.Join(d.lines(name), "\n") }

func saveTarget(d *doing, name string, t *keepwardv1.NotifyTarget) (done, error) {
	t.Name, t.Description, t.Disabled = name, d.text("description"), d.on("disabled")
	_, err := call(d, d.c.notices.SaveNotifyTarget, &keepwardv1.SaveNotifyTargetRequest{Target: t, Secret: d.in.Get("secret")})
	return done{to: "/notifications"}, err
}

func saveMailTarget(d *doing, name string) (done, error) {
	port, err := d.counted("port", "port")
	if err != nil {
		return done{}, err
	}
	return saveTarget(d, name, &keepwardv1.NotifyTarget{Mail: &keepwardv1.Mailbox{
		Host: d.text("host"), Port: port, Security: d.text("security"), User: d.text("user"), From: d.text("from"), To: d.lines("to"), Ca: d.pem("ca"),
	}})
}

func saveWebhookTarget(d *doing, name string) (done, error) {
	return saveTarget(d, name, &keepwardv1.NotifyTarget{Webhook: &keepwardv1.Webhook{Url: d.text("url"), Plain: d.on("plain"), Ca: d.pem("ca")}})
}

// targetsToChoose are the targets, with those that are set.
func targetsToChoose(d *doing, set []string) (entry, error) {
	m, err := call(d, d.c.notices.ListNotifyTargets, &keepwardv1.ListNotifyTargetsRequest{})
	return someOf("targets", "Targets", "", namesOf(m.GetTargets()), set), err
}

func notifyRuleEntries(d *doing, one *keepwardv1.NotifyRule) ([]entry, error) {
	targets, err := targetsToChoose(d, one.GetTargets())
	if err != nil {
		return nil, err
	}
	var kinds, severities []choice
	for _, k := range notify.Kinds {
		kinds = append(kinds, choice{k.Kind, k.Kind + ": " + k.Meaning})
	}
	for _, s := range notify.Severities {
		severities = append(severities, choice{s, s})
	}
	return []entry{
		targets, someOf("events", "Events", "None: all.", kinds, one.GetEvents()), written(inChoice, "severity", "At least", cmp.Or(one.GetSeverity(), notify.Info), "", severities...),
		area("jobs", "Only about jobs", "One a line. Nothing here and below: about anything.", one.GetJobs()), area("groups", "Only about computers of groups", "One a line.", one.GetGroups()),
		written(inText, "subject", "Template of the subject", one.GetSubject(), "Such as {{.Job}}: {{.Status}}. Nothing: the one that is built in."),
		written(inArea, "body", "Template of the body", one.GetBody(), "Nothing: the one that is built in."),
		written(inText, "description", "Description", one.GetDescription(), ""), written(inCheck, "disabled", "Disabled", yesIf(one.GetDisabled()), ""),
	}, nil
}

func saveNotifyRule(d *doing, name string) (done, error) {
	_, err := call(d, d.c.notices.SaveNotifyRule, &keepwardv1.SaveNotifyRuleRequest{Rule: &keepwardv1.NotifyRule{
		Name: name, Targets: d.chosen("targets"), Events: d.chosen("events"), Severity: d.text("severity"), Jobs: d.lines("jobs"), Groups: d.lines("groups"),
		Subject: d.text("subject"), Body: strings.ReplaceAll(typedText(d.in.Get("body")), "\r\n", "\n"), Description: d.text("description"), Disabled: d.on("disabled"),
	}})
	return done{to: "/notifications"}, err
}

func reportEntries(d *doing, one *keepwardv1.Report) ([]entry, error) {
	targets, err := targetsToChoose(d, one.GetTargets())
	if err != nil {
		return nil, err
	}
	return []entry{
		targets, written(inChoice, "period", "Covers", cmp.Or(one.GetPeriod(), "daily"), "", choice{"daily", "the day before"}, choice{"weekly", "the seven days before"}),
		written(inText, "schedule", "Comes", one.GetSchedule(), "As a schedule of a job, such as daily 07:00 in Europe/Paris. Nothing: daily 07:00, or weekly mon 07:00."),
		written(inText, "group", "Only computers of group", one.GetGroup(), "Nothing: the whole site."),
		written(inText, "description", "Description", one.GetDescription(), ""), written(inCheck, "disabled", "Disabled", yesIf(one.GetDisabled()), ""),
	}, nil
}

func saveReport(d *doing, name string) (done, error) {
	_, err := call(d, d.c.notices.SaveReport, &keepwardv1.SaveReportRequest{Report: &keepwardv1.Report{
		Name: name, Targets: d.chosen("targets"), Period: d.text("period"), Schedule: d.text("schedule"), Group: d.text("group"), Description: d.text("description"), Disabled: d.on("disabled"),
	}})
	return done{to: "/notifications"}, err
}

// fresh saves what is new: what there is of that name is not replaced without being seen.
func fresh[T any](thing string, read func(*doing, string) (T, error), save func(*doing, string) (done, error)) func(*doing) (done, error) {
	return func(d *doing) (done, error) {
		name := d.text("name")
		if _, err := read(d, name); err == nil {
			return done{}, exists(thing, name)
		} else if errs.KindOf(err) != errs.NotFound {
			return done{}, err
		}
		return save(d, name)
	}
}

var notifyDeeds = []deed{
	{
		name: "new-mail-target", verb: "New mailbox", procedure: v1.NotifyServiceSaveNotifyTargetProcedure, part: "server",
		ask: func(*doing) (form, error) {
			return form{back: "/notifications", comes: []string{"Nothing goes to it until a rule or a report names it. Test it first."}, inputs: append([]entry{nameEntry()}, mailEntries(&keepwardv1.NotifyTarget{}, "")...)}, nil
		},
		do: fresh("notification target", targetNamed, saveMailTarget),
	},
	{
		name: "new-webhook-target", verb: "New webhook", procedure: v1.NotifyServiceSaveNotifyTargetProcedure, part: "server",
		ask: func(*doing) (form, error) {
			return form{back: "/notifications", comes: []string{"Nothing goes to it until a rule or a report names it. Test it first."}, inputs: append([]entry{nameEntry()}, webhookEntries(&keepwardv1.NotifyTarget{}, "16 bytes at least; the receiver has the same.")...)}, nil
		},
		do: fresh("notification target", targetNamed, saveWebhookTarget),
	},
	{
		name: "edit-mail-target", verb: "Edit", procedure: v1.NotifyServiceSaveNotifyTargetProcedure, part: "server",
		ask: func(d *doing) (form, error) {
			one, err := targetNamed(d, d.of)
			return form{about: "target " + d.of, back: "/notifications", thing: one, comes: []string{"What waits for it goes to the new place."}, inputs: mailEntries(one, secretStays)}, err
		},
		do: func(d *doing) (done, error) { return saveMailTarget(d, d.of) },
	},
	{
		name: "edit-webhook-target", verb: "Edit", procedure: v1.NotifyServiceSaveNotifyTargetProcedure, part: "server",
		ask: func(d *doing) (form, error) {
			one, err := targetNamed(d, d.of)
			return form{about: "target " + d.of, back: "/notifications", thing: one, comes: []string{"What waits for it goes to the new place."}, inputs: webhookEntries(one, secretStays)}, err
		},
		do: func(d *doing) (done, error) { return saveWebhookTarget(d, d.of) },
	},
	{
		name: "test-target", verb: "Test", procedure: v1.NotifyServiceTestNotifyTargetProcedure, part: "server",
		ask: func(d *doing) (form, error) {
			_, err := targetNamed(d, d.of)
			return form{about: "target " + d.of, back: "/notifications", comes: []string{"A message goes to it now, and the answer of the other side is shown."}}, err
		},
		do: func(d *doing) (done, error) {
			m, err := call(d, d.c.notices.TestNotifyTarget, &keepwardv1.TestNotifyTargetRequest{Name: d.of})
			text := "The message was not taken: "
			if m.GetDelivered() {
				text = "The message was taken: "
			}
			return done{to: "/notifications", says: []string{text + m.GetAnswer()}}, err
		},
	},
	{
		name: "delete-target", verb: "Delete", procedure: v1.NotifyServiceDeleteNotifyTargetProcedure, part: "server", danger: true,
		ask: func(d *doing) (form, error) {
			_, err := targetNamed(d, d.of)
			return form{about: "target " + d.of, back: "/notifications", comes: []string{"What waits for it is forgotten. One that a rule or a report names stays."}}, err
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.notices.DeleteNotifyTarget, &keepwardv1.DeleteNotifyTargetRequest{Name: d.of})
			return done{to: "/notifications"}, err
		},
	},
	{
		name: "new-notify-rule", verb: "New rule", procedure: v1.NotifyServiceSaveNotifyRuleProcedure, part: "server",
		ask: func(d *doing) (form, error) {
			inputs, err := notifyRuleEntries(d, &keepwardv1.NotifyRule{})
			return form{back: "/notifications", comes: []string{"It takes what happens from now on."}, inputs: append([]entry{nameEntry()}, inputs...)}, err
		},
		do: fresh("notification rule", notifyRuleNamed, saveNotifyRule),
	},
	{
		name: "edit-notify-rule", verb: "Edit", procedure: v1.NotifyServiceSaveNotifyRuleProcedure, part: "server",
		ask: func(d *doing) (form, error) {
			one, err := notifyRuleNamed(d, d.of)
			if err != nil {
				return form{}, err
			}
			inputs, err := notifyRuleEntries(d, one)
			return form{about: "rule " + d.of, back: "/notifications", thing: one, comes: []string{"It takes what happens from now on."}, inputs: inputs}, err
		},
		do: func(d *doing) (done, error) { return saveNotifyRule(d, d.of) },
	},
	{
		name: "delete-notify-rule", verb: "Delete", procedure: v1.NotifyServiceDeleteNotifyRuleProcedure, part: "server", danger: true,
		ask: func(d *doing) (form, error) {
			_, err := notifyRuleNamed(d, d.of)
			return form{about: "rule " + d.of, back: "/notifications", comes: []string{"What it took already is still sent."}}, err
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.notices.DeleteNotifyRule, &keepwardv1.DeleteNotifyRuleRequest{Name: d.of})
			return done{to: "/notifications"}, err
		},
	},
	{
		name: "new-report", verb: "New report", procedure: v1.NotifyServiceSaveReportProcedure, part: "server",
		ask: func(d *doing) (form, error) {
			inputs, err := reportEntries(d, &keepwardv1.Report{})
			return form{back: "/notifications", comes: []string{"It comes at its next moment."}, inputs: append([]entry{nameEntry()}, inputs...)}, err
		},
		do: fresh("report", reportNamed, saveReport),
	},
	{
		name: "edit-report", verb: "Edit", procedure: v1.NotifyServiceSaveReportProcedure, part: "server",
		ask: func(d *doing) (form, error) {
			one, err := reportNamed(d, d.of)
			if err != nil {
				return form{}, err
			}
			inputs, err := reportEntries(d, one)
			return form{about: "report " + d.of, back: "/notifications", thing: one, comes: []string{"It comes at its next moment."}, inputs: inputs}, err
		},
		do: func(d *doing) (done, error) { return saveReport(d, d.of) },
	},
	{
		name: "send-report", verb: "Send now", procedure: v1.NotifyServiceSendReportProcedure, part: "server",
		ask: func(d *doing) (form, error) {
			one, err := reportNamed(d, d.of)
			return form{about: "report " + d.of, back: "/notifications", facts: fields("Targets", words.Safe(strings.Join(one.GetTargets(), ", "))), comes: []string{"It goes to its targets now, beside those that come by themselves."}}, err
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.notices.SendReport, &keepwardv1.SendReportRequest{Name: d.of})
			return done{to: "/notifications"}, err
		},
	},
	{
		name: "delete-report", verb: "Delete", procedure: v1.NotifyServiceDeleteReportProcedure, part: "server", danger: true,
		ask: func(d *doing) (form, error) {
			_, err := reportNamed(d, d.of)
			return form{about: "report " + d.of, back: "/notifications", comes: []string{"It comes no more."}}, err
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.notices.DeleteReport, &keepwardv1.DeleteReportRequest{Name: d.of})
			return done{to: "/notifications"}, err
		},
	},
}
