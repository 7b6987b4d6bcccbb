package pipeline

import (
	"context"
	"testing"

	"keepward/internal/errs"
	"keepward/internal/repo/point"
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
