// Package apptest is the suite that every kind of application passes, against a server that really
// runs.
package apptest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keepward/internal/app"
	"keepward/internal/errs"
)

// Subject is a kind with a server that the suite may work with.
type Subject struct {
	Kind app.Kind
	// Instance is one that works; Denied has a wrong password, and at the address of Away nobody
	// listens.
	Instance, Denied, Away app.Instance
	// Write changes something in the application, as its users do, and returns once it stands.
	Write func(ctx context.Context) error
	// Busy tells whether the application is in what Begin or Hold brought it into.
	Busy func(ctx context.Context) (bool, error)
}

const (
	soon = 20 * time.Second
	// tick is how often is asked for what comes by itself.
	tick = 20 * time.Millisecond
)

// Run holds a kind to the contract.
func Run(t *testing.T, s Subject) {
	t.Run("a wrong password is refused, and said so", func(t *testing.T) { refused(t, s, s.Denied, "application.denied") })
	t.Run("an address where nobody listens is said so", func(t *testing.T) { refused(t, s, s.Away, "application.unreachable") })
	t.Run("the plan names real directories apart from each other", func(t *testing.T) { plan(t, s) })
	t.Run("a whole backup, with writes all along", func(t *testing.T) { whole(t, s) })
	t.Run("Close ends it wherever it is", func(t *testing.T) { closed(t, s) })
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	t.Cleanup(cancel)
	return ctx
}

func open(t *testing.T, s Subject) app.Application {
	t.Helper()
	a, err := s.Kind.Open(within(t), s.Instance)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(a.Close)
	return a
}

func refused(t *testing.T, s Subject, in app.Instance, code string) {
	a, err := s.Kind.Open(within(t), in)
	if err == nil {
		a.Close()
		t.Fatal("it was let in")
	}
	if errs.CodeOf(err) != code {
		t.Errorf("code %q of %v, want %q", errs.CodeOf(err), err, code)
	}
	if p := in.Secret.Reveal(); p != "" && strings.Contains(err.Error(), p) {
		t.Errorf("the password is in %v", err)
	}
}

func plan(t *testing.T, s Subject) {
	p := open(t, s).Plan()
	if p.Text == "" || len(p.Trees) == 0 {
		t.Fatalf("nothing is said or read: %+v", p)
	}
	names(t, p.Trees)
}

func names(t *testing.T, trees []app.Tree) {
	t.Helper()
	for i, tree := range trees {
		if !filepath.IsLocal(tree.Name) || filepath.ToSlash(filepath.Clean(tree.Name)) != tree.Name {
			t.Errorf("the name %q leads out of its folder", tree.Name)
		}
		if real, err := filepath.EvalSymlinks(tree.Path); err != nil || real != tree.Path || !filepath.IsAbs(tree.Path) {
			t.Errorf("tree %s: the path %q is not one without links (%q, %v)", tree.Name, tree.Path, real, err)
		}
		if slices.ContainsFunc(trees[:i], func(o app.Tree) bool {
			return strings.HasPrefix(o.Name+"/", tree.Name+"/") || strings.HasPrefix(tree.Name+"/", o.Name+"/")
		}) {
			t.Errorf("tree %s lies within another one", tree.Name)
		}
	}
}

func whole(t *testing.T, s Subject) {
	a := open(t, s)
	must(t, "write before", s.Write(within(t)))
	must(t, "begin", a.Begin(within(t)))
	must(t, "write after begin", s.Write(within(t)))
	begun := time.Now()
	must(t, "hold", a.Hold(within(t)))
	must(t, "release", a.Release(within(t)))
	if held := time.Since(begun); held > app.HoldMost {
		t.Errorf("held for %v", held)
	}
	must(t, "release once more", a.Release(within(t)))
	must(t, "write after release", s.Write(within(t)))
	more := t.TempDir()
	trees, err := a.End(within(t), more)
	must(t, "end", err)
	if found, err := os.ReadDir(more); err != nil || len(found)+len(trees) == 0 {
		t.Errorf("the end added nothing: %v", err)
	}
	names(t, trees)
	for _, tree := range trees {
		for _, f := range tree.Only {
			if _, err := os.Stat(filepath.Join(tree.Path, f)); err != nil {
				t.Errorf("tree %s: %v", tree.Name, err)
			}
		}
	}
	must(t, "committed", a.Committed(within(t)))
	a.Close()
	idle(t, s)
	must(t, "write after all", s.Write(within(t)))
}

func closed(t *testing.T, s Subject) {
	for _, far := range []string{"open", "begin", "hold"} {
		a := open(t, s)
		if far != "open" {
			must(t, "begin", a.Begin(within(t)))
		}
		if far == "hold" {
			must(t, "hold", a.Hold(within(t)))
		}
		a.Close()
		a.Close()
		idle(t, s)
		must(t, "write after "+far, s.Write(within(t)))
	}
	a := open(t, s)
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("enough"))
	if err := a.Begin(ctx); err == nil {
		t.Error("it began though its time was over")
	}
	a.Close()
	idle(t, s)
}

// idle waits until the application is what it was: a server may take a moment to see that a
// connection has ended.
func idle(t *testing.T, s Subject) {
	t.Helper()
	ctx := within(t)
	for {
		busy, err := s.Busy(ctx)
		must(t, "ask whether it is busy", err)
		if !busy {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal("it did not come back by itself")
		case <-time.After(tick):
		}
	}
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
