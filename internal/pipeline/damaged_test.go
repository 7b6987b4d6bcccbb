package pipeline

import (
	"context"
	"fmt"
	"testing"

	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// damagedParent is a store whose parent needs what is damaged.
type damagedParent struct{ *memStore }

func (damagedParent) Point(context.Context, string) ([]byte, error) {
	return nil, errs.New(errs.Corrupt, "point.needs-damaged", "the point needs what is damaged in the repository")
}

// A parent with damage is not compared with: every file is read, so that every chunk is asked
// for and what is damaged is stored again.
func TestADamagedParentIsNotTakenOver(t *testing.T) {
	s := newSite(t)
	s.write("a", []byte("content"))
	s.write("d/b", []byte("more content"))
	s.age()
	parent, _ := s.backup("")

	s.opts.Parent, s.opts.Attempt = parent, point.Attempt{99}
	s.store.attempt, s.events = s.opts.Attempt, nil
	s.opts.Counters = &Counters{}
	res, err := Run(context.Background(), damagedParent{s.store}, s.opts)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.events) != 1 || s.events[0].Code != "parent.damaged" {
		t.Fatalf("events %v", s.codes())
	}
	if got := s.opts.Counters.Proto().GetReadBytes(); got != int64(len("content")+len("more content")) {
		t.Fatalf("%d bytes were read", got)
	}
	if len(s.tree(res)) == 0 {
		t.Fatal("the point is empty")
	}
}

// A node of the parent that cannot be opened ends the comparison, not the backup.
func TestADamagedNodeOfTheParentIsOutlived(t *testing.T) {
	s := newSite(t)
	for i := range 2000 {
		s.write(fmt.Sprintf("f%04d", i), []byte{byte(i), byte(i >> 8)})
	}
	s.age()
	parent, first := s.backup("")
	damaged := 0
	for id, rec := range s.store.records {
		// The root and the topmost node stay, and some of the leaves.
		if r, err := seal.ParseRecord(rec); err == nil && r.Kind == seal.KindNode && id != first.Root.Paths.H.ID() && id[0]&1 == 0 {
			delete(s.store.records, id)
			damaged++
		}
	}
	if damaged == 0 {
		t.Fatal("nothing was damaged: the tree has too few leaves")
	}
	_, res := s.backup(parent)
	s.same(res)
	if len(s.own(res)) != 2000 || len(s.events) != 1 || s.events[0].Code != "parent.damaged" {
		t.Errorf("%d entries, events %v", len(s.own(res)), s.codes())
	}
}
