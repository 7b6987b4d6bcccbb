package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/words"
)

func (a *app) repositoryCommand() *cobra.Command {
	cmd := a.noun("repository", "Where backups are kept", "A repository is a directory of a host that runs the transport service.")
	cmd.AddCommand(a.repositoryCreate(), a.repositoryList(), a.repositoryShow(), a.repositoryDays(), a.repositoryEdit(),
		a.repositoryCheck(), a.repositorySweep(), a.repositoryReconcile(), a.repositoryRebuild(), a.repositoryKey(),
		a.repositoryAttach(), a.repositoryDetach(), a.repositoryTakeOver(), a.repositoryKeys(), a.repositoryStats())
	return cmd
}

func (a *app) repositoryCreate() *cobra.Command {
	r := &keepwardv1.Repository{}
	var keyOut string
	var proofs proofFlags
	cmd := &cobra.Command{
		Use: "create NAME --transport T --path DIR", Short: "Make a repository",
		Long: `Makes a repository in a directory that is empty or does not exist yet, on the host of a transport service.

The recovery key opens the repository without any server. It is printed once, or written to --recovery-key-out: keep it somewhere else than the server.`,
		Example: "  keepward repository create main --transport store1 --path /srv/keepward/main --recovery-key-out main.key",
		Args:    exactly("NAME"),
	}
	f := cmd.Flags()
	f.StringVar(&r.Transport, "transport", "", "transport service on whose host it lies")
	f.StringVar(&r.Path, "path", "", "directory on that host, absolute")
	f.Int32Var(&r.Streams, "streams", 0, "tasks that use it at once (0: the default)")
	f.Int32Var(&r.Writers, "writers", 0, "tasks that write to it at once (0: the default)")
	f.StringVar(&keyOut, "recovery-key-out", "", "file for the recovery key, which must not exist")
	proofs.add(cmd)
	noError(cmd.RegisterFlagCompletionFunc("transport", a.completeFlag(transportNames)))
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		if err := required(cmd, "transport", "path"); err != nil {
			return err
		}
		if err := proofs.create(r); err != nil {
			return err
		}
		r.Name = args[0]
		return a.createRepository(ctx, c, r, keyOut)
	})
	return cmd
}

// createRepository opens the key's file before anything is made: a repository whose
// key could not be kept would be found out too late.
func (a *app) createRepository(ctx context.Context, c *client, r *keepwardv1.Repository, keyOut string) error {
	var file io.WriteCloser
	if keyOut != "" {
		f, err := newKeyFile(keyOut)
		if err != nil {
			return err
		}
		file = f
	}
	m, err := call(ctx, c.repositories.CreateRepository, &keepwardv1.CreateRepositoryRequest{Repository: r})
	if file != nil {
		if err != nil {
			_ = file.Close()
			_ = os.Remove(keyOut) // made a moment ago, and empty
			return err
		}
		// Asked for again: the server then knows that the key was taken, and does not warn.
		k, werr := call(ctx, c.repositories.ExportRecoveryKey, &keepwardv1.ExportRecoveryKeyRequest{Name: r.GetName()})
		if werr != nil {
			_ = file.Close()
		} else {
			werr = writeKey(file, k.GetRecoveryKey())
		}
		if werr != nil {
			return fmt.Errorf("repository %s is made, but its recovery key was not written (ask for it with 'keepward repository recovery-key'): %w", r.GetName(), werr)
		}
	}
	if err != nil {
		return err
	}
	return a.print(m, func() {
		a.remark("repository %s is made in %s on %s", m.GetRepository().GetName(), m.GetRepository().GetPath(), m.GetRepository().GetTransport())
		if keyOut != "" {
			a.remark("its recovery key is in %s: keep it somewhere else than the server", keyOut)
			return
		}
		a.remark("its recovery key, for a day without a server; keep it somewhere else:")
		fmt.Fprintln(a.out, m.GetRecoveryKey())
	})
}

func newKeyFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		e := errs.New(errs.KindOf(err), "recovery.file", "make file for the recovery key: %w", err)
		if errs.KindOf(err) == errs.Exists {
			return nil, e.WithHint("a file that is there is never overwritten: choose another name")
		}
		return nil, e
	}
	return f, nil
}

