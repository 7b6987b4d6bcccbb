package main

import (
	"fmt"
	"time"
)

// goal is what a figure of ours must be, beside another program's or in itself.
type goal struct {
	work, step string
	what       figure
	ours       string // pattern of the program's name
	// The other figure: that of the best of the programs whose names match these patterns, of
	// a floor, or of another step of our own. None of them: a figure in itself.
	beside    []string
	floor     string
	otherStep string
	most      float64       // ours at most so many times the other's; of growth, a share of the data
	bound     int64         // or at most so many bytes
	within    time.Duration // or at most so long
}

type figure string

const (
	wall   figure = "wall"
	cpu    figure = "CPU"
	memory figure = "memory of agent and mover"
	size   figure = "repository"
	growth figure = "stored, of the data"
)

// The names of programs, as goals refer to them; versions are left out.
const (
	ourZstd       = "keepward, zstd"
	ourFast       = "keepward, fast"
	ours          = "keepward*"
	resticFastest = "restic *, fastest"
	resticAuto    = "restic *, auto"
	kopiaS2       = "kopia *, s2-default"
	anyBorg       = "borg *"
)

// anyStep is the worst of all steps of a workload.
const anyStep = "any step"

// goals are what Keepward set itself before it was measured.
func goals() []goal {
	fastest, usual, kopia := []string{resticFastest}, []string{resticAuto}, []string{kopiaS2}
	best := []string{resticFastest, kopiaS2, anyBorg}
	g := []goal{
		{work: workTree, step: stepFirst, what: wall, ours: ourZstd, beside: fastest, most: 0.5},
		{work: workTree, step: stepFirst, what: wall, ours: ourZstd, beside: usual, most: 0.4},
		{work: workTree, step: stepFirst, what: size, ours: ourZstd, beside: fastest, most: 1},
		{work: workTree, step: stepFirst, what: wall, ours: ourFast, beside: kopia, most: 0.5},
		{work: workTree, step: stepFirst, what: size, ours: ourFast, beside: kopia, most: 1},
		{work: workTree, step: stepFirst, what: wall, ours: ourZstd, floor: floorTarZstd.name, most: 1.4},
		{work: workTree, step: stepUnchanged, what: wall, ours: ourZstd, beside: best, most: 0.4},
		{work: workTree, step: stepChanged, what: wall, ours: ourZstd, beside: best, most: 0.4},
		{work: workTree, step: stepRestore, what: wall, ours: ourZstd, beside: fastest, most: 0.5},
	}
	for _, work := range []string{workImage, workDB} {
		g = append(g,
			goal{work: work, step: stepFirst, what: wall, ours: ourZstd, beside: fastest, most: 0.6},
			goal{work: work, step: stepFirst, what: wall, ours: ourZstd, beside: usual, most: 0.4},
			goal{work: work, step: stepFirst, what: wall, ours: ourFast, beside: kopia, most: 0.5})
	}
	g = append(g,
		goal{work: workDB, step: stepPages, what: growth, ours: ourZstd, most: 0.04},
		goal{work: workDB, step: stepPages, what: wall, ours: ourZstd, beside: best, most: 0.6},
		goal{work: workDB, step: stepRestore, what: wall, ours: ourZstd, beside: fastest, most: 0.6},
		goal{work: workNoise, step: stepFirst, what: wall, ours: ourZstd, beside: best, most: 0.5},
		goal{work: workTiny, step: stepFirst, what: wall, ours: ourZstd, floor: floorTarCat.name, most: 1.2},
		goal{work: workTiny, step: stepFirst, what: cpu, ours: ourZstd, beside: fastest, most: 0.5},
		goal{work: workTiny, step: stepFirst, what: memory, ours: ourZstd, beside: fastest, most: 1},
		// The issue names kopia as the best peer here; the others take minutes for it.
		goal{work: workTiny, step: stepUnchanged, what: wall, ours: ourZstd, beside: kopia, most: 0.4},
		// 70 % of the speed of a fresh full.
		goal{work: workHundred, step: stepOldest, what: wall, ours: ourZstd, otherStep: stepAnew, most: 1 / 0.7},
		goal{work: workSweep, step: stepSweep, what: memory, ours: ourZstd, bound: 256 << 20},
		goal{work: workSweep, step: stepBeside, what: wall, ours: ourZstd, otherStep: stepAlone, most: 1.2},
		goal{work: workLoss, step: stepBack, what: wall, ours: ourZstd, within: 2 * time.Minute})
	for _, work := range workloadNames() {
		g = append(g, goal{work: work, step: anyStep, what: memory, ours: ours, bound: 400 << 20})
	}
	return g
}

// verdict is how a goal stands.
type verdict struct {
	goal
	title  string
	other  string  // what it was compared with
	got    float64 // ratio, or the figure itself
	rounds string  // of ours and of the other
	why    string  // not empty: it could not be measured
}

func (v verdict) met() bool {
	switch {
	case v.why != "":
		return false
	case v.bound > 0:
		return v.got <= float64(v.bound)
	case v.within > 0:
		return v.got <= v.within.Seconds()
	}
	return v.got <= v.most
}

// asked and reached are the verdict's figures in words.
func (v verdict) asked() string {
	switch {
	case v.bound > 0:
		return fmt.Sprintf("≤ %d MiB", v.bound>>20)
	case v.within > 0:
		return fmt.Sprintf("≤ %.0f s", v.within.Seconds())
	case v.what == growth:
		return fmt.Sprintf("≤ %.0f %%", 100*v.most)
	}
	return fmt.Sprintf("≤ %.2f × %s", v.most, v.other)
}

func (v verdict) reached() string {
	switch {
	case v.why != "":
		return v.why
	case v.bound > 0:
		return fmt.Sprintf("%d MiB", int64(v.got)>>20)
	case v.within > 0:
		return fmt.Sprintf("%.1f s", v.got)
	case v.what == growth:
		return fmt.Sprintf("%.1f %%", 100*v.got)
	}
	return fmt.Sprintf("%.2f", v.got)
}

func (v verdict) word() string {
	switch {
	case v.why != "":
		return "not measured"
	case v.met():
		return "met"
	}
	return "missed"
}

func (v verdict) String() string {
	return fmt.Sprintf("%-12s %s, %s, %s: %s asked %s, got %s", v.word(), v.title, v.step, v.ours, v.what, v.asked(), v.reached())
}

// of is the figure out of a measurement, as ratios and bounds take it.
func (f figure) of(r result) float64 {
	switch f {
	case wall:
		return r.Wall.Seconds()
	case cpu:
		return r.CPU.Seconds()
	case memory:
		return float64(r.movers())
	case size:
		return float64(r.Repository)
	case growth:
		return float64(r.Grown) / float64(max(r.Data, 1))
	}
	return 0
}
