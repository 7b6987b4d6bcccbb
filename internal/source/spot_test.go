package source

import "testing"

const shadow = `\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy`

// windowsView is a view of a computer with Windows: two volumes that have snapshots, one of them
// mounted in a folder of the other, and in that folder's volume one that has none.
func windowsView() *spot {
	root := &spot{fold: true}
	root.at([]byte("C:")).over = &Graft{At: `C:\`, From: shadow + "1"}
	root.at([]byte("C:/Mounted/Disk")).over = &Graft{At: `C:\Mounted\Disk`, From: shadow + "2"}
	root.at([]byte("C:/Mounted/Disk/Live")).over = &Graft{At: `C:\Mounted\Disk\Live`}
	root.at([]byte("C:/ProgramData/keepward/snapshots/mounts")).hidden = true
	return root
}

// What a view has in a snapshot is opened by the device of that, and all else at its own place. The
// topmost directory of a volume is never named as the volume itself.
func TestAViewComposesPathsOfWindows(t *testing.T) {
	view := windowsView()
	for path, want := range map[string]string{
		"C:":                            shadow + `1\`,
		"c:":                            shadow + `1\`,
		"C:/Users/Ärger/a b":            shadow + `1\Users\Ärger\a b`,
		"C:/Mounted":                    shadow + `1\Mounted`,
		"C:/Mounted/Disk":               shadow + `2\`,
		"c:/mounted/DISK/x":             shadow + `2\x`,
		"C:/Mounted/Diskette":           shadow + `1\Mounted\Diskette`,
		"C:/Mounted/Disk/Live":          `C:\Mounted\Disk\Live\`,
		"C:/Mounted/Disk/Live/x/y":      `C:\Mounted\Disk\Live\x\y`,
		"D:":                            `D:\`,
		"D:/x":                          `D:\x`,
		"":                              "",
		"C:/ProgramData/keepward/agent": shadow + `1\ProgramData\keepward\agent`,
	} {
		if got := view.native([]byte(path), `\`); got != want {
			t.Errorf("%q is read at %q, want %q", path, got, want)
		}
		live := map[string]string{"C:": `C:\`, "C:/Mounted/Disk": `C:\Mounted\Disk`}
		var none *spot
		if got := none.native([]byte(path), `\`); live[path] != "" && got != live[path] {
			t.Errorf("without a view %q is read at %q", path, got)
		}
	}
}

// Where upper and lower case are the same, a path that is written otherwise is in the view too, or it
// would be read live unnoticed.
func TestAViewFindsPathsHoweverTheyAreWritten(t *testing.T) {
	view := windowsView()
	for path, from := range map[string]string{"c:/users": shadow + "1", "C:/MOUNTED/disk/x": shadow + "2", "d:/x": ""} {
		g, _ := view.innermost([]byte(path))
		if (g == nil) != (from == "") || g != nil && g.From != from {
			t.Errorf("%s lies in %+v, want %q", path, g, from)
		}
	}
	agent := view.child([]byte("c:")).child([]byte("PROGRAMDATA")).child([]byte("Keepward")).child([]byte("snapshots"))
	if !agent.hides([]byte("Mounts")) || agent.hides([]byte("owner")) {
		t.Error("what is hidden depends on how it is written")
	}
	unix := &spot{}
	unix.at([]byte("srv/a")).over = &Graft{From: "/shot"}
	if g, rel := unix.innermost([]byte("srv/a/b")); g == nil || string(rel) != "b" {
		t.Errorf("srv/a/b lies in %+v, from there on %q", g, rel)
	}
	if g, _ := unix.innermost([]byte("srv/A/b")); g != nil {
		t.Errorf("srv/A is taken for srv/a: %+v", g)
	}
}

func TestPathsAreCutByComponents(t *testing.T) {
	for _, c := range []struct {
		path, dir string
		fold      bool
		rest      string
		ok        bool
	}{
		{"srv/a", "srv", false, "a", true},
		{"srv", "srv", false, "", true},
		{"srv", "", false, "srv", true},
		{"srv", "srv/a", false, "", false},
		{"srvx", "srv", false, "", false},
		{"SRV/a", "srv", false, "", false},
		{"c:/Users/X", "C:", true, "Users/X", true},
		{"c:/Users/X", "C:/users", true, "X", true},
		{"c:/Usersx", "C:/users", true, "", false},
	} {
		rest, ok := cutDir([]byte(c.path), []byte(c.dir), c.fold)
		if ok != c.ok || string(rest) != c.rest {
			t.Errorf("%s below %s: %q, %v", c.path, c.dir, rest, ok)
		}
	}
}
