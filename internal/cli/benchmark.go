package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keepward/internal/errs"
	"keepward/internal/hostbench"
)

// maxSample bounds what is read for a sample; it is held in memory.
const maxSample = 256 << 20

func (a *app) benchmarkCommand() *cobra.Command {
	o := hostbench.Options{}
	var data string
	var disk byteSize
	cmd := &cobra.Command{
		Use: "benchmark", Short: "Measure what this host can do: cut, hash, compress, seal, disk, network",
		Long: `Measures each thing that a backup does, with the code that does it, on one core and on all. It needs no server and touches no repository.

The figures say what will limit a backup on this host: the lowest of what its compression, its disk and its network reach. Ask it on the computer for what its
agent can do, and on the repository's host with --dir on the disk that is meant for the repository.`,
		Example: "  keepward benchmark --dir /srv/keepward\n  keepward benchmark --data /srv/docs --only 'seal, fast' --only 'seal, zstd'",
		Args:    exactly(),
	}
	f := cmd.Flags()
	f.StringVar(&data, "data", "", "file or directory whose content is the sample (default: this program itself)")
	f.StringVar(&o.Dir, "dir", "", "directory on the disk to measure (default: none is measured)")
	f.Var(&disk, "disk-size", "how much is written there (default: 1G)")
	f.DurationVar(&o.Each, "time", time.Second, "time for each figure")
	f.StringArrayVar(&o.Only, "only", nil, "measure only this stage; may be repeated: "+strings.Join(hostbench.Names(), "; "))
	noError(cmd.MarkFlagDirname("dir"))
	noError(cmd.RegisterFlagCompletionFunc("only", cobra.FixedCompletions(hostbench.Names(), cobra.ShellCompDirectiveNoFileComp)))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.Each <= 0 {
			return usage("--time must be above nothing")
		}
		o.DiskBytes = cmp.Or(int64(disk), 1<<30)
		var err error
		if o.Sample, err = readSample(data); err != nil {
			return err
		}
		return a.benchmark(cmd.Context(), o)
	}
	return cmd
}

func (a *app) benchmark(ctx context.Context, o hostbench.Options) error {
	o.Progress = func(stage string) {
		if !a.format.machine() {
			a.remark("measuring: %s", stage)
		}
	}
	var all []hostbench.Result
	if err := hostbench.Run(ctx, o, func(r hostbench.Result) { all = append(all, r) }); err != nil {
		return err
	}
	if a.format.machine() {
		return a.printValue(map[string]any{"sample_bytes": len(o.Sample), "results": all})
	}
	t := a.newTable("STAGE", ">ONE CORE", ">ALL CORES", ">SIZE AFTER", "NOTE")
	for _, r := range all {
		after := ""
		if r.Ratio > 0 {
			after = fmt.Sprintf("%.0f %%", 100*r.Ratio)
		}
		t.row(r.Stage, speed(r.One, r.Unit), speed(r.All, r.Unit), after, r.Note)
	}
	t.print()
	return nil
}

func speed(v float64, unit string) string {
	switch {
	case v == 0:
		return ""
	case unit == "B/s":
		return size(int64(v)) + "/s"
	}
	return fmt.Sprintf("%.0f/s", v)
}

// readSample reads what is to be cut and compressed.
func readSample(path string) ([]byte, error) {
	if path == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, errs.New(errs.KindOf(err), "benchmark.sample", "find a sample: %w", err).WithHint("name one with --data")
		}
		path = self
	}
	var out []byte
	err := filepath.WalkDir(path, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // only read
		b, err := io.ReadAll(io.LimitReader(f, int64(maxSample-len(out))))
		out = append(out, b...)
		if err == nil && len(out) >= maxSample {
			err = fs.SkipAll
		}
		return err
	})
	if err != nil {
		return nil, errs.New(errs.KindOf(err), "benchmark.sample", "read the sample: %w", err)
	}
	return out, nil
}
