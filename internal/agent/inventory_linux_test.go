package agent

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/snapshot"
)

func TestAnInventoryHasEachFileSystemOnce(t *testing.T) {
	var got []string
	for _, v := range eachOnce([]snapshot.Volume{
		{Mount: "/", Device: "8:1", Type: "ext4"},
		{Mount: "/proc", Device: "0:5", Type: "proc"},
		{Mount: "/srv", Device: "0:40", Type: "btrfs"},
		{Mount: "/srv/sub", Device: "0:40", Type: "btrfs"},
		{Mount: "/bind", Device: "8:1", Type: "ext4"},
		{Mount: "/net", Device: "0:50", Type: "nfs4"},
		{Mount: "/run", Device: "0:6", Type: "tmpfs"},
	}) {
		got = append(got, v.Mount)
	}
	if d := cmp.Diff([]string{"/", "/srv", "/srv/sub", "/net"}, got); d != "" {
		t.Error(d)
	}
}

func TestVolumesAreMeasuredOnceAtATime(t *testing.T) {
	a := &agent{}
	volumes := []*keepwardv1.Volume{{Mount: "/"}, {Mount: "/no/such/place"}}
	a.measuring.Lock() // somebody still waits for a file system that hangs
	a.measure(t.Context(), volumes)
	if volumes[0].SizeBytes != 0 {
		t.Error("a second one was asked beside it")
	}
	a.measuring.Unlock()
	a.measure(t.Context(), volumes)
	if volumes[0].SizeBytes == 0 || volumes[0].FreeBytes > volumes[0].SizeBytes || volumes[1].SizeBytes != 0 {
		t.Errorf("%v", volumes)
	}
	if list, more := bounded([]int{1, 2, 3}, 2); len(list) != 2 || more != 1 {
		t.Errorf("%v and %d more", list, more)
	}
}
