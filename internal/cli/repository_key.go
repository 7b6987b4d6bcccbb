package cli

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

func (a *app) repositoryKeys() *cobra.Command {
	cmd := a.noun("key", "What opens a repository without its server",
		`A repository holds its master key sealed under one or more secrets: recovery keys, which are printed, and passphrases, which are remembered. Any of them opens it. They are added and removed without touching the data.

A removed secret opens the repository no more; who kept a copy of the repository's old key object can still use it there. Nothing of this changes what the agents have.`)
	cmd.AddCommand(a.keyList(), a.keyAdd(), a.keyRemove(), a.keyEpoch())
	return cmd
}

func (a *app) keyList() *cobra.Command {
	return &cobra.Command{
		Use: "list NAME", Short: "List the secrets that open a repository", Example: "  keepward repository key list main",
		Args: exactly("NAME"), ValidArgsFunction: a.complete(repositoryNames),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			m, err := call(ctx, c.repositories.ListRepositoryKeys, &keepwardv1.ListRepositoryKeysRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return a.print(m, func() {
				t := a.newTable("NUMBER", "FORM", "MADE", "LABEL", "NOTES")
				for _, k := range m.GetKeys() {
					note := ""
					if k.GetCurrent() {
						note = "the one that recovery-key writes"
					}
					t.row(k.GetNumber(), k.GetForm(), a.stamp(k.GetCreated()), k.GetLabel(), note)
				}
				t.print()
			})
		}),
	}
}

func (a *app) keyAdd() *cobra.Command {
	m := &keepwardv1.AddRepositoryKeyRequest{}
	var out, passphraseFile string
	var passphrase bool
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Add a recovery key or a passphrase",
		Long: `Adds a secret that opens the repository. A new recovery key is written to --out and is the one that 'repository recovery-key' writes from then on. With --passphrase the secret is yours: it is asked for twice, or read from --passphrase-file.

--replace removes the other secrets of that form when the new one stands: so a recovery key that may have been seen is exchanged.`,
		Example: "  keepward repository key add main --out new.key --replace\n  keepward repository key add main --passphrase --label 'the two of us'",
		Args:    exactly("NAME"), ValidArgsFunction: a.complete(repositoryNames),
	}
	f := cmd.Flags()
	f.StringVar(&out, "out", "", "file for the new recovery key, which must not exist")
	f.BoolVar(&passphrase, "passphrase", false, "add a passphrase and no recovery key")
	f.StringVar(&passphraseFile, "passphrase-file", "", "file with the new passphrase; - is standard input")
	f.StringVar(&m.Label, "label", "", "a word for people: where it is kept, who knows it; stored in clear")
	f.BoolVar(&m.Replace, "replace", false, "remove the others of this form afterwards")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		m.Name = args[0]
		if passphrase || passphraseFile != "" {
			if out != "" {
				return usage("--out is for a recovery key; a passphrase is yours already")
			}
			var err error
			if m.Passphrase, err = a.newPassphrase(passphraseFile); err != nil {
				return err
			}
			if m.Passphrase == "" {
				return usage("the passphrase is empty")
			}
			return a.addKey(ctx, c, m, nil)
		}
		if err := required(cmd, "out"); err != nil {
			return err
		}
		file, err := newKeyFile(out)
		if err != nil {
			return err
		}
		if err := a.addKey(ctx, c, m, file); err != nil {
			return err
		}
		a.remark("the new recovery key is in %s: keep it somewhere else than the server", out)
		return nil
	})
	return cmd
}

// addKey asks the server; a recovery key goes into file, which is removed if there is none.
func (a *app) addKey(ctx context.Context, c *client, m *keepwardv1.AddRepositoryKeyRequest, file *os.File) error {
	res, err := call(ctx, c.repositories.AddRepositoryKey, m)
	if file != nil {
		if err != nil {
			_ = file.Close()
			_ = os.Remove(file.Name()) // made a moment ago, and empty
			return err
		}
		if err := writeKey(file, res.GetRecoveryKey()); err != nil {
			return errs.New(errs.KindOf(err), "recovery.file", "the key is added but was not written: %w", err).
				WithHint("ask for it again: keepward repository recovery-key %s --out FILE", m.GetName())
		}
		res.RecoveryKey = ""
	}
	if err != nil {
		return err
	}
	return a.print(res, func() {
		a.remark("key %s is added: %s", res.GetKey().GetNumber(), res.GetKey().GetForm())
		if gone := res.GetRemoved(); len(gone) > 0 {
			a.remark("removed: %s", list(gone))
		}
	})
}

func (a *app) keyRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME NUMBER", Short: "Remove a secret",
		Long:    "Removes a secret, so that it opens the repository no more. The last one is kept, and so is the recovery key that the server hands out: 'key add --replace' makes another in its place.",
		Example: "  keepward repository key remove main 2", Args: exactly("NAME", "NUMBER"), ValidArgsFunction: a.complete(repositoryNames),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			if _, err := call(ctx, c.repositories.RemoveRepositoryKey, &keepwardv1.RemoveRepositoryKeyRequest{Name: args[0], Number: args[1]}); err != nil {
				return err
			}
			a.remark("key %s of repository %s is removed", args[1], args[0])
			return nil
		}),
	}
}

func (a *app) keyEpoch() *cobra.Command {
	return &cobra.Command{
		Use: "new-epoch NAME", Short: "Seal new chunks under a new epoch",
		Long:    "Begins a new epoch of the seal keys: chunks stored from now on are sealed under a secret that tasks before did not have. What is there stays readable, and the recovery keys and passphrases stay as they are.",
		Example: "  keepward repository key new-epoch main", Args: exactly("NAME"), ValidArgsFunction: a.complete(repositoryNames),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			m, err := call(ctx, c.repositories.BeginEpoch, &keepwardv1.BeginEpochRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.remark("repository %s seals under epoch %d from now on", args[0], m.GetEpoch()) })
		}),
	}
}
