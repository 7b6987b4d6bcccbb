package changes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"keepward/internal/errs"
)

func openJournal(t testing.TB, v *volume, o JournalOptions) *Journal {
	t.Helper()
	o.Mount = v.dir
	if o.Spool == "" {
		o.Spool = t.TempDir()
	}
	// Where the machine hides processes even from root, they are not those of this test.
	o.Trust = func(pid int) bool {
		_, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
		return errors.Is(err, fs.ErrPermission)
	}
	j, err := OpenJournal(o)
	if err != nil {
		t.Skipf("no fanotify: %v", err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

// seen is a view of a volume whose parent's index is a full read of dir below it.
func seen(t testing.TB, before state, prefix string) View {
	at := func(p string) []byte { return []byte(filepath.Join(prefix, p)) }
	return View{
		Scratch: t.TempDir(),
		Links: func(_ context.Context, inode uint64) (names [][]byte, _ error) {
			for p, f := range before {
				if f.st.Ino == inode && f.st.Nlink > 1 && f.st.Mode&unix.S_IFMT != unix.S_IFDIR {
					names = append(names, at(p))
				}
			}
			return names, nil
		},
		Find: func(_ context.Context, inodes []uint64, fn func(uint64, []byte) error) error {
			for _, i := range inodes {
				for p, f := range before {
					if f.st.Ino == i {
						if err := fn(i, at(p)); err != nil {
							return err
						}
					}
				}
			}
			return nil
		},
	}
}

// below is a Set of which only what lies below a directory is looked at.
func lookBelow(t testing.TB, set *Set, prefix string, before, after state) judgement {
	t.Helper()
	move := func(s state) state {
		out := state{}
		for p, f := range s {
			out[filepath.Join(prefix, p)] = f
		}
		return out
	}
	return judge(t, set, move(before), move(after))
}

func token(t testing.TB, m Moment) []byte {
	t.Helper()
	tok, err := m.Token(context.Background(), View{})
	if err != nil || tok == nil {
		t.Fatalf("token %x, %v", tok, err)
	}
	return tok
}

func sinceThen(t testing.TB, m Moment, parent []byte, view View) *Set {
	t.Helper()
	set, err := m.Since(context.Background(), parent, view)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	return set
}

func testJournalNamesEveryDifference(t *testing.T, kind string) {
	t.Parallel()
	v := newVolume(t, kind, 1<<30)
	j := openJournal(t, v, JournalOptions{})
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- j.Serve(ctx) }()
	t.Cleanup(func() { stop(); <-served })
	var total judgement
	did := map[string]int{}
	for s := *seed; s < *seed+uint64(*seeds); s++ {
		name := fmt.Sprintf("seed%d", s)
		dir := filepath.Join(v.dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		h := newHistory(t, dir, s)
		var parent []byte
		var before state
		for round, ops := range rounds {
			h.run(ops)
			m := moment(t, j)
			if round > 0 {
				set := sinceThen(t, m, parent, seen(t, before, name))
				after := readState(t, dir)
				g := lookBelow(t, set, name, before, after)
				for _, m := range g.missed {
					t.Errorf("seed %d, round %d: missed: %s", s, round, m)
				}
				total.named += g.named
				total.changed += g.changed
				before = after
				set.Close()
			} else {
				before = readState(t, dir)
			}
			parent = token(t, m)
		}
		if err := j.Keep([][]byte{parent}); err != nil {
			t.Fatal(err)
		}
		h.release()
		for k, n := range h.done {
			did[k] += n
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d histories on %s: %d paths named, %d of them differ (%.1f %%); operations %v",
		*seeds, kind, total.named, total.changed, 100*float64(total.changed)/float64(total.named), did)
}

func TestJournalNamesEveryDifferenceOnExt4(t *testing.T) { testJournalNamesEveryDifference(t, "ext4") }

func TestJournalNamesEveryDifferenceOnXFS(t *testing.T) { testJournalNamesEveryDifference(t, "xfs") }

func TestJournalSaysWhyItKnowsNothing(t *testing.T) {
	v := newVolume(t, "ext4", 256<<20)
	spool := t.TempDir()
	j := openJournal(t, v, JournalOptions{Spool: spool})
	tok := token(t, moment(t, j))
	parsed, why := parseJournalToken(tok)
	if why != "" {
		t.Fatal(why)
	}
	changed := func(change func(*journalToken)) []byte {
		x := parsed
		change(&x)
		return x.encode()
	}
	m := moment(t, j)
	for name, x := range map[string]struct {
		token []byte
		why   Reason
	}{
		"all is well":          {tok, ""},
		"no token":             {nil, TokenMissing},
		"of btrfs":             {(&btrfsToken{}).encode(), OtherTracker},
		"before the boot":      {changed(func(t *journalToken) { t.boot[3]++ }), Rebooted},
		"another journal":      {changed(func(t *journalToken) { t.journal[3]++ }), OtherJournal},
		"from the future":      {changed(func(t *journalToken) { t.position += 1 << 20 }), SpoolDamaged},
		"from another history": {changed(func(t *journalToken) { t.mark[3]++ }), SpoolDamaged},
	} {
		if set := sinceThen(t, m, x.token, View{}); set.Reason != x.why {
			t.Errorf("%s: %q (%v), want %q", name, set.Reason, set.Err, x.why)
		}
	}

	// It was not watching for a time: another journal on the same volume.
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Begin(context.Background()); err == nil {
		t.Error("a closed journal began")
	}
	j = openJournal(t, v, JournalOptions{Spool: spool})
	if set := sinceThen(t, moment(t, j), tok, View{}); set.Reason != OtherJournal {
		t.Errorf("opened again: %q", set.Reason)
	}

	// What lies in the spool is damaged.
	tok = token(t, moment(t, j))
	files, err := filepath.Glob(filepath.Join(spool, "*.spool"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1]++
	if err := os.WriteFile(files[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	if set := sinceThen(t, moment(t, j), tok, View{}); set.Reason != SpoolDamaged {
		t.Errorf("damaged: %q", set.Reason)
	}

	// The volume is unmounted, and another takes its place.
	tok = token(t, moment(t, j))
	v.unmount(t)
	if set := sinceThen(t, moment(t, j), tok, View{}); set.Reason != Unmounted && set.Reason != TrackerFailed {
		t.Errorf("unmounted: %q", set.Reason)
	}
	v.mount(t, "ext4")
	if set := sinceThen(t, moment(t, j), tok, View{}); set.Reason != Unmounted {
		t.Errorf("mounted again: %q", set.Reason)
	}
}

// A journal ends while events come in.
func TestJournalEndsWhileEventsComeIn(t *testing.T) {
	v := newVolume(t, "ext4", 64<<20)
	done := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
				_ = os.WriteFile(filepath.Join(v.dir, fmt.Sprint("f", i%1000)), nil, 0o600) // whether it works does not matter
			}
		}
	})
	for i := range 100 {
		j, err := OpenJournal(JournalOptions{Mount: v.dir, Spool: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		var served sync.WaitGroup
		served.Go(func() { _ = j.Serve(t.Context()) })
		time.Sleep(time.Duration(i%10) * 100 * time.Microsecond) // at different moments
		if i%2 == 0 {
			err = j.Close()
		} else {
			var f *os.File
			if f, err = j.Handover(); err == nil {
				err = f.Close()
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		served.Wait()
	}
	close(done)
	writer.Wait()
}

func TestJournalOverflows(t *testing.T) {
	v := newVolume(t, "ext4", 256<<20)
	j := openJournal(t, v, JournalOptions{FewEvents: true})
	tok := token(t, moment(t, j))
	b, err := os.ReadFile("/proc/sys/fs/fanotify/max_queued_events")
	if err != nil {
		t.Fatal(err)
	}
	limit, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || limit > 50000 {
		t.Skipf("the queue takes %d events, %v", limit, err)
	}
	for i := range limit + 100 {
		if err := unix.Mknod(filepath.Join(v.dir, strconv.Itoa(i)), unix.S_IFREG|0o600, 0); err != nil {
			t.Fatal(err)
		}
	}
	m := moment(t, j)
	if set := sinceThen(t, m, tok, View{}); set.Reason != Overflow {
		t.Errorf("%q", set.Reason)
	}
	if set := sinceThen(t, moment(t, j), token(t, m), View{}); set.Reason != "" {
		t.Errorf("behind the overflow: %q", set.Reason)
	}
}

func TestJournalForgetsWhatNoParentNeeds(t *testing.T) {
	v := newVolume(t, "ext4", 256<<20)
	j := openJournal(t, v, JournalOptions{Limit: 1 << 20})
	first := token(t, moment(t, j))
	var last []byte
	for i := range 8000 {
		if err := os.WriteFile(filepath.Join(v.dir, fmt.Sprint(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if i == 4000 {
			last = token(t, moment(t, j))
		}
	}
	m := moment(t, j)
	if set := sinceThen(t, m, first, View{}); set.Reason != "" || set.Count != 8001 {
		t.Fatalf("%q, %d changes", set.Reason, set.Count)
	}
	if err := j.Keep([][]byte{(&btrfsToken{}).encode(), last, nil}); err != nil {
		t.Fatal(err)
	}
	if set := sinceThen(t, m, first, View{}); set.Reason != Trimmed {
		t.Errorf("too old: %q", set.Reason)
	}
	if set := sinceThen(t, m, last, View{}); set.Reason != "" || set.Count != 4000 {
		t.Errorf("kept: %q, %d changes", set.Reason, set.Count)
	}
	// A file written to a million times is written down once.
	before := j.spool.end
	f, err := os.Create(filepath.Join(v.dir, "busy"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range 3000 {
		if _, err := f.WriteAt([]byte("x"), int64(i)); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			j.mu.Lock()
			err := j.drain()
			j.mu.Unlock()
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if grown := j.spool.end - before; grown > 1000 {
		t.Errorf("%d bytes in the spool for one file", grown)
	}
}

func TestJournalIsHandedOver(t *testing.T) {
	v := newVolume(t, "ext4", 256<<20)
	spool := t.TempDir()
	j := openJournal(t, v, JournalOptions{Spool: spool})
	touch := func(name string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(v.dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tok := token(t, moment(t, j))
	touch("before")
	j.mu.Lock()
	err := j.drain()
	j.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := j.Handover()
	if err != nil {
		t.Fatal(err)
	}
	touch("between")
	j = openJournal(t, v, JournalOptions{Spool: spool, Inherited: fd})
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- j.Serve(ctx) }()
	touch("after")
	set := sinceThen(t, moment(t, j), tok, View{})
	names := ""
	for _, c := range all(t, set) {
		names += string(c.Path) + " "
	}
	if set.Reason != "" || names != " after before between " {
		t.Errorf("%q (%v), %q", set.Reason, set.Err, names)
	}
	stop()
	if err := <-served; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}

	// Whoever ended in the middle may have lost what it had read: the descriptor does not help.
	tok = token(t, moment(t, j))
	fd, err = j.Handover()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(spool, "*.spool"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	last := files[len(files)-1]
	st, err := os.Stat(last)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(last, st.Size()-4); err != nil {
		t.Fatal(err)
	}
	j = openJournal(t, v, JournalOptions{Spool: spool, Inherited: fd})
	if set := sinceThen(t, moment(t, j), tok, View{}); set.Reason != OtherJournal {
		t.Errorf("after a torn end: %q", set.Reason)
	}
}

func TestJournalNeedsAWholeFileSystem(t *testing.T) {
	v := newVolume(t, "ext4", 256<<20)
	sub, bound := filepath.Join(v.dir, "sub"), t.TempDir()
	if err := os.Mkdir(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(sub, bound, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("bind mount: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(bound, unix.MNT_DETACH) })
	for _, mount := range []string{bound, "/proc", filepath.Join(v.dir, "nowhere")} {
		_, err := OpenJournal(JournalOptions{Mount: mount, Spool: t.TempDir()})
		if errs.CodeOf(err) != "tracker.unsupported" {
			t.Errorf("%s: %v", mount, err)
		}
	}
}
