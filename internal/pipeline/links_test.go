package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/extsort"
	"keepward/internal/source"
)

func TestLinkTableGivesInodesInOrderWithAllNames(t *testing.T) {
	for name, memory := range map[string]int{"in memory": 1 << 20, "on disk": 1} {
		t.Run(name, func(t *testing.T) {
			links := &linkTable{names: extsort.New(t.TempDir(), memory)}
			defer links.close()
			for i := range 60 {
				st := source.Stat{Device: uint64(1 + i%2), Inode: uint64(1<<40 - i%20/2)}
				if err := links.add(&st, fmt.Appendf(nil, "dir%d/%d", i%3, i), false); err != nil {
					t.Fatal(err)
				}
			}
			var keys []string
			seen := 0
			err := links.each(func(i *inode) error {
				keys = append(keys, fmt.Sprintf("%d %012x", i.device, i.number))
				last := -1
				for _, p := range i.paths {
					var dir, n int
					if _, err := fmt.Sscanf(string(p), "dir%d/%d", &dir, &n); err != nil {
						t.Fatal(err)
					}
					if n <= last || uint64(1+n%2) != i.device || uint64(1<<40-n%20/2) != i.number {
						t.Errorf("inode %d %x has %q behind number %d", i.device, i.number, p, last)
					}
					last = n
					seen++
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			want := slices.Clone(keys)
			slices.Sort(want)
			if d := cmp.Diff(slices.Compact(want), keys); d != "" || seen != 60 {
				t.Errorf("%d names: %s", seen, d)
			}
		})
	}
}

func TestLinkTableEndsWithItsCallersError(t *testing.T) {
	links := newLinkTable(t.TempDir())
	defer links.close()
	if err := links.add(&source.Stat{Device: 1, Inode: 2}, []byte("a"), false); err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	if err := links.each(func(*inode) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("it ended with %v", err)
	}
}
