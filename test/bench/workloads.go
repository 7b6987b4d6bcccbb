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
	stepAlone     = "backup alone"
	stepBeside    = "the same backup beside a sweep"
	stepSweep     = "that sweep"
	stepBack      = "first file back after the loss of the server"
)

const (
	workTree    = "tree"
	workImage   = "image"
	workDB      = "database"
	workNoise   = "noise"
	workTiny    = "tiny"
	workHundred = "hundred"
	workSweep   = "sweep"
	workLoss    = "loss"
	workNightly = "nightly"
)

func workloadNames() []string {
	return []string{workTree, workImage, workDB, workNoise, workTiny, workHundred, workSweep, workLoss, workNightly}
}

// The parts are what goals need, no more: peers take their time.
func workloads(o options) []*workload {
	small, large, tinies := float64(o.files)/200_000, o.scale, float64(o.tiny)/1_000_000
	return []*workload{
		{
			name: workTree, title: fmt.Sprintf("%d files of a real tree", o.files),
			about:  "Varied copies of this machine's `/usr` and Go's tree: each file differs from its original in about one byte of 500, so no program finds whole copies.",
			build:  func(_ context.Context, dir string) (int64, error) { return tree(dir, o.files, o.bytes) },
			floors: []floor{floorWalk, floorRead, floorTarZstd, floorUntar},
			parts: []part{
				{ourZstd, nil, 52},
				{ourFast, []string{stepFirst}, 17},
				{resticFastest, nil, 130},
				{resticAuto, []string{stepFirst}, 68},
				{kopiaS2, []string{stepFirst, stepUnchanged, stepChanged}, 45},
				{anyBorg, []string{stepFirst, stepUnchanged, stepChanged}, 130},
			},
			steps: []step{
				{name: stepFirst},
				{name: stepUnchanged},
				{name: stepChanged, before: changeFiles},
				{name: stepRestore, restore: true},
			},
			share: small, seconds: 45, gib: 16,
		},
		{
			name: workImage, title: "Disk image of a virtual machine",
			about: "One file: an ext4 file system filled with files of a real tree, as a virtual disk of a Linux machine is.",
			build: func(ctx context.Context, dir string) (int64, error) {
				return diskImage(ctx, dir, int64(o.scale*(4<<30)))
			},
			floors: []floor{floorTarZstd},
			parts:  []part{{ourZstd, nil, 14}, {ourFast, nil, 11}, {resticFastest, nil, 28}, {resticAuto, nil, 33}, {kopiaS2, nil, 17}},
			steps:  []step{{name: stepFirst}},
			share:  large, seconds: 30, gib: 14,
		},
		{
			name: workDB, title: "Database file",
			about: "One file of 8 KiB pages with headers, rows and free space.",
			build: func(_ context.Context, dir string) (int64, error) {
				size := int64(o.scale * (2 << 30))
				return size, treegen.Database(filepath.Join(dir, "database"), size, 1)
			},
			floors: []floor{floorTarZstd, floorUntar},
			parts: []part{
				{ourZstd, nil, 16},
				{ourFast, []string{stepFirst}, 9},
				{resticFastest, nil, 38},
				{resticAuto, []string{stepFirst}, 20},
				{kopiaS2, []string{stepFirst, stepPages}, 20},
				{anyBorg, []string{stepFirst, stepPages}, 45},
			},
			steps: []step{
				{name: stepFirst},
				{name: stepPages, before: func(dir string, seed uint64) error {
					return treegen.RewritePages(filepath.Join(dir, "database"), 0.01, seed)
				}},
				{name: stepRestore, restore: true},
			},
			share: large, seconds: 25, gib: 12,
		},
		{
			name: workNoise, title: "Incompressible file",
			about: "One file of random bytes.",
			build: func(_ context.Context, dir string) (int64, error) {
				size := int64(o.scale * (1 << 30))
				return size, noise(filepath.Join(dir, "noise"), size)
			},
			floors: []floor{floorTarZstd},
			parts:  []part{{ourZstd, nil, 5}, {resticFastest, nil, 8}, {kopiaS2, nil, 7}, {anyBorg, nil, 12}},
			steps:  []step{{name: stepFirst}},
			share:  large, seconds: 5, gib: 6,
		},
		{
			name: workTiny, title: fmt.Sprintf("%d very small files", o.tiny),
			about:  "0 to 2 KiB each, in three levels of directories. The page cache may not hold all of it: see the floors.",
			build:  func(_ context.Context, dir string) (int64, error) { return 0, treegen.Small(dir, o.tiny) },
			floors: []floor{floorWalk, floorTarCat},
			parts:  []part{{ourZstd, nil, 30}, {resticFastest, []string{stepFirst}, 170}, {kopiaS2, nil, 150}},
			steps:  []step{{name: stepFirst}, {name: stepUnchanged}},
			share:  tinies, seconds: 50, gib: 12,
		},
		{
			name: workHundred, title: "A hundred incrementals",
			about: "A tenth of the tree, 1 % of whose files change before each of a hundred backups; restored three times, and beside it restored three times from a new repository that holds nothing but the same state.",
			build: func(_ context.Context, dir string) (int64, error) {
				return tree(dir, max(o.files/10, 100), max(o.bytes/10, 1<<20))
			},
			parts: []part{{ourZstd, nil, 150}},
			steps: []step{
				{name: stepFirst},
				{name: stepHundred, before: changeFiles, times: 100},
				{name: stepOldest, restore: true, repeat: 3},
				{name: stepFresh, fresh: true},
				{name: stepAnew, restore: true, repeat: 3},
			},
			rounds: 1, share: small, seconds: 10, gib: 3,
		},
		{
			name: workSweep, title: fmt.Sprintf("Sweep of %d chunks in %d points", o.tiny, o.tiny/100),
			about: "A repository made by a generator, attached to a new server: packs of data of 17 MiB, which are holes, small packs of index, and the older half of its points deleted and past its grace. `repository sweep` purges them, deletes what only they needed, joins small packs and merges the index; " +
				"meanwhile another computer's first backup of a quarter of the tree goes to the same repository. Beside it the same backup with nobody else at work.",
			build: func(ctx context.Context, dir string) (int64, error) {
				if err := manyPoints(ctx, manyIn(dir), max(o.tiny/100, 20)); err != nil {
					return 0, err
				}
				return tree(filepath.Join(dir, "tree"), max(o.files/4, 100), max(o.bytes/4, 1<<20))
			},
			source: "tree",
			parts:  []part{{ourZstd, nil, 130}},
			steps: []step{
				{name: stepAlone, fresh: true},
				{name: stepBeside, fresh: true, scene: beside, also: stepSweep},
			},
			share: tinies, seconds: 60, gib: 5,
		},
		{
			name: workLoss, title: fmt.Sprintf("Loss of the server, %d files", o.tiny/10),
			about: "What is left is the repository, its recovery key, and the computer with its agent. A new server and a new transport service are started, the repository is attached, the agent joins, one file is restored.",
			build: func(_ context.Context, dir string) (int64, error) { return 0, treegen.Small(dir, max(o.tiny/10, 100)) },
			parts: []part{{ourZstd, nil, 15}},
			steps: []step{{name: stepFirst}, {name: stepBack, scene: lose}},
			share: tinies, seconds: 10, gib: 2,
		},
		{
			name: workNightly, title: fmt.Sprintf("%d very small files", 5*o.tiny), nightly: true,
			about:  "As above, for memory: it must not grow with the number of files. The page cache does not hold all of it: see the floors.",
			build:  func(_ context.Context, dir string) (int64, error) { return 0, treegen.Small(dir, 5*o.tiny) },
			floors: []floor{floorWalk},
			parts:  []part{{ourZstd, nil, 400}},
			rounds: 1,
			steps:  []step{{name: stepFirst}, {name: stepUnchanged}},
			cold:   true,
			share:  tinies, seconds: 400, gib: 27,
		},
	}
}

// manyIn is where the sweep's repository lies in its data.
func manyIn(dir string) repositoryOn {
	return repositoryOn{filepath.Join(dir, "repository"), filepath.Join(dir, "main.key")}
}

func changeFiles(dir string, seed uint64) error {
	_, err := treegen.Mutate(dir, 0.01, 100+seed)
	return err
}

func tree(dir string, files int, bytes int64) (int64, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	made, err := treegen.Bench(dir, treegen.BenchOptions{From: sources(), Files: files, Bytes: bytes, Seed: 1})
	return made.Bytes, err
}

// diskImage is a sparse file of the size with a file system about half full.
func diskImage(ctx context.Context, dir string, size int64) (int64, error) {
	content := filepath.Join(dir, "content")
	// A file of the real trees has about 17 KiB.
	if _, err := tree(content, int(size/2/17_000), size/2); err != nil {
		return 0, err
	}
	image := filepath.Join(dir, "disk.img")
	out, err := exec.CommandContext(ctx, "mkfs.ext4", "-q", "-d", content, image, fmt.Sprintf("%dk", size>>10)).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("mkfs.ext4: %w: %s", err, out)
	}
	return size, errors.Join(err, os.RemoveAll(content))
}
