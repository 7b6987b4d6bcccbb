package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"keepward/internal/agent"
	"keepward/internal/content/opener"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/mover"
	"keepward/internal/pipeline"
	"keepward/internal/server"
	"keepward/internal/transport"
)

// roleCommands are the processes of a site.
func (a *app) roleCommands() []*cobra.Command {
	return []*cobra.Command{a.devCommand(), a.serverCommand(), a.transportCommand(), a.agentCommand(), a.moverCommand(), a.watchdogCommand(), a.keeperCommand(), a.openerCommand(), a.selfCheckCommand()}
}

// role is what the processes have in common.
type role struct {
	a        *app
	cmd      *cobra.Command
	dataDir  string
	logLevel string
}

func (a *app) role(use, short, long, example string) *role {
	r := &role{a: a, cmd: &cobra.Command{Use: use, Short: short, Long: long, Example: example, Args: exactly()}}
	r.cmd.Flags().StringVar(&r.dataDir, "data-dir", "", "directory for all that it keeps")
	r.cmd.Flags().StringVar(&r.logLevel, "log-level", "info", "debug, info, warn or error")
	noError(r.cmd.MarkFlagDirname("data-dir"))
	return r
}

// serves sets what the role runs until it is told to end, which is no failure.
func (r *role) serves(run func(ctx context.Context, log *slog.Logger) error) *cobra.Command {
	r.cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := required(cmd, "data-dir"); err != nil {
			return err
		}
		log, err := r.a.logger(r.logLevel)
		if err != nil {
			return err
		}
		err = run(cmd.Context(), log)
		if cmd.Context().Err() != nil && errs.KindOf(err) == errs.Cancelled {
			return nil
		}
		return err
	}
	return r.cmd
}

// ready tells systemd, and logs if that cannot be done: the role serves all the same.
func (a *app) ready(log *slog.Logger) {
	if err := a.notify("READY=1"); err != nil {
		log.Warn("systemd was not told", "error", err)
	}
}

func (a *app) serverCommand() *cobra.Command {
	r := a.role("server --data-dir D", "Run the backup server",
		"Runs the backup server. Its first start makes the certificate authority and an administrator, prints the password once and writes D/client.yaml.",
		"  keepward server --data-dir /var/lib/keepward/server --listen :7480")
	listen := r.cmd.Flags().String("listen", ":"+defaultPort, "address of the one port")
	metrics := r.metricsListen()
	scripts := r.cmd.Flags().String("script-dir", "", "the only folder whose scripts jobs may run on the server (default: scripts in the data directory)")
	noError(r.cmd.MarkFlagDirname("script-dir"))
	heartbeat := duration(job.DefaultHeartbeat)
	r.cmd.Flags().Var(&heartbeat, "heartbeat", "how often agents and transports say that they are there; one that is silent for three is looked for")
	r.cmd.AddCommand(a.serverRebuildCatalog(), a.serverRestore(), a.serverPause(), a.serverResume())
	return r.serves(func(ctx context.Context, log *slog.Logger) error {
		if err := heartbeat.within("heartbeat", time.Second, 5*time.Minute); err != nil {
			return err
		}
		server.LimitMemory()
		return server.Run(ctx, server.Config{
			DataDir: r.dataDir, Listen: *listen, MetricsListen: *metrics, ScriptDir: *scripts, Version: a.version, Logger: log, Out: a.out, Heartbeat: time.Duration(heartbeat),
			Ready: func(string) { a.ready(log) }, OwnAgent: ownAgent, Opener: []string{openerName},
		})
	})
}

// metricsListen is the flag of the second port.
func (r *role) metricsListen() *string {
	return r.cmd.Flags().String("metrics-listen", "", "address of a second port for metrics, health and readiness, plain and without login, such as 127.0.0.1:9480 (default: none)")
}

// node is a role that joins a server.
type node struct{ server, join, joinFile, name, listen, advertise, agents string }

