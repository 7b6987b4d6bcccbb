package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"keepward/internal/agent"
	"keepward/internal/errs"
	"keepward/internal/extract"
	"keepward/internal/job"
	"keepward/internal/restore"
	"keepward/internal/server"
)

// ownAgent gives a server the agent by which it backs itself up.
func ownAgent(ctx context.Context, c server.OwnAgentConfig) server.OwnAgent {
	return agent.NewLocal(ctx, agent.LocalConfig(c))
}

type serverRestoreFlags struct {
	secret                     secretFlags
	repository, point, dataDir string
	list, takeOver             bool
}

func (a *app) serverRestore() *cobra.Command {
	var x serverRestoreFlags
	cmd := &cobra.Command{
		Use: "restore --repository DIR --recovery-key FILE --data-dir D", Short: "Put the server back from its backup in a repository",
		Long: `Makes the data directory of a server anew from a restore point of a job of type server-backup: configuration, catalog
and keys. It reads the directory of the repository and needs no server. The data directory must not hold a server. Once it
is started the server reads by itself what its repositories have got since.`,
		Example: "  keepward server restore --repository /srv/keepward/main --recovery-key main.key --data-dir /var/lib/keepward/server --take-over",
		Args:    exactly(),
	}
	f := cmd.Flags()
	f.StringVar(&x.repository, "repository", "", "directory of the repository")
	x.secret.add(cmd)
	f.StringVar(&x.dataDir, "data-dir", "", "the server's data directory")
	f.StringVar(&x.point, "point", "latest", "id, latest, or a time")
	f.BoolVar(&x.list, "list", false, "only list the restore points of servers")
	f.BoolVar(&x.takeOver, "take-over", false, "the former server is gone for good: the repositories are this one's again, however often the former was started since its backup")
	noError(cmd.MarkFlagDirname("repository"))
	noError(cmd.MarkFlagDirname("data-dir"))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := required(cmd, "repository"); err != nil {
			return err
		}
		if !x.list {
			if err := required(cmd, "data-dir"); err != nil {
				return err
			}
		}
		return a.restoreServer(cmd.Context(), x)
	}
	return cmd
}

func (a *app) restoreServer(ctx context.Context, x serverRestoreFlags) error {
	u, err := a.unlock(x.secret)
	if err != nil {
		return err
	}
	o := extract.Options{Repository: x.repository, RecoveryKey: u.RecoveryKey, Passphrase: u.Passphrase, Computer: job.ServerComputer}
	if x.list {
		return a.extractList(ctx, o)
	}
	if o.Point, err = a.pointName(x.point); err != nil {
		return err
	}
	if err := server.CheckVacant(x.dataDir); err != nil {
		return err
	}
	back := server.Return{Version: a.version}
	if x.takeOver {
		if back.Above, err = extract.Term(ctx, o); err != nil {
			return wrongKey(err)
		}
	}
	p, err := a.putServerBack(ctx, o, x.dataDir, back)
	if err != nil {
		return err
	}
	if a.format.machine() {
		return a.printValue(map[string]any{"point": pointValues([]extract.Point{p})[0], "dataDir": x.dataDir})
	}
	at := p.Time.In(a.local).Format("2006-01-02 15:04:05")
	_, err = fmt.Fprintf(a.out, "the server is back in %s as it was at %s\n", safe(x.dataDir), at)
	a.remark("start it with: keepward server --data-dir %s", safe(x.dataDir))
	if !x.takeOver {
		a.remark("a repository that has seen a later start of the former server is not used before: keepward repository take-over NAME")
	}
	return err
}

// putServerBack restores beside what is to be made, so that it only has to be moved, and leaves
// nothing of that behind.
func (a *app) putServerBack(ctx context.Context, o extract.Options, dir string, back server.Return) (p extract.Point, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return p, errs.New(errs.KindOf(err), "server-backup.data-dir", "make the data directory: %w", err)
	}
	tmp, err := os.MkdirTemp(dir, "restore-"+time.Now().UTC().Format("20060102")+"-")
	if err != nil {
		return p, errs.New(errs.KindOf(err), "server-backup.data-dir", "restore beside the data directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	policy, err := restore.ParseOverwrite("different")
	if err != nil {
		return p, err
	}
	o.Restore = restore.Options{To: tmp, Overwrite: policy, Counters: &restore.Counters{}, Event: a.extractEvent}
	p, result, err := extract.Run(ctx, o)
	if err != nil {
		return p, wrongKey(err)
	}
	if n := result.Counters.Errors; n > 0 {
		return p, errs.New(errs.Corrupt, "server-backup.damaged", "restore point %s: %s: the server is not put back", p.ID, plural(n, "error")).
			WithHint("take an older one: keepward server restore --list shows them")
	}
	return p, server.PutBack(ctx, tmp, dir, back)
}
