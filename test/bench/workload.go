package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// workload is one kind of data and what is done with it, step by step.
type workload struct {
	name, title, about string
	nightly            bool // only when asked for
	// build makes the data in dir and answers the number of files and bytes.
	build func(ctx context.Context, dir string) (files, bytes int64, err error)
	// floors are measured in every round; nil: none.
	floors []floor
	// engines are the programs, by the beginnings of their names; nil: all.
	engines []string
	rounds  int // at most so many; 0: as asked for
	steps   []step
}

// step is done by each program in turn.
type step struct {
	name string
	// before changes the data, once for all programs.
	before func(dir string, round uint64) error
	// times does the backup so often, each after before, of which the last is measured.
	times   int
	restore bool
	// fresh starts each program over with a new repository before the step.
	fresh bool
}

func (w *workload) measure(ctx context.Context, o options, root string, rep *report) error {
	src := filepath.Join(root, w.name)
	if err := os.MkdirAll(src, 0o755); err != nil {
		return err
	}
	fmt.Printf("== %s: build\n", w.title)
	files, bytes, err := w.build(ctx, src)
	if err != nil {
		return err
	}
	s := rep.section(w, files, bytes)
	list := w.programs(o)
	rounds := o.rounds
	if w.rounds > 0 {
		rounds = min(rounds, w.rounds)
	}
	for round := range rounds {
		// Every round measures the floors too: they share the machine's mood.
		for _, f := range w.floors {
			if err := f.measure(ctx, src, root, s); err != nil {
				return err
			}
		}
		// Programs alternate within a round, and start at another one in each.
		at := round % len(list)
		order := append(append([]engine{}, list[at:]...), list[:at]...)
		if err := w.round(ctx, order, src, filepath.Join(root, fmt.Sprintf("%s-round%d", w.name, round)), uint64(round), s); err != nil {
			return err
		}
	}
	return os.RemoveAll(src)
}

func (w *workload) programs(o options) []engine {
	var some []engine
	for _, e := range engines(o) {
		if begins(e.name(), w.engines) && (o.only == "" || begins(e.name(), strings.Split(o.only, ","))) {
			some = append(some, e)
		}
	}
	return some
}

func begins(name string, with []string) bool {
	for _, b := range with {
		if strings.HasPrefix(name, b) {
			return true
		}
	}
	return len(with) == 0
}

func (w *workload) round(ctx context.Context, order []engine, src, dir string, round uint64, s *section) (err error) {
	defer func() {
		for _, e := range order {
			err = errors.Join(err, e.close())
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	for i, st := range w.steps {
		for n := range max(st.times, 1) {
			if st.before != nil {
				if err := st.before(src, 1000*round+uint64(n)+uint64(100*i)); err != nil {
					return err
				}
			}
			last := n+1 == max(st.times, 1)
			for _, e := range order {
				if i == 0 || st.fresh {
					if err := begin(ctx, e, filepath.Join(dir, fmt.Sprintf("%s-%d", slug(e), i))); err != nil {
						return err
					}
				}
				if err := st.do(ctx, e, src, dir, s, last); err != nil {
					return fmt.Errorf("%s, %s: %w", e.name(), st.name, err)
				}
			}
		}
	}
	return nil
}

func begin(ctx context.Context, e engine, home string) error {
	if err := e.close(); err != nil {
		return err
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return err
	}
	return e.prepare(ctx, home)
}

// do runs one step of one program; only with measured set it enters the report.
func (st *step) do(ctx context.Context, e engine, src, dir string, s *section, measured bool) error {
	if !st.restore {
		if !measured {
			_, err := e.backup(ctx, src)
			return err
		}
		return s.measure(e, st.name, func() (usage, error) { return e.backup(ctx, src) })
	}
	to, err := newTarget(ctx, dir)
	if err != nil {
		return err
	}
	err = s.measure(e, st.name, func() (usage, error) { return e.restore(ctx, src, filepath.Join(to.dir, "restored")) })
	return errors.Join(err, to.remove())
}

func slug(e engine) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == ',' {
			return '-'
		}
		return r
	}, e.name())
}
