// Package snapshottest is the contract of snapshot providers as tests: every provider passes it,
// on real volumes where there are such, those that call programs with doubles of these as well.
package snapshottest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"keepward/internal/snapshot"
)

// Subject is a provider with a volume that fits it and is empty.
type Subject struct {
	Provider snapshot.Provider
	Volume   snapshot.Volume
	// Live: the provider keeps no state (none).
	Live bool
}

// Run runs the suite; each test gets a subject of its own.
func Run(t *testing.T, subject func(t *testing.T) Subject) {
	for name, test := range map[string]func(*testing.T, Subject){
		"what is shown stays":                   stays,
		"all of a set is removed":               removed,
		"those of others are left alone":        others,
		"an ended context ends the try":         ended,
		"a snapshot is kept under another name": kept,
	} {
		t.Run(name, func(t *testing.T) { test(t, subject(t)) })
	}
}

const owner = "00000000000000aa"

func run(id string) snapshot.Name { return snapshot.Name{Owner: owner, ID: id} }

func everything(string) bool { return true }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s Subject) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(s.Volume.Mount, name)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o640))
}

func (s Subject) create(t *testing.T, n snapshot.Name) *snapshot.Snapshot {
	t.Helper()
	snap, err := s.Provider.Create(t.Context(), s.Volume, n, everything)
	must(t, err)
	if snap.Kind != s.Provider.Kind() || snap.Name != n || snap.Volume != s.Volume || snap.Taken.IsZero() {
		t.Errorf("snapshot %+v", snap)
	}
	return snap
}

func (s Subject) list(t *testing.T) []string {
	t.Helper()
	names, err := s.Provider.List(t.Context(), s.Volume, owner)
	must(t, err)
	var out []string
	for _, n := range names {
		out = append(out, n.String())
	}
	slices.Sort(out)
	return out
}

func stays(t *testing.T, s Subject) {
	must(t, s.Provider.Fits(t.Context(), s.Volume))
	s.write(t, "dir/a", "before")
	s.write(t, "gone", "x")
	snap := s.create(t, run("1"))
	if s.Live {
		if len(snap.Parts) != 0 {
			t.Errorf("it has the parts %+v", snap.Parts)
		}
		return
	}
	if len(snap.Parts) != 1 || snap.Parts[0].At != s.Volume.Mount || snap.Parts[0].Live || snap.Parts[0].ID == "" {
		t.Fatalf("parts %+v", snap.Parts)
	}
	s.write(t, "dir/a", "after that")
	s.write(t, "new", "y")
	must(t, os.Remove(filepath.Join(s.Volume.Mount, "gone")))
	for range 2 { // it may be opened again
		root, done, err := s.Provider.Open(t.Context(), snap)
		must(t, err)
		dir := filepath.Join(root, snap.Parts[0].Path)
		if b, err := os.ReadFile(filepath.Join(dir, "dir/a")); err != nil || string(b) != "before" {
			t.Errorf("it shows %q, error %v", b, err)
		}
		if _, err := os.Lstat(filepath.Join(dir, "gone")); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(filepath.Join(dir, "new")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("it shows what came later: %v", err)
		}
		done()
	}
	if c, ok := s.Provider.(snapshot.Checker); ok {
		if err := c.Check(t.Context(), snap); err != nil {
			t.Errorf("it is said to have ended: %v", err)
		}
	}
	must(t, s.Provider.Remove(t.Context(), s.Volume, snap.Name))
	if b, err := os.ReadFile(filepath.Join(s.Volume.Mount, "dir/a")); err != nil || string(b) != "after that" {
		t.Errorf("the volume has %q, error %v", b, err)
	}
}

func removed(t *testing.T, s Subject) {
	a, b := s.create(t, run("1")), s.create(t, run("2"))
	if got := s.list(t); !s.Live && !slices.Equal(got, []string{a.Name.String(), b.Name.String()}) {
		t.Fatalf("listed: %v", got)
	}
	// What a process has opened that was killed does not hold it.
	_, done, err := s.Provider.Open(t.Context(), a)
	must(t, err)
	defer done()
	for range 2 { // the second time there is nothing
		must(t, s.Provider.Remove(t.Context(), s.Volume, a.Name))
	}
	if got := s.list(t); !s.Live && !slices.Equal(got, []string{b.Name.String()}) {
		t.Errorf("listed behind it: %v", got)
	}
	if _, _, err := s.Provider.Open(t.Context(), a); err == nil && !s.Live {
		t.Error("what was removed can be opened")
	}
	must(t, s.Provider.Remove(t.Context(), s.Volume, b.Name))
	if got := s.list(t); len(got) != 0 {
		t.Errorf("listed at the end: %v", got)
	}
}

func others(t *testing.T, s Subject) {
	foreign := snapshot.Name{Owner: "00000000000000bb", ID: "1"}
	s.create(t, foreign)
	if got := s.list(t); len(got) != 0 {
		t.Errorf("listed: %v", got)
	}
	must(t, s.Provider.Remove(t.Context(), s.Volume, run("1")))
	names, err := s.Provider.List(t.Context(), s.Volume, foreign.Owner)
	must(t, err)
	if !s.Live && !slices.Equal(names, []snapshot.Name{foreign}) {
		t.Errorf("of the other there is %v", names)
	}
	must(t, s.Provider.Remove(t.Context(), s.Volume, foreign))
}

func ended(t *testing.T, s Subject) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Provider.Create(ctx, s.Volume, run("1"), everything); err == nil && !s.Live {
		t.Error("it was taken")
	}
	if got := s.list(t); len(got) != 0 {
		t.Errorf("it left %v", got)
	}
}

func kept(t *testing.T, s Subject) {
	k, ok := s.Provider.(snapshot.Keeper)
	if !ok {
		return
	}
	as := snapshot.Name{Owner: owner, Kept: "123"}
	for _, id := range []string{"1", "2"} {
		s.write(t, "a", id)
		snap := s.create(t, run(id))
		must(t, k.Keep(t.Context(), s.Volume, snap.Name, as))
		if got := s.list(t); !slices.Equal(got, []string{as.String()}) {
			t.Fatalf("listed: %v", got)
		}
		snap.Name = as
		root, done, err := s.Provider.Open(t.Context(), snap)
		must(t, err)
		if b, err := os.ReadFile(filepath.Join(root, snap.Parts[0].Path, "a")); err != nil || string(b) != id {
			t.Errorf("the kept one has %q, error %v", b, err)
		}
		done()
	}
	must(t, s.Provider.Remove(t.Context(), s.Volume, as))
}