// writeKey closes f.
func writeKey(f io.WriteCloser, key string) error {
	_, err := fmt.Fprintln(f, strings.TrimSpace(key))
	if s, ok := f.(interface{ Sync() error }); ok && err == nil {
		err = s.Sync()
	}
	return errors.Join(err, f.Close())
}

func (a *app) repositoryList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List repositories", Example: "  keepward repository list", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			m, err := call(ctx, c.repositories.ListRepositories, &keepwardv1.ListRepositoriesRequest{})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.repositoryTable(m.GetRepositories()) })
		}),
	}
}

func (a *app) repositoryTable(list []*keepwardv1.Repository) {
	t := a.newTable("NAME", "STATUS", "TRANSPORT", "PATH", ">SIZE", ">FREE", ">POINTS", "NOTES", "|", "FULL ABOUT", ">PACKS", ">CHUNKS", ">STREAMS", ">WRITERS", "ID")
	for _, r := range list {
		t.row(r.GetName(), r.GetStatus(), r.GetTransport(), r.GetPath(), size(r.GetSizeBytes()), size(r.GetFreeBytes()), count(r.GetPoints()), notes(r.GetConditions()),
			words.FullAbout(r.GetGrowth()), count(r.GetPacks()), count(r.GetChunks()), strconv.Itoa(int(r.GetStreams())), strconv.Itoa(int(r.GetWriters())), r.GetId())
	}
	t.print()
}

func (a *app) repositoryShow() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show a repository", Example: "  keepward repository show main",
		Args: exactly("NAME"), ValidArgsFunction: a.complete(repositoryNames),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			m, err := call(ctx, c.repositories.GetRepository, &keepwardv1.GetRepositoryRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return a.print(m.GetRepository(), func() { a.showRepository(m.GetRepository()) })
		}),
	}
}

func (a *app) showRepository(r *keepwardv1.Repository) {
	a.fields(append([]string{
		"name", r.GetName(), "status", r.GetStatus(), "transport", r.GetTransport(), "path", r.GetPath(), "id", r.GetId(),
		"created", a.stamp(r.GetCreated()), "size", size(r.GetSizeBytes()), "free", size(r.GetFreeBytes()),
		"growth", words.Growth(r.GetGrowth()), "full about", words.FullAbout(r.GetGrowth()),
		"restore points", count(r.GetPoints()), "packs", count(r.GetPacks()), "chunks", count(r.GetChunks()),
		"streams", strconv.Itoa(int(r.GetStreams())), "writers", strconv.Itoa(int(r.GetWriters())),
		"undelete grace", longSpan(r.GetUndeleteGrace()), "unprotected computers", unprotectedText(r), "maintenance", r.GetMaintenance(),
		"recompress", r.GetRecompress(), "read limit", r.GetReadLimit(), "write limit", r.GetWriteLimit(),
		"recovery key taken", yesNo(r.GetRecoveryKeyExported()),
	}, a.proofFields(r)...)...)
	if len(r.GetConditions()) > 0 {
		a.section("Problems")
		a.conditionTable(r.GetConditions())
	}
}

func (a *app) repositoryEdit() *cobra.Command {
	var streams, writers int32
	upkeep := &upkeepFlags{}
	var proofs proofFlags
	cmd := &cobra.Command{
		Use: "edit NAME", Short: "Change settings of a repository; the others stay",
		Example: "  keepward repository edit main --streams 8\n  keepward repository edit main --undelete-grace 7d --maintenance \"daily 04:30\"", Args: exactly("NAME"), ValidArgsFunction: a.complete(repositoryNames),
	}
	cmd.Flags().Int32Var(&streams, "streams", 0, "tasks that use it at once")
	cmd.Flags().Int32Var(&writers, "writers", 0, "tasks that write to it at once")
	upkeep.add(cmd)
	proofs.add(cmd)
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		req := &keepwardv1.EditRepositoryRequest{Name: args[0]}
		if cmd.Flags().Changed("streams") {
			req.Streams = &streams
		}
		if cmd.Flags().Changed("writers") {
			req.Writers = &writers
		}
		proved, err := proofs.edit(cmd, req)
		if err != nil {
			return err
		}
		if changed := upkeep.apply(cmd, req); !changed && !proved && req.Streams == nil && req.Writers == nil {
			return usage("%s wants something to change", cmd.CommandPath()).WithHint("for instance: %s", firstExample(cmd))
		}
		m, err := call(ctx, c.repositories.EditRepository, req)
		if err != nil {
			return err
		}
		return a.print(m.GetRepository(), func() { a.showRepository(m.GetRepository()) })
	})
	return cmd
}

