package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"keepward/internal/repo/repotest"
	"keepward/internal/repo/repotest/manypoints"
	"keepward/test/site"
)

// scene is a step that is neither a backup nor a restore: it measures by itself.
type scene struct {
	k   *keepward
	src string
	// note takes one measurement.
	note func(step string, r result) error
}

// beside runs a backup while a sweep works, and measures both.
func beside(ctx context.Context, x *scene) error {
	k := x.k
	sweep := k.site.Command(ctx, "repository", "sweep", "main", "--wait", "--quiet")
	var said bytes.Buffer
	sweep.Stdout, sweep.Stderr = &said, &said
	seen := map[int]bool{}
	meter := site.StartMeter(func() []int {
		var pids []int
		for _, m := range site.Movers(k.transport) {
			if m.Mode == sweepMode {
				pids = append(pids, m.Pid)
			}
		}
		return pids
	})
	settle()
	began := time.Now()
	if err := sweep.Start(); err != nil {
		return err
	}
	_, err := site.WaitMover(k.transport, time.Minute)
	if err == nil {
		err = x.measure(stepBeside, func() (usage, error) { return k.backup(ctx, x.src) })
	}
	together := time.Since(began)
	if err := errors.Join(err, sweep.Wait()); err != nil {
		return fmt.Errorf("sweep: %w\n%s", err, said.Bytes())
	}
	all := usage{Wall: time.Since(began)}
	for pid, u := range meter.Stop() {
		seen[pid] = true
		all.CPU += u.CPU
		all.Peak = max(all.Peak, u.Peak)
	}
	fmt.Printf("the sweep took %.1f s in %d movers, the backup ended after %.1f s of them\n", all.Wall.Seconds(), len(seen), together.Seconds())
	size, err := sizeOf(k.repo)
	if err != nil {
		return err
	}
	return x.note(stepSweep, result{Program: k.name(), usage: all, Repository: size})
}

func (x *scene) measure(step string, do func() (usage, error)) error {
	r, err := measured(x.k, do)
	if err != nil {
		return err
	}
	return x.note(step, r)
}

// lose takes everything away but repository, key and computer, and measures how long it takes by
// the steps of docs/operator/recovery.md until the first file is back.
func lose(ctx context.Context, x *scene) error {
	k := x.k
	one, err := middle(x.src)
	if err != nil {
		return err
	}
	old := k.site.Dir
	if err := k.close(); err != nil {
		return err
	}
	kept := filepath.Join(k.dir, "kept")
	if err := errors.Join(os.Rename(filepath.Join(old, "web1"), kept), os.RemoveAll(old)); err != nil {
		return err
	}
	return x.measure(stepBack, func() (usage, error) {
		began := time.Now()
		u, err := k.again(ctx, kept, one)
		u.Wall, u.CPU = time.Since(began), 0 // of the restore alone
		return u, err
	})
}

// again makes a new site with the old repository and restores a file.
func (k *keepward) again(ctx context.Context, kept, one string) (usage, error) {
	if err := k.start("again", "newstore"); err != nil {
		return usage{}, err
	}
	if err := k.attach(); err != nil {
		return usage{}, err
	}
	if err := os.Rename(kept, filepath.Join(k.site.Dir, "web1")); err != nil {
		return usage{}, err
	}
	if err := k.join(); err != nil {
		return usage{}, err
	}
	to := filepath.Join(k.dir, "one")
	u, err := k.measured(ctx, "restore", "files", "--computer", "web1", "--point", "latest", "--path", one, "--to", to, "--wait", "--quiet")
	if err != nil {
		return u, err
	}
	was, err := os.ReadFile(one)
	if err != nil {
		return u, err
	}
	is, err := os.ReadFile(filepath.Join(to, one))
	if err == nil && !bytes.Equal(was, is) {
		err = fmt.Errorf("%s came back as something else", one)
	}
	return u, err
}

// middle is some file in the middle of a tree.
func middle(dir string) (string, error) {
	files, err := site.Files(dir)
	if err != nil {
		return "", err
	}
	return files[len(files)/2], nil
}

// manyPoints makes a repository whose older half of points was deleted a month ago, and the key
// to it.
func manyPoints(ctx context.Context, to repositoryOn, points int) error {
	s := repotest.NewSite()
	if err := os.WriteFile(to.key, []byte(s.Recovery.Text()+"\n"), 0o600); err != nil {
		return err
	}
	return manypoints.Generate(ctx, to.path, s, manypoints.Options{
		Points: points, Deleted: points / 2, When: time.Now().Add(-30 * 24 * time.Hour), ChunkLength: 170 << 10,
	})
}
