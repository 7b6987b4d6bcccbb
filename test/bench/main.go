// Command bench measures Keepward beside restic, kopia and borg, where they are in
// PATH: the same data, alternating runs, medians; and beside floors that no backup
// program can beat. It writes a markdown page. It is started by `make bench`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"keepward/internal/treegen"
)

type options struct {
	bin     string
	out     string
	dir     string
	rounds  int
	files   int
	bytes   int64
	million int
	only    string
}

func main() {
	var o options
	flag.StringVar(&o.bin, "keepward", "bin/keepward", "the binary to measure")
	flag.StringVar(&o.out, "out", "", "file for the markdown page; standard output if empty")
	flag.StringVar(&o.dir, "dir", "", "directory with 30 GiB of room; a temporary one if empty")
	flag.IntVar(&o.rounds, "rounds", 3, "alternating rounds, of which the median counts")
	flag.IntVar(&o.files, "files", 200_000, "files of the tree of small files")
	flag.Int64Var(&o.bytes, "bytes", 3500<<20, "bytes of that tree")
	flag.IntVar(&o.million, "million", 1_000_000, "files of the tree of very small files; 0 leaves it out")
	flag.StringVar(&o.only, "only", "", "comma-separated names of programs to measure; all if empty")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	root, err := os.MkdirTemp(o.dir, "kwbench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	rep := &report{rounds: o.rounds}
	if err := smallFiles(ctx, o, root, rep); err != nil {
		return err
	}
	if o.million > 0 {
		if err := verySmallFiles(ctx, o, root, rep); err != nil {
			return err
		}
	}
	if o.out == "" {
		_, err := fmt.Print(rep.markdown())
		return err
	}
	return os.WriteFile(o.out, []byte(rep.markdown()), 0o644)
}

func engines(o options) []engine {
	all := append([]engine{
		&keepward{bin: o.bin, compression: "zstd"},
		&keepward{bin: o.bin, compression: "fast"},
	}, peers()...)
	if o.only == "" {
		return all
	}
	var some []engine
	for _, e := range all {
		for _, name := range strings.Split(o.only, ",") {
			if strings.HasPrefix(e.name(), name) {
				some = append(some, e)
				break
			}
		}
	}
	return some
}

// smallFiles is the tree of about 200 000 small files, in the order that users meet:
// first backup, nothing changed, 1 % changed, restore.
func smallFiles(ctx context.Context, o options, root string, rep *report) error {
	src := filepath.Join(root, "source")
	fmt.Println("build the tree of small files")
	made, err := treegen.Bench(src, treegen.BenchOptions{From: sources(), Files: o.files, Bytes: o.bytes, Seed: 1})
	if err != nil {
		return err
	}
	rep.files, rep.bytes = made.Files, made.Bytes
	list := engines(o)
	for round := range o.rounds {
		// Every round measures the floors too: they share the machine's mood.
		if err := floors(ctx, src, root, rep); err != nil {
			return err
		}
		// Programs alternate within a round, and start at another one in each.
		order := append(append([]engine{}, list[round%len(list):]...), list[:round%len(list)]...)
		if err := oneRound(ctx, order, src, root, uint64(round), rep); err != nil {
			return err
		}
	}
	return os.RemoveAll(src)
}

func oneRound(ctx context.Context, order []engine, src, root string, round uint64, rep *report) error {
	dir := filepath.Join(root, fmt.Sprintf("round%d", round))
	defer os.RemoveAll(dir)
	for _, e := range order {
		home := filepath.Join(dir, slug(e))
		if err := os.MkdirAll(home, 0o755); err != nil {
			return err
		}
		if err := e.prepare(ctx, home); err != nil {
			return err
		}
		defer e.close() // its own word on its end is not measured
		for _, step := range []string{stepFirst, stepUnchanged} {
			if err := rep.measure(e, step, func() (usage, error) { return e.backup(ctx, src) }); err != nil {
				return err
			}
		}
	}
	if _, err := treegen.Mutate(src, 0.01, 100+round); err != nil {
		return err
	}
	for _, e := range order {
		if err := rep.measure(e, stepChanged, func() (usage, error) { return e.backup(ctx, src) }); err != nil {
			return err
		}
		to, err := newTarget(ctx, dir)
		if err != nil {
			return err
		}
		err = rep.measure(e, stepRestore, func() (usage, error) { return e.restore(ctx, src, filepath.Join(to.dir, "restored")) })
		if err := errors.Join(err, to.remove()); err != nil {
			return err
		}
	}
	return nil
}

func slug(e engine) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == ',' {
			return '-'
		}
		return r
	}, e.name())
}

// verySmallFiles shows that memory does not grow with the number of files.
func verySmallFiles(ctx context.Context, o options, root string, rep *report) error {
	src := filepath.Join(root, "million")
	fmt.Println("build the tree of very small files")
	if err := treegen.Small(src, o.million); err != nil {
		return err
	}
	rep.million = o.million
	k := &keepward{bin: o.bin}
	dir := filepath.Join(root, "millionrun")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := k.prepare(ctx, dir); err != nil {
		return err
	}
	defer k.close() // its own word on its end is not measured
	for _, step := range []string{stepFirst, stepUnchanged} {
		u, err := k.backup(ctx, src)
		if err != nil {
			return err
		}
		rep.many = append(rep.many, manyRow{step, u, k.agentPeak, k.moverPeak})
	}
	return nil
}
