package cli

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
)

func (a *app) notifyCommand() *cobra.Command {
	cmd := a.noun("notify", "Who is told of what",
		"A target is a mailbox or a webhook. A rule says which events go to which targets: ends of sessions, and conditions that come\nand go. A failed session that is tried again by itself is told with its last retry.")
	target := a.noun("target", "Where messages go", "A target is a mailbox, reached over a mail server, or a webhook, which is signed.")
	target.AddCommand(a.targetList(), a.targetMail(), a.targetWebhook(), a.targetDelete())
	rule := a.noun("rule", "What is told to whom", "A rule takes events by kind, severity, job and group, and sends them to targets.")
	rule.AddCommand(a.ruleList(), a.ruleSet(), a.ruleDelete())
	cmd.AddCommand(target, rule, a.reportCommand(), a.notifyTest(), a.notifyLog())
	return cmd
}

// targetFlags are those of both kinds of targets.
type targetFlags struct {
	description, secretFile, caFile string
	disabled                        bool
}

func (t *targetFlags) add(cmd *cobra.Command, secret string) {
	f := cmd.Flags()
	f.StringVar(&t.description, "description", "", "a remark for people")
	f.StringVar(&t.secretFile, "secret-file", "", secret)
	f.StringVar(&t.caFile, "ca-file", "", "PEM file of the certificates that the other side is trusted by (default: those of the system)")
	f.BoolVar(&t.disabled, "disabled", false, "send nothing to it for now")
}

// saveTarget makes a target, or replaces the one of that name; its secret stays where none is given.
func (a *app) saveTarget(ctx context.Context, c *client, to *keepwardv1.NotifyTarget, t *targetFlags, ca *string) error {
	secret := ""
	if t.secretFile != "" {
		var err error
		if secret, err = a.credentialSecret(to.GetName(), t.secretFile); err != nil {
			return err
		}
	}
	if t.caFile != "" {
		text, err := os.ReadFile(t.caFile)
		if err != nil {
			return usage("read --ca-file: %w", err)
		}
		*ca = string(text)
	}
	to.Description, to.Disabled = t.description, t.disabled
	m, err := call(ctx, c.notices.SaveNotifyTarget, &keepwardv1.SaveNotifyTargetRequest{Target: to, Secret: secret})
	if err != nil {
		return err
	}
	return a.print(m.GetTarget(), func() { a.targetTable([]*keepwardv1.NotifyTarget{m.GetTarget()}) })
}

func (a *app) targetMail() *cobra.Command {
	m, t := &keepwardv1.Mailbox{}, &targetFlags{}
	cmd := &cobra.Command{
		Use: "mail NAME --host HOST --from ADDRESS --to ADDRESS", Short: "Make a target that is reached by mail, or replace one",
		Long: "The connection is sealed before anything is said: by STARTTLS, or with --security tls from its first byte on. With --security none\n" +
			"everything can be read on the way, and nobody can log in. The password is the first line of a file, or of standard input (-).",
		Example: "  keepward notify target mail ops --host mail.example.org --user keepward --secret-file /root/mail-password --from keepward@example.org --to ops@example.org",
		Args:    exactly("NAME"), ValidArgsFunction: a.complete(targetNames),
	}
	f := cmd.Flags()
	f.StringVar(&m.Host, "host", "", "the mail server")
	f.Int32Var(&m.Port, "port", 0, "its port (default: 587, with tls 465, with none 25)")
	f.StringVar(&m.Security, "security", "starttls", "starttls, tls or none")
	f.StringVar(&m.User, "user", "", "who logs in (default: nobody)")
	f.StringVar(&m.From, "from", "", "the address of the sender")
	f.StringSliceVar(&m.To, "to", nil, "an address that it goes to; may be repeated")
	t.add(cmd, "file with the password of --user; - is standard input")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		if err := required(cmd, "host", "from", "to"); err != nil {
			return err
		}
		return a.saveTarget(ctx, c, &keepwardv1.NotifyTarget{Name: args[0], Mail: m}, t, &m.Ca)
	})
	return cmd
}

func (a *app) targetWebhook() *cobra.Command {
	w, t := &keepwardv1.Webhook{}, &targetFlags{}
	cmd := &cobra.Command{
		Use: "webhook NAME --url URL", Short: "Make a target that is a webhook, or replace one",
		Long: "Each message is a POST of JSON, signed with the secret: HMAC-SHA256 over its time and its body. The secret is the first line of a\n" +
			"file, or of standard input (-), of 16 bytes at least; the receiver has the same.",
		Example: "  keepward notify target webhook chat --url https://chat.example.org/hooks/backup --secret-file /root/hook-secret",
		Args:    exactly("NAME"), ValidArgsFunction: a.complete(targetNames),
	}
	f := cmd.Flags()
	f.StringVar(&w.Url, "url", "", "where to post to")
	f.BoolVar(&w.Plain, "plain", false, "plain http is meant: everybody on the way can read it")
	t.add(cmd, "file with the secret that signs; - is standard input")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		if err := required(cmd, "url"); err != nil {
			return err
		}
		return a.saveTarget(ctx, c, &keepwardv1.NotifyTarget{Name: args[0], Webhook: w}, t, &w.Ca)
	})
	return cmd
}

