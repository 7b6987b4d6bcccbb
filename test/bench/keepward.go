package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"keepward/test/site"
)

// keepward is a whole site: what it takes is the sum over server, transport, agent,
// mover and the command that waits.
type keepward struct {
	bin         string
	compression string
	// from is a repository and its recovery key to begin with; empty: a new repository.
	from repositoryOn

	site             *site.Site
	transport, agent *site.Proc

	dir   string // of the site, and what belongs to it
	repo  string
	key   string // file with the recovery key
	made  bool   // the job
	modes map[int]string
}

// repositoryOn is a repository on a disk.
type repositoryOn struct{ path, key string }

// sweepMode is what a mover is for that sweeps.
const sweepMode = "sweep"

func (k *keepward) name() string       { return "keepward, " + k.compression }
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

func (k *keepward) prepare(_ context.Context, dir string) error {
	k.dir, k.made, k.modes = dir, false, map[int]string{}
	k.repo, k.key = filepath.Join(dir, "repository"), filepath.Join(dir, "main.key")
	if err := k.start("site", "store"); err != nil {
		return err
	}
	if err := k.join(); err != nil {
		return err
	}
	if k.from.path != "" {
		k.key = k.from.key
		if err := linkTree(k.from.path, k.repo); err != nil {
			return err
		}
		return k.attach()
	}
	_, err := k.site.Do("repository", "create", "main", "--transport", "store", "--path", k.repo, "--recovery-key-out", k.key)
	return err
}

// start starts a server, and a transport service with a name.
func (k *keepward) start(name, transport string) (err error) {
	if k.site, err = site.Start(k.bin, filepath.Join(k.dir, name)); err == nil {
		k.transport, err = k.site.AddTransport(transport)
	}
	return err
}

func (k *keepward) join() (err error) {
	k.agent, err = k.site.AddAgent("web1")
	return err
}

func (k *keepward) attach() error {
	_, err := k.site.Do("repository", "attach", "main", "--transport", k.transport.Name, "--path", k.repo, "--recovery-key", k.key, "--take-over")
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

// measured runs a command and adds what the site's processes took meanwhile, but for sweeps.
func (k *keepward) measured(ctx context.Context, args ...string) (usage, error) {
	m := site.StartMeter(k.pids)
	began := time.Now()
	all, err := command(ctx, "", []string{"KEEPWARD_CONFIG=" + k.site.ClientConfig()}, k.site.Bin, args...)
	all.Wall = time.Since(began)
	for pid, u := range m.Stop() {
		mode, isMover := k.modes[pid]
		switch {
		case mode == sweepMode:
			continue
		case isMover:
			all.Mover = max(all.Mover, u.Peak)
		case pid == k.agent.Pid():
			all.Agent = u.Peak
		}
		all.CPU += u.CPU
		all.Peak += u.Peak
	}
	return all, err
}

// pids are all processes of the site; it notes which are movers. One meter at a time calls it.
func (k *keepward) pids() []int {
	var pids []int
	for _, p := range k.site.Procs() {
		if p.Alive() {
			pids = append(pids, p.Pid())
		}
	}
	for _, m := range site.Movers(k.transport) {
		k.modes[m.Pid] = m.Mode
		pids = append(pids, m.Pid)
	}
	return pids
}

// linkTree makes a second tree of the same files, which are never written again: a repository's.
func linkTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := filepath.Join(to, path[len(from):])
		if d.IsDir() {
			return os.MkdirAll(name, 0o700)
		}
		return os.Link(path, name)
	})
}
