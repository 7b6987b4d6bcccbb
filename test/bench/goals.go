package main

import (
	"fmt"
	"time"
)

// goal is what a figure of ours must be, beside another program's or in itself.
type goal struct {
	work, step string
	what       figure
	ours       string // beginning of a program's name
	// The other figure: that of the best of the programs whose names match these patterns, of
	// a floor, or of another step of our own. None of them: a figure in itself.
	beside    []string
	floor     string
	otherStep string
	most      float64 // ours at most so many times the other's; of growth, a share of the data
	bound     int64   // or at most so many bytes
}

type figure string

const (
	wall   figure = "wall"
	cpu    figure = "CPU"
	memory figure = "memory of agent and mover"
	size   figure = "repository"
	growth figure = "stored, of the data"
)

const (
	ourZstd = "keepward, zstd"
	ourFast = "keepward, fast"
)

var allPeers = []string{"restic *", "kopia *", "borg *"}

// goals are what Keepward set itself before it was measured.
func goals() []goal {
	fastest, usual, kopia := []string{"restic *, fastest"}, []string{"restic *, auto"}, []string{"kopia *, s2-default"}
	g := []goal{
		{work: workTree, step: stepFirst, what: wall, ours: ourZstd, beside: fastest, most: 0.5},
		{work: workTree, step: stepFirst, what: wall, ours: ourZstd, beside: usual, most: 0.4},
		{work: workTree, step: stepFirst, what: size, ours: ourZstd, beside: fastest, most: 1},
		{work: workTree, step: stepFirst, what: wall, ours: ourFast, beside: kopia, most: 0.5},
		{work: workTree, step: stepFirst, what: size, ours: ourFast, beside: kopia, most: 1},
		{work: workTree, step: stepFirst, what: wall, ours: ourZstd, floor: floorTarZstd.name, most: 1.4},
		{work: workTree, step: stepUnchanged, what: wall, ours: ourZstd, beside: allPeers, most: 0.4},
		{work: workTree, step: stepChanged, what: wall, ours: ourZstd, beside: allPeers, most: 0.4},
		{work: workTree, step: stepRestore, what: wall, ours: ourZstd, beside: []string{"restic *"}, most: 0.5},
	}
	for _, work := range []string{workImage, workDB} {
		g = append(g,
			goal{work: work, step: stepFirst, what: wall, ours: ourZstd, beside: fastest, most: 0.6},
			goal{work: work, step: stepFirst, what: wall, ours: ourZstd, beside: usual, most: 0.4},
			goal{work: work, step: stepFirst, what: wall, ours: ourFast, beside: kopia, most: 0.5})
	}
	g = append(g,
		goal{work: workDB, step: stepPages, what: growth, ours: ourZstd, most: 0.04},
		goal{work: workDB, step: stepPages, what: wall, ours: ourZstd, beside: allPeers, most: 0.6},
		goal{work: workDB, step: stepRestore, what: wall, ours: ourZstd, beside: []string{"restic *"}, most: 0.6},
		goal{work: workNoise, step: stepFirst, what: wall, ours: ourZstd, beside: allPeers, most: 0.5},
		goal{work: workTiny, step: stepFirst, what: wall, ours: ourZstd, floor: floorTarCat.name, most: 1.2},
		goal{work: workTiny, step: stepFirst, what: cpu, ours: ourZstd, beside: []string{"restic *"}, most: 0.5},
		goal{work: workTiny, step: stepFirst, what: memory, ours: ourZstd, beside: []string{"restic *"}, most: 1},
		goal{work: workTiny, step: stepUnchanged, what: wall, ours: ourZstd, beside: allPeers, most: 0.4},
		// 70 % of the speed of a fresh full.
		goal{work: workHundred, step: stepOldest, what: wall, ours: ourZstd, otherStep: stepAnew, most: 1 / 0.7})
	for _, at := range []struct{ work, step string }{
		{workTree, stepFirst},
		{workTree, stepRestore},
		{workImage, stepFirst},
		{workDB, stepFirst},
		{workDB, stepPages},
		{workDB, stepRestore},
		{workTiny, stepFirst},
		{workTiny, stepUnchanged},
		{workNightly, stepFirst},
		{workNightly, stepUnchanged},
	} {
		g = append(g, goal{work: at.work, step: at.step, what: memory, ours: ourZstd, bound: 400 << 20})
	}
	return g
}

// verdict is how a goal stands.
type verdict struct {
	goal
	title string
	other string  // what it was compared with
	got   float64 // ratio, or the figure itself
	why   string  // not empty: it could not be measured
}

func (v verdict) met() bool {
	switch {
	case v.why != "":
		return false
	case v.bound > 0:
		return v.got <= float64(v.bound)
	}
	return v.got <= v.most
}

// asked and reached are the verdict's figures in words.
func (v verdict) asked() string {
	switch {
	case v.bound > 0:
		return fmt.Sprintf("≤ %d MiB", v.bound>>20)
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

// of is the figure out of a usage and the size of the repository after it.
func (f figure) of(u usage, repository int64) float64 {
	switch f {
	case wall:
		return float64(u.wall) / float64(time.Second)
	case cpu:
		return float64(u.cpu) / float64(time.Second)
	case memory:
		return float64(u.data)
	case size:
		return float64(repository)
	}
	return 0
}
