package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"keepward/test/site"
)

// report gathers what was measured.
type report struct {
	rounds   int
	sections []*section
}

// section is what was measured of one workload.
type section struct {
	work         *workload
	files, bytes int64
	names        []string // programs, in the order of their first measurement
	runs         map[string]map[string][]usage
	sizes        map[string]map[string][]int64 // of the repository after the step
	grown        map[string]map[string][]int64 // and by how much the step made it grow
	floors       map[string][]usage
}

func (r *report) section(w *workload, files, bytes int64) *section {
	s := &section{
		work: w, files: files, bytes: bytes, floors: map[string][]usage{},
		runs: map[string]map[string][]usage{}, sizes: map[string]map[string][]int64{}, grown: map[string]map[string][]int64{},
	}
	r.sections = append(r.sections, s)
	return s
}

func (s *section) measure(e engine, step string, do func() (usage, error)) error {
	before, err := site.Size(e.repository())
	if err != nil {
		return err
	}
	// What others left to be written must not be paid by this one.
	unix.Sync()
	u, err := do()
	if err != nil {
		return err
	}
	size, err := site.Size(e.repository())
	if err != nil {
		return err
	}
	n := e.name()
	if s.runs[n] == nil {
		s.names = append(s.names, n)
		s.runs[n], s.sizes[n], s.grown[n] = map[string][]usage{}, map[string][]int64{}, map[string][]int64{}
	}
	s.runs[n][step] = append(s.runs[n][step], u)
	s.sizes[n][step] = append(s.sizes[n][step], size)
	s.grown[n][step] = append(s.grown[n][step], size-before)
	fmt.Printf("%-36s %-28s %7.2f s wall %7.2f s CPU %5d MiB peak %6d MiB repository\n",
		n, step, u.wall.Seconds(), u.cpu.Seconds(), u.peak>>20, size>>20)
	return nil
}

func (s *section) floor(name string, u usage) {
	s.floors[name] = append(s.floors[name], u)
	fmt.Printf("%-36s %-28s %7.2f s wall %7.2f s CPU\n", "floor", strings.ReplaceAll(name, `\|`, "|"), u.wall.Seconds(), u.cpu.Seconds())
}

// figure is one measured value of the first program whose name begins so.
func (s *section) figure(begins, step string, what figure) (float64, bool) {
	i := slices.IndexFunc(s.names, func(n string) bool { return strings.HasPrefix(n, begins) })
	if i < 0 {
		return 0, false
	}
	n := s.names[i]
	if len(s.runs[n][step]) == 0 {
		return 0, false
	}
	if what == growth {
		return float64(median(s.grown[n][step])) / float64(s.bytes), s.bytes > 0
	}
	return what.of(medianUsage(s.runs[n][step]), median(s.sizes[n][step])), true
}

func (r *report) markdown(verdicts []verdict) string {
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# Performance")
	p("")
	p("Made by `make bench` on %s. %s", time.Now().UTC().Format("2006-01-02"), machine())
	p("Every figure is the median of %d alternating runs over the same data (of fewer where it says so), page cache warm, restores into a new ext4 file system each.", r.rounds)
	p("Peak memory and CPU time of Keepward are the sum over server, transport, agent, mover and the waiting command, mapped files included; in brackets agent and mover alone.")
	p("The others are one process each. Figures of one machine: compare the rows, do not quote them as absolute.")
	if missing := missingPeers(); len(missing) > 0 {
		p("Not measured, since they were not there: %s.", strings.Join(missing, ", "))
	}
	p("")
	p("## Goals")
	p("")
	p("| work | figure | program | goal | reached | |")
	p("|---|---|---|---|---:|---|")
	for _, v := range verdicts {
		p("| %s: %s | %s | %s | %s | %s | %s |", v.title, v.step, v.what, v.ours, strings.ReplaceAll(v.asked(), "|", `\|`), v.reached(), v.word())
	}
	p("")
	for _, s := range r.sections {
		s.markdown(p)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func (s *section) markdown(p func(string, ...any)) {
	p("## %s", s.work.title)
	p("")
	text := s.work.about
	if s.bytes > 0 {
		text = fmt.Sprintf("%.1f GiB. %s", float64(s.bytes)/(1<<30), text)
	}
	if s.work.rounds > 0 {
		text += fmt.Sprintf(" At most %d round.", s.work.rounds)
	}
	p("%s", text)
	p("")
	for _, st := range s.work.steps {
		p("### %s", strings.ToUpper(st.name[:1])+st.name[1:])
		p("")
		p("| program | wall s | CPU s | peak MiB | repository MiB | grown by MiB |")
		p("|---|---:|---:|---:|---:|---:|")
		for _, n := range s.names {
			if len(s.runs[n][st.name]) == 0 {
				continue
			}
			u, peak := medianUsage(s.runs[n][st.name]), ""
			if u.data != u.peak {
				peak = fmt.Sprintf(" (%d)", u.data>>20)
			}
			p("| %s | %.2f | %.2f | %d%s | %d | %.1f |", n, u.wall.Seconds(), u.cpu.Seconds(), u.peak>>20, peak,
				median(s.sizes[n][st.name])>>20, float64(median(s.grown[n][st.name]))/(1<<20))
		}
		p("")
	}
	if len(s.floors) == 0 {
		return
	}
	p("### Floors")
	p("")
	p("| | wall s | CPU s |")
	p("|---|---:|---:|")
	for _, f := range s.work.floors {
		if runs := s.floors[f.name]; len(runs) > 0 {
			u := medianUsage(runs)
			p("| %s | %.2f | %.2f |", f.name, u.wall.Seconds(), u.cpu.Seconds())
		}
	}
	p("")
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
