//go:build unix

package snapshot_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keepward/internal/errs"
	"keepward/internal/snapshot"
	"keepward/internal/snapshot/snapshottest"
)

// The doubles of lvm2 and mount: snapshots are copies, a mount is a symlink to one.
var lvmDoubles = map[string]string{
	"lvs": `#!/bin/sh
echo "lvs $*" >>"$DOUBLE/calls"
case "$*" in
*vg_free*) cat "$DOUBLE/volume";;
*metadata_percent*) cat "$DOUBLE/pool" 2>/dev/null || echo "  12.50|3.20";;
*lv_attr*) cat "$DOUBLE/attr" 2>/dev/null || echo "  swi-aos---|3.07";;
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
		for name, text := range map[string]string{"volume": "  " + volume + "\n", "sys/dev/block/253:7/dm/uuid": "LVM-abc", "sys/dev/block/253:7/dm/name": "vg-data\n"} {
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

// Names with dashes are told apart, and what is no logical volume is not taken for one.
func TestLVMFindsNames(t *testing.T) {
	for name, want := range map[string]string{"my--vg-a--b": "my-vg", "vg-data-real": "", "luks": "", "-x": ""} {
		s := lvmSubject("vg|data||10737418240|107374182400")(t)
		put(t, s, "sys/dev/block/253:7/dm/name", name+"\n")
		_, err := s.Provider.List(t.Context(), s.Volume, "00000000000000aa")
		b, rerr := os.ReadFile(filepath.Join(filepath.Dir(s.Volume.Mount), "calls"))
		if want == "" && err == nil || want != "" && (err != nil || rerr != nil || !strings.HasSuffix(string(b), " "+want+"\n")) {
			t.Errorf("%s: %v, called %q", name, err, b)
		}
	}
}

func TestLVMSaysWhyNot(t *testing.T) {
	s := lvmSubject("vg|data||10737418240|1048576")(t)
	if err := s.Provider.Fits(t.Context(), s.Volume); err == nil || err.Error() != "the volume group vg has no room for a snapshot" {
		t.Errorf("without room: %v", err)
	}
	thin := lvmSubject("vg|data|pool|10737418240|0")(t)
	for _, c := range []struct{ pool, want string }{
		{"94.90|10.00", ""}, {"95.00|10.00", "the thin pool vg/pool is full to 95 %"}, {"1.00|99.50", "the thin pool vg/pool is full to 100 %"},
	} {
		put(t, thin, "pool", "  "+c.pool+"\n")
		if err := thin.Provider.Fits(t.Context(), thin.Volume); (err != nil) != (c.want != "") || err != nil && err.Error() != c.want {
			t.Errorf("pool at %s: %v, want %q", c.pool, err, c.want)
		}
	}
	v := s.Volume
	v.Device, v.Source = "8:1", "/dev/sda1"
	if err := s.Provider.Fits(t.Context(), v); err == nil || err.Error() != "/dev/sda1 is no logical volume" {
		t.Errorf("a partition: %v", err)
	}
}

// A classic snapshot whose room is used up is no longer the state of its moment, and one of a thin
// pool that has failed neither.
func TestLVMSaysThatASnapshotHasEnded(t *testing.T) {
	for _, c := range []struct{ volume, attr, want string }{
		{"vg|data||10737418240|107374182400", "swi-aos---|99.99", ""},
		{"vg|data||10737418240|107374182400", "swi-I-s---|100.00", "volume group vg"},
		{"vg|data||10737418240|107374182400", "swi-S-s---|", "volume group vg"},
		{"vg|data||10737418240|107374182400", "swi-aos---|100.00", "volume group vg"},
		{"vg|data|pool|10737418240|0", "Vri-aotz--|", ""},
		{"vg|data|pool|10737418240|0", "Vri-aotzF-|", "thin pool in vg has failed"},
	} {
		s := lvmSubject(c.volume)(t)
		set := &snapshot.Set{Snapshots: []*snapshot.Snapshot{{Kind: snapshot.LVM, Volume: s.Volume, Name: snapshot.Name{Owner: "00000000000000aa", ID: "1"}}}}
		taker := &snapshot.Taker{Providers: []snapshot.Provider{s.Provider, snapshot.NewNone()}}
		if !taker.CanEnd(set) {
			t.Error("it cannot end")
		}
		put(t, s, "attr", "  "+c.attr+"\n")
		err := taker.Check(t.Context(), set)
		if c.want == "" && err != nil || c.want != "" && (errs.CodeOf(err) != "snapshot.overflow" || !strings.Contains(err.Error(), c.want) || errs.HintOf(err) == "") {
			t.Errorf("%s: %v, want %q", c.attr, err, c.want)
		}
		put(t, s, "attr", "junk\n")
		if err := taker.Check(t.Context(), set); errs.CodeOf(err) != "snapshot.check" {
			t.Errorf("junk: %v", err)
		}
	}
}

// put has the doubles of a subject answer something else.
func put(t *testing.T, s snapshottest.Subject, file, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(filepath.Dir(s.Volume.Mount), file), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
