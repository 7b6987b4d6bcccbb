package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"keepward/test/site"
)

// version is one line of what `point find -o json` prints.
type version struct {
	Point      string
	FirstPoint string
	Points     int
	Entry      struct {
		PathText string
		Size     string
	}
}

// A search tells the versions of files over all points; what it found can be restored, to another
// computer, at another place, for another owner.
func TestWhatIsFoundIsRestored(t *testing.T) {
	f := newFleet(t, "web1", "web2")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 300, 4<<20, 21))
	plan, kept := filepath.Join(src, "d000", "plan.odt"), filepath.Join(src, "d001", "kept.odt")
	f.must(os.WriteFile(kept, []byte("kept"), 0o640))
	f.must(os.WriteFile(plan, []byte("first"), 0o640))
	old := time.Now().Add(-time.Hour)
	f.must(os.Chtimes(plan, old, old))
	f.createJob("docs", "web1", []string{src})
	f.run("docs")
	f.run("docs")
	f.must(os.WriteFile(plan, []byte("the second"), 0o640))
	f.run("docs")
	list, err := f.Points("web1")
	f.must(err)
	slices.Reverse(list)

	find := func(args ...string) (found []version) {
		t.Helper()
		var all struct{ Found []version }
		f.must(f.JSON(&all, append([]string{"point", "find", "--computer", "web1"}, args...)...))
		return all.Found
	}
	want := []version{
		{Point: list[2].GetId(), FirstPoint: list[2].GetId(), Points: 1},
		{Point: list[1].GetId(), FirstPoint: list[0].GetId(), Points: 2},
		{Point: list[2].GetId(), FirstPoint: list[0].GetId(), Points: 3},
	}
	for i, e := range []struct{ path, size string }{{plan, "10"}, {plan, "5"}, {kept, "4"}} {
		want[i].Entry.PathText, want[i].Entry.Size = e.path, e.size
	}
	if got := find("*.odt"); !slices.Equal(got, want) {
		t.Errorf("found %+v\nwant %+v", got, want)
	}
	if got := find("*.odt", "--smaller", "5", "--changed-before", "-30m", "--type", "file"); !slices.Equal(got, want[1:2]) {
		t.Errorf("the old one: %+v", got)
	}
	if got := find("/**/d00*", "--type", "dir", "--point", "latest"); len(got) != 3 {
		t.Errorf("%d directories, want 3", len(got))
	}
	f.fails(2, []string{"no type of file"}, "point", "find", "--computer", "web1", "--type", "folder")

	// The older version of the one, and the other.
	var raw struct{ Found []json.RawMessage }
	f.must(f.JSON(&raw, "point", "find", "*.odt", "--computer", "web1"))
	file := filepath.Join(filepath.Dir(src), "found.json")
	write := func(all []json.RawMessage) {
		b, err := json.Marshal(map[string]any{"found": all})
		f.must(err)
		f.must(os.WriteFile(file, b, 0o600))
	}
	write(raw.Found)
	to := filepath.Join(filepath.Dir(src), "back")
	f.fails(2, []string{"two versions of " + plan}, "restore", "files", "--from-find", file, "--to", to)
	write(raw.Found[1:])
	f.do("restore", "files", "--from-find", file, "--to", to, "--target", "web2", "--map", src+"/d001=/elsewhere",
		"--owner-map", "root:4321", "--group-map", "0:8765", "--wait")
	for path, content := range map[string]string{below(to, plan): "first", filepath.Join(to, "elsewhere", "kept.odt"): "kept"} {
		b, err := os.ReadFile(path)
		if err != nil || string(b) != content {
			t.Errorf("%s holds %q (%v)", path, b, err)
		}
		var st unix.Stat_t
		if err := unix.Stat(path, &st); os.Geteuid() == 0 && (err != nil || st.Uid != 4321 || st.Gid != 8765) {
			t.Errorf("%s belongs to %d:%d (%v)", path, st.Uid, st.Gid, err)
		}
	}
	sessions, err := f.Sessions("--type", "restore")
	f.must(err)
	if len(sessions) != 2 { // of two points
		t.Errorf("%d restores", len(sessions))
	}

	// A list of paths, each ended by a zero byte.
	f.must(os.WriteFile(file, []byte(plan+"\x00"+kept+"\x00"), 0o600))
	again := filepath.Join(filepath.Dir(src), "again")
	f.do("restore", "files", "--computer", "web1", "--point", "latest", "--paths-from", file, "--to", again, "--wait")
	if b, err := os.ReadFile(below(again, plan)); err != nil || string(b) != "the second" {
		t.Errorf("the newest version holds %q (%v)", b, err)
	}
	if n := len(strings.Split(f.do("point", "find", "*.odt", "--computer", "web1").Stdout, "\n")); n != 4 {
		t.Errorf("the table has %d lines", n)
	}
}
