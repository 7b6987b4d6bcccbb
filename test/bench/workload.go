package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// workload is one kind of data and what is done with it, step by step.
type workload struct {
	name, title, about string
	nightly            bool // only when asked for
	// build makes the data in dir and answers its bytes.
	build func(ctx context.Context, dir string) (int64, error)
	// floors are measured in every round; nil: none.
	floors []floor
	parts  []part
	rounds int // at most so many; 0: as asked for
	steps  []step
	// source is the part of the data that is backed up, from a repository that is there already;
	// empty: all of it, to a new one.
	source string
	cold   bool // the data is too much to be read before each round

	share   float64 // of the full size
	seconds int     // that building takes about, and floors in a round
	gib     int     // of room for data and repositories
}

// part is what a program takes part in. Programs that are not named do nothing.
type part struct {
	program string   // pattern of its name
	steps   []string // nil: all
	seconds int      // that it takes about in a round, at full size
}

// step is done by each program in turn.
type step struct {
	name string
	// before changes the data, once for all programs.
	before func(dir string, round uint64) error
	// times does the backup so often, each after before, of which the last is measured.
	times   int
	restore bool
	repeat  int // of a restore; 0: once
	// fresh starts each program over with a new repository before the step.
	fresh bool
	// scene does and measures the step in its own way; it is Keepward's alone.
	scene func(ctx context.Context, x *scene) error
	also  string // what a scene measures beside
}

// measures are the names of all that is measured, in the order of the page.
func (w *workload) measures() []string {
	var all []string
	for _, st := range w.steps {
		all = append(all, st.measures()...)
	}
	return all
}

func (st *step) measures() []string {
	if st.also != "" {
		return []string{st.name, st.also}
	}
	return []string{st.name}
}

// part is that of a program; nil: it has none.
func (w *workload) part(program string) *part {
	for i := range w.parts {
		if matches(w.parts[i].program, program) {
			return &w.parts[i]
		}
	}
	return nil
}

func (p *part) does(step string) bool { return p.steps == nil || slices.Contains(p.steps, step) }

// bench is one run of this program.
type bench struct {
	options
	root string // for what belongs to this run
	data string // for data, which may serve the next run too
	all  []engine
	rep  *report
}

// roundsOf is how many rounds of a workload are asked for.
func (b *bench) roundsOf(w *workload) int {
	if w.rounds > 0 {
		return min(b.rounds, w.rounds)
	}
	return b.rounds
}

// due are the programs that a round still has to measure.
func (b *bench) due(w *workload, round int) []engine {
	var some []engine
	for _, e := range b.all {
		p := w.part(e.name())
		once := b.once != "" && begins(e.name(), strings.Split(b.once, ","))
		switch {
		case p == nil, round > 0 && once, b.only != "" && !begins(e.name(), strings.Split(b.only, ",")):
		case b.again || !b.whole(w, p, e.name(), round):
			some = append(some, e)
		}
	}
	return some
}

// whole tells whether a program's part of a round has been measured.
func (b *bench) whole(w *workload, p *part, program string, round int) bool {
	for _, st := range w.steps {
		for _, name := range st.measures() {
			last := roundNumber(round, st.repeat, max(st.repeat, 1)-1)
			if p.does(st.name) && !b.rep.has(result{Work: w.name, Program: program, Step: name, Round: last}) {
				return false
			}
		}
	}
	return true
}

// dueFloors are the floors that a round still has to measure.
func (b *bench) dueFloors(w *workload, round int) []floor {
	if b.only != "" && !begins("floor", strings.Split(b.only, ",")) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(w.floors), func(f floor) bool {
		return !f.possible() || !b.again && b.rep.has(result{Work: w.name, Step: f.name, Round: round})
	})
}

// roundNumber is the number under which the n-th of several measurements in a round stands.
func roundNumber(round, repeat, n int) int { return round*max(repeat, 1) + n }

func begins(name string, with []string) bool {
	return slices.ContainsFunc(with, func(b string) bool { return strings.HasPrefix(name, b) })
}

func (b *bench) measure(ctx context.Context, w *workload) error {
	open := false
	for round := range b.roundsOf(w) {
		open = open || len(b.due(w, round))+len(b.dueFloors(w, round)) > 0
	}
	if !open {
		return nil
	}
	bytes, err := b.built(ctx, w)
	if err != nil {
		return err
	}
	for round := range b.roundsOf(w) {
		r := run{bench: b, w: w, round: round, bytes: bytes, src: b.dataOf(w), dir: filepath.Join(b.root, fmt.Sprintf("%s-round%d", w.name, round))}
		if err := r.do(ctx); err != nil {
			return err
		}
	}
	if b.keep {
		return nil
	}
	return errors.Join(os.RemoveAll(b.dataOf(w)), os.Remove(b.stampOf(w)))
}

func (b *bench) dataOf(w *workload) string  { return filepath.Join(b.data, w.name) }
func (b *bench) stampOf(w *workload) string { return filepath.Join(b.data, w.name+".json") }

// stamp says that data is whole, and what it is.
type stamp struct {
	Sizes sizes `json:"sizes"`
	Data  int64 `json:"data"`
}

