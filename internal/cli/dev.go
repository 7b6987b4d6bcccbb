package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/agent"
	"keepward/internal/server"
	"keepward/internal/transport"
)

// The names that dev gives to its parts.
const (
	devTransport = "local"
	devTokenTTL  = 5 * time.Minute
)

func (a *app) devCommand() *cobra.Command {
	r := a.role("dev --data-dir D", "Run server, transport and agent in one process",
		"Runs a whole site on this machine, for trying it out. The three talk to each other as they would over a network.",
		"  keepward dev --data-dir /tmp/keepward")
	listen := r.cmd.Flags().String("listen", "127.0.0.1:"+defaultPort, "address of the server's port")
	metrics := r.metricsListen()
	return r.serves(func(ctx context.Context, log *slog.Logger) error {
		dir, err := filepath.Abs(r.dataDir)
		if err != nil {
			return err
		}
		return (&dev{a: a, dir: dir, listen: *listen, metrics: *metrics, log: log}).run(ctx)
	})
}

// dev is the three roles of one process, each with a directory and a logger of its own.
type dev struct {
	a      *app
	dir    string
	listen string
	// metrics is the address of the second port; empty: none.
	metrics string
	log     *slog.Logger
}

func (d *dev) sub(name string) string { return filepath.Join(d.dir, name) }

// run ends when one of the three ends.
func (d *dev) run(ctx context.Context) error {
	// One address: the server says it once.
	ready := make(chan string, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return stopped(ctx, "server", server.Run(ctx, server.Config{
			Opener:  []string{openerName},
			DataDir: d.sub("server"), Listen: d.listen, MetricsListen: d.metrics, Version: d.a.version, Logger: d.log.With("part", "server"), Out: d.a.out,
			Ready: func(address string) { ready <- address }, OwnAgent: ownAgent,
		}))
	})
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case address := <-ready:
			return d.nodes(ctx, address)
		}
	})
	return g.Wait()
}

// stopped makes an error of a role that ended without being asked.
func stopped(ctx context.Context, name string, err error) error {
	if err == nil && ctx.Err() == nil {
		err = errors.New(name + " ended")
	}
	return err
}

// nodes runs transport and agent, joined when they are new.
func (d *dev) nodes(ctx context.Context, address string) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	t, err := d.joined(ctx, address, "transport", devTransport)
	if err != nil {
		return err
	}
	n, err := d.joined(ctx, address, "agent", strings.ToLower(host))
	if err != nil {
		return err
	}
	up := make(chan struct{}, 2) // one for each of the two
	linked := func() func() { return sync.OnceFunc(func() { up <- struct{}{} }) }
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		cfg := d.a.transportConfig(d.sub("transport"), t, d.log.With("part", "transport"), nil)
		cfg.Linked = linked()
		return stopped(ctx, "transport", transport.Run(ctx, cfg))
	})
	g.Go(func() error {
		cfg := d.a.agentConfig(d.sub("agent"), n, d.log.With("part", "agent"), nil)
		cfg.Linked = linked()
		return stopped(ctx, "agent", agent.Run(ctx, cfg))
	})
	g.Go(func() error {
		for range 2 {
			select {
			case <-ctx.Done():
				return nil
			case <-up:
			}
		}
		d.a.ready(d.log)
		d.next(strings.ToLower(host))
		return nil
	})
	return g.Wait()
}

// joined makes a join token for a part that has no certificate yet.
func (d *dev) joined(ctx context.Context, address, role, name string) (*node, error) {
	n := &node{server: address}
	if _, err := os.Stat(filepath.Join(d.sub(role), "identity", "cert.pem")); err == nil {
		return n, nil
	}
	conf, err := readConfig(filepath.Join(d.sub("server"), "client.yaml"))
	if err != nil {
		return nil, err
	}
	cfg, err := pinned(conf.CA)
	if err != nil {
		return nil, err
	}
	c := newClient(address, conf.Token, cfg)
	defer c.close()
	m, err := call(ctx, c.access.CreateToken, &keepwardv1.CreateTokenRequest{Role: role, Name: name, Ttl: durationpb.New(devTokenTTL)})
	if err != nil {
		return nil, err
	}
	n.join, n.name = m.GetToken(), name
	return n, nil
}

// next tells how to go on.
func (d *dev) next(host string) {
	fmt.Fprintf(d.a.out, `
Keepward runs. In another terminal, for a first backup of /etc:

  export KEEPWARD_CONFIG=%s
  keepward repository create main --transport %s --path %s
  keepward job create first --computer %s --include /etc --repository main
  keepward job run first --wait

`, filepath.Join(d.sub("server"), "client.yaml"), devTransport, d.sub("repository"), safe(host))
}
