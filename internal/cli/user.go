package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

// userRoles are offered by completion; the server knows what they may.
var userRoles = []string{"viewer", "operator", "restore-operator", "admin"}

func roleFlag(cmd *cobra.Command, role *string, words string) {
	cmd.Flags().StringVar(role, "role", "", words+": "+strings.Join(userRoles, ", "))
	noError(cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(userRoles, cobra.ShellCompDirectiveNoFileComp)))
}

func (a *app) userCommand() *cobra.Command {
	cmd := a.noun("user", "Users of the server and their roles", "A viewer sees what goes on, an operator runs and stops it, a restore operator looks into restore points and restores, an\nadministrator may everything. docs/reference/roles.md has it call by call.")
	cmd.AddCommand(a.userCreate(), a.userList(), a.userEdit(), a.userRemove(), a.userPassword(), a.userCode(), a.userPasskey())
	return cmd
}

func (a *app) userCreate() *cobra.Command {
	req := &keepwardv1.CreateUserRequest{}
	var file string
	cmd := &cobra.Command{
		Use: "create NAME --role ROLE", Short: "Make a user",
		Long:    "The password is the first line of a file, or of standard input; on a terminal it is asked for. It is no argument: others of the\ncomputer could see it.",
		Example: "  keepward user create ann --role operator\n  keepward user create ben --role viewer --password-file ben.txt\n  keepward user create carla --role restore-operator --group laptops",
		Args:    exactly("NAME"),
	}
	roleFlag(cmd, &req.Role, "what the user may")
	var groups []string
	a.limitFlag(cmd, &groups)
	cmd.Flags().StringVar(&file, "password-file", "", "file with the password; - is standard input")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) (err error) {
		if err := required(cmd, "role"); err != nil {
			return err
		}
		req.Name, req.Limit = args[0], &keepwardv1.UserLimit{Groups: groups}
		if req.Password, err = a.newPassword("Password of "+req.Name, file, bufio.NewReader(a.in)); err != nil {
			return err
		}
		m, err := call(ctx, c.users.CreateUser, req)
		if err != nil {
			return err
		}
		return a.print(m.GetUser(), func() {
			a.remark("user %s is there, with the role %s%s", m.GetUser().GetName(), m.GetUser().GetRole(), limitWords(m.GetUser().GetGroups()))
		})
	})
	return cmd
}

// limitFlag is for the groups to whose computers somebody is limited.
func (a *app) limitFlag(cmd *cobra.Command, groups *[]string) {
	cmd.Flags().StringArrayVar(groups, "group", nil, "only for the computers of this protection group, and what was made of them; more than once for several")
	noError(cmd.RegisterFlagCompletionFunc("group", a.complete(groupNames)))
}

// newPassword reads a new password from a file or a pipe, or asks for it twice.
func (a *app) newPassword(prompt, file string, in *bufio.Reader) (string, error) {
	if file != "" && file != "-" {
		return a.passwordIn(file)
	}
	one, err := a.askLine(prompt, file, in)
	if err != nil {
		return "", err
	}
	if _, ok := terminal(a.in); !ok || file == "-" {
		return one, nil
	}
	two, err := a.askLine("Once more", file, in)
	if err == nil && one != two {
		err = usage("the two passwords differ")
	}
	return one, err
}

func (a *app) passwordIn(file string) (string, error) {
	b, err := a.readSecret(file)
	if err != nil {
		return "", err
	}
	if p := firstLine(string(b)); p != "" {
		return p, nil
	}
	return "", usage("no password: %s is empty", file)
}

// askLine reads a line unseen from the terminal, or the next one of standard input.
func (a *app) askLine(prompt, file string, in *bufio.Reader) (string, error) {
	if tty, ok := terminal(a.in); ok && file != "-" {
		fmt.Fprintf(a.errOut, "%s: ", safe(prompt))
		text, err := term.ReadPassword(int(tty.Fd()))
		fmt.Fprintln(a.errOut)
		return string(text), err
	}
	line, err := in.ReadString('\n')
	if err != nil && err != io.EOF {
		return "", errs.New(errs.KindOf(err), "client.password", "read the password: %w", err)
	}
	if line = firstLine(line); line == "" {
		return "", usage("no password: standard input is empty")
	}
	return line, nil
}

func (a *app) userTable(list []*keepwardv1.User) {
	t := a.newTable("NAME", "ROLE", ">LOGINS", ">TOKENS", "CODES", "GROUPS", "|", "CREATED")
	for _, u := range list {
		t.row(u.GetName(), u.GetRole(), fmt.Sprint(u.GetLogins()), fmt.Sprint(u.GetTokens()), yesNo(u.GetOneTimeCodes()), strings.Join(u.GetGroups(), ", "), a.stamp(u.GetCreated()))
	}
	t.print()
}

