package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// lvm makes snapshots of logical volumes by the programs of lvm2, thin ones where the volume is
// thin, and mounts them to be read.
type lvm struct {
	run    Run
	mounts string // directory for the mounts
	sys    string // where the system shows its devices
}

// NewLVM makes the provider for LVM. mounts is a directory of its own, sys is /sys.
func NewLVM(run Run, mounts, sys string) Provider { return lvm{run, mounts, sys} }

func (lvm) Kind() Kind { return LVM }

const (
	// lvmShare is how much of a volume may be overwritten while its classic snapshot is there.
	lvmShare = 15 // percent
	// lvmLeast is the smallest area of a classic snapshot that is worth a try.
	lvmLeast = 64 << 20
	// lvmPoolMost is how full a thin pool may be that gets a snapshot.
	lvmPoolMost = 95 // percent
)

// logical is a logical volume.
type logical struct {
	group, name, pool string
	size, free        int64 // of the volume; free in its group
}

func (l lvm) Fits(ctx context.Context, v Volume) error {
	uuid, err := os.ReadFile(filepath.Join(l.sys, "dev", "block", v.Device, "dm", "uuid"))
	switch {
	case !strings.HasPrefix(v.Source, "/"):
		return &Unfit{Why: "it lies on no disk", Other: true}
	case err != nil || !strings.HasPrefix(string(uuid), "LVM-"):
		return unfit(v.Source + " is no logical volume")
	}
	lv, err := l.look(ctx, v)
	if errors.Is(err, exec.ErrNotFound) {
		return unfit("the programs of lvm2 are not installed")
	}
	if err != nil {
		return unfit(err.Error())
	}
	if lv.pool == "" && lv.area() < min(lvmLeast, lv.size) {
		return unfit(fmt.Sprintf("the volume group %s has no room for a snapshot", lv.group))
	}
	if lv.pool != "" {
		return l.pool(ctx, lv)
	}
	return nil
}

// pool answers whether a thin pool has room for what will be overwritten while a snapshot is
// there: when it has none, all volumes in it stand still.
func (l lvm) pool(ctx context.Context, lv logical) error {
	f, err := l.fields(ctx, lv.group+"/"+lv.pool, "data_percent", "metadata_percent")
	if err != nil {
		return err
	}
	for _, text := range f {
		if used, err := strconv.ParseFloat(text, 64); err == nil && used >= lvmPoolMost {
			return unfit(fmt.Sprintf("the thin pool %s/%s is full to %.0f %%", lv.group, lv.pool, used))
		}
	}
	return nil
}

// fields asks for what lvs shows of a volume.
func (l lvm) fields(ctx context.Context, volume string, names ...string) ([]string, error) {
	out, err := l.run(ctx, "lvs", "--noheadings", "--nosuffix", "--units", "b", "--separator", "|", "-o", strings.Join(names, ","), volume)
	if err != nil {
		return nil, err
	}
	f := strings.Split(strings.TrimSpace(out), "|")
	if len(f) != len(names) {
		return nil, fmt.Errorf("lvs %s: cannot read %q", volume, out)
	}
	return f, nil
}

// Check looks whether the area of a classic snapshot was used up, or a thin pool has failed.
func (l lvm) Check(ctx context.Context, s *Snapshot) error {
	lv, err := l.names(s.Volume)
	if err != nil {
		return err
	}
	f, err := l.fields(ctx, lv.group+"/"+s.Name.String(), "lv_attr", "snap_percent")
	if err != nil {
		return err
	}
	// lvs(8): the fifth character is I or S where a snapshot is invalid, the ninth F where the
	// thin pool has failed. One that is full to the last becomes invalid at the next write.
	attr := f[0] + "          "
	used, perr := strconv.ParseFloat(f[1], 64)
	switch {
	case strings.Contains("IS", attr[4:5]) || attr[0] != 'V' && perr == nil && used >= 100:
		return &Ended{
			Why:  fmt.Sprintf("the room that it has in the volume group %s for what is overwritten meanwhile is used up", lv.group),
			Hint: fmt.Sprintf("leave more room free in the volume group %s, run the job when less is written, or move the volume into a thin pool", lv.group),
		}
	case attr[8] == 'F':
		return &Ended{Why: fmt.Sprintf("its thin pool in %s has failed", lv.group), Hint: "see lvs and the log of the system"}
	}
	return nil
}

// look finds the logical volume that v lies on.
func (l lvm) look(ctx context.Context, v Volume) (logical, error) {
	f, err := l.fields(ctx, v.Source, "vg_name", "lv_name", "pool_lv", "lv_size", "vg_free")
	if err != nil {
		return logical{}, err
	}
	size, err := strconv.ParseInt(f[3], 10, 64)
	free, ferr := strconv.ParseInt(f[4], 10, 64)
	return logical{group: f[0], name: f[1], pool: f[2], size: size, free: free}, errors.Join(err, ferr)
}

