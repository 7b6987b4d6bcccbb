// Command bench measures Keepward beside restic, kopia and borg: the same data, alternating
// runs, medians; beside floors that no backup program can beat; and against goals. It writes a
// markdown page. It is started by `make bench`.
//
// Peers are looked for in the directories that PEERS_BIN names and then in PATH. One that is
// missing is named as missing, and a goal that is set against it is not reported as met.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

type options struct {
	bin    string
	out    string
	dir    string
	rounds int
	files  int
	bytes  int64
	tiny   int
	scale  float64
	only   string
	work   string
	strict bool
}

func main() {
	var o options
	flag.StringVar(&o.bin, "keepward", "bin/keepward", "the binary to measure")
	flag.StringVar(&o.out, "out", "", "file for the markdown page; standard output if empty")
	flag.StringVar(&o.dir, "dir", "", "directory with 40 GiB of room; a temporary one if empty")
	flag.IntVar(&o.rounds, "rounds", 3, "alternating rounds, of which the median counts")
	flag.IntVar(&o.files, "files", 200_000, "files of the tree of small files")
	flag.Int64Var(&o.bytes, "bytes", 3500<<20, "bytes of that tree")
	flag.IntVar(&o.tiny, "tiny", 1_000_000, "files of the tree of very small files")
	flag.Float64Var(&o.scale, "scale", 1, "size of the large files: 1 is 4 GiB of disk image, 2 GiB of database, 1 GiB of noise")
	flag.StringVar(&o.only, "only", "", "comma-separated beginnings of names of programs to measure; all if empty")
	flag.StringVar(&o.work, "work", "", "comma-separated workloads: "+strings.Join(workloadNames(), ", ")+"; all but nightly if empty")
	flag.BoolVar(&o.strict, "strict", false, "exit with 1 if a goal is missed or could not be measured")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if err := usePeers(); err != nil {
		return err
	}
	root, err := os.MkdirTemp(o.dir, "kwbench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	rep := &report{rounds: o.rounds}
	for _, w := range workloads(o) {
		if !chosen(o, w) {
			continue
		}
		if err := w.measure(ctx, o, root, rep); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	verdicts := rep.judge(goals())
	page := rep.markdown(verdicts)
	if o.out == "" {
		fmt.Print(page)
	} else if err := os.WriteFile(o.out, []byte(page), 0o644); err != nil {
		return err
	}
	open := 0
	for _, v := range verdicts {
		fmt.Println(v)
		if !v.met() {
			open++
		}
	}
	fmt.Printf("%d of %d goals met\n", len(verdicts)-open, len(verdicts))
	if o.strict && open > 0 {
		return fmt.Errorf("%d goals are not met", open)
	}
	return nil
}

func chosen(o options, w *workload) bool {
	if o.work == "" {
		return !w.nightly
	}
	return slices.Contains(strings.Split(o.work, ","), w.name)
}