func (a *app) repositoryRebuild() *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use: "rebuild-index NAME", Short: "Make the index of a repository anew from its packs",
		Example: "  keepward repository rebuild-index main", Args: exactly("NAME"), ValidArgsFunction: a.complete(repositoryNames),
	}
	waitFlag(cmd, &wait)
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		m, err := call(ctx, c.repositories.RebuildIndex, &keepwardv1.RebuildIndexRequest{Name: args[0]})
		if err != nil {
			return err
		}
		return a.maintained(ctx, c, m, wait)
	})
	return cmd
}

func (a *app) repositoryKey() *cobra.Command {
	var out, passphraseFile string
	var ageFile, asSheet bool
	cmd := &cobra.Command{
		Use: "recovery-key NAME --out FILE", Short: "Write the recovery key of a repository",
		Long: `Writes the key that opens the repository without any server. Every time is logged on the server.

With --sheet it comes with what it is for and how to use it, to be printed; with --age it is written as an age file, which a passphrase of yours opens. Both can be given to --recovery-key as they are.`,
		Example: "  keepward repository recovery-key main --out main.key\n  keepward repository recovery-key main --sheet --out - | lpr",
		Args:    exactly("NAME"), ValidArgsFunction: a.complete(repositoryNames),
	}
	cmd.Flags().StringVar(&out, "out", "", "file, which must not exist; - is standard output")
	cmd.Flags().BoolVar(&asSheet, "sheet", false, "as a sheet for printing")
	cmd.Flags().BoolVar(&ageFile, "age", false, "as an age file; asks for its passphrase")
	cmd.Flags().StringVar(&passphraseFile, "passphrase-file", "", "file with the passphrase of the age file; - is standard input")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		if err := required(cmd, "out"); err != nil {
			return err
		}
		if ageFile && asSheet {
			return usage("give either --age or --sheet")
		}
		if passphraseFile != "" && !ageFile {
			return usage("--passphrase-file is for --age")
		}
		var passphrase string
		var err error
		if ageFile {
			if passphrase, err = a.newPassphrase(passphraseFile); err != nil {
				return err
			}
		}
		return a.exportKey(ctx, c, args[0], out, func(key string) (string, error) {
			switch {
			case ageFile:
				return sealAge(key, passphrase)
			case asSheet:
				return sheet(args[0], key), nil
			}
			return key, nil
		})
	})
	return cmd
}

// exportKey opens the file before it asks: every export is logged, and one that could not be
// written would be logged for nothing.
func (a *app) exportKey(ctx context.Context, c *client, name, out string, form func(key string) (string, error)) error {
	var f *os.File
	if out != "-" {
		var err error
		if f, err = newKeyFile(out); err != nil {
			return err
		}
	}
	m, err := call(ctx, c.repositories.ExportRecoveryKey, &keepwardv1.ExportRecoveryKeyRequest{Name: name})
	var text string
	if err == nil {
		text, err = form(m.GetRecoveryKey())
	}
	if err != nil {
		if f != nil {
			_ = f.Close()
			_ = os.Remove(out) // made a moment ago, and empty
		}
		return err
	}
	if f == nil {
		m.RecoveryKey = text
		return a.print(m, func() { fmt.Fprintln(a.out, text) })
	}
	if err := writeKey(f, text); err != nil {
		return err
	}
	a.remark("the recovery key of %s is in %s: keep it somewhere else than the server", name, out)
	return nil
}
