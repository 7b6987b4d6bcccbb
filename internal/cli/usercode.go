package cli

import (
	"bufio"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/qrcode"
)

// codeNeeded is the code of the error that says so.
const codeNeeded = "access.code-needed"

// code asks for a one-time code. That it is no argument, nor in the password's file, has it typed when
// it is needed; one that is typed too early is of no use any more.
func (a *app) code(passwordFile string, in *bufio.Reader) (string, error) {
	file := ""
	if passwordFile == "-" {
		file = "-" // the line behind the password
	}
	return a.askLine("One-time code", file, in)
}

func (a *app) userCode() *cobra.Command {
	cmd := a.noun("code", "One-time codes at the login", "An app on a telephone shows a code of six digits that changes every 30 seconds; who has set it up logs in with password and code.")
	cmd.AddCommand(a.userCodeEnrol(), a.userCodeConfirm(), a.userCodeShow(), a.userCodeRenew(), a.userCodeRemove())
	return cmd
}

func (a *app) userCodeEnrol() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "enrol", Short: "Set up one-time codes for the own login",
		Long: `Shows a secret, once, to put into an app that makes one-time codes (TOTP). On a terminal a code of the app is asked for then, which
confirms it, and recovery codes are shown, each of which lets in once without the app; elsewhere confirm with user code confirm
within 15 minutes. Until then logins need no code. Confirming ends the user's other logins.

It needs the current password and a login: an API token will not do.`,
		Example: "  keepward user code enrol\n  keepward user code enrol --password-file secret.txt", Args: exactly(),
	}
	cmd.Flags().StringVar(&file, "password-file", "", "file with the current password; - is standard input")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, _ []string) (err error) {
		req := &keepwardv1.EnrolOneTimeCodesRequest{}
		in := bufio.NewReader(a.in)
		if file != "" && file != "-" {
			req.Password, err = a.passwordIn(file)
		} else {
			req.Password, err = a.askLine("Current password", file, in)
		}
		if err != nil {
			return err
		}
		m, err := call(ctx, c.codes.EnrolOneTimeCodes, req)
		if err != nil {
			return err
		}
		if err := a.print(m, func() { a.enrolled(m) }); err != nil {
			return err
		}
		if _, ok := terminal(a.in); !ok || file == "-" {
			a.remark("put it into the app and confirm with: keepward user code confirm")
			return nil
		}
		return a.confirmCode(ctx, c, in)
	})
	return cmd
}

// enrolled shows the secret, on a terminal with colours for the camera of the telephone, too.
func (a *app) enrolled(m *keepwardv1.EnrolOneTimeCodesResponse) {
	if c, err := qrcode.New(m.GetUrl()); err == nil && a.colors() {
		for _, line := range c.Lines() {
			fmt.Fprintln(a.out, line)
		}
	}
	fmt.Fprintf(a.out, "%s\nsecret: %s\n", safe(m.GetUrl()), safe(m.GetSecret()))
}

func (a *app) confirmCode(ctx context.Context, c *client, in *bufio.Reader) error {
	code, err := a.code("", in)
	if err != nil {
		return err
	}
	m, err := call(ctx, c.codes.ConfirmOneTimeCodes, &keepwardv1.ConfirmOneTimeCodesRequest{Code: code})
	if err != nil {
		return err
	}
	return a.print(m, func() {
		a.recoveryCodes(m.GetCodes())
		a.remark("logins need a one-time code now; %s ended. Keep the recovery codes where the telephone is not: they are not shown again", plural(int64(m.GetEndedLogins()), "other login"))
	})
}

func (a *app) recoveryCodes(codes []string) {
	for _, code := range codes {
		fmt.Fprintln(a.out, safe(code))
	}
}

func (a *app) userCodeConfirm() *cobra.Command {
	return &cobra.Command{
		Use: "confirm", Short: "Show that the app makes the codes", Long: "Takes the code from standard input, or asks for it, and prints the recovery codes. From then on logins need a code.",
		Example: "  keepward user code confirm", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			return a.confirmCode(ctx, c, bufio.NewReader(a.in))
		}),
	}
}

func (a *app) userCodeShow() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Show whether the own login needs a code", Long: "And how many recovery codes are left.",
		Example: "  keepward user code show", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			m, err := call(ctx, c.codes.GetOneTimeCodes, &keepwardv1.GetOneTimeCodesRequest{})
			if err != nil {
				return err
			}
			return a.print(m, func() {
				t := a.newTable("NEEDED", "SINCE", ">RECOVERY CODES")
				t.row(yesNo(m.GetSince() != nil), a.stamp(m.GetSince()), fmt.Sprint(m.GetRecoveryCodes()))
				t.print()
			})
		}),
	}
}

func (a *app) userCodeRenew() *cobra.Command {
	return &cobra.Command{
		Use: "renew", Short: "Make new recovery codes", Long: "The old ones count no more. It needs a code.",
		Example: "  keepward user code renew", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			code, err := a.code("", bufio.NewReader(a.in))
			if err != nil {
				return err
			}
			m, err := call(ctx, c.codes.RenewRecoveryCodes, &keepwardv1.RenewRecoveryCodesRequest{Code: code})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.recoveryCodes(m.GetCodes()) })
		}),
	}
}

func (a *app) userCodeRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove [NAME]", Short: "Log in without codes again",
		Long: `Removes the own codes, which needs a code, or as an administrator those of another user, who has lost the telephone. The recovery codes go too.

An administrator who has lost everything uses the client file in the server's data directory, which needs no code.`,
		Example: "  keepward user code remove\n  keepward user code remove ann\n  keepward --config DIR/client.yaml user code remove admin",
		Args:    between(0, "NAME"), ValidArgsFunction: a.complete(userNames),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			req := &keepwardv1.RemoveOneTimeCodesRequest{}
			if len(args) > 0 {
				req.User = args[0]
			}
			m, err := removeCodes(ctx, a, c, req)
			if err != nil {
				return err
			}
			return a.print(m, func() { a.remark("logins of %s need no code any more", m.GetUser()) })
		}),
	}
}

// removeCodes asks for a code where one turns out to be needed.
func removeCodes(ctx context.Context, a *app, c *client, req *keepwardv1.RemoveOneTimeCodesRequest) (*keepwardv1.RemoveOneTimeCodesResponse, error) {
	m, err := call(ctx, c.codes.RemoveOneTimeCodes, req)
	if errs.CodeOf(err) != codeNeeded {
		return m, err
	}
	needed := err
	if req.Code, err = a.code("", bufio.NewReader(a.in)); err != nil {
		return nil, needed // a script is told what it lacks
	}
	return call(ctx, c.codes.RemoveOneTimeCodes, req)
}
