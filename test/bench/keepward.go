package main

import (
	"context"
	"path/filepath"
	"time"

	"keepward/test/site"
)

// keepward is a whole site: what it takes is the sum over server, transport, agent,
// mover and the command that waits.
type keepward struct {
	bin         string
	compression string

	site             *site.Site
	transport, agent *site.Proc

	repo string
	made bool // the job
}

func (k *keepward) name() string {
	return "keepward, " + k.compression
}
func (k *keepward) repository() string { return k.repo }

// close ends the site, if there is one.
func (k *keepward) close() error {
	if k.site == nil {
		return nil
	}
	s := k.site
	k.site = nil
	return s.Close()
}

func (k *keepward) prepare(_ context.Context, dir string) (err error) {
	if k.site, err = site.Start(k.bin, filepath.Join(dir, "site")); err != nil {
		return err
	}
	if k.transport, err = k.site.AddTransport("store"); err != nil {
		return err
	}
	if k.agent, err = k.site.AddAgent("web1"); err != nil {
		return err
	}
	k.repo, k.made = filepath.Join(dir, "repository"), false
	_, err = k.site.Do("repository", "create", "main", "--transport", "store", "--path", k.repo)
	return err
}

func (k *keepward) backup(ctx context.Context, src string) (usage, error) {
	if !k.made {
		if _, err := k.site.Do("job", "create", "bench", "--computer", "web1", "--include", src, "--repository", "main", "--compression", k.compression); err != nil {
			return usage{}, err
		}
		k.made = true
	}
	return k.measured(ctx, "job", "run", "bench", "--wait", "--quiet")
}

func (k *keepward) restore(ctx context.Context, _, to string) (usage, error) {
	return k.measured(ctx, "restore", "files", "--computer", "web1", "--point", "latest", "--to", to, "--wait", "--quiet")
}

// measured runs a command and adds what the site's processes took meanwhile.
func (k *keepward) measured(ctx context.Context, args ...string) (usage, error) {
	m := site.StartMeter(k.pids)
	began := time.Now()
	all, err := command(ctx, "", []string{"KEEPWARD_CONFIG=" + k.site.ClientConfig()}, k.site.Bin, args...)
	all.wall = time.Since(began)
	var agent, mover int64
	for pid, u := range m.Stop() {
		all.cpu += u.CPU
		all.peak += u.Peak
		switch pid {
		case k.agent.Pid():
			agent = u.Peak
		case k.transport.Pid(), k.site.Server.Pid():
		default:
			mover = max(mover, u.Peak)
		}
	}
	all.data = agent + mover
	return all, err
}

func (k *keepward) pids() []int {
	var pids []int
	for _, p := range k.site.Procs() {
		if p.Alive() {
			pids = append(pids, p.Pid())
		}
	}
	for _, m := range site.Movers(k.transport) {
		pids = append(pids, m.Pid)
	}
	return pids
}
