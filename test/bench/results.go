package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// result is one measurement, and one line of the results file.
type result struct {
	Work    string `json:"work"`
	Program string `json:"program,omitempty"` // empty: a floor
	Step    string `json:"step"`              // or the floor's name
	Round   int    `json:"round"`
	usage
	Repository int64     `json:"repository,omitempty"` // bytes after the step
	Grown      int64     `json:"grown,omitempty"`      // by the step
	Data       int64     `json:"data,omitempty"`       // bytes that the step was done with
	Time       time.Time `json:"time"`
}

func (r result) same(o result) bool {
	return r.Work == o.Work && r.Program == o.Program && r.Step == o.Step && r.Round == o.Round
}

// sizes are what the results of one file have in common. They are its first line.
type sizes struct {
	Files int     `json:"files"`
	Bytes int64   `json:"bytes"`
	Tiny  int     `json:"tiny"`
	Scale float64 `json:"scale"`
}

// report gathers what was measured, and writes it down at once: what was interrupted goes on.
type report struct {
	works   []*workload
	results []result
	file    *os.File // nil: nothing is written down
}

// openReport reads what the file holds already; without a name nothing is kept.
func openReport(name string, works []*workload, of sizes) (*report, error) {
	r := &report{works: works}
	if name == "" {
		return r, nil
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	r.file = f
	if err := r.load(of); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
	}
	return r, nil
}

func (r *report) load(of sizes) error {
	content, err := io.ReadAll(r.file)
	if err != nil {
		return err
	}
	if len(content) == 0 {
		return r.append(of)
	}
	lines := bufio.NewScanner(bytes.NewReader(content))
	for first := true; lines.Scan(); first = false {
		if first {
			var was sizes
			if err := json.Unmarshal(lines.Bytes(), &was); err != nil {
				return err
			}
			if was != of {
				return fmt.Errorf("it holds results of other sizes of data: %+v, and these are %+v", was, of)
			}
			continue
		}
		var one result
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return err
		}
		r.take(one)
	}
	return lines.Err()
}

func (r *report) append(v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		_, err = r.file.Write(append(b, '\n'))
	}
	return err
}

// take keeps a result; the later of two of the same counts.
func (r *report) take(one result) {
	if i := slices.IndexFunc(r.results, one.same); i >= 0 {
		r.results[i] = one
		return
	}
	r.results = append(r.results, one)
}

// add takes a new result and writes it down.
func (r *report) add(one result) error {
	one.Time = time.Now().UTC().Truncate(time.Second)
	r.take(one)
	if r.file == nil {
		return nil
	}
	return r.append(one)
}

func (r *report) has(one result) bool { return slices.ContainsFunc(r.results, one.same) }

func (r *report) close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// section is what was measured of one workload.
type section struct {
	work    *workload
	results []result
}

func (r *report) section(w *workload) *section {
	s := &section{work: w}
	for _, one := range r.results {
		if one.Work == w.name {
			s.results = append(s.results, one)
		}
	}
	return s
}

// names are the programs, in the order of their first measurement.
func (s *section) names() []string {
	var names []string
	for _, r := range s.results {
		if r.Program != "" && !slices.Contains(names, r.Program) {
			names = append(names, r.Program)
		}
	}
	return names
}

// runs are the measurements of a step of a program; of a floor if there is no program.
func (s *section) runs(program, step string) []result {
	var runs []result
	for _, r := range s.results {
		if r.Program == program && r.Step == step {
			runs = append(runs, r)
		}
	}
	return runs
}

// medians of each figure by itself, over the runs.
func medians(runs []result) result {
	m := runs[0]
	m.Wall = medianOf(runs, func(r result) time.Duration { return r.Wall })
	m.CPU = medianOf(runs, func(r result) time.Duration { return r.CPU })
	m.Peak = medianOf(runs, func(r result) int64 { return r.Peak })
	m.Agent = medianOf(runs, func(r result) int64 { return r.Agent })
	m.Mover = medianOf(runs, func(r result) int64 { return r.Mover })
	m.Repository = medianOf(runs, func(r result) int64 { return r.Repository })
	m.Grown = medianOf(runs, func(r result) int64 { return r.Grown })
	return m
}

// medianOf an even number of runs is the lower middle.
func medianOf[T int64 | time.Duration](runs []result, of func(result) T) T {
	v := make([]T, len(runs))
	for i, r := range runs {
		v[i] = of(r)
	}
	slices.Sort(v)
	return v[(len(v)-1)/2]
}
