//go:build unix

package snapshot_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keepward/internal/snapshot"
	"keepward/internal/snapshot/snapshottest"
)

// The doubles of lvm2 and mount: snapshots are copies, a mount is a symlink to one.
var lvmDoubles = map[string]string{
	"lvs": `#!/bin/sh
echo "lvs $*" >>"$DOUBLE/calls"
case "$*" in
*vg_free*) cat "$DOUBLE/volume";;
*) echo "  data|"; for s in "$DOUBLE"/lv/*; do [ -e "$s" ] && echo "  ${s##*/}|data"; done; true;;
esac
`,
	"lvcreate": `#!/bin/sh
echo "lvcreate $*" >>"$DOUBLE/calls"
mkdir "$DOUBLE/lv/$4" && for f in "$DOUBLE/mnt"/*; do [ -e "$f" ] && cp -a "$f" "$DOUBLE/lv/$4/"; done; true
`,
	"lvremove": `#!/bin/sh
echo "lvremove $*" >>"$DOUBLE/calls"
rm -r "$DOUBLE/lv/${2#*/}"
`,
	"mount": `#!/bin/sh
echo "mount $1 $2 $3 $4 $5" >>"$DOUBLE/calls"
[ -d "$DOUBLE/lv/${5##*/}" ] && rmdir "$6" && mkdir "$6" && : >"$6/.mounted" && for f in "$DOUBLE/lv/${5##*/}"/*; do [ -e "$f" ] && ln -s "$f" "$6/"; done; [ -d "$DOUBLE/lv/${5##*/}" ]
`,
	"umount": `#!/bin/sh
echo umount >>"$DOUBLE/calls"
rm -r "$1" && mkdir "$1"
`,
}

func lvmSubject(volume string) func(t *testing.T) snapshottest.Subject {
	return func(t *testing.T) snapshottest.Subject {
		dir, run := double(t, lvmDoubles)
		for _, d := range []string{"mnt", "lv", "mounts", "sys/dev/block/253:7/dm"} {
			if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for name, text := range map[string]string{"volume": "  " + volume + "\n", "sys/dev/block/253:7/dm/uuid": "LVM-abc"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return snapshottest.Subject{
			Provider: snapshot.NewLVM(run, filepath.Join(dir, "mounts"), filepath.Join(dir, "sys")),
			Volume:   snapshot.Volume{ID: 1, Device: "253:7", Root: "/", Mount: filepath.Join(dir, "mnt"), Type: "xfs", Source: "/dev/mapper/vg-data"},
		}
	}
}

func TestLVMContractOfDoubles(t *testing.T) {
	t.Run("thin", func(t *testing.T) { snapshottest.Run(t, lvmSubject("vg|data|pool|10737418240|0")) })
	t.Run("classic", func(t *testing.T) { snapshottest.Run(t, lvmSubject("vg|data||10737418240|107374182400")) })
}

func TestLVMIsCalledLikeThis(t *testing.T) {
	for volume, want := range map[string]string{
		"vg|data|pool|10737418240|0":         "lvcreate --snapshot --yes --name NAME --setactivationskip n vg/data",
		"vg|data||10737418240|9999999999999": "lvcreate --snapshot --yes --name NAME --size 1610612730b vg/data",
		"vg|data||10737418240|104857600":     "lvcreate --snapshot --yes --name NAME --size 104857600b vg/data",
	} {
		s := lvmSubject(volume)(t)
		n := snapshot.Name{Owner: "00000000000000aa", ID: "1"}
		snap, err := s.Provider.Create(t.Context(), s.Volume, n, func(string) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Provider.Open(t.Context(), snap); err != nil {
			t.Fatal(err)
		}
		// What a killed process has mounted does not hold it.
		if err := s.Provider.Remove(t.Context(), s.Volume, n); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(filepath.Dir(s.Volume.Mount), "calls"))
		if err != nil {
			t.Fatal(err)
		}
		var calls []string
		for line := range strings.Lines(strings.ReplaceAll(string(b), n.String(), "NAME")) {
			if !strings.HasPrefix(line, "lvs") {
				calls = append(calls, strings.TrimSpace(line))
			}
		}
		got := strings.Join(calls, "\n")
		want += "\nmount -t xfs -o ro,nosuid,nodev,noexec,nouuid /dev/vg/NAME\numount\nlvremove --yes vg/NAME"
		if got != want {
			t.Errorf("%s: calls\n%s\nwant\n%s", volume, got, want)
		}
	}
}

func TestLVMSaysWhyNot(t *testing.T) {
	s := lvmSubject("vg|data||10737418240|1048576")(t)
	if err := s.Provider.Fits(t.Context(), s.Volume); err == nil || err.Error() != "the volume group vg has no room for a snapshot" {
		t.Errorf("without room: %v", err)
	}
	v := s.Volume
	v.Device, v.Source = "8:1", "/dev/sda1"
	if err := s.Provider.Fits(t.Context(), v); err == nil || err.Error() != "/dev/sda1 is no logical volume" {
		t.Errorf("a partition: %v", err)
	}
}