func (r *role) nodeFlags() *node {
	n := &node{}
	f := r.cmd.Flags()
	f.StringVar(&n.server, "server", "", "address of the backup server; remembered")
	f.StringVar(&n.joinFile, "join-file", "", "file with the join token; - is standard input; needed once, see 'keepward token create'")
	f.StringVar(&n.join, "join", "", "the join token itself; everybody on this computer can see it in the list of processes")
	f.StringVar(&n.name, "name", "", "name to join as (default: that of the token or the host)")
	return n
}

// joinToken reads the token with which the role joins. A file that is gone is none: it serves
// once, and a role that has joined does without.
func (a *app) joinToken(n *node, log *slog.Logger) (string, error) {
	switch n.joinFile {
	case "":
		return n.join, nil
	case "-":
		line, err := a.askSecret("Join token: ")
		return strings.TrimSpace(line), err
	}
	text, err := a.readSecret(n.joinFile)
	if errs.KindOf(err) == errs.NotFound {
		log.Info("there is no file with a join token: it is needed at the first start only", "file", n.joinFile)
		return "", nil
	}
	return strings.TrimSpace(firstLine(string(text))), err
}

// joins gives the node its token and runs it.
func (r *role) joins(n *node, run func(ctx context.Context, log *slog.Logger) error) *cobra.Command {
	return r.serves(func(ctx context.Context, log *slog.Logger) error {
		if n.join != "" && n.joinFile != "" {
			return usage("give either --join-file or --join")
		}
		token, err := r.a.joinToken(n, log)
		if err != nil {
			return err
		}
		n.join = token
		return run(ctx, log)
	})
}

func (a *app) transportCommand() *cobra.Command {
	r := a.role("transport --data-dir D --server HOST:7480 --join-file FILE --name NAME", "Run the transport service of a repository host",
		"Runs the service that starts data movers beside a repository.",
		"  keepward transport --data-dir /var/lib/keepward/transport --server backup:7480 --name store1 --join-file store1.join")
	n := r.nodeFlags()
	r.cmd.Flags().StringVar(&n.listen, "listen", "", "where its data movers listen: HOST:PORT or HOST:FIRST-LAST (default: free ports)")
	r.cmd.Flags().StringVar(&n.advertise, "advertise", "", "hosts under which agents reach them, separated by commas, those to try first first (default: the address from which the server is dialled)")
	r.cmd.Flags().StringVar(&n.agents, "agents", "", "where agents open the runs of jobs that they manage: HOST:PORT or :PORT, usually :"+doorPort+" (default: nowhere)")
	return r.joins(n, func(ctx context.Context, log *slog.Logger) error {
		return transport.Run(ctx, a.transportConfig(r.dataDir, n, log, func() { a.ready(log) }))
	})
}

