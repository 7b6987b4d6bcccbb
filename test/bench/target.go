package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// target is an empty directory to restore into: a new ext4 file system of its own where that
// can be made, since ext4 slows down the making of files for minutes after many were removed,
// which would charge each program for the one before it.
type target struct {
	dir   string
	image string // empty: a plain directory
}

// newTarget makes one below root.
func newTarget(ctx context.Context, root string) (*target, error) {
	t := &target{dir: filepath.Join(root, "target"), image: filepath.Join(root, "target.img")}
	if err := os.MkdirAll(t.dir, 0o755); err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		t.image = ""
		return t, nil
	}
	f, err := os.Create(t.image)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Truncate(12 << 30); err != nil { // sparse
		return nil, err
	}
	for _, line := range [][]string{
		{"mkfs.ext4", "-q", "-F", "-N", "1500000", "-E", "lazy_itable_init=0,lazy_journal_init=0", t.image},
		{"mount", "-o", "loop", t.image, t.dir},
	} {
		if out, err := exec.CommandContext(ctx, line[0], line[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", line[0], err, out)
		}
	}
	return t, nil
}

// remove takes the target away.
func (t *target) remove() error {
	if t.image != "" {
		if out, err := exec.Command("umount", t.dir).CombinedOutput(); err != nil {
			return fmt.Errorf("umount %s: %w: %s", t.dir, err, out)
		}
		if err := os.Remove(t.image); err != nil {
			return err
		}
	}
	return os.RemoveAll(t.dir)
}