func (a *app) targetTable(list []*keepwardv1.NotifyTarget) {
	t := a.newTable("NAME", "TO", "STATE", ">WAITING", "DELIVERED", "PROBLEM", "|", "CHANGED", "DESCRIPTION")
	for _, g := range list {
		to := g.GetWebhook().GetUrl()
		if m := g.GetMail(); m != nil {
			to = strings.Join(m.GetTo(), ", ")
		}
		state := "on"
		if g.GetDisabled() {
			state = "off"
		}
		t.row(g.GetName(), to, state, count(g.GetWaiting()), a.stamp(g.GetDelivered()), g.GetProblem(), a.stamp(g.GetChanged()), g.GetDescription())
	}
	t.print()
}

func (a *app) targetList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List targets, and how it stands with their messages", Example: "  keepward notify target list", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			m, err := call(ctx, c.notices.ListNotifyTargets, &keepwardv1.ListNotifyTargetsRequest{})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.targetTable(m.GetTargets()) })
		}),
	}
}

func (a *app) targetDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Delete a target that no rule names, with what waits for it", Example: "  keepward notify target delete chat",
		Args: exactly("NAME"), ValidArgsFunction: a.complete(targetNames),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			m, err := call(ctx, c.notices.DeleteNotifyTarget, &keepwardv1.DeleteNotifyTargetRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.remark("notification target %s is deleted", args[0]) })
		}),
	}
}

func targetNames(ctx context.Context, c *client) ([]string, error) {
	m, err := call(ctx, c.notices.ListNotifyTargets, &keepwardv1.ListNotifyTargetsRequest{})
	return namesOf(m.GetTargets()), err
}

func (a *app) ruleTable(list []*keepwardv1.NotifyRule) {
	t := a.newTable("NAME", "EVENTS", "SEVERITY", "ABOUT", "TARGETS", "STATE", "|", "SUBJECT", "CHANGED", "DESCRIPTION")
	for _, r := range list {
		about := append([]string{}, r.GetJobs()...)
		for _, g := range r.GetGroups() {
			about = append(about, "group "+g)
		}
		state, severity := "on", r.GetSeverity()
		if r.GetDisabled() {
			state = "off"
		}
		if severity == "" {
			severity = "info"
		}
		t.row(r.GetName(), orAll(r.GetEvents(), "all"), severity, orAll(about, "anything"), strings.Join(r.GetTargets(), ", "), state,
			r.GetSubject(), a.stamp(r.GetChanged()), r.GetDescription())
	}
	t.print()
}

func (a *app) ruleList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List what is told to whom", Example: "  keepward notify rule list", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			m, err := call(ctx, c.notices.ListNotifyRules, &keepwardv1.ListNotifyRulesRequest{})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.ruleTable(m.GetRules()) })
		}),
	}
}

func (a *app) ruleSet() *cobra.Command {
	r := &keepwardv1.NotifyRule{}
	var bodyFile string
	cmd := &cobra.Command{
		Use: "set NAME", Short: "Make a rule, or change one",
		Long: "Makes a rule, or changes what is given of the one of that name. Kinds of events are session.success, session.warning, session.failed,\n" +
			"condition.raised and condition.cleared; session takes all three. A template has fields such as {{.Job}} and {{.Text}}, and\n" +
			"{{if .Hint}}…{{end}}; one that could not be filled in for every event is refused.",
		Example: "  keepward notify rule set night --event session.failed --event condition --target ops\n" +
			"  keepward notify rule set shop --job shop --severity warning --target chat --subject \"{{.Job}}: {{.Status}}\"",
		Args: exactly("NAME"), ValidArgsFunction: a.complete(ruleNames),
	}
	f := cmd.Flags()
	f.StringSliceVar(&r.Targets, "target", nil, "target that it goes to; may be repeated")
	f.StringSliceVar(&r.Events, "event", nil, "kind of event; may be repeated (default: all)")
	f.StringVar(&r.Severity, "severity", "", "the least: info, warning or error (default: info)")
	f.StringSliceVar(&r.Jobs, "job", nil, "only what is about this job; may be repeated")
	f.StringSliceVar(&r.Groups, "group", nil, "only what is about computers of this group; may be repeated")
	f.StringVar(&r.Subject, "subject", "", "template of the subject; empty: the one that is built in")
	f.StringVar(&bodyFile, "body-file", "", "file with the template of the body; an empty file: the one that is built in")
	f.BoolVar(&r.Disabled, "disabled", false, "it does not hold for now")
	f.StringVar(&r.Description, "description", "", "a remark for people")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		if bodyFile != "" {
			text, err := os.ReadFile(bodyFile)
			if err != nil {
				return usage("read --body-file: %w", err)
			}
			r.Body = string(text)
		}
		list, err := call(ctx, c.notices.ListNotifyRules, &keepwardv1.ListNotifyRulesRequest{})
		if err != nil {
			return err
		}
		m, err := call(ctx, c.notices.SaveNotifyRule, &keepwardv1.SaveNotifyRuleRequest{Rule: changedRule(cmd, r, args[0], list.GetRules())})
		if err != nil {
			return err
		}
		return a.print(m.GetRule(), func() { a.ruleTable([]*keepwardv1.NotifyRule{m.GetRule()}) })
	})
	return cmd
}

