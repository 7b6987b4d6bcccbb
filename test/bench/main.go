// Command bench measures Keepward beside restic, kopia and borg: the same data, alternating
// runs, medians; beside floors that no backup program can beat; and against goals. It writes a
// markdown page. It is started by `make bench`.
//
// Peers are looked for in the directories that PEERS_BIN names and then in PATH. One that is
// missing is named as missing, and a goal that is set against it is not reported as met.
//
// With -results every measurement is written down at once, and one that stands there is not made
// again: a run that was interrupted goes on, and a long one can be made in pieces. With -dir and
// -keep they share the data too.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

type options struct {
	bin      string
	out      string
	dir      string
	results  string
	rounds   int
	files    int
	bytes    int64
	tiny     int
	scale    float64
	only     string
	once     string
	work     string
	again    bool
	keep     bool
	planOnly bool
	strict   bool
}

func (o options) sizes() sizes { return sizes{o.files, o.bytes, o.tiny, o.scale} }

func main() {
	holdIfTold()
	var o options
	flag.StringVar(&o.bin, "keepward", "bin/keepward", "the binary to measure")
	flag.StringVar(&o.out, "out", "", "file for the markdown page; standard output if empty")
	flag.StringVar(&o.dir, "dir", "", "directory with 30 GiB of room; a temporary one if empty")
	flag.StringVar(&o.results, "results", "", "file that holds every measurement, to which new ones are added; none if empty")
	flag.IntVar(&o.rounds, "rounds", 3, "alternating rounds, of which the median counts")
	flag.IntVar(&o.files, "files", 200_000, "files of the tree of small files")
	flag.Int64Var(&o.bytes, "bytes", 3500<<20, "bytes of that tree")
	flag.IntVar(&o.tiny, "tiny", 1_000_000, "files of the tree of very small files, and chunks of the repository that is swept")
	flag.Float64Var(&o.scale, "scale", 1, "size of the large files: 1 is 4 GiB of disk image, 2 GiB of database, 1 GiB of noise")
	flag.StringVar(&o.only, "only", "", "comma-separated beginnings of names of programs to measure, or floor; all if empty")
	flag.StringVar(&o.once, "once", "borg", "comma-separated beginnings of names of programs that are measured in the first round only")
	flag.StringVar(&o.work, "work", "", "comma-separated workloads: "+strings.Join(workloadNames(), ", ")+"; all but nightly if empty, none for the page alone")
	flag.BoolVar(&o.again, "again", false, "measure again what the results hold already; the new figures take the place of the old ones")
	flag.BoolVar(&o.keep, "keep", false, "keep the data in -dir for the next run")
	flag.BoolVar(&o.planOnly, "plan", false, "only print what would be done and how long it takes about")
	flag.BoolVar(&o.strict, "strict", false, "exit with 1 if a goal is missed or could not be measured")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := start(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context, o options) (err error) {
	if err := errors.Join(o.check(), usePeers()); err != nil {
		return err
	}
	if o.dir != "" { // repositories are told where they are
		if o.dir, err = filepath.Abs(o.dir); err != nil {
			return err
		}
	}
	b := &bench{options: o, all: engines(o)}
	works := workloads(o)
	if b.rep, err = openReport(o.results, works, o.sizes()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.rep.close()) }()
	if b.root, err = os.MkdirTemp(o.dir, "kwbench"); err != nil {
		return err
	}
	dog, err := watch(b.root)
	if err != nil {
		return errors.Join(err, os.RemoveAll(b.root))
	}
	defer func() { err = errors.Join(err, dog.close()) }()
	b.data = b.root
	if o.keep {
		b.data = filepath.Join(o.dir, "bench-data")
	}
	if err := os.MkdirAll(b.data, 0o755); err != nil {
		return err
	}
	works = slices.DeleteFunc(slices.Clone(works), func(w *workload) bool { return !o.chosen(w) })
	if err := b.plan(works); err != nil || o.planOnly {
		return err
	}
	for _, w := range works {
		if err := b.measure(ctx, w); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return b.publish()
}

// publish writes the page and tells how the goals stand.
func (b *bench) publish() error {
	verdicts := b.rep.judge(goals())
	page := b.rep.markdown(verdicts)
	if b.out == "" {
		fmt.Print(page)
	} else if err := os.WriteFile(b.out, []byte(page), 0o644); err != nil {
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
	if b.strict && open > 0 {
		return fmt.Errorf("%d goals are not met", open)
	}
	return nil
}

func (o options) check() error {
	for _, name := range strings.Split(o.work, ",") {
		if name != "" && name != "none" && !slices.Contains(workloadNames(), name) {
			return fmt.Errorf("-work: there is no %q", name)
		}
	}
	if o.keep && o.dir == "" {
		return errors.New("-keep: where is told by -dir")
	}
	return nil
}

func (o options) chosen(w *workload) bool {
	if o.work == "" {
		return !w.nightly
	}
	return slices.Contains(strings.Split(o.work, ","), w.name)
}