func (a *app) agentCommand() *cobra.Command {
	r := a.role("agent --data-dir D --server HOST:7480 --join-file FILE --name NAME", "Run the agent of a computer",
		`Runs the agent that reads and restores the files of this computer. It needs no open port: it dials the server and stays connected.
With --listen it waits for the server, and for data movers, to dial it. Without a server and a token it shows a code, by which
'keepward computer add' pairs it with a server; the code stands in the file pairing-code of the data directory, too, for as long as it waits.`,
		`  keepward agent --data-dir /var/lib/keepward/agent --server backup:7480 --name web1 --join-file web1.join
  keepward agent --data-dir /var/lib/keepward/agent --listen :7482`)
	r.cmd.AddCommand(a.agentStatus())
	n := r.nodeFlags()
	r.cmd.Flags().StringVar(&n.listen, "listen", "", "wait for the server and for data movers at HOST:PORT or :PORT, usually :"+agentPort)
	noDial := r.cmd.Flags().Bool("no-dial", false, "wait for the server to dial, even if its address is known")
	pair := r.cmd.Flags().Bool("pair", false, "wait to be paired anew, although there is an identity; for one start only")
	every := duration(pipeline.DefaultCheckpointEvery)
	hidden := r.cmd.Flags().Bool("trust-hidden", false, "take processes that the agent may not look into for such as write to no file unseen; see the page about change tracking")
	r.cmd.Flags().Var(&every, "checkpoint-every", "how long a backup works between two checkpoints: an interruption costs that much")
	noUpdate := r.cmd.Flags().Bool("no-update", false, "never become another version by itself: somebody else keeps this program up to date")
	return r.joins(n, func(ctx context.Context, log *slog.Logger) error {
		if err := every.within("checkpoint-every", time.Second, time.Hour); err != nil {
			return err
		}
		ready := sync.OnceFunc(func() { a.ready(log) })
		cfg := a.agentConfig(r.dataDir, n, log, ready)
		cfg.CheckpointEvery, cfg.TrustHidden = time.Duration(every), *hidden
		cfg.Listen, cfg.NoDial, cfg.Pair = n.listen, *noDial, *pair
		cfg.Waiting = func(code string) {
			fmt.Fprintf(a.out, "waiting to be paired; the code for 'keepward computer add NAME --control server --address THIS-HOST --code-file -' is\n\n  %s\n\n", code)
			ready()
		}
		return a.runAgent(ctx, cfg, *noUpdate)
	})
}

// moverCommand is for the transport service only.
func (a *app) moverCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "mover", Short: "Run one data mover", Hidden: true, Args: cobra.ArbitraryArgs}
	level := cmd.Flags().String("log-level", "info", "debug, info, warn or error")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		log, err := a.logger(*level)
		if err != nil {
			return err
		}
		slog.SetDefault(log)
		return mover.Main(cmd.Context(), a.in, a.out)
	}
	return cmd
}

// watchdogName is the command of the process that lets go what an agent holds.
const watchdogName = "watchdog"

// watchdogCommand is for the agent only.
func (a *app) watchdogCommand() *cobra.Command {
	cmd := &cobra.Command{Use: watchdogName, Short: "Let go what an agent holds", Hidden: true, Args: exactly()}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		out, ok := a.out.(io.WriteCloser)
		if !ok {
			return usage("only an agent starts this")
		}
		return agent.Watchdog(cmd.Context(), a.in, out)
	}
	return cmd
}

// keeperName is the command of the process that runs a command for an agent.
const keeperName = "keep-command"

// keeperCommand is for the agent only.
func (a *app) keeperCommand() *cobra.Command {
	cmd := &cobra.Command{Use: keeperName, Short: "Run a command for an agent", Hidden: true, Args: exactly()}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		data, isFile := a.out.(*os.File)
		reports, ok := a.errOut.(io.WriteCloser)
		if !isFile || !ok {
			return usage("only an agent starts this")
		}
		return agent.Keep(cmd.Context(), a.in, data, reports)
	}
	return cmd
}

// openerName is the command of the process that opens content for a server.
const openerName = "open-content"

// openerCommand is for the server only.
func (a *app) openerCommand() *cobra.Command {
	cmd := &cobra.Command{Use: openerName, Short: "Open content for a server", Hidden: true, Args: exactly()}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return opener.Main(cmd.Context(), a.in, a.out) }
	return cmd
}

func (a *app) agentConfig(dir string, n *node, log *slog.Logger, ready func()) agent.Config {
	return agent.Config{DataDir: dir, Server: withPort(n.server), JoinToken: n.join, Name: n.name, Version: a.version, Logger: log, Ready: ready, Watchdog: []string{watchdogName}, Keeper: []string{keeperName}}
}

func (a *app) transportConfig(dir string, n *node, log *slog.Logger, ready func()) transport.Config {
	return transport.Config{
		DataDir: dir, Server: withPort(n.server), JoinToken: n.join, Name: n.name, Listen: n.listen, Advertise: n.advertise, Agents: n.agents,
		Version: a.version, Logger: log, Ready: ready,
	}
}