// changedRule is the rule of a name with the flags that were written put into it.
func changedRule(cmd *cobra.Command, r *keepwardv1.NotifyRule, name string, list []*keepwardv1.NotifyRule) *keepwardv1.NotifyRule {
	to := &keepwardv1.NotifyRule{Name: name}
	for _, had := range list {
		if had.GetName() == name {
			to = had
		}
	}
	for flag, set := range map[string]func(){
		"target":      func() { to.Targets = r.Targets },
		"event":       func() { to.Events = r.Events },
		"severity":    func() { to.Severity = r.Severity },
		"job":         func() { to.Jobs = r.Jobs },
		"group":       func() { to.Groups = r.Groups },
		"subject":     func() { to.Subject = r.Subject },
		"body-file":   func() { to.Body = r.Body },
		"disabled":    func() { to.Disabled = r.Disabled },
		"description": func() { to.Description = r.Description },
	} {
		if cmd.Flags().Changed(flag) {
			set()
		}
	}
	return to
}

func (a *app) ruleDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Delete a rule", Example: "  keepward notify rule delete night",
		Args: exactly("NAME"), ValidArgsFunction: a.complete(ruleNames),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			m, err := call(ctx, c.notices.DeleteNotifyRule, &keepwardv1.DeleteNotifyRuleRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.remark("notification rule %s is deleted", args[0]) })
		}),
	}
}

func ruleNames(ctx context.Context, c *client) ([]string, error) {
	m, err := call(ctx, c.notices.ListNotifyRules, &keepwardv1.ListNotifyRulesRequest{})
	return namesOf(m.GetRules()), err
}

func (a *app) notifyTest() *cobra.Command {
	return &cobra.Command{
		Use: "test NAME", Short: "Send a message to a target now, and say what the other side answered", Example: "  keepward notify test ops",
		Args: exactly("NAME"), ValidArgsFunction: a.complete(targetNames),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			m, err := call(ctx, c.notices.TestNotifyTarget, &keepwardv1.TestNotifyTargetRequest{Name: args[0]})
			if err != nil {
				return err
			}
			err = a.print(m, func() {
				word := "was taken"
				if !m.GetDelivered() {
					word = "was not taken"
				}
				fmt.Fprintf(a.out, "the message to %s %s: %s\n", safe(args[0]), word, safe(m.GetAnswer()))
			})
			if err == nil && !m.GetDelivered() {
				err = &statusError{status: exitFailed}
			}
			return err
		}),
	}
}

func (a *app) notifyLog() *cobra.Command {
	req := &keepwardv1.ListNotificationsRequest{}
	cmd := &cobra.Command{
		Use: "log", Short: "List what was sent in the last days, and what waits", Example: "  keepward notify log --target ops", Args: exactly(),
	}
	cmd.Flags().StringVar(&req.Target, "target", "", "only to this target")
	cmd.Flags().Int32Var(&req.Limit, "limit", 0, "show at most so many (default: 100)")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, _ []string) error {
		m, err := call(ctx, c.notices.ListNotifications, req)
		if err != nil {
			return err
		}
		return a.print(m, func() {
			t := a.newTable("CREATED", "TARGET", "STATUS", ">TRIES", "SUBJECT", "PROBLEM", "|", "DELIVERED", "NEXT", "KIND", "EVENT")
			for _, n := range m.GetNotifications() {
				t.row(a.stamp(n.GetCreated()), n.GetTarget(), n.GetStatus(), count(int64(n.GetTries())), n.GetSubject(), n.GetProblem(),
					a.stamp(n.GetDelivered()), a.stamp(n.GetNext()), n.GetKind(), n.GetEvent())
			}
			t.print()
		})
	})
	return cmd
}