// built makes the data of a workload, unless an earlier run has left it.
func (b *bench) built(ctx context.Context, w *workload) (int64, error) {
	var s stamp
	if content, err := os.ReadFile(b.stampOf(w)); err == nil && json.Unmarshal(content, &s) == nil && s.Sizes == b.sizes() {
		return s.Data, nil
	}
	dir := b.dataOf(w)
	if err := errors.Join(os.RemoveAll(dir), os.RemoveAll(b.stampOf(w)), os.MkdirAll(dir, 0o755)); err != nil {
		return 0, err
	}
	fmt.Printf("== %s: build\n", w.title)
	bytes, err := w.build(ctx, dir)
	if err != nil {
		return 0, err
	}
	content, err := json.Marshal(stamp{b.sizes(), bytes})
	if err != nil {
		return 0, err
	}
	settle()
	return bytes, os.WriteFile(b.stampOf(w), content, 0o644)
}

// run is a round of a workload.
type run struct {
	*bench
	w        *workload
	round    int
	bytes    int64
	src, dir string
}

// add takes a measurement.
func (r *run) add(step string, n int, one result) error {
	one.Work, one.Step, one.Round, one.Data = r.w.name, step, n, r.bytes
	one.tell()
	return r.rep.add(one)
}

func (r *run) do(ctx context.Context) (err error) {
	due, floors := r.due(r.w, r.round), r.dueFloors(r.w, r.round)
	if len(due)+len(floors) == 0 {
		return nil
	}
	fmt.Printf("== %s: round %d\n", r.w.title, r.round+1)
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	defer func() {
		for _, e := range due {
			err = errors.Join(err, e.close())
		}
		err = errors.Join(err, os.RemoveAll(r.dir))
	}()
	if !r.w.cold {
		release, err := hold(filepath.Join(r.src, r.w.source)) // not the repository of a sweep, which is holes
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, release()) }()
	}
	// Every round measures the floors too: they share the machine's mood.
	for _, f := range floors {
		u, err := f.measure(ctx, r.src, r.dir)
		if err != nil {
			return err
		}
		if err := r.add(f.name, r.round, result{usage: u}); err != nil {
			return err
		}
	}
	// Programs alternate within a round, and start at another one in each.
	if len(due) > 0 {
		at := r.round % len(due)
		due = append(slices.Clone(due[at:]), due[:at]...)
	}
	for i := range r.w.steps {
		if err := r.step(ctx, i, due); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) step(ctx context.Context, i int, due []engine) error {
	st := &r.w.steps[i]
	who := slices.DeleteFunc(slices.Clone(due), func(e engine) bool { return !r.w.part(e.name()).does(st.name) })
	if len(who) == 0 {
		return nil
	}
	times := max(st.times, 1)
	for n := range times {
		if st.before != nil {
			if err := st.before(r.src, 1000*uint64(r.round)+uint64(n)+uint64(100*i)); err != nil {
				return err
			}
		}
		for _, e := range who {
			if err := ctx.Err(); err != nil {
				return err
			}
			if i == 0 || st.fresh {
				if err := r.begin(ctx, e, filepath.Join(r.dir, fmt.Sprintf("%s-%d", slug(e), i))); err != nil {
					return err
				}
			}
			if err := r.one(ctx, st, e, n+1 == times); err != nil {
				return fmt.Errorf("%s, %s: %w", e.name(), st.name, err)
			}
		}
	}
	return nil
}

func (r *run) begin(ctx context.Context, e engine, home string) error {
	if err := e.close(); err != nil {
		return err
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return err
	}
	if k, ok := e.(*keepward); ok {
		if k.from = (repositoryOn{}); r.w.source != "" {
			k.from = manyIn(r.src)
		}
	}
	return e.prepare(ctx, home)
}

// one is one step of one program; only with measured set it enters the report.
func (r *run) one(ctx context.Context, st *step, e engine, enter bool) error {
	src := filepath.Join(r.src, r.w.source)
	switch {
	case st.scene != nil:
		return st.scene(ctx, &scene{k: e.(*keepward), src: src, note: func(step string, one result) error { return r.add(step, r.round, one) }})
	case st.restore:
		return r.restores(ctx, st, e, src)
	case !enter:
		_, err := e.backup(ctx, src)
		return err
	}
	one, err := measured(e, func() (usage, error) { return e.backup(ctx, src) })
	if err != nil {
		return err
	}
	return r.add(st.name, r.round, one)
}

func (r *run) restores(ctx context.Context, st *step, e engine, src string) error {
	for n := range max(st.repeat, 1) {
		to, err := newTarget(ctx, r.dir)
		if err != nil {
			return err
		}
		one, err := measured(e, func() (usage, error) { return e.restore(ctx, src, filepath.Join(to.dir, "restored")) })
		if err := errors.Join(err, to.remove()); err != nil {
			return err
		}
		if err := r.add(st.name, roundNumber(r.round, st.repeat, n), one); err != nil {
			return err
		}
	}
	return nil
}

func slug(e engine) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == ',' {
			return '-'
		}
		return r
	}, e.name())
}
