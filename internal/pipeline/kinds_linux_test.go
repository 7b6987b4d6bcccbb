package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// noDump is FS_NODUMP_FL.
const noDump = 0x40

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

// setFlags sets a file's flags, or skips where the file system has none.
func setFlags(t *testing.T, path string, flags int) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer func() { _ = f.Close() }() // only read from
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags); err != nil {
		t.Skipf("file flags: %v", err)
	}
}

func TestEveryKindOfFile(t *testing.T) {
	needRoot(t)
	s := newSite(t)
	s.write("dir/file", []byte("content"))
	s.write("linked", []byte("one inode"))
	must(t, os.Link(s.path("linked"), s.path("zlinked")))
	must(t, os.Symlink("no/where", s.path("symlink")))
	must(t, os.Link(s.path("symlink"), s.path("symlink2")))
	must(t, unix.Mknod(s.path("char"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	must(t, unix.Mknod(s.path("block"), unix.S_IFBLK|0o640, int(unix.Mkdev(7, 200))))
	must(t, unix.Mkfifo(s.path("fifo"), 0o622))
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(t, err)
	defer func() { _ = unix.Close(sock) }()
	must(t, unix.Bind(sock, &unix.SockaddrUnix{Name: s.path("socket")}))
	s.write("attrs", []byte("x"))
	must(t, unix.Setxattr(s.path("attrs"), "user.two", []byte("2\x00binary"), 0))
	must(t, unix.Setxattr(s.path("attrs"), "user.one", bytes.Repeat([]byte("v"), 1500), 0))
	must(t, unix.Setxattr(s.path("dir"), "user.ondir", []byte("d"), 0))
	must(t, unix.Lsetxattr(s.path("fifo"), "trusted.fifo", []byte("t"), 0))
	// A file capability as the kernel keeps it: version 2, cap_net_raw permitted.
	capability := []byte{0, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	must(t, unix.Setxattr(s.path("attrs"), "security.capability", capability, 0))
	must(t, os.Chmod(s.path("attrs"), 0o4751|os.ModeSetuid))
	must(t, os.Chown(s.path("dir/file"), 12345, 54321))
	s.write("flagged", []byte("y"))
	setFlags(t, s.path("flagged"), noDump)
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, s.path("dir/file"), []unix.Timespec{{Sec: 5}, {Sec: -12345, Nsec: 987654321}}, 0))

	_, res := s.backup("")
	if len(s.events) > 0 {
		t.Errorf("events: %v", s.codes())
	}
	tree := s.tree(res)
	types := map[string]fileindex.Type{}
	for name, e := range tree {
		if !strings.HasPrefix(name, "/") {
			types[name] = e.Type
		}
	}
	want := map[string]fileindex.Type{
		"dir": fileindex.Dir, "dir/file": fileindex.File, "linked": fileindex.Link, "zlinked": fileindex.Link,
		"symlink": fileindex.Link, "symlink2": fileindex.Link, "char": fileindex.Char, "block": fileindex.Block,
		"fifo": fileindex.FIFO, "socket": fileindex.Socket, "attrs": fileindex.File, "flagged": fileindex.File,
	}
	if d := cmp.Diff(want, types); d != "" {
		t.Errorf("types (-want +got):\n%s", d)
	}
	if e := tree["char"]; e.RDev != unix.Mkdev(1, 3) || e.Mode != 0o600 {
		t.Errorf("char: %+v", e)
	}
	if e := tree["dir/file"]; e.UID != 12345 || e.GID != 54321 || e.User != nil || e.MTime != (fileindex.Time{Sec: -12345, Nsec: 987654321}) {
		t.Errorf("dir/file: %+v", e)
	}
	if e := tree["linked"]; e.Inode == 0 || e.Inode != tree["zlinked"].Inode || e.Size != 0 {
		t.Errorf("linked: %+v", e)
	}
	if e := tree["flagged"]; e.Flags != noDump {
		t.Errorf("flagged: flags %x", e.Flags)
	}
	if e := tree["attrs"]; string(e.User) != "root" || e.Mode&0o4000 == 0 {
		t.Errorf("attrs: %+v", e)
	}
	wantAttrs := []fileindex.Xattr{
		{Name: []byte("security.capability"), Value: capability},
		{Name: []byte("user.one"), Value: bytes.Repeat([]byte("v"), 1500)},
		{Name: []byte("user.two"), Value: []byte("2\x00binary")},
	}
	if d := cmp.Diff(wantAttrs, tree["attrs"].Xattrs); d != "" {
		t.Errorf("extended attributes (-want +got):\n%s", d)
	}
	if len(tree["dir"].Xattrs) != 1 || len(tree["fifo"].Xattrs) != 1 {
		t.Errorf("dir has %v, fifo %v", tree["dir"].Xattrs, tree["fifo"].Xattrs)
	}
	inodes := s.entries(seal.KindInode, res.Root.Inodes)
	link := tree["linked"]
	if e := inodes[string(fileindex.InodeKey(link.Device, link.Inode))]; e == nil || e.Links != 2 || string(s.content(e)) != "one inode" {
		t.Errorf("inode of linked: %+v", e)
	}
	link = tree["symlink"]
	if e := inodes[string(fileindex.InodeKey(link.Device, link.Inode))]; e == nil || string(e.Target) != "no/where" {
		t.Errorf("inode of symlink: %+v", e)
	}
	if len(inodes) != 2 {
		t.Errorf("%d inodes", len(inodes))
	}
}

func TestUnchangedLinksAreNotRead(t *testing.T) {
	s := newSite(t)
	s.age()
	s.write("a", []byte("one inode"))
	must(t, os.Link(s.path("a"), s.path("b")))
	first, _ := s.backup("")
	s.opts.Hooks.Opened = func(path []byte) { t.Errorf("%s was opened", path) }
	_, res := s.backup(first)
	if inodes := s.entries(seal.KindInode, res.Root.Inodes); len(inodes) != 1 {
		t.Errorf("%d inodes", len(inodes))
	}
}

func TestHolesStayHolesAndZerosZeros(t *testing.T) {
	s := newSite(t)
	f, err := os.Create(s.path("sparse"))
	must(t, err)
	must(t, f.Truncate(40<<20))
	for _, at := range []int64{0, 10 << 20, 30 << 20} {
		_, err = f.WriteAt(noise(byte(at>>20), 300<<10), at)
		must(t, err)
	}
	_, err = f.WriteAt(make([]byte, 1<<20), 20<<20)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
	f, err = os.Create(s.path("small-sparse"))
	must(t, err)
	must(t, f.Truncate(100<<10))
	_, err = f.WriteAt([]byte("data"), 64<<10)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())

	_, res := s.backup("")
	s.same(res)
	var zeros, holes, data int64
	for _, x := range s.tree(res)["sparse"].Extents {
		switch x.Kind {
		case fileindex.Zeros:
			zeros += x.Len
		case fileindex.Hole:
			holes += x.Len
		case fileindex.InChunk:
			data += x.Len
		}
	}
	if zeros != 1<<20 || data != 900<<10 || holes != 40<<20-1<<20-900<<10 {
		t.Errorf("zeros %d, holes %d, data %d", zeros, holes, data)
	}
	got := s.tree(res)["small-sparse"].Extents
	if len(got) != 3 || got[0].Kind != fileindex.Hole || got[0].Len != 64<<10 || got[1].Len != 4096 || got[2].Kind != fileindex.Hole {
		t.Errorf("small sparse file: %+v", got)
	}
	if c := s.count.Proto(); c.GetReadBytes() > 3<<20 {
		t.Errorf("%d bytes were read: the holes too", c.GetReadBytes())
	}
}

func TestManyExtentsGoToAMap(t *testing.T) {
	s := newSite(t)
	f, err := os.Create(s.path("comb"))
	must(t, err)
	must(t, f.Truncate(4<<20))
	for at := int64(0); at < 4<<20; at += 128 << 10 {
		_, err = f.WriteAt(noise(byte(at>>17), 4096), at)
		must(t, err)
	}
	must(t, f.Sync())
	must(t, f.Close())
	must(t, os.WriteFile(s.path("small-comb"), nil, 0o600))
	must(t, os.Truncate(s.path("small-comb"), 200<<10))
	g, err := os.OpenFile(s.path("small-comb"), os.O_WRONLY, 0)
	must(t, err)
	for at := int64(0); at < 200<<10; at += 8 << 10 {
		_, err = g.WriteAt([]byte{1}, at)
		must(t, err)
	}
	must(t, g.Sync())
	must(t, g.Close())
	_, res := s.backup("")
	s.same(res)
	for _, name := range []string{"comb", "small-comb"} {
		if e := s.tree(res)[name]; e.Map.Entries < 32 || len(e.Extents) > 0 {
			t.Errorf("%s: %d extents in the map, %d in the entry", name, e.Map.Entries, len(e.Extents))
		}
	}
}

func TestPathsBeyondPathMax(t *testing.T) {
	s := newSite(t)
	// 30 levels of 250 bytes: twice the longest path the system takes at once.
	fd, err := unix.Open(s.dir, unix.O_DIRECTORY|unix.O_RDONLY, 0)
	must(t, err)
	var names []string
	var fds []int
	for i := range 30 {
		name := fmt.Sprintf("%03d%s", i, strings.Repeat("x", 247))
		must(t, unix.Mkdirat(fd, name, 0o755))
		next, err := unix.Openat(fd, name, unix.O_DIRECTORY|unix.O_RDONLY, 0)
		must(t, err)
		fds = append(fds, fd)
		fd = next
		names = append(names, name)
	}
	h, err := unix.Openat(fd, "deep", unix.O_CREAT|unix.O_WRONLY, 0o600)
	must(t, err)
	_, err = unix.Write(h, []byte("bottom"))
	must(t, err)
	must(t, unix.Close(h))
	must(t, unix.Fsetxattr(fd, "user.deep", []byte("1"), 0))
	// The test's own cleaning up cannot remove what it cannot name.
	defer func() {
		must(t, unix.Unlinkat(fd, "deep", 0))
		for i, name := range slices.Backward(names) {
			_ = unix.Close(fd)
			fd = fds[i]
			must(t, unix.Unlinkat(fd, name, unix.AT_REMOVEDIR))
		}
		_ = unix.Close(fd)
	}()
	first, res := s.backup("")
	if len(s.events) > 0 {
		t.Errorf("events: %v", s.codes())
	}
	bottom := strings.Join(names, "/")
	tree := s.tree(res)
	if e := tree[bottom+"/deep"]; e == nil || string(s.content(e)) != "bottom" {
		t.Errorf("the file at the bottom: %+v", e)
	}
	if e := tree[bottom]; e == nil || len(e.Xattrs) != 1 {
		t.Errorf("the directory at the bottom: %+v", e)
	}
	s.backup(first)
	if c := s.count.Proto(); c.GetErrors() != 0 || c.GetDeletedFiles() != 0 {
		t.Errorf("counters of the second run: %v", c)
	}
}

func TestFilesThatDoNotHoldStill(t *testing.T) {
	s := newSite(t)
	for _, name := range []string{"grows", "shrinks", "vanishes", "steady"} {
		s.write(name, []byte(strings.Repeat(name, 100)))
	}
	s.write("grows-large", noise(1, 3<<20))
	s.write("shrinks-large", noise(2, 9<<20))
	s.write("outgrows", noise(3, 1000))
	_, err := os.ReadFile(s.path("steady"))
	must(t, err)
	change := func(name string, fn func(path string) error) func([]byte) {
		return func(path []byte) {
			if strings.HasSuffix(string(path), "/"+name) {
				must(t, fn("/"+string(path)))
			}
		}
	}
	grow := func(path string) error {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString("more")
		return errors.Join(err, f.Close())
	}
	read := []func([]byte){change("grows", grow), change("grows-large", grow)}
	opened := []func([]byte){
		change("shrinks", func(p string) error { return os.Truncate(p, 10) }),
		change("outgrows", func(p string) error { return os.WriteFile(p, noise(4, 2<<20), 0o600) }),
	}
	s.opts.Hooks.Read = func(p []byte) {
		for _, fn := range read {
			fn(p)
		}
	}
	s.opts.Hooks.Opened = func(p []byte) {
		for _, fn := range opened {
			fn(p)
		}
	}
	first, res := s.backup("")
	tree := s.tree(res)
	if d := cmp.Diff([]string{"warning file.changed grows", "warning file.changed grows-large"}, s.codes()); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
	for _, name := range []string{"grows", "grows-large"} {
		if tree[name].State&fileindex.Racy == 0 {
			t.Errorf("%s is not marked", name)
		}
	}
	if e := tree["shrinks"]; e.Size != 10 {
		t.Errorf("shrinks: %+v", e)
	}
	if e := tree["outgrows"]; e.Size != 2<<20 || !bytes.Equal(s.content(e), noise(4, 2<<20)) {
		t.Errorf("outgrows: size %d", e.Size)
	}
	s.opts.Hooks = Hooks{}
	_, res = s.backup(first)
	s.same(res)
}

func TestFilesThatCannotBeRead(t *testing.T) {
	s := newSite(t)
	s.write("dir/keeps", []byte("x"))
	s.write("goes", []byte("y"))
	s.write("goes-large", noise(1, 1<<20))
	s.write("stays", []byte("z"))
	s.write("zz", []byte("removes the others"))
	s.opts.Workers = 1
	// The walk has seen all of them when the first is opened.
	s.opts.Hooks.Opened = func(path []byte) {
		if strings.HasSuffix(string(path), "dir/keeps") {
			must(t, os.Remove(s.path("goes")))
			must(t, os.Remove(s.path("stays")))
			must(t, os.Mkdir(s.path("stays"), 0o700))
		}
	}
	_, res := s.backup("")
	tree := s.tree(res)
	if tree["goes"] != nil || tree["stays"] != nil || tree["dir/keeps"] == nil {
		t.Errorf("entries: goes %v, stays %v", tree["goes"], tree["stays"])
	}
	if d := cmp.Diff([]string{"warning file.vanished goes", "warning file.vanished stays"}, s.codes()); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
}

// asNobody is set where the test binary runs again without root's rights: the directory to
// back up.
const asNobody = "KEEPWARD_TEST_AS_NOBODY"

func TestForbiddenFilesAreNamedAndTheRestGoesOn(t *testing.T) {
	if dir := os.Getenv(asNobody); dir != "" {
		s := &site{t: t, dir: dir, store: newMemStore(testKeys())}
		s.opts = s.options()
		_, res := s.backup("")
		tree := s.own(res)
		if d := cmp.Diff([]string{"error dir.unreadable closed", "error file.unreadable secret", "error file.unreadable secret-large"}, s.codes()); d != "" {
			t.Errorf("events (-want +got):\n%s", d)
		}
		want := []string{"closed", "open", "open/f"}
		if d := cmp.Diff(want, slices.Sorted(maps.Keys(tree))); d != "" {
			t.Errorf("entries (-want +got):\n%s", d)
		}
		if res.Body.Completeness != point.WithErrors || res.Body.Errors != 3 {
			t.Errorf("body: %+v", res.Body)
		}
		return
	}
	needRoot(t)
	s := newSite(t)
	s.write("open/f", []byte("x"))
	s.write("closed/f", []byte("y"))
	s.write("secret", []byte("z"))
	s.write("secret-large", noise(1, 1<<20))
	must(t, os.Chmod(filepath.Dir(s.dir), 0o755))
	must(t, os.Chmod(s.path("closed"), 0o700))
	must(t, os.Chmod(s.path("secret"), 0o600))
	must(t, os.Chmod(s.path("secret-large"), 0o600))
	self, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	bin, err := os.MkdirTemp("", "nobody")
	must(t, err)
	defer func() { _ = os.RemoveAll(bin) }()
	must(t, os.Chmod(bin, 0o755))
	must(t, os.WriteFile(bin+"/test", self, 0o755))
	cmd := exec.Command(bin+"/test", "-test.run=^TestForbiddenFilesAreNamedAndTheRestGoesOn$")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), asNobody+"="+s.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}

