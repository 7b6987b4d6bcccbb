package agent

import (
	"context"
	"net"
	"os"
	"runtime"
	"slices"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/snapshot"
)

// Bounds of an inventory: it is for people, and a server asks thousands of computers for one.
const (
	inventoryAddresses = 64
	inventoryVolumes   = 256
	// sizeWait is how long the sizes of all volumes together are waited for: a file system of a network
	// may not answer at all.
	sizeWait = 5 * time.Second
)

// TakeInventory says what this computer is.
func (s *service) TakeInventory(ctx context.Context, req *connect.Request[keepwardv1.TakeInventoryRequest]) (*connect.Response[keepwardv1.TakeInventoryResponse], error) {
	if err := s.a.node.CheckTerm(req.Msg.GetTerm()); err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.TakeInventoryResponse{Inventory: s.a.inventory(ctx)}), nil
}

func (a *agent) inventory(ctx context.Context) *keepwardv1.Inventory {
	info := a.info()
	system, kernel := systemName()
	out := &keepwardv1.Inventory{
		System: system, Kernel: kernel, Os: info.GetOs(), Arch: info.GetArch(), Hostname: info.GetHostname(),
		AgentVersion: info.GetVersion(), Processors: int32(runtime.NumCPU()), MemoryBytes: memoryOfComputer(),
	}
	out.Addresses, out.MoreAddresses = bounded(addresses(), inventoryAddresses)
	volumes, err := snapshot.Visible()
	if err != nil {
		a.log.Warn("mounted volumes not listed", "error", err)
	}
	volumes = eachOnce(volumes)
	var more int32
	volumes, more = bounded(volumes, inventoryVolumes)
	out.MoreVolumes = more
	for _, v := range volumes {
		out.Volumes = append(out.Volumes, &keepwardv1.Volume{Mount: v.Mount, Type: v.Type, Device: v.Source, ReadOnly: v.ReadOnly})
	}
	a.measure(ctx, out.Volumes)
	return out
}

// eachOnce are the file systems that keep files, each where it was mounted first. Those of btrfs and
// zfs, and what has no device, are told apart by their places.
func eachOnce(list []snapshot.Volume) []snapshot.Volume {
	seen := map[string]bool{}
	return slices.DeleteFunc(list, func(v snapshot.Volume) bool {
		again := seen[v.Device] && v.Type != "btrfs" && v.Type != "zfs"
		seen[v.Device] = true
		return again || !keepsFiles(v.Type)
	})
}

func bounded[T any](list []T, most int) ([]T, int32) {
	if more := len(list) - most; more > 0 {
		return list[:most], int32(more)
	}
	return list, 0
}

// addresses are those by which others reach this computer.
func addresses() []string {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []string
	for _, a := range list {
		if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLoopback() && !ip.IP.IsLinkLocalUnicast() {
			out = append(out, ip.IP.String())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// sized is how large a volume is, by its place in the list.
type sized struct {
	at          int
	total, free int64
}

// measure fills in the sizes of volumes, as far as they answer in time. A call to a file system that
// hangs cannot be ended: as long as one goes on, no further ones are made.
func (a *agent) measure(ctx context.Context, volumes []*keepwardv1.Volume) {
	if !a.measuring.TryLock() {
		return
	}
	mounts := make([]string, len(volumes))
	for i, v := range volumes {
		mounts[i] = v.GetMount()
	}
	sizes := make(chan sized, len(mounts)) // nobody may listen any more
	go func() {
		defer a.measuring.Unlock()
		defer close(sizes)
		for i, mount := range mounts {
			if total, free, err := volumeSize(mount); err == nil {
				sizes <- sized{i, total, free}
			}
		}
	}()
	limit := time.NewTimer(sizeWait)
	defer limit.Stop()
	for {
		select {
		case s, more := <-sizes:
			if !more {
				return
			}
			volumes[s.at].SizeBytes, volumes[s.at].FreeBytes = s.total, s.free
		case <-limit.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// keepsFiles tells whether a type of file system keeps files of people.
func keepsFiles(kind string) bool {
	return !slices.Contains([]string{
		"autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs", "fusectl",
		"hugetlbfs", "mqueue", "nsfs", "proc", "pstore", "ramfs", "rpc_pipefs", "securityfs", "selinuxfs", "squashfs", "sysfs", "tmpfs", "tracefs",
	}, kind)
}

// readSmall reads a file of the system that has a few lines.
func readSmall(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(b)
}
