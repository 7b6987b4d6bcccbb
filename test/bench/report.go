package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"keepward/test/site"
)

const (
	stepFirst     = "first backup"
	stepUnchanged = "nothing changed"
	stepChanged   = "1 % changed"
	stepRestore   = "restore"
)

var steps = []string{stepFirst, stepUnchanged, stepChanged, stepRestore}

// report gathers what was measured.
type report struct {
	rounds int
	files  int64
	bytes  int64

	names  []string // in the order of their first measurement
	runs   map[string]map[string][]usage
	sizes  map[string]map[string][]int64
	floors map[string][]usage

	million int
	many    []manyRow
}

type manyRow struct {
	step         string
	use          usage
	agent, mover int64
}

func (r *report) measure(e engine, step string, do func() (usage, error)) error {
	// What others left to be written must not be paid by this one.
	unix.Sync()
	u, err := do()
	if err != nil {
		return fmt.Errorf("%s, %s: %w", e.name(), step, err)
	}
	size, err := site.Size(e.repository())
	if err != nil {
		return err
	}
	if r.runs == nil {
		r.runs, r.sizes = map[string]map[string][]usage{}, map[string]map[string][]int64{}
	}
	n := e.name()
	if r.runs[n] == nil {
		r.names = append(r.names, n)
		r.runs[n], r.sizes[n] = map[string][]usage{}, map[string][]int64{}
	}
	r.runs[n][step] = append(r.runs[n][step], u)
	r.sizes[n][step] = append(r.sizes[n][step], size)
	fmt.Printf("%-24s %-16s %7.2f s wall %7.2f s CPU %5d MiB peak %6d MiB repository\n",
		n, step, u.wall.Seconds(), u.cpu.Seconds(), u.peak>>20, size>>20)
	return nil
}

func (r *report) floor(name string, u usage) {
	if r.floors == nil {
		r.floors = map[string][]usage{}
	}
	r.floors[name] = append(r.floors[name], u)
	fmt.Printf("%-24s %-16s %7.2f s wall\n", "floor", name, u.wall.Seconds())
}

func (r *report) markdown() string {
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# Performance")
	p("")
	p("Made by `make bench` on %s. %s", time.Now().UTC().Format("2006-01-02"), machine())
	p("Every figure is the median of %d alternating runs over the same data, page cache warm, restores into a new ext4 file system each. Peak memory and CPU time of Keepward are", r.rounds)
	p("the sum over server, transport, agent, mover and the waiting command; of the others, which are one process, that process.")
	p("All at their default settings, except Keepward's codec as named. Figures of one machine: compare the rows, do not quote them as absolute.")
	p("")
	p("## %d small files, %.1f GiB", r.files, float64(r.bytes)/(1<<30))
	p("")
	p("Varied copies of this machine's `/usr` and Go's tree: each file differs from its original in about one byte of 500, so no program finds whole copies.")
	p("")
	for _, step := range steps {
		p("### %s", strings.ToUpper(step[:1])+step[1:])
		p("")
		p("| program | wall s | CPU s | peak MiB | repository MiB |")
		p("|---|---:|---:|---:|---:|")
		for _, n := range r.names {
			u := medianUsage(r.runs[n][step])
			p("| %s | %.2f | %.2f | %d | %d |", n, u.wall.Seconds(), u.cpu.Seconds(), u.peak>>20, median(r.sizes[n][step])>>20)
		}
		p("")
	}
	p("### Floors")
	p("")
	p("| | wall s |")
	p("|---|---:|")
	for _, n := range floorNames {
		if runs := r.floors[n]; len(runs) > 0 {
			p("| %s | %.2f |", n, medianUsage(runs).wall.Seconds())
		}
	}
	p("")
	if len(r.many) > 0 {
		p("## %d very small files", r.million)
		p("")
		p("0 to 2 KiB each, three levels of directories. One run.")
		p("")
		p("| step | wall s | CPU s | peak of the agent, MiB | peak of the mover, MiB |")
		p("|---|---:|---:|---:|---:|")
		for _, m := range r.many {
			p("| %s | %.2f | %.2f | %d | %d |", m.step, m.use.wall.Seconds(), m.use.cpu.Seconds(), m.agent>>20, m.mover>>20)
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// machine says on what it was measured.
func machine() string {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease") // only for the sentence
	cpu := ""
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, ok := strings.CutPrefix(line, "model name"); ok {
				cpu = strings.Trim(name, " \t:\n") + ", "
				break
			}
		}
	}
	return fmt.Sprintf("%d cores (%s%s), Linux %s, %s.", runtime.NumCPU(), cpu, runtime.GOARCH, strings.TrimSpace(string(kernel)), runtime.Version())
}
