// Package survey tells what a backup of a selection would take if it ran now, and what each rule
// would leave out. It walks as a backup does and asks the same filter; nothing is read but
// directories, and nothing is kept.
//
// It is not for comparing with a restore point: what it tells is all that would be taken, whether
// a backup would read it or find it unchanged. A Survey is run once; Progress may be called by
// others while it runs.
package survey

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/repo/fileindex"
	"keepward/internal/source"
)

const (
	// mostLarge is how many of the largest files and directories are told.
	mostLarge = 10
	// mostProblems is how many problems are told with their paths.
	mostProblems = 100
	// progressEvery is after how many files it is noted where the walk is.
	progressEvery = 64
)

// Survey is one look at what a selection would take.
type Survey struct {
	sel     source.Selection
	scratch string

	files, dirs, bytes atomic.Int64
	left               atomic.Int64
	current            atomic.Pointer[string]

	out      *keepwardv1.DryRun
	includes map[string]*include // by path; nil: the walk has not begun
	within   []*include          // of those, the ones that the walk is in
	large    largest
	trees    trees
}

// include is an include path as the walk takes it.
type include struct {
	path []byte // as source.Item.Path
	out  *keepwardv1.DryRunPath
}

// New prepares a survey; scratch is the directory for what is too much for memory.
func New(sel source.Selection, scratch string) *Survey {
	sel.Alone = true
	return &Survey{sel: sel, scratch: scratch, out: &keepwardv1.DryRun{Taken: &keepwardv1.Amount{}}}
}

// Progress is how far it is.
func (s *Survey) Progress() *keepwardv1.Progress {
	p := &keepwardv1.Progress{Phase: "dry run", Counters: &keepwardv1.Counters{
		DoneFiles: s.files.Load() + s.dirs.Load(), DoneDirs: s.dirs.Load(), DoneBytes: s.bytes.Load(), ExcludedFiles: s.left.Load(),
	}}
	if c := s.current.Load(); c != nil {
		p.Current = *c
	}
	return p
}

// Run looks, in the calling goroutine alone, until all is seen or ctx is done.
func (s *Survey) Run(ctx context.Context) (*keepwardv1.DryRun, error) {
	begun := time.Now()
	missing := make(map[string]*keepwardv1.DryRunPath)
	w, err := source.NewWalker(s.sel, func(p source.Problem) { s.problem(p, missing) })
	if err != nil {
		return nil, err
	}
	defer w.Close()
	w.SpillTo(s.scratch)
	w.Measure(ctx)
	if err := s.plan(missing); err != nil {
		return nil, err
	}
	for n := 0; ; {
		it, err := w.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = ctx.Err() // what the walk has at hand it answers without asking
		}
		if err != nil {
			return nil, err
		}
		s.take(it)
		if n++; n%progressEvery == 0 {
			c := string(it.Path)
			s.current.Store(&c)
			s.left.Store(w.Excluded())
		}
	}
	s.trees.finish(&s.large)
	s.finish(w, time.Since(begun))
	return s.out, nil
}

// problem notes what the walk could not do. missing are the include paths that it does not take.
func (s *Survey) problem(p source.Problem, missing map[string]*keepwardv1.DryRunPath) {
	text := p.Err.Error()
	switch {
	case p.Code == "include.missing":
		missing[string(p.Path)] = &keepwardv1.DryRunPath{State: "missing", Text: text}
	case p.Code == "include.platform":
		missing[string(p.Path)] = &keepwardv1.DryRunPath{State: "other platform", Text: text}
	case s.includes == nil && p.Code == "file.unreadable":
		missing[string(p.Path)] = &keepwardv1.DryRunPath{State: "unreadable", Text: text}
	}
	path := p.Path
	if p.Code != "include.platform" {
		path = append([]byte{'/'}, path...)
	}
	s.note(string(p.Level), p.Code, path, text)
}

func (s *Survey) note(level, code string, path []byte, text string) {
	switch level {
	case string(source.Error):
		s.out.Errors++
	case string(source.Warning):
		s.out.Warnings++
	default:
		return
	}
	if len(s.out.Problems) < mostProblems {
		s.out.Problems = append(s.out.Problems, &keepwardv1.DryRunProblem{Level: level, Code: code, Path: bytes.Clone(path), Text: text})
	}
}