func TestRacyFilesAreReadAgain(t *testing.T) {
	s := newSite(t)
	s.write("young", []byte("1"))
	var st unix.Stat_t
	must(t, unix.Stat(s.path("young"), &st))
	s.opts.Clock = func() time.Time { return time.Unix(st.Ctim.Unix()).Add(clockGrain / 2) }
	first, res := s.backup("")
	if s.tree(res)["young"].State&fileindex.Racy == 0 {
		t.Fatal("a file written just now is not marked")
	}
	s.backup(first)
	if c := s.count.Proto(); c.GetReadFiles() != 1 {
		t.Errorf("counters: %v", c)
	}
}

// A small sparse file of several parts outgrew the header of its bundle, where no other file of its unit left room.
func TestASmallSparseFileOfSeveralPartsAlone(t *testing.T) {
	for _, others := range []int{0, 3} {
		s := newSite(t)
		f, err := os.Create(s.path("parts"))
		must(t, err)
		must(t, f.Truncate(100<<10))
		for _, at := range []int64{4 << 10, 32 << 10, 80 << 10} {
			_, err = f.WriteAt(noise(byte(at>>12), 4<<10), at)
			must(t, err)
		}
		must(t, f.Sync())
		must(t, f.Close())
		for i := range others {
			must(t, os.WriteFile(s.path("other"+string(rune('a'+i))), noise(byte(i+1), 500), 0o600))
		}
		_, res := s.backup("")
		s.same(res)
	}
}
