package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// measured does something with a program and answers what it took, what its repository is then,
// and by how much that grew.
func measured(e engine, do func() (usage, error)) (result, error) {
	before, err := sizeOf(e.repository())
	if err != nil {
		return result{}, err
	}
	// What others left to be written must not be paid by this one.
	settle()
	u, err := do()
	if err != nil {
		return result{}, err
	}
	after, err := sizeOf(e.repository())
	return result{Program: e.name(), usage: u, Repository: after, Grown: after - before}, err
}

// sizeOf is what all files take, without their holes; some may just be deleted by a sweep.
func sizeOf(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				total += min(info.Size(), info.Sys().(*syscall.Stat_t).Blocks*512)
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return total, err
}

// tell prints a measurement as it comes.
func (r result) tell() {
	name := r.Program
	if name == "" {
		name = "floor"
	}
	line := fmt.Sprintf("%s  round %d  %-36s %-28s %7.2f s wall %7.2f s CPU", time.Now().UTC().Format("15:04:05"), r.Round+1, name, plain(r.Step), r.Wall.Seconds(), r.CPU.Seconds())
	if r.Program != "" {
		line += fmt.Sprintf(" %5d MiB peak (agent %d, mover %d) %6d MiB repository", r.Peak>>20, r.Agent>>20, r.Mover>>20, r.Repository>>20)
	}
	fmt.Println(line)
}

// plain is a floor's name without what tables need.
func plain(name string) string { return strings.ReplaceAll(name, `\|`, "|") }

func (r *report) markdown(verdicts []verdict) string {
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# Performance")
	p("")
	p("Made by `make bench` on %s. %s", r.date(), machine())
	p("Every figure is the median of the rounds that the tables name, which alternate between the programs over the same data, which is locked in the page cache for the round; restores go into a new ext4 file system each.")
	p("Peak memory and CPU time of Keepward are the sum over server, transport, agent, mover and the waiting command, mapped files included; beside the peak stand agent and mover alone.")
	p("The others are one process each. Figures of one machine: compare the rows, do not quote them as absolute.")
	if missing := missingPeers(); len(missing) > 0 {
		p("Not measured, since they were not there: %s.", strings.Join(missing, ", "))
	}
	p("")
	p("## Goals")
	p("")
	p("| work | figure | program | goal | reached | | rounds |")
	p("|---|---|---|---|---:|---|---|")
	for _, v := range verdicts {
		p("| %s: %s | %s | %s | %s | %s | %s | %s |", v.title, v.step, v.what, strings.ReplaceAll(v.ours, "*", ""), strings.ReplaceAll(v.asked(), "|", `\|`), v.reached(), v.word(), v.rounds)
	}
	p("")
	p("That no crash loses anything is not measured here: `make crash` tries all of them and prints how many there were ([how](decisions/crash-safety.md)).")
	p("")
	for _, w := range r.works {
		if s := r.section(w); len(s.results) > 0 {
			s.markdown(p)
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// date is that of the newest result.
func (r *report) date() string {
	last := time.Time{}
	for _, one := range r.results {
		if one.Time.After(last) {
			last = one.Time
		}
	}
	return last.Format("2006-01-02")
}

func (s *section) markdown(p func(string, ...any)) {
	p("## %s", s.work.title)
	p("")
	text := s.work.about
	if bytes := s.results[0].Data; bytes > 0 {
		text = fmt.Sprintf("%.1f GiB. %s", float64(bytes)/(1<<30), text)
	}
	p("%s", text)
	p("")
	for _, step := range s.work.measures() {
		s.step(p, step)
	}
	s.floors(p)
}

func (s *section) step(p func(string, ...any), step string) {
	head := false
	for _, n := range s.names() {
		runs := s.runs(n, step)
		if len(runs) == 0 {
			continue
		}
		if !head {
			p("### %s", strings.ToUpper(step[:1])+step[1:])
			p("")
			p("| program | wall s | CPU s | peak MiB | agent + mover | repository MiB | grown by MiB | rounds |")
			p("|---|---:|---:|---:|---:|---:|---:|---:|")
			head = true
		}
		m, both := medians(runs), "–"
		if m.Agent+m.Mover > 0 {
			both = fmt.Sprintf("%d + %d", m.Agent>>20, m.Mover>>20)
		}
		p("| %s | %s | %s | %d | %s | %d | %.1f | %d |", n, seconds(m.Wall), seconds(m.CPU), m.Peak>>20, both, m.Repository>>20, float64(m.Grown)/(1<<20), len(runs))
	}
	if head {
		p("")
	}
}

func (s *section) floors(p func(string, ...any)) {
	head := false
	for _, f := range s.work.floors {
		runs := s.runs("", f.name)
		if len(runs) == 0 {
			continue
		}
		if !head {
			p("### Floors")
			p("")
			p("| | wall s | CPU s | rounds |")
			p("|---|---:|---:|---:|")
			head = true
		}
		m := medians(runs)
		p("| %s | %s | %s | %d |", f.name, seconds(m.Wall), seconds(m.CPU), len(runs))
	}
	if head {
		p("")
	}
}

// seconds of what was measured; a dash for what was not.
func seconds(d time.Duration) string {
	if d == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", d.Seconds())
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