// plan lists the include paths.
func (s *Survey) plan(missing map[string]*keepwardv1.DryRunPath) error {
	reach, err := s.sel.Reach()
	if err != nil {
		return err
	}
	s.includes = make(map[string]*include)
	for _, p := range s.sel.Include {
		clean := filepath.Clean(p)
		out := missing[p]
		if out == nil {
			out = missing[string(source.Path(clean))]
		}
		if out == nil {
			real := clean
			if r, ok := reach.Real(clean); ok {
				real = r
			}
			out = &keepwardv1.DryRunPath{State: "taken", Amount: &keepwardv1.Amount{}}
			if real != clean {
				out.Text = "a directory above it is a symlink: " + real + " is taken"
			}
			// Of two that are the same path, the first counts.
			if path := source.Path(real); s.includes[string(path)] == nil {
				s.includes[string(path)] = &include{path: path, out: out}
			}
		}
		out.Path = []byte(p)
		s.out.Includes = append(s.out.Includes, out)
	}
	return nil
}

// at answers the innermost include path that a path lies in; nil: it only leads to one.
func (s *Survey) at(path []byte) *include {
	for n := len(s.within); n > 0 && !within(path, s.within[n-1].path); n-- {
		s.within = s.within[:n-1]
	}
	if i := s.includes[string(path)]; i != nil {
		s.within = append(s.within, i)
	}
	if len(s.within) == 0 {
		return nil
	}
	return s.within[len(s.within)-1]
}

// within tells whether a path is dir or below it.
func within(path, dir []byte) bool {
	return len(dir) == 0 || bytes.HasPrefix(path, dir) && (len(path) == len(dir) || path[len(dir)] == '/')
}

func (s *Survey) take(it *source.Item) {
	amount := &keepwardv1.Amount{}
	at := s.at(it.Path)
	if it.Stat.Type == fileindex.Dir {
		amount.Dirs = 1
		s.dirs.Add(1)
		s.trees.enter(it.Path, at == nil, &s.large)
	} else {
		amount.Files, amount.Bytes = 1, source.Share(&it.Stat)
		s.files.Add(1)
		s.bytes.Add(amount.Bytes)
		s.trees.add(it.Path, amount.Bytes, &s.large)
		s.readable(it)
		s.large.file(it.Path, it.Stat.Size)
	}
	add(s.out.Taken, amount)
	if at != nil {
		add(at.out.Amount, amount)
	}
}

// readable notes a file that the backup could not open.
func (s *Survey) readable(it *source.Item) {
	if it.Stat.Type != fileindex.File || it.Dir == nil {
		return
	}
	if err := it.Dir.Readable(it.Name()); err != nil {
		s.note(string(source.Error), "file.unreadable", append([]byte{'/'}, it.Path...), err.Error())
	}
}

func add(to, a *keepwardv1.Amount) {
	to.Files, to.Dirs, to.Bytes = to.Files+a.Files, to.Dirs+a.Dirs, to.Bytes+a.Bytes
}

func (s *Survey) finish(w *source.Walker, took time.Duration) {
	for _, l := range w.Left() {
		s.out.LeftOut = append(s.out.LeftOut, &keepwardv1.DryRunRule{
			Kind: string(l.Rule.Kind), Rule: l.Rule.Text, What: l.Rule.What, Names: l.Names, Unseen: l.Unseen,
			Amount: &keepwardv1.Amount{Files: l.Files, Dirs: l.Dirs, Bytes: l.Bytes},
		})
	}
	slices.SortStableFunc(s.out.LeftOut, func(a, b *keepwardv1.DryRunRule) int {
		return cmp.Or(cmp.Compare(b.Amount.Bytes, a.Amount.Bytes), cmp.Compare(b.Names, a.Names))
	})
	s.out.LargestFiles, s.out.LargestDirs = s.large.files.sorted(), s.large.dirs.sorted()
	s.out.Took = durationpb.New(took)
	if s.out.Taken.Files == 0 && (len(s.out.LeftOut) > 0 || len(s.sel.Only) > 0) {
		s.out.Remarks = append(s.out.Remarks, s.nothing())
	}
}

// nothing says why no file would be taken.
func (s *Survey) nothing() string {
	text := "nothing would be taken but empty directories"
	var rules []string
	for _, l := range s.out.LeftOut[:min(len(s.out.LeftOut), 5)] {
		rules = append(rules, source.Rule{Kind: source.RuleKind(l.GetKind()), Text: l.GetRule(), What: l.GetWhat()}.String())
	}
	if len(rules) > 0 {
		return text + ": all is left out by " + strings.Join(rules, ", ")
	}
	return text + ": no file matches the masks " + strings.Join(s.sel.Only, " ")
}
