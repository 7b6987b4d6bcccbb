package changes

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var (
	seeds = flag.Int("seeds", 50, "random histories for each tracker and file system")
	seed  = flag.Uint64("seed", 1, "the first seed")
)

// rounds are the operations of a history, 2 000 in all: after each but the first, which makes
// the tree, the set is compared with what a full read finds.
var rounds = []int{800, 20, 580, 600}

// snapshots takes and keeps snapshots of a subvolume.
type snapshots struct {
	t    testing.TB
	dir  string
	next int
	kept map[[16]byte]string
}

func (s *snapshots) take(subvolume string) string {
	s.t.Helper()
	s.next++
	path := filepath.Join(s.dir, fmt.Sprintf("snap%d", s.next))
	run(s.t, "btrfs", "-q", "subvolume", "snapshot", "-r", subvolume, path)
	return path
}

func (s *snapshots) tracker() *Btrfs {
	return &Btrfs{Kept: func(id [16]byte) (string, error) {
		if p := s.kept[id]; p != "" {
			return p, nil
		}
		return "", fs.ErrNotExist
	}}
}

// token answers a snapshot's token, and keeps it.
func (s *snapshots) token(path string) []byte {
	s.t.Helper()
	tok, err := moment(s.t, s.tracker()).Token(context.Background(), View{Root: path})
	if err != nil {
		s.t.Fatal(err)
	}
	uuid, ok := TokenSnapshot(tok)
	if !ok {
		s.t.Fatalf("token %x", tok)
	}
	s.kept[uuid] = path
	return tok
}

func moment(t testing.TB, tr Tracker) Moment {
	t.Helper()
	m, err := tr.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (s *snapshots) since(parent []byte, path string) *Set {
	s.t.Helper()
	set, err := moment(s.t, s.tracker()).Since(context.Background(), parent, View{Root: path, Scratch: s.t.TempDir()})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(set.Close)
	return set
}

func (s *snapshots) drop(paths ...string) {
	s.t.Helper()
	run(s.t, "btrfs", append([]string{"-q", "subvolume", "delete"}, paths...)...)
}

func newBtrfs(t testing.TB) (*volume, *snapshots) {
	t.Helper()
	v := newVolume(t, "btrfs", 2<<30)
	return v, &snapshots{t: t, dir: v.dir, kept: map[[16]byte]string{}}
}

func TestBtrfsNamesEveryDifference(t *testing.T) {
	t.Parallel()
	v, snaps := newBtrfs(t)
	var total judgement
	did := map[string]int{}
	for s := *seed; s < *seed+uint64(*seeds); s++ {
		name := filepath.Join(v.dir, fmt.Sprintf("seed%d", s))
		run(t, "btrfs", "-q", "subvolume", "create", name)
		h := newHistory(t, name, s)
		drop := []string{name}
		var before state
		for round, ops := range rounds {
			h.run(ops)
			parent, cur := drop[round], snaps.take(name)
			drop = append(drop, cur)
			after := readState(t, cur)
			if round == 0 {
				before = after
				continue
			}
			set := snaps.since(snaps.token(parent), cur)
			j := judge(t, set, before, after)
			before = after
			for _, m := range j.missed {
				t.Errorf("seed %d, round %d: missed: %s", s, round, m)
			}
			total.named += j.named
			total.changed += j.changed
			total.bytes += j.bytes
			total.differ += j.differ
			set.Close()
		}
		h.release()
		for k, n := range h.done {
			did[k] += n
		}
		snaps.drop(drop...)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d histories: %d paths named, %d of them differ (%.1f %%); %d bytes in extents, %d of them differ (%.0f %%); operations %v",
		*seeds, total.named, total.changed, 100*float64(total.changed)/float64(total.named), total.bytes, total.differ, 100*float64(total.differ)/float64(total.bytes), did)
}

func TestBtrfsSaysWhyItKnowsNothing(t *testing.T) {
	v, snaps := newBtrfs(t)
	sub, other := filepath.Join(v.dir, "sub"), filepath.Join(v.dir, "other")
	run(t, "btrfs", "-q", "subvolume", "create", sub)
	run(t, "btrfs", "-q", "subvolume", "create", other)
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(sub, "f"), "one")
	old := snaps.take(sub)
	tok := snaps.token(old)
	foreign := snaps.token(snaps.take(other))
	write(filepath.Join(sub, "f"), "two")
	cur := snaps.take(sub)

	want := func(name string, token []byte, root string, why Reason) {
		t.Helper()
		if set := snaps.since(token, root); set.Reason != why {
			t.Errorf("%s: %q (%v), want %q", name, set.Reason, set.Err, why)
		}
	}
	want("all is well", tok, cur, "")
	want("the same snapshot", tok, old, "")
	want("no token", nil, cur, TokenMissing)
	want("another subvolume's", foreign, cur, OtherVolume)
	want("a journal's", (&journalToken{}).encode(), cur, OtherTracker)
	want("read live", tok, sub, OtherVolume)
	if tok, err := moment(t, snaps.tracker()).Token(context.Background(), View{Root: sub}); tok != nil || err != nil {
		t.Errorf("a token of what is no snapshot: %x, %v", tok, err)
	}

	// Somebody makes the kept snapshot writable, changes it and hides that.
	run(t, "btrfs", "property", "set", "-f", old, "ro", "false")
	want("writable", tok, cur, SnapshotChanged)
	write(filepath.Join(old, "f"), "three")
	run(t, "btrfs", "property", "set", "-f", old, "ro", "true")
	want("changed", tok, cur, SnapshotChanged)

	uuid, _ := TokenSnapshot(tok)
	snaps.kept[uuid] = snaps.take(sub)
	want("another one in its place", tok, cur, SnapshotGone)
	delete(snaps.kept, uuid)
	want("gone", tok, cur, SnapshotGone)

	// The subvolume was rolled back: it is another one now.
	tok = snaps.token(cur)
	snaps.drop(sub)
	run(t, "btrfs", "-q", "subvolume", "snapshot", cur, sub)
	want("rolled back", tok, snaps.take(sub), OtherVolume)
}

