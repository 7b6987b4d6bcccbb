package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
)

func (a *app) credentialCommand() *cobra.Command {
	cmd := a.noun("credential", "Users and secrets of applications", "A credential is what a job's applications are opened with. The server keeps its secret sealed, and shows it to nobody.")
	cmd.AddCommand(a.credentialCreate(), a.credentialList(), a.credentialDelete())
	return cmd
}

func (a *app) credentialCreate() *cobra.Command {
	c := &keepwardv1.Credential{}
	var file string
	var replace bool
	cmd := &cobra.Command{
		Use: "create NAME --user USER", Short: "Keep a user and a secret",
		Long:    "The secret is the first line of a file, or of standard input; on a terminal it is asked for. It is no argument: others of the computer could see it.",
		Example: "  keepward credential create pg --user keepward --file /root/pg-password\n  keepward credential create pg --user keepward --replace < new-password",
		Args:    exactly("NAME"),
	}
	f := cmd.Flags()
	f.StringVar(&c.User, "user", "", "the user that the application knows")
	f.StringVar(&c.Description, "description", "", "a remark for people")
	f.StringVar(&file, "file", "", "file with the secret; - is standard input")
	f.BoolVar(&replace, "replace", false, "take the place of the credential of that name")
	cmd.RunE = a.withClient(func(ctx context.Context, cl *client, args []string) error {
		if err := required(cmd, "user"); err != nil {
			return err
		}
		c.Name = args[0]
		secret, err := a.credentialSecret(c.Name, file)
		if err != nil {
			return err
		}
		m, err := call(ctx, cl.credentials.SaveCredential, &keepwardv1.SaveCredentialRequest{Credential: c, Secret: secret, Replace: replace})
		if err != nil {
			return err
		}
		return a.print(m.GetCredential(), func() { a.credentialTable([]*keepwardv1.Credential{m.GetCredential()}) })
	})
	return cmd
}

func (a *app) credentialSecret(name, file string) (string, error) {
	if file == "" {
		return a.askSecret("Secret of " + name + ": ")
	}
	b, err := a.readSecret(file)
	if err != nil {
		return "", err
	}
	if s := firstLine(string(b)); s != "" {
		return s, nil
	}
	return "", usage("no secret: %s is empty", file)
}

func (a *app) credentialTable(list []*keepwardv1.Credential) {
	t := a.newTable("NAME", "USER", "JOBS", "CHANGED", "|", "CREATED", "DESCRIPTION")
	for _, c := range list {
		t.row(c.GetName(), c.GetUser(), strings.Join(c.GetJobs(), ", "), a.stamp(c.GetChanged()), a.stamp(c.GetCreated()), c.GetDescription())
	}
	t.print()
}

func (a *app) credentialList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List credentials, without their secrets", Example: "  keepward credential list", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			m, err := call(ctx, c.credentials.ListCredentials, &keepwardv1.ListCredentialsRequest{})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.credentialTable(m.GetCredentials()) })
		}),
	}
}

func (a *app) credentialDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Forget a credential that no job names", Example: "  keepward credential delete pg",
		Args: exactly("NAME"), ValidArgsFunction: a.complete(credentialNames),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			m, err := call(ctx, c.credentials.DeleteCredential, &keepwardv1.DeleteCredentialRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return a.print(m, func() { fmt.Fprintf(a.out, "credential %s is deleted\n", safe(args[0])) })
		}),
	}
}

func credentialNames(ctx context.Context, c *client) ([]string, error) {
	m, err := call(ctx, c.credentials.ListCredentials, &keepwardv1.ListCredentialsRequest{})
	return namesOf(m.GetCredentials()), err
}
