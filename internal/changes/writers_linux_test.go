package changes

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// doubtful are the paths that a set has as open, or as a whole subtree.
func doubtful(t testing.TB, set *Set) map[string]What {
	t.Helper()
	if set.Reason != "" {
		t.Fatal(set.Reason, set.Err)
	}
	m := map[string]What{}
	for _, c := range all(t, set) {
		if w := c.What & (Open | Subtree); w != 0 {
			m[string(c.Path)] = w
		}
	}
	return m
}

// What is open for writing when a backup looks counts as changed, however it is open; what is
// only read does not.
func TestOpenFilesCountAsChanged(t *testing.T) {
	v := newVolume(t, "ext4", 256<<20)
	dir := filepath.Join(v.dir, "dir")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	file := func(name string) string {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, make([]byte, 8192), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	open := func(name string, flags int) *os.File {
		t.Helper()
		f, err := os.OpenFile(filepath.Join(dir, name), flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	mapped := func(name string, flags, rights, kind int) []byte {
		t.Helper()
		f := open(name, flags)
		m, err := unix.Mmap(int(f.Fd()), 0, 4096, rights, kind)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Munmap(m) })
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		return m
	}
	for _, n := range []string{"written", "appended", "read", "shared", "shared to read", "may become writable", "private", "linked", "closed", "gone"} {
		file(n)
	}
	if err := os.Link(filepath.Join(dir, "linked"), filepath.Join(v.dir, "linked too")); err != nil {
		t.Fatal(err)
	}
	j := openJournal(t, v, JournalOptions{})

	var held []*os.File
	held = append(held, open("written", os.O_RDWR), open("appended", os.O_WRONLY|os.O_APPEND), open("read", os.O_RDONLY), open("linked", os.O_WRONLY), open("gone", os.O_RDWR))
	t.Cleanup(func() {
		for _, f := range held {
			_ = f.Close() // nothing was written
		}
	})
	shared := mapped("shared", os.O_RDWR, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	mapped("shared to read", os.O_RDONLY, unix.PROT_READ, unix.MAP_SHARED)
	mapped("may become writable", os.O_RDWR, unix.PROT_READ, unix.MAP_SHARED)
	mapped("private", os.O_RDWR, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	if err := os.Remove(filepath.Join(dir, "gone")); err != nil {
		t.Fatal(err)
	}
	if err := open("closed", os.O_RDWR).Close(); err != nil {
		t.Fatal(err)
	}

	tok := token(t, moment(t, j))
	shared[0]++ // nothing tells of this
	links := View{Links: func(context.Context, uint64) ([][]byte, error) {
		return [][]byte{[]byte("dir/linked"), []byte("linked too")}, nil
	}}
	want := map[string]What{
		"dir/written": Open, "dir/appended": Open, "dir/shared": Open, "dir/may become writable": Open, "dir/linked": Open, "linked too": Open,
	}
	set := sinceThen(t, moment(t, j), tok, links)
	if d := cmp.Diff(want, doubtful(t, set)); d != "" {
		t.Error(d)
	}
	if c, _, _ := set.Cursor().Look([]byte("dir/shared")); c.What != Open|Content|Metadata {
		t.Error(c.What)
	}
	for _, n := range set.Notes {
		t.Log(n)
	}
}

func TestOverlaysAndLoopDevicesCountAsChanged(t *testing.T) {
	v := newVolume(t, "ext4", 256<<20)
	j := openJournal(t, v, JournalOptions{})
	for _, d := range []string{"low", "up,per \\x", "work", "over"} {
		if err := os.Mkdir(filepath.Join(v.dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	escape := strings.NewReplacer("\\", "\\\\", ",", "\\,")
	data := fmt.Sprintf("lowerdir=%s/low,upperdir=%s,workdir=%s/work", v.dir, escape.Replace(v.dir+"/up,per \\x"), v.dir)
	over := filepath.Join(v.dir, "over")
	if err := unix.Mount("overlay", over, "overlay", 0, data); err != nil {
		t.Skipf("no overlay: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(over, unix.MNT_DETACH) })
	image := filepath.Join(v.dir, "image")
	if err := os.WriteFile(image, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "-f", "--show", image).CombinedOutput()
	if err != nil {
		t.Skipf("no loop device is free: %v: %s", err, out)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() { run(t, "losetup", "-d", device) })

	tok := token(t, moment(t, j))
	if err := os.WriteFile(filepath.Join(over, "f"), []byte("told to nobody"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := doubtful(t, sinceThen(t, moment(t, j), tok, View{}))
	if got["up,per \\x"] != Subtree || got["image"] != Open {
		t.Error(got)
	}
}

func TestOptionsOfMountsAreUnescaped(t *testing.T) {
	for in, want := range map[string]string{
		`/a\040b`: "/a b", `/plain`: "/plain", `/a\134\054b`: `/a\,b`, `/end\`: `/end\`, `/a\13`: `/a\13`, `/a\999`: `/a\999`,
	} {
		if got := unescape(in); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
	if got := dropEscapes(`/a\,b\\c\`); got != `/a,b\c\` {
		t.Error(got)
	}
	if d := cmp.Diff([]string{"rw", `upperdir=/a\,b`, "index=off"}, splitOptions(`rw,upperdir=/a\,b,index=off`)); d != "" {
		t.Error(d)
	}
}

// A snapshot has the names of its moment, and the journal is read later: what was renamed or
// removed in between must be named as the snapshot has it.
func TestJournalIsReadAfterTheSnapshot(t *testing.T) {
	v := newVolume(t, "ext4", 256<<20)
	sh := func(script string) {
		t.Helper()
		run(t, "bash", "-ec", "cd "+v.dir+"\n"+script)
	}
	sh("mkdir -p a/b/c x/y; echo 1 > a/b/c/f; echo 1 > x/y/g; echo 1 > a/h")
	j := openJournal(t, v, JournalOptions{})
	tok := token(t, moment(t, j))
	sh("echo 2 >> a/b/c/f; echo 2 >> x/y/g; echo 2 >> a/h")
	m := moment(t, j)
	// The snapshot is taken here.
	sh("mv a/b a/z; mv a w; rm -r x; mkdir x")
	set := sinceThen(t, m, tok, View{})
	if set.Reason != "" {
		t.Fatal(set.Reason, set.Err)
	}
	for _, p := range []string{"a/b/c/f", "x/y/g", "a/h"} {
		c, _, err := set.Cursor().Look([]byte(p))
		if err != nil || c.What&(Content|Subtree) == 0 {
			t.Errorf("%s: %s, %v", p, c.What, err)
		}
	}
	// And the next backup, which builds on this one, sees what came after the snapshot.
	set = sinceThen(t, moment(t, j), token(t, m), View{})
	for _, p := range []string{"w", "x"} {
		if c, _, err := set.Cursor().Look([]byte(p)); err != nil || c.What&Subtree == 0 {
			t.Errorf("%s: %s, %v", p, c.What, err)
		}
	}
}

// A file with a name that nothing tells of: written through another name, which is new.
func TestNamesThatNothingTellsOf(t *testing.T) {
	v := newVolume(t, "ext4", 256<<20)
	sh := func(script string) {
		t.Helper()
		run(t, "bash", "-ec", "cd "+v.dir+"\n"+script)
	}
	sh("mkdir old new; echo 1 > old/f; echo 1 > old/g")
	before := readState(t, v.dir)
	j := openJournal(t, v, JournalOptions{})
	tok := token(t, moment(t, j))
	sh("ln old/f new/f; ln old/g new/g; echo 2 >> new/f")
	m := moment(t, j)
	view := seen(t, before, "")
	asked := 0
	find := view.Find
	view.Find = func(ctx context.Context, inodes []uint64, fn func(uint64, []byte) error) error {
		asked += len(inodes)
		return find(ctx, inodes, fn)
	}
	set := sinceThen(t, m, tok, view)
	if g := judge(t, set, before, readState(t, v.dir)); len(g.missed) > 0 {
		t.Error(g.missed)
	}
	t.Logf("%d files were looked for in the parent", asked)
	view.Links, view.Find = nil, nil
	set = sinceThen(t, m, tok, view)
	if asked > 0 && set.Reason != Unnamed {
		t.Errorf("without a parent to look into: %q", set.Reason)
	}
}

// A directory deeper than any path is told as one above it.
func TestJournalNamesWhatIsTooDeep(t *testing.T) {
	v := newVolume(t, "ext4", 256<<20)
	deep := "d=" + strings.Repeat("n", 250) + "; for i in {1..20}; do mkdir -p $d; cd $d; done; echo x >> f"
	sh := func(script string) {
		t.Helper()
		run(t, "bash", "-ec", "cd "+v.dir+"\n"+script)
	}
	sh(deep)
	j := openJournal(t, v, JournalOptions{})
	tok := token(t, moment(t, j))
	sh(deep)
	set := sinceThen(t, moment(t, j), tok, View{})
	path := strings.Repeat(strings.Repeat("n", 250)+"/", 20) + "f"
	c, _, err := set.Cursor().Look([]byte(path))
	if err != nil || set.Reason != "" || c.What&Subtree == 0 {
		t.Errorf("%q, %v, %v", set.Reason, c.What, err)
	}
	if c, below, err := set.Cursor().Look([]byte(path[:501])); err != nil || !below || c.What&Subtree != 0 {
		t.Errorf("above: %v, %v", c.What, err)
	}
}