// What the random histories do not reach: more names than one search answers, long paths,
// nested subvolumes, data that is overwritten where it lies.
func TestBtrfsSeesWhatIsRare(t *testing.T) {
	v, snaps := newBtrfs(t)
	sub := filepath.Join(v.dir, "sub")
	run(t, "btrfs", "-q", "subvolume", "create", sub)
	sh := func(script string) {
		t.Helper()
		run(t, "bash", "-ec", "cd "+sub+"\n"+script)
	}
	long := "d=" + strings.Repeat("n", 200) + "; for i in {1..%d}; do mkdir -p $d; cd $d; done; echo x >> deep"
	sh("mkdir many away; echo x > away/f; touch nocow; chattr +C nocow; head -c 100000 /dev/urandom > nocow")
	sh(fmt.Sprintf(long, 19))
	// 5 000 names in one directory do not fit into its inode's item.
	for i := range 5000 {
		if err := os.Link(filepath.Join(sub, "away/f"), filepath.Join(sub, "many", fmt.Sprintf("a rather long name for a link %d", i))); err != nil {
			t.Fatal(err)
		}
	}
	tok := snaps.token(snaps.take(sub))
	sh("echo more >> 'many/a rather long name for a link 77'; printf changed | dd of=nocow bs=1 seek=50000 conv=notrunc status=none")
	sh("btrfs -q subvolume create nested; touch nested/f")
	sh(fmt.Sprintf(long, 19))
	cur := snaps.take(sub)
	set := snaps.since(tok, cur)
	if set.Reason != "" {
		t.Fatal(set.Reason, set.Err)
	}
	names, deep := 0, false
	for _, c := range all(t, set) {
		path := string(c.Path)
		switch {
		case c.What&Content == 0:
		case strings.HasPrefix(path, "many/"), path == "away/f":
			names++
		case len(path) > 3800:
			deep = c.Known
		case path == "nocow":
			if len(c.Extents) != 1 || c.Extents[0].Offset > 50000 || c.Extents[0].end() < 50007 || c.Extents[0].Length > 65536 {
				t.Errorf("nocow: %v", c.Extents)
			}
		default:
			t.Errorf("%.100q: %s", path, c.What)
		}
	}
	if names != 5001 || !deep {
		t.Errorf("%d names, deep file %v", names, deep)
	}
	if c, _, _ := set.Cursor().Look(nil); c.What&Listing == 0 {
		t.Error("a nested subvolume came, and the listing is not named")
	}

	// The kernel sends no path of 4 096 bytes and more, and nothing beside it.
	tok = snaps.token(cur)
	sh(fmt.Sprintf(long, 30))
	if set := snaps.since(tok, snaps.take(sub)); set.Reason != TrackerFailed || !errors.Is(set.Err, unix.ENAMETOOLONG) {
		t.Errorf("a change below a very long path: %q, %v", set.Reason, set.Err)
	}
}

func TestBtrfsInLittleMemory(t *testing.T) {
	v, snaps := newBtrfs(t)
	sub := filepath.Join(v.dir, "sub")
	run(t, "btrfs", "-q", "subvolume", "create", sub)
	h := newHistory(t, sub, 7)
	h.run(1000)
	parent := snaps.take(sub)
	tok := snaps.token(parent)
	h.run(600)
	cur := snaps.take(sub)
	tr := snaps.tracker()
	for _, tr.most = range []int{1, 10, 50, 100} {
		set, err := moment(t, tr).Since(context.Background(), tok, View{Root: cur, Scratch: t.TempDir(), Memory: 4 << 10})
		if err != nil {
			t.Fatal(err)
		}
		defer set.Close()
		if set.Reason == TooMany {
			t.Logf("%d names: all in doubt", tr.most)
			continue
		}
		before, after := readState(t, parent), readState(t, cur)
		if set.LinksInDoubt { // what the caller finds out by itself
			for p, f := range after {
				if was := before[p]; was != nil && was.st.Nlink > 1 && f.st.Mode&unix.S_IFMT != unix.S_IFDIR {
					delete(after, p)
				}
			}
		}
		g := judge(t, set, before, after)
		for _, m := range g.missed {
			t.Errorf("%d names: missed: %s", tr.most, m)
		}
		t.Logf("%d names: %d named, %d differ, links in doubt %v", tr.most, g.named, g.changed, set.LinksInDoubt)
	}
	h.release()
}

func TestBtrfsStopsWhenAsked(t *testing.T) {
	v, snaps := newBtrfs(t)
	sub := filepath.Join(v.dir, "sub")
	run(t, "btrfs", "-q", "subvolume", "create", sub)
	tok := snaps.token(snaps.take(sub))
	h := newHistory(t, sub, 3)
	h.run(300)
	h.release()
	cur := snaps.take(sub)
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if _, err := moment(t, snaps.tracker()).Since(ctx, tok, View{Root: cur}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
