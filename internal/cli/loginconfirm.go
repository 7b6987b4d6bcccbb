package cli

import (
	"bufio"
	"cmp"
	"context"
	"time"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

// codeUnconfirmed: the call wants a login whose user has shown the password a short while ago.
const codeUnconfirmed = "access.unconfirmed"

func (a *app) loginConfirm() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "confirm", Short: "Show the password again, for what cannot be undone",
		Long: `A login may do what cannot be undone for an hour after the password was shown (setting confirm_logins); then it is asked for again. On a terminal a command asks by itself; this is for scripts. The console asks in the browser: each login is confirmed by itself.

Who has set up one-time codes is asked for one behind the password; on standard input it is the next line. API tokens are not asked.`,
		Example: "  keepward login confirm\n  keepward login confirm --password-file secret.txt",
		Args:    exactly(),
	}
	cmd.Flags().StringVar(&file, "password-file", "", "file with the password; - is standard input")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c := a.connect()
		defer c.close()
		until, err := a.confirmLogin(cmd.Context(), c, file)
		if err == nil {
			a.remark("the login is trusted with what cannot be undone until %s", until.Local().Format(time.DateTime))
		}
		return err
	}
	return cmd
}

// confirmLogin asks for the password, and for a code if the server wants one.
func (a *app) confirmLogin(ctx context.Context, c *client, file string) (until time.Time, err error) {
	who, err := call(ctx, c.users.GetCaller, &keepwardv1.GetCallerRequest{})
	if err != nil {
		return until, err
	}
	in := bufio.NewReader(a.in)
	req := &keepwardv1.ConfirmLoginRequest{}
	if req.Password, err = a.password(loginFlags{user: who.GetUser().GetName(), passwordFile: file}, in); err != nil {
		return until, err
	}
	m, err := call(ctx, c.access.ConfirmLogin, req)
	if errs.CodeOf(err) == codeNeeded {
		needed := err
		if req.Code, err = a.code(file, in); err != nil {
			return until, cmp.Or(needed, err)
		}
		m, err = call(ctx, c.access.ConfirmLogin, req)
	}
	return m.GetUntil().AsTime(), err
}
