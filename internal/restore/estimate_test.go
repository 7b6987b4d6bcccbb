//go:build linux

package restore

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"keepward/internal/repo/seal"
)

// Locate makes a store a Locator: every record is in the pack of its first id's byte.
func (s *store) Locate(_ context.Context, ids []seal.ID) (sizes, packs []uint32, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		sizes, packs = append(sizes, uint32(len(s.records[id]))), append(packs, 7)
	}
	return sizes, packs, nil
}

// What is estimated is what the restore then does, and estimating changes nothing.
func TestEstimateIsWhatTheRestoreDoes(t *testing.T) {
	src := tree(t, map[string]string{"a": "content", "b": "other", "same/twice": "content", "dir/": ""})
	must(t, os.WriteFile(filepath.Join(src, "large"), randomFile(9<<20, 1), 0o644))
	must(t, os.WriteFile(filepath.Join(src, "copy"), randomFile(9<<20, 1), 0o644))
	must(t, os.Link(filepath.Join(src, "large"), filepath.Join(src, "link")))
	s := newStore()
	name := s.backup(t, src)

	to := filepath.Join(tempDir(t), "to")
	for _, there := range []bool{false, true} {
		if there {
			var l log
			restoreOK(t, s.options(name, src, to, &l))
			must(t, os.Remove(filepath.Join(to, "copy")))
		}
		var l log
		o := s.options(name, src, to, &l)
		o.Estimate = true
		est := restoreOK(t, o)
		if len(l.events) != 0 {
			t.Errorf("estimating says %v", l.events)
		}
		if _, err := os.Stat(filepath.Join(to, "copy")); err == nil {
			t.Error("estimating wrote something")
		}
		clear(s.gets)
		o.Estimate = false
		got := restoreOK(t, o)
		if est.DoneDirs != 3 || got.DoneDirs != 3 || est.DoneFiles != got.DoneFiles || est.DoneBytes != got.DoneBytes || est.SkippedBytes != got.SkippedBytes {
			t.Errorf("there %v: estimated %+v, did %+v", there, est, got)
		}
		if est.PlanChunks != got.Chunks || est.PlanBytes != got.FetchedBytes || est.PlanPacks != 1 {
			t.Errorf("there %v: to fetch %d chunks, %d bytes of %d packs; fetched %d, %d", there, est.PlanChunks, est.PlanBytes, est.PlanPacks, got.Chunks, got.FetchedBytes)
		}
	}
}

// A restore that comes to nothing leaves no directory behind that it made; one that was there
// stays.
func TestFailedRestoreLeavesNoEmptyTarget(t *testing.T) {
	src := tree(t, map[string]string{"a": "content"})
	s := newStore()
	name := s.backup(t, src)
	root := tempDir(t)
	must(t, os.Mkdir(filepath.Join(root, "there"), 0o755))
	for to, stays := range map[string]bool{"new": false, "there": true, "there/below/more": false} {
		var l log
		o := s.options(name, filepath.Join(src, "not in the point"), filepath.Join(root, to), &l)
		if _, err := Run(t.Context(), o); err == nil {
			t.Fatal("the restore was to fail")
		}
		if _, err := os.Stat(filepath.Join(root, to)); (err == nil) != stays {
			t.Errorf("%s: is there: %v, want %v", to, err == nil, stays)
		}
	}
	if left, err := os.ReadDir(filepath.Join(root, "there")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
