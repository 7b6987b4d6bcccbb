package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"keepward/internal/treegen"
)

// The names of steps, as goals refer to them.
const (
	stepFirst     = "first backup"
	stepUnchanged = "nothing changed"
	stepChanged   = "1 % of files changed"
	stepPages     = "1 % of 8 KiB pages rewritten"
	stepRestore   = "restore"
	stepHundred   = "the 100th incremental"
	stepOldest    = "restore after 100 incrementals"
	stepFresh     = "first backup of the same content, new repository"
	stepAnew      = "restore of that"
)

const (
	workTree    = "tree"
	workImage   = "image"
	workDB      = "database"
	workNoise   = "noise"
	workTiny    = "tiny"
	workHundred = "hundred"
	workNightly = "nightly"
)

func workloadNames() []string {
	return []string{workTree, workImage, workDB, workNoise, workTiny, workHundred, workNightly}
}

func workloads(o options) []*workload {
	return []*workload{
		{
			name: workTree, title: fmt.Sprintf("%d files of a real tree", o.files),
			about:  "Varied copies of this machine's `/usr` and Go's tree: each file differs from its original in about one byte of 500, so no program finds whole copies.",
			build:  func(_ context.Context, dir string) (int64, int64, error) { return tree(dir, o.files, o.bytes) },
			floors: []floor{floorWalk, floorRead, floorTarZstd, floorUntar},
			steps: []step{
				{name: stepFirst},
				{name: stepUnchanged},
				{name: stepChanged, before: changeFiles},
				{name: stepRestore, restore: true},
			},
		},
		{
			name: workImage, title: "Disk image of a virtual machine",
			about: "One file: an ext4 file system filled with files of a real tree, as a virtual disk of a Linux machine is.",
			build: func(ctx context.Context, dir string) (int64, int64, error) {
				return diskImage(ctx, dir, int64(o.scale*(4<<30)))
			},
			floors: []floor{floorTarZstd},
			steps:  []step{{name: stepFirst}},
		},
		{
			name: workDB, title: "Database file",
			about: "One file of 8 KiB pages with headers, rows and free space.",
			build: func(_ context.Context, dir string) (int64, int64, error) {
				size := int64(o.scale * (2 << 30))
				return 1, size, treegen.Database(filepath.Join(dir, "database"), size, 1)
			},
			floors: []floor{floorTarZstd, floorUntar},
			steps: []step{
				{name: stepFirst},
				{name: stepPages, before: func(dir string, seed uint64) error {
					return treegen.RewritePages(filepath.Join(dir, "database"), 0.01, seed)
				}},
				{name: stepRestore, restore: true},
			},
		},
		{
			name: workNoise, title: "Incompressible file",
			about: "One file of random bytes.",
			build: func(_ context.Context, dir string) (int64, int64, error) {
				size := int64(o.scale * (1 << 30))
				return 1, size, noise(filepath.Join(dir, "noise"), size)
			},
			floors: []floor{floorTarZstd},
			steps:  []step{{name: stepFirst}},
		},
		{
			name: workTiny, title: fmt.Sprintf("%d very small files", o.tiny),
			about:   "0 to 2 KiB each, in three levels of directories. The page cache may not hold all of it: see the floors.",
			build:   func(_ context.Context, dir string) (int64, int64, error) { return tiny(dir, o.tiny) },
			floors:  []floor{floorWalk, floorTarCat},
			engines: []string{"keepward, zstd", "restic", "kopia"},
			rounds:  1,
			steps:   []step{{name: stepFirst}, {name: stepUnchanged}},
		},
		{
			name: workHundred, title: "A hundred incrementals",
			about: "A tenth of the tree, 1 % of whose files change before each of a hundred backups; restored, and beside it restored from a new repository that holds nothing but the same state.",
			build: func(_ context.Context, dir string) (int64, int64, error) {
				return tree(dir, max(o.files/10, 100), max(o.bytes/10, 1<<20))
			},
			engines: []string{"keepward, zstd"},
			steps: []step{
				{name: stepFirst},
				{name: stepHundred, before: changeFiles, times: 100},
				{name: stepOldest, restore: true},
				{name: stepFresh, fresh: true},
				{name: stepAnew, restore: true},
			},
			rounds: 1,
		},
		{
			name: workNightly, title: fmt.Sprintf("%d very small files", 5*o.tiny), nightly: true,
			about:   "As above, for memory: it must not grow with the number of files. The page cache does not hold all of it: see the floors.",
			build:   func(_ context.Context, dir string) (int64, int64, error) { return tiny(dir, 5*o.tiny) },
			floors:  []floor{floorWalk},
			engines: []string{"keepward, zstd"},
			rounds:  1,
			steps:   []step{{name: stepFirst}, {name: stepUnchanged}},
		},
	}
}

func changeFiles(dir string, seed uint64) error {
	_, err := treegen.Mutate(dir, 0.01, 100+seed)
	return err
}

func tree(dir string, files int, bytes int64) (int64, int64, error) {
	made, err := treegen.Bench(dir, treegen.BenchOptions{From: sources(), Files: files, Bytes: bytes, Seed: 1})
	return made.Files, made.Bytes, err
}

func tiny(dir string, files int) (int64, int64, error) {
	return int64(files), 0, treegen.Small(dir, files)
}

// diskImage is a sparse file of the size with a file system about half full.
func diskImage(ctx context.Context, dir string, size int64) (int64, int64, error) {
	content := filepath.Join(dir, "content")
	// A file of the real trees has about 17 KiB.
	_, _, err := tree(content, int(size/2/17_000), size/2)
	if err != nil {
		return 0, 0, err
	}
	image := filepath.Join(dir, "disk.img")
	out, err := exec.CommandContext(ctx, "mkfs.ext4", "-q", "-d", content, image, fmt.Sprintf("%dk", size>>10)).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("mkfs.ext4: %w: %s", err, out)
	}
	return 1, size, errors.Join(err, os.RemoveAll(content))
}
