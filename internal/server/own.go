package server

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/catalog"
	"keepward/internal/durable"
	"keepward/internal/job"
	"keepward/internal/manager"
	"keepward/internal/pki"
	"keepward/internal/wire"
)

// OwnAgent is the agent by which the server backs itself up. It lives in the server's process, and
// is brought by the program: the server itself does not know how data is read and sent.
type OwnAgent interface {
	keepwardv1connect.AgentServiceClient
	// Attempts are those that run.
	Attempts() []*keepwardv1.AttemptState
	// Drop stops an attempt that nobody wants any more.
	Drop(attempt string)
	// Wait returns when no attempt runs any more; none begins after it.
	Wait()
}

// OwnAgentConfig is what such an agent is made with; see agent.LocalConfig.
type OwnAgentConfig struct {
	DataDir     string
	Version     string
	Logger      *slog.Logger
	Credentials wire.Credentials
	Before      func(ctx context.Context) error
	Events      func(attempt string, events []*keepwardv1.Event)
	Progress    func(attempt string, p *keepwardv1.Progress)
	End         func(attempt string, end *keepwardv1.AttemptEnd) error
}

const (
	ownDir     = "own"     // of what is below, in the data directory
	siteDir    = "site"    // what is backed up: it has the same path in every restore point
	scratchDir = "scratch" // of the agent

	// endAgain is the pause before an end that could not be kept is told again.
	endAgain = time.Second
)

// own is the server as a computer of its site, whose restore points are backups of the server.
type own struct {
	OwnAgent
	s    *server
	ctx  context.Context
	node manager.Node
	boot string
	site string
}

// newOwn makes the server's own agent; nil: the program brings none.
func (s *server) newOwn(ctx context.Context) (*own, error) {
	if s.cfg.OwnAgent == nil {
		return nil, nil
	}
	dir, err := filepath.Abs(filepath.Join(s.data.path, ownDir))
	if err != nil {
		return nil, fmt.Errorf("make the server's own agent: %w", err)
	}
	// What a start before this one left is not needed, and has keys in it.
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("make the server's own agent: %w", err)
	}
	scratch := filepath.Join(dir, scratchDir)
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return nil, fmt.Errorf("make the server's own agent: %w", err)
	}
	credentials, err := s.data.ownCredentials()
	if err != nil {
		return nil, err
	}
	boot := make([]byte, 16)
	_, _ = rand.Read(boot) // documented never to fail
	o := &own{
		s: s, ctx: ctx, node: manager.Node{Role: wire.RoleAgent, Name: job.ServerComputer},
		boot: hex.EncodeToString(boot), site: filepath.Join(dir, siteDir),
	}
	o.OwnAgent = s.cfg.OwnAgent(ctx, OwnAgentConfig{
		DataDir: scratch, Version: s.cfg.Version, Logger: s.log, Credentials: credentials,
		Before: o.dump, Events: o.events, Progress: o.progress, End: o.end,
	})
	s.nodes.own = o
	return o, nil
}

// ownCredentials are those that a mover wants of the server's own agent. No link is opened with
// them: the catalog does not know the certificate.
func (d *dataDir) ownCredentials() (wire.Credentials, error) {
	key, err := pki.NewKey()
	if err != nil {
		return wire.Credentials{}, err
	}
	cert, err := d.authority.Issue(wire.RoleAgent, job.ServerComputer, key.Public(), pki.Names{}, time.Now())
	if err != nil {
		return wire.Credentials{}, err
	}
	return wire.Credentials{
		Certificate: tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key},
		CA:          d.authority.Certificate,
	}, nil
}

// serve tells the manager of the agent as the links of others do.
func (o *own) serve(ctx context.Context) error {
	defer o.Wait()
	tick := time.NewTicker(job.DefaultHeartbeat)
	defer tick.Stop()
	if err := o.beat(ctx); err != nil {
		return err
	}
	o.s.manager.NodeOnline(o.node)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if err := o.beat(ctx); err != nil {
				return err
			}
		}
	}
}

func (o *own) beat(ctx context.Context) error {
	drop, err := o.s.manager.Heartbeat(ctx, o.node, o.boot, o.Attempts())
	if err != nil {
		return err
	}
	for _, attempt := range drop {
		o.Drop(attempt)
	}
	if p, ok := o.OwnAgent.(paced); ok {
		p.SetRates(o.s.manager.Rates(o.node))
	}
	return nil
}

// StartBackup backs up what dump makes, whatever the order says.
func (o *own) StartBackup(ctx context.Context, req *connect.Request[keepwardv1.StartBackupRequest]) (*connect.Response[keepwardv1.StartBackupResponse], error) {
	m := proto.CloneOf(req.Msg)
	m.Files = &keepwardv1.FileSelection{Include: []string{o.site}, IncludeTemporary: true}
	return o.OwnAgent.StartBackup(ctx, connect.NewRequest(m))
}

// dump makes what is backed up: the catalog as of now, and the keys that belong to it. The
// catalog comes last of all that is read, so that keys are never older than what they open.
func (o *own) dump(ctx context.Context) error {
	if err := os.RemoveAll(o.site); err != nil {
		return fmt.Errorf("back up the server: %w", err)
	}
	if err := os.MkdirAll(o.site, 0o700); err != nil {
		return fmt.Errorf("back up the server: %w", err)
	}
	for _, name := range keyFiles {
		content, err := os.ReadFile(filepath.Join(o.s.data.path, name))
		if err != nil {
			return fmt.Errorf("back up the server: %w", err)
		}
		if err := durable.WriteFile(filepath.Join(o.site, name), content, 0o600); err != nil {
			return err
		}
	}
	return catalog.Copy(ctx, filepath.Join(o.s.data.path, catalogFile), filepath.Join(o.site, catalogFile))
}

func (o *own) events(attempt string, events []*keepwardv1.Event) {
	for _, e := range events {
		if e.GetTime() == nil {
			e.Time = timestamppb.Now()
		}
	}
	if err := o.s.manager.Events(o.ctx, o.node, attempt, events); err != nil && o.ctx.Err() == nil {
		o.s.log.Warn("lines of the server's own backup are not kept", "attempt", attempt, "error", err)
	}
}

func (o *own) progress(attempt string, p *keepwardv1.Progress) {
	if err := o.s.manager.Progress(o.ctx, o.node, attempt, p); err != nil && o.ctx.Err() == nil {
		o.s.log.Warn("progress of the server's own backup is not shown", "attempt", attempt, "error", err)
	}
}

// end tells how an attempt ended until that is kept, or the server ends.
func (o *own) end(attempt string, end *keepwardv1.AttemptEnd) error {
	if len(o.Attempts()) < 2 { // one that was cut off may end beside the next, which needs the files
		if err := os.RemoveAll(o.site); err != nil {
			o.s.log.Warn("what was backed up of the server is not removed", "path", o.site, "error", err)
		}
	}
	for {
		err := o.s.manager.End(o.ctx, o.node, attempt, end)
		if err == nil {
			return nil
		}
		select {
		case <-o.ctx.Done():
			return err
		case <-time.After(endAgain):
		}
	}
}
