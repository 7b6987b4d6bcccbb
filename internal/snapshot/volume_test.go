package snapshot

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const mounts = `22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
30 27 0:40 /@ /data rw,relatime shared:1 master:2 - btrfs /dev/loop0 rw,subvol=/@
31 30 7:1 / /data/in\040side ro - xfs /dev/loop1 ro,attr2
32 27 0:50 / /hidden/below rw - tmpfs tmpfs rw
33 27 0:51 / /hidden rw - tmpfs tmpfs rw
34 33 0:52 / /hidden/below rw - tmpfs seen rw
35 30 0:53 / /data rw - tmpfs under rw
36 35 0:54 / /data/x rw - tmpfs over rw
broken
40 27 0:60 / - -
`

func TestMountsAreRead(t *testing.T) {
	list := parseMounts([]byte(mounts))
	want := Volume{ID: 31, Parent: 30, Device: "7:1", Root: "/", Mount: "/data/in side", Type: "xfs", Source: "/dev/loop1", ReadOnly: true}
	if len(list) != 9 {
		t.Fatalf("%d mounts", len(list))
	}
	if d := cmp.Diff(want, list[3]); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if list[2].Root != "/@" || list[2].ReadOnly {
		t.Errorf("mount %+v", list[2])
	}
}

func TestHiddenMountsAreLeftOut(t *testing.T) {
	var got []string
	for _, v := range visible(parseMounts([]byte(mounts))) {
		got = append(got, v.Mount+" "+v.Source)
	}
	want := "/ /dev/vda, /proc proc, /data under, /data/x over, /hidden tmpfs, /hidden/below seen"
	if d := cmp.Diff(want, strings.Join(got, ", ")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestNames(t *testing.T) {
	for _, n := range []Name{{Owner: "0123456789abcdef", ID: "ab"}, {Owner: "0123456789abcdef", Kept: "12"}} {
		if got, ok := ParseName(n.String()); !ok || got != n {
			t.Errorf("%s is read as %+v, %v", n, got, ok)
		}
	}
	for _, s := range []string{"", "keepward", "keepward-1-run-2", "keepward-0123456789abcdef-run-", "keepward-0123456789abcdef-run-ABC", "xkeepward-0123456789abcdef-run-1", "keepward-0123456789abcdef-else-1"} {
		if _, ok := ParseName(s); ok {
			t.Errorf("%q is taken for ours", s)
		}
	}
	if a, b := NewID(), NewID(); a == b || len(a) != 16 {
		t.Errorf("ids %s and %s", a, b)
	}
}
