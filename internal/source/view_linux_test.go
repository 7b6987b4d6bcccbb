package source

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// read is the content of a file of a walk.
func read(t *testing.T, d *Dir, name []byte) string {
	t.Helper()
	f, err := d.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 100)
	n, err := f.ReadAt(buf, 0)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

// What a view has elsewhere is read there and is called as if it lay at its own place.
func TestAViewIsReadElsewhere(t *testing.T) {
	live := tree(t, "vol/a", "vol/sub/in", "vol/sub/deep/x", "vol/mnt/file", "vol/ours/junk", "other/o", "vol/skip/x")
	shot := tree(t, "a", "sub/", "mnt/", "ours/", "skip/x")
	nested := tree(t, "in", "deep/x", "deep/mnt/")
	for path, text := range map[string]string{
		live + "/vol/a": "live", shot + "/a": "shot", live + "/vol/sub/in": "live", nested + "/in": "nested",
		live + "/vol/mnt/file": "mounted", live + "/other/o": "other",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	taken := time.Now().Add(-time.Hour)
	view := &View{
		Grafts: []Graft{
			{At: live + "/vol", From: shot, Device: 7, Taken: taken},
			{At: live + "/vol/sub", From: nested, Device: 8, Taken: taken},
			{At: live + "/vol/mnt"},
		},
		Hidden: []string{live + "/vol/ours"},
	}
	w, err := NewWalker(Selection{Include: []string{live}, Exclude: []string{live + "/vol/skip"}, View: view}, func(p Problem) { t.Error(p) })
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var got []string
	for {
		it, err := w.Next(context.Background())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(live, "/"+string(it.Path))
		if err != nil || name[0] == '.' {
			continue
		}
		line := name
		if it.Self == nil {
			line += "=" + read(t, it.Dir, it.Name())
			var again Stat
			if err := it.Dir.Stat(it.Name(), &again); err != nil || !again.SameFile(&it.Stat) {
				t.Errorf("%s: the walk has device %d inode %d, a second look %d %d, error %v", name, it.Stat.Device, it.Stat.Inode, again.Device, again.Inode, err)
			}
		}
		switch it.Stat.Device {
		case 7, 8:
			line += " " + string(rune('0'+it.Stat.Device))
		}
		dir := it.Dir
		if it.Self != nil {
			dir = it.Self
		}
		if now := time.Now(); dir.Seen(now) != now {
			line += " then"
		}
		got = append(got, line)
	}
	want := []string{
		"other", "other/o=other", "vol 7 then", "vol/a=shot 7 then", "vol/mnt", "vol/mnt/file=mounted", "vol/sub 8 then", "vol/sub/deep 8 then",
		"vol/sub/deep/mnt 8 then", "vol/sub/deep/x= 8 then", "vol/sub/in=nested 8 then",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if w.Excluded() != 2 {
		t.Errorf("%d excluded", w.Excluded())
	}
	var st Stat
	if err := w.Dir(toPath(live+"/vol")).Stat([]byte("sub"), &st); err != nil || st.Device != 8 {
		t.Errorf("a directory that is read elsewhere: device %d, error %v", st.Device, err)
	}
}

// One of several file systems that have one name gets another: their inodes are not the same files.
func TestCopiesOfADiskAreToldApart(t *testing.T) {
	f, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var n numbers
	a, b := n.of(int(f.Fd()), 100), n.of(int(f.Fd()), 101)
	if a == b || n.of(int(f.Fd()), 100) != a || n.of(int(f.Fd()), 101) != b || n.known(100) != a || n.known(5) != 5 {
		t.Errorf("numbers %x and %x", a, b)
	}
}
