package snapshot

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
)

// What Windows tells of its volumes is the same tree of mounts as elsewhere: a volume in a folder lies
// on the one that has the folder.
func TestDrivesAreVolumes(t *testing.T) {
	list := volumesOf([]drive{
		{name: `\\?\Volume{d}\`, places: []string{`D:\`, `C:\mnt\disk\`}, format: "ReFS"},
		{name: `\\?\Volume{c}\`, places: []string{`C:\`}, format: "NTFS"},
		{name: `\\?\Volume{e}\`, places: []string{`c:\MNT\Disk\in\`}, format: "exFAT", readOnly: true},
		{name: `\\?\Volume{f}\`}, // mounted nowhere
		{name: `\\?\Volume{g}\`, places: []string{`E:\`}},
		{places: []string{`N:\`}, format: typeNetwork},
	})
	var got []string
	for _, v := range visible(list) {
		got = append(got, fmt.Sprintf("%d on %d: %s %s %s %v", v.ID, v.Parent, v.Mount, v.Type, v.Source, v.ReadOnly))
	}
	want := []string{
		`1 on 0: C:\ NTFS \\?\Volume{c}\ false`,
		`2 on 1: C:\mnt\disk ReFS \\?\Volume{d}\ false`,
		`3 on 2: c:\MNT\Disk\in exFAT \\?\Volume{e}\ true`,
		`4 on 0: D:\ ReFS \\?\Volume{d}\ false`,
		`5 on 0: E:\ unknown \\?\Volume{g}\ false`,
		`6 on 0: N:\ network N:\ false`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// Paths of Windows are compared as Windows does; those of other systems byte by byte.
func TestPathsOfWindowsAreWithin(t *testing.T) {
	for _, c := range []struct {
		path, dir string
		want      bool
	}{
		{`C:\Users`, `C:\`, true},
		{`c:\`, `C:\`, true},
		{`c:/users/x`, `C:\Users`, true},
		{`C:\Usersx`, `C:\Users`, false},
		{`D:\x`, `C:\`, false},
		{`C:\`, `C:\mnt\disk`, false},
		{"/srv/A", "/srv/a", false},
		{"/:/x", "/:", true},
	} {
		if got := within(c.path, c.dir); got != c.want {
			t.Errorf("%s within %s: %v", c.path, c.dir, got)
		}
	}
}

func TestVolumesOfWindowsThatAreNeeded(t *testing.T) {
	mounts := volumesOf([]drive{
		{name: `\\?\Volume{c}\`, places: []string{`C:\`}, format: "NTFS"},
		{name: `\\?\Volume{d}\`, places: []string{`C:\mnt\disk\`}, format: "NTFS"},
		{name: `\\?\Volume{e}\`, places: []string{`C:\mnt\other\`, `E:\`}, format: "NTFS"},
		{name: `\\?\Volume{f}\`, places: []string{`F:\`}, format: "NTFS"},
	})
	for include, want := range map[string]string{
		`c:\`:             `C:\ C:\mnt\disk`,
		`C:\mnt\DISK\dir`: `C:\mnt\disk`,
		`c:\users`:        `C:\`,
		`e:\`:             `E:\`,
		`\\server\share`:  ``,
	} {
		var got []string
		for _, v := range (&Taker{}).needed(mounts, Request{Include: []string{include}, Wanted: func(p string) bool { return p != `C:\mnt\other` }}) {
			got = append(got, v.Mount)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s needs %q, want %q", include, got, want)
		}
	}
}

func TestListsOfWindowsAreRead(t *testing.T) {
	text := func(u []uint16) string { return string(utf16.Decode(u)) }
	for raw, want := range map[string][]string{
		"C:\\\x00D:\\srv\\\x00\x00rest": {`C:\`, `D:\srv\`},
		"\x00\x00":                      nil,
		"C:\\":                          nil, // cut off
		"":                              nil,
	} {
		if d := cmp.Diff(want, listed(utf16.Encode([]rune(raw)), text)); d != "" {
			t.Errorf("%q (-want +got):\n%s", raw, d)
		}
	}
}