// names finds the group and the name of the logical volume that v lies on. The device mapper calls
// it by both, with each dash in them doubled: no program need be asked.
func (l lvm) names(v Volume) (logical, error) {
	b, err := os.ReadFile(filepath.Join(l.sys, "dev", "block", v.Device, "dm", "name"))
	if err != nil {
		return logical{}, err
	}
	const dash = "\x00"
	group, name, ok := strings.Cut(strings.ReplaceAll(strings.TrimSpace(string(b)), "--", dash), "-")
	if !ok || group == "" || name == "" || strings.Contains(name, "-") {
		return logical{}, fmt.Errorf("the device of %s is called %q, which is no logical volume", v.Mount, b)
	}
	return logical{group: strings.ReplaceAll(group, dash, "-"), name: strings.ReplaceAll(name, dash, "-")}, nil
}

// area is how large the area of a classic snapshot is made.
func (l logical) area() int64 { return min(l.free, max(l.size/100*lvmShare, lvmLeast)) }

func (l lvm) Create(ctx context.Context, v Volume, n Name, _ func(string) bool) (*Snapshot, error) {
	lv, err := l.look(ctx, v)
	if err != nil {
		return nil, failed(LVM, v, err)
	}
	s := &Snapshot{Kind: LVM, Volume: v, Name: n, Taken: time.Now()}
	args := []string{"--snapshot", "--yes", "--name", n.String()}
	if lv.pool != "" {
		args = append(args, "--setactivationskip", "n")
	} else {
		args = append(args, "--size", strconv.FormatInt(lv.area(), 10)+"b")
	}
	if _, err := l.run(ctx, "lvcreate", append(args, lv.group+"/"+lv.name)...); err != nil {
		// Killed in the middle, it may have been taken.
		return nil, failed(LVM, v, errors.Join(err, l.Remove(context.WithoutCancel(ctx), v, n)))
	}
	s.Parts = []Part{{At: v.Mount, ID: lv.group + "/" + lv.name, Path: path.Join(".", v.Root), Device: deviceOf(v.Mount)}}
	return s, nil
}

// Open mounts a snapshot, for the agent's own user alone to see.
func (l lvm) Open(ctx context.Context, s *Snapshot) (string, func(), error) {
	lv, err := l.names(s.Volume)
	if err != nil {
		return "", nil, err
	}
	at := filepath.Join(l.mounts, s.Name.String())
	if err := os.MkdirAll(at, 0o700); err != nil {
		return "", nil, err
	}
	options := "ro,nosuid,nodev,noexec"
	if s.Volume.Type == "xfs" {
		options += ",nouuid" // that of the volume itself is mounted
	}
	if _, err := l.run(ctx, "mount", "-t", s.Volume.Type, "-o", options, "/dev/"+lv.group+"/"+s.Name.String(), at); err != nil {
		return "", nil, errors.Join(err, os.Remove(at))
	}
	done := func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeLimit)
		defer cancel()
		_ = l.unmount(ctx, s.Name) // Remove does it again, and says what is wrong
	}
	return at, done, nil
}

// unmount undoes Open, also that of a process that is gone.
func (l lvm) unmount(ctx context.Context, n Name) error {
	at := filepath.Join(l.mounts, n.String())
	if os.Remove(at) == nil {
		return nil // nothing is mounted there
	}
	if _, err := os.Lstat(at); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if _, err := l.run(ctx, "umount", at); err != nil {
		return err
	}
	return os.Remove(at)
}

func (l lvm) Remove(ctx context.Context, v Volume, n Name) error {
	if err := l.unmount(ctx, n); err != nil {
		return err
	}
	lv, have, err := l.list(ctx, v, n.Owner)
	if err != nil {
		return err
	}
	for _, h := range have {
		if h == n {
			_, err = l.run(ctx, "lvremove", "--yes", lv.group+"/"+n.String())
		}
	}
	return err
}

func (l lvm) List(ctx context.Context, v Volume, owner string) ([]Name, error) {
	_, list, err := l.list(ctx, v, owner)
	return list, err
}

func (l lvm) list(ctx context.Context, v Volume, owner string) (logical, []Name, error) {
	lv, err := l.names(v)
	if err != nil {
		return lv, nil, err
	}
	out, err := l.run(ctx, "lvs", "--noheadings", "--separator", "|", "-o", "lv_name,origin", lv.group)
	if err != nil {
		return lv, nil, err
	}
	var list []Name
	for line := range strings.Lines(out) {
		name, origin, _ := strings.Cut(strings.TrimSpace(line), "|")
		if n, ok := ParseName(name); ok && origin == lv.name && n.Owner == owner {
			list = append(list, n)
		}
	}
	return lv, list, nil
}