func (a *app) userList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List users", Example: "  keepward user list", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			m, err := call(ctx, c.users.ListUsers, &keepwardv1.ListUsersRequest{})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.userTable(m.GetUsers()) })
		}),
	}
}

func (a *app) userEdit() *cobra.Command {
	req := &keepwardv1.EditUserRequest{}
	var groups []string
	var everything bool
	cmd := &cobra.Command{
		Use: "edit NAME", Short: "Change the role of a user, or for which computers it is",
		Long: `Role and limit count at once, for logins and API tokens that are out too. The last administrator of the whole site stays one.

With --group the role is for the computers of these protection groups only, in place of those before; with --everything for the whole site.`,
		Example: "  keepward user edit ann --role restore-operator\n  keepward user edit ann --group web --group db\n  keepward user edit ann --everything", Args: exactly("NAME"), ValidArgsFunction: a.complete(userNames),
	}
	roleFlag(cmd, &req.Role, "what the user may from now on")
	a.limitFlag(cmd, &groups)
	cmd.Flags().BoolVar(&everything, "everything", false, "for the whole site")
	cmd.MarkFlagsMutuallyExclusive("group", "everything")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		if req.Role == "" && len(groups) == 0 && !everything {
			return usage("%s wants --role, --group or --everything", cmd.CommandPath())
		}
		if req.Name = args[0]; everything || len(groups) > 0 {
			req.Limit = &keepwardv1.UserLimit{Groups: groups}
		}
		m, err := call(ctx, c.users.EditUser, req)
		if err != nil {
			return err
		}
		return a.print(m.GetUser(), func() {
			a.remark("user %s has the role %s now%s", m.GetUser().GetName(), m.GetUser().GetRole(), limitWords(m.GetUser().GetGroups()))
		})
	})
	return cmd
}

func limitWords(groups []string) string {
	if len(groups) == 0 {
		return ""
	}
	return ", for the computers of " + strings.Join(groups, ", ")
}

func (a *app) userRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "Remove a user with all logins and API tokens", Long: "It counts at once. The last administrator stays.",
		Example: "  keepward user remove ben", Args: exactly("NAME"), ValidArgsFunction: a.complete(userNames),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			m, err := call(ctx, c.users.RemoveUser, &keepwardv1.RemoveUserRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.remark("user %s is removed", args[0]) })
		}),
	}
}

func (a *app) userPassword() *cobra.Command {
	var file, currentFile string
	cmd := &cobra.Command{
		Use: "password [NAME]", Short: "Set a password",
		Long: `Sets the own password, or as an administrator that of any user, and ends the user's other logins. API tokens stay.

The own one needs the current password: it is asked for before the new one, and on standard input it is the line before. By the client file in the
server's data directory it is not asked for.`,
		Example: "  keepward user password\n  keepward user password ann --password-file ann.txt",
		Args:    between(0, "NAME"), ValidArgsFunction: a.complete(userNames),
	}
	cmd.Flags().StringVar(&file, "password-file", "", "file with the new password; - is standard input")
	cmd.Flags().StringVar(&currentFile, "current-password-file", "", "file with the current password")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		me, err := call(ctx, c.users.GetCaller, &keepwardv1.GetCallerRequest{})
		if err != nil {
			return err
		}
		req := &keepwardv1.SetPasswordRequest{Name: me.GetUser().GetName()}
		if len(args) > 0 {
			req.Name = args[0]
		}
		in := bufio.NewReader(a.in)
		own, byFile := req.Name == me.GetUser().GetName(), me.GetToken().GetKind() == "file"
		switch {
		case byFile, me.GetRole() == "admin" && !own: // needs none
		case currentFile != "":
			req.CurrentPassword, err = a.passwordIn(currentFile)
		default:
			req.CurrentPassword, err = a.askLine("Current password of "+req.Name, file, in)
		}
		if err != nil {
			return err
		}
		if req.Password, err = a.newPassword("New password of "+req.Name, file, in); err != nil {
			return err
		}
		m, err := call(ctx, c.users.SetPassword, req)
		if err != nil {
			return err
		}
		return a.print(m, func() {
			a.remark("the password of %s is set; %s ended", m.GetName(), plural(int64(m.GetEndedLogins()), "other login"))
		})
	})
	return cmd
}

func userNames(ctx context.Context, c *client) ([]string, error) {
	m, err := call(ctx, c.users.ListUsers, &keepwardv1.ListUsersRequest{})
	return namesOf(m.GetUsers()), err
}
