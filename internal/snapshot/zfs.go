package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"strings"
	"time"
)

// zfs makes snapshots of data sets by the program of that name, and reads them below .zfs. It is
// tested against a double of the program only.
type zfs struct{ run Run }

// NewZFS makes the provider for ZFS.
func NewZFS(run Run) Provider { return zfs{run} }

func (zfs) Kind() Kind { return ZFS }

func (z zfs) Fits(ctx context.Context, v Volume) error {
	if v.Type != "zfs" {
		return &Unfit{Why: "it is no ZFS", Other: true}
	}
	if v.Root != "/" {
		return unfit("only a part of the data set is mounted there")
	}
	if _, err := z.run(ctx, "zfs", "list", "-H", "-o", "name", v.Source); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return unfit("the program zfs is not installed")
		}
		return unfit(err.Error())
	}
	return nil
}

// Create takes the data set that is mounted; those within it are volumes of their own.
func (z zfs) Create(ctx context.Context, v Volume, n Name, _ func(string) bool) (*Snapshot, error) {
	s := &Snapshot{Kind: ZFS, Volume: v, Name: n, Taken: time.Now()}
	if _, err := z.run(ctx, "zfs", "snapshot", v.Source+"@"+n.String()); err != nil {
		// Killed in the middle, it may have been taken.
		rerr := z.Remove(context.WithoutCancel(ctx), v, n)
		return nil, failed(ZFS, v, errors.Join(err, rerr))
	}
	s.Parts = []Part{{At: v.Mount, ID: v.Source, Path: ".", Device: deviceOf(v.Mount)}}
	return s, nil
}

// Open answers the directory in which ZFS shows a snapshot, whether it is to be seen in listings
// or not; the first look mounts it, and ZFS unmounts it again.
func (z zfs) Open(_ context.Context, s *Snapshot) (string, func(), error) {
	root := path.Join(s.Volume.Mount, ".zfs", "snapshot", s.Name.String())
	if _, err := os.Stat(root + "/."); err != nil {
		return "", nil, fmt.Errorf("open snapshot %s: %w", s.Name, err)
	}
	return root, func() {}, nil
}

func (z zfs) Remove(ctx context.Context, v Volume, n Name) error {
	names, err := z.List(ctx, v, n.Owner)
	if err != nil {
		return err
	}
	for _, have := range names {
		if have == n {
			_, err = z.run(ctx, "zfs", "destroy", v.Source+"@"+n.String())
		}
	}
	return err
}

func (z zfs) List(ctx context.Context, v Volume, owner string) ([]Name, error) {
	out, err := z.run(ctx, "zfs", "list", "-H", "-t", "snapshot", "-o", "name", "-d", "1", v.Source)
	if err != nil {
		return nil, err
	}
	var list []Name
	for line := range strings.Lines(out) {
		of, name, _ := strings.Cut(strings.TrimSpace(line), "@")
		if n, ok := ParseName(name); ok && of == v.Source && n.Owner == owner {
			list = append(list, n)
		}
	}
	return list, nil
}

// Keep gives a snapshot another name.
func (z zfs) Keep(ctx context.Context, v Volume, from, to Name) error {
	if err := z.Remove(ctx, v, to); err != nil {
		return err
	}
	_, err := z.run(ctx, "zfs", "rename", v.Source+"@"+from.String(), v.Source+"@"+to.String())
	return err
}
