package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

func (a *app) repositoryAttach() *cobra.Command {
	m := &keepwardv1.AttachRepositoryRequest{Repository: &keepwardv1.Repository{}}
	r := m.Repository
	var secret secretFlags
	cmd := &cobra.Command{
		Use: "attach NAME --transport T --path DIR --recovery-key FILE", Short: "Take a repository that exists into the configuration",
		Long: `Takes a repository that exists into this server's configuration: after the loss of a server, or when its disk moved to another host.

The recovery key opens it. Its restore points, the computers they are of and the jobs that made them are read into the catalog; jobs come in disabled. Where
another server owns the repository, --take-over shuts that one out. A command that was interrupted is given again and goes on.`,
		Example: "  keepward repository attach main --transport store1 --path /srv/keepward/main --recovery-key main.key --take-over",
		Args:    exactly("NAME"),
	}
	f := cmd.Flags()
	f.StringVar(&r.Transport, "transport", "", "transport service on whose host it lies")
	f.StringVar(&r.Path, "path", "", "directory on that host, absolute")
	secret.add(cmd)
	f.BoolVar(&m.TakeOver, "take-over", false, "become its owner though another server is")
	f.Int32Var(&r.Streams, "streams", 0, "tasks that use it at once (0: the default)")
	f.Int32Var(&r.Writers, "writers", 0, "tasks that write to it at once (0: the default)")
	noError(cmd.RegisterFlagCompletionFunc("transport", a.completeFlag(transportNames)))
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		if err := required(cmd, "transport", "path"); err != nil {
			return err
		}
		u, err := a.unlock(secret)
		if err != nil {
			return err
		}
		m.RecoveryKey, m.Passphrase = u.RecoveryKey, u.Passphrase
		r.Name = args[0]
		var filled catalogFill
		err = receive(ctx, c, c.repositories.AttachRepository, m, func(m *keepwardv1.CatalogProgress) error { return a.catalogStep(&filled, m) })
		return filled.end(err)
	})
	return cmd
}

func (a *app) serverRebuildCatalog() *cobra.Command {
	m := &keepwardv1.RebuildCatalogRequest{}
	cmd := &cobra.Command{
		Use: "rebuild-catalog", Short: "Read the points of repositories into the catalog again",
		Long: `Reads the restore points that stand in attached repositories into the server's catalog, with the computers they are of and the jobs that made them, where these are missing.

What the catalog has stays as it is; jobs come in disabled. A command that was interrupted is given again and goes on.`,
		Example: "  keepward server rebuild-catalog --repository main", Args: exactly(),
	}
	cmd.Flags().StringVar(&m.Repository, "repository", "", "only of this one (default: all)")
	noError(cmd.RegisterFlagCompletionFunc("repository", a.completeFlag(repositoryNames)))
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, _ []string) error {
		var filled catalogFill
		err := receive(ctx, c, c.repositories.RebuildCatalog, m, func(m *keepwardv1.CatalogProgress) error { return a.catalogStep(&filled, m) })
		return filled.end(err)
	})
	return cmd
}

// catalogFill is what is seen while a catalog is filled.
type catalogFill struct{ unreadable int }

// catalogStep shows one message.
func (a *app) catalogStep(f *catalogFill, m *keepwardv1.CatalogProgress) error {
	if !m.GetDone() {
		a.remark("%s: %s read", m.GetRepository(), plural(m.GetPoints(), "restore point"))
		return nil
	}
	f.unreadable += len(m.GetUnreadable())
	return a.print(m, func() { a.catalogResult(m) })
}

func (f *catalogFill) end(err error) error {
	if err == nil && f.unreadable > 0 {
		err = errs.New(errs.Corrupt, "catalog.unreadable", "%d objects of the repository cannot be read", f.unreadable).
			WithHint("everything else is in the catalog; keepward repository check names what is damaged")
	}
	return err
}

func (a *app) catalogResult(m *keepwardv1.CatalogProgress) {
	a.remark("%s: %s, %s new to the catalog", m.GetRepository(), plural(m.GetPoints(), "restore point"), count(m.GetAddedPoints()))
	if names := m.GetAddedComputers(); len(names) > 0 {
		a.remark("computers: %s; each is online again when its agent joins under its name", list(names))
	}
	if names := m.GetAddedJobs(); len(names) > 0 {
		a.remark("jobs, disabled: %s; look at them, then: keepward job enable NAME", list(names))
	}
	for _, name := range m.GetUnreadable() {
		fmt.Fprintln(a.errOut, safe("cannot be read: "+name))
	}
}

// list names a few of many.
func list(names []string) string {
	const most = 20
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

func (a *app) repositoryDetach() *cobra.Command {
	req := &keepwardv1.DetachRepositoryRequest{}
	cmd := &cobra.Command{
		Use: "detach NAME", Short: "Forget a repository; what is in it stays",
		Long: `Takes a repository and its restore points out of this server's configuration. Nothing in its directory is touched: 'keepward repository attach' brings it back with its recovery key.

A repository that jobs name is refused. Disabled ones go with it on --delete-disabled-jobs; 'attach' brings them back as the newest points know them.`,
		Example: "  keepward repository detach old", Args: exactly("NAME"), ValidArgsFunction: a.complete(repositoryNames),
	}
	cmd.Flags().BoolVar(&req.DeleteDisabledJobs, "delete-disabled-jobs", false, "delete the disabled jobs that name it, too")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		req.Name = args[0]
		m, err := call(ctx, c.repositories.DetachRepository, req)
		if err != nil {
			return err
		}
		return a.print(m, func() {
			a.remark("repository %s is forgotten; its directory and its recovery key are all that is needed to attach it again", args[0])
			if jobs := m.GetDeletedJobs(); len(jobs) > 0 {
				a.remark("jobs deleted with it: %s", list(jobs))
			}
		})
	})
	return cmd
}

func (a *app) repositoryTakeOver() *cobra.Command {
	return &cobra.Command{
		Use: "take-over NAME", Short: "Make this server the owner of a repository",
		Long: `Makes this server the one that decides about a repository: after it was restored from an older backup, or when another server or a clone of this one owns the repository.

The other one is shut out: its movers and its deletions are refused from then on. Nothing in the repository is changed.`,
		Example: "  keepward repository take-over main", Args: exactly("NAME"), ValidArgsFunction: a.complete(repositoryNames),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			m, err := call(ctx, c.repositories.TakeOverRepository, &keepwardv1.TakeOverRepositoryRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return a.print(m.GetRepository(), func() { a.remark("this server owns repository %s now", args[0]) })
		}),
	}
}
