package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"keepward/internal/fsid"
)

// BtrfsDir is the directory in the topmost subvolume that has our snapshots.
const BtrfsDir = ".keepward-snapshots"

// btrfs makes read-only snapshots of subvolumes by calls of the kernel. Those of one Create lie
// in a directory of its name, one for each subvolume, called by its number. All is done through
// a mount of the topmost subvolume of its own, which has no place in the tree of directories:
// nobody sees it, and it ends with the process.
type btrfs struct{}

// NewBtrfs makes the provider for btrfs.
func NewBtrfs() Provider { return btrfs{} }

func (btrfs) Kind() Kind { return Btrfs }

func (b btrfs) Fits(ctx context.Context, v Volume) error {
	if v.Type != "btrfs" {
		return &Unfit{Why: "it is no btrfs", Other: true}
	}
	if v.ReadOnly {
		return unfit("the file system is mounted read-only")
	}
	top, err := openTop(v)
	if err != nil {
		return unfit("its topmost subvolume cannot be mounted: " + err.Error())
	}
	defer top.close()
	if _, err := btrfsSubvolumes(int(top.Fd())); err != nil {
		return unfit("its subvolumes cannot be listed: " + err.Error())
	}
	return ctx.Err()
}

// top is an open topmost subvolume.
type top struct{ *os.File }

// openTop mounts the topmost subvolume of the file system that v is of.
func openTop(v Volume) (top, error) {
	fs, err := unix.Fsopen("btrfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return top{}, fmt.Errorf("open file system type: %w", err)
	}
	defer unix.Close(fs)
	err = unix.FsconfigSetString(fs, "source", v.Source)
	if err == nil {
		err = unix.FsconfigSetString(fs, "subvolid", strconv.Itoa(btrfsTop))
	}
	if err == nil {
		err = unix.FsconfigCreate(fs)
	}
	if err != nil {
		return top{}, fmt.Errorf("mount %s: %w", v.Source, err)
	}
	m, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC|unix.MOUNT_ATTR_NOATIME)
	if err != nil {
		return top{}, fmt.Errorf("mount %s: %w", v.Source, err)
	}
	defer unix.Close(m)
	fd, err := unix.Openat(m, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return top{}, fmt.Errorf("open %s: %w", v.Source, err)
	}
	return top{os.NewFile(uintptr(fd), v.Source)}, nil
}

func (t top) close() { _ = t.Close() } // only read from

// path is a directory below it as others of this process name it.
func (t top) path(names ...string) string {
	return path.Join(append([]string{"/proc/self/fd/" + strconv.Itoa(int(t.Fd()))}, names...)...)
}

// open opens a directory below it, following no symlink.
func (t top) open(rel string) (*os.File, error) {
	fd, err := unix.Openat(int(t.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for name := range strings.SplitSeq(strings.Trim(rel, "/"), "/") {
		if err != nil || name == "" {
			break
		}
		var next int
		next, err = unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		_ = unix.Close(fd)
		fd = next
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", rel, err)
	}
	return os.NewFile(uintptr(fd), rel), nil
}

// tree is the subvolumes of a file system and their places.
type tree struct {
	top  top
	list map[uint64]subvolume
}

// within is the path of a subvolume in the one above, ended by nothing.
func (t *tree) within(s subvolume) (string, error) {
	_, dir, err := btrfsPath(int(t.top.Fd()), s.parent, s.dir)
	return dir + s.name, err
}

// place is the path of a subvolume in the topmost one.
func (t *tree) place(id uint64) (string, error) {
	rel := ""
	for id != btrfsTop {
		s, ok := t.list[id]
		if !ok {
			return "", fmt.Errorf("find subvolume %d: %w", id, os.ErrNotExist)
		}
		p, err := t.within(s)
		if err != nil {
			return "", fmt.Errorf("find subvolume %d: %w", id, err)
		}
		rel, id = path.Join(p, rel), s.parent
	}
	return rel, nil
}

// open opens a subvolume, and makes sure that it is that one.
func (t *tree) open(id uint64, place string) (*os.File, error) {
	f, err := t.top.open(place)
	if err != nil {
		return nil, err
	}
	is, _, err := btrfsPath(int(f.Fd()), 0, btrfsFirstInode)
	if err == nil && is != id {
		err = fmt.Errorf("open subvolume %d: %w", id, os.ErrNotExist)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func (b btrfs) Create(ctx context.Context, v Volume, n Name, wanted func(string) bool) (*Snapshot, error) {
	s, err := b.create(ctx, v, n, wanted)
	if err == nil {
		return s, nil
	}
	if rerr := b.Remove(context.WithoutCancel(ctx), v, n); rerr != nil {
		err = errors.Join(err, rerr) // the next one finds it
	}
	if errors.Is(err, unix.ETXTBSY) {
		return nil, unfit("a swap file lies in it, and btrfs makes no snapshot then")
	}
	return nil, failed(Btrfs, v, err)
}

func (b btrfs) create(ctx context.Context, v Volume, n Name, wanted func(string) bool) (*Snapshot, error) {
	id, inside, err := lookAtMount(v)
	if err != nil {
		return nil, err
	}
	top, err := openTop(v)
	if err != nil {
		return nil, err
	}
	defer top.close()
	t := &tree{top: top}
	if t.list, err = btrfsSubvolumes(int(top.Fd())); err != nil {
		return nil, fmt.Errorf("list subvolumes: %w", err)
	}
	place, err := t.place(id)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(top.path(BtrfsDir), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	if err := os.Mkdir(top.path(BtrfsDir, n.String()), 0o700); err != nil {
		return nil, err
	}
	set, err := top.open(path.Join(BtrfsDir, n.String()))
	if err != nil {
		return nil, err
	}
	defer set.Close()
	out := &Snapshot{Kind: Btrfs, Volume: v, Name: n, Taken: time.Now()}
	c := &creation{ctx: ctx, t: t, set: set, wanted: wanted, mount: v.Mount, inside: inside, out: out}
	return out, c.take(id, place, "")
}

// lookAtMount answers the subvolume that is mounted, and the directory of it.
func lookAtMount(v Volume) (id uint64, inside string, err error) {
	f, err := os.OpenFile(v.Mount, unix.O_DIRECTORY, 0)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0, "", err
	}
	id, inside, err = btrfsPath(int(f.Fd()), 0, st.Ino)
	if err != nil {
		return 0, "", fmt.Errorf("look at %s: %w", v.Mount, err)
	}
	return id, strings.TrimSuffix(inside, "/"), nil
}

// creation is one Create at work.
type creation struct {
	ctx    context.Context
	t      *tree
	set    *os.File
	wanted func(string) bool
	mount  string
	inside string // the directory of the mounted subvolume that is mounted
	out    *Snapshot
}

// take takes a subvolume and those within it; at is its path in the one that is mounted.
func (c *creation) take(id uint64, place, at string) error {
	if err := c.ctx.Err(); err != nil {
		return context.Cause(c.ctx)
	}
	f, err := c.t.open(id, place)
	if err != nil {
		return err
	}
	defer f.Close()
	p := Part{ID: strconv.FormatUint(id, 10), Device: fsid.Of(int(f.Fd()))}
	p.Path = p.ID
	if at == "" {
		p.At, p.Path = c.mount, path.Join(p.ID, c.inside)
	} else if p.At, err = c.live(at); err != nil {
		return err
	}
	// What cannot change needs no snapshot: those of other programs may be many. Of what is not
	// read, only the directory itself is seen.
	wanted := at == "" || c.wanted(p.At)
	if p.Live = !wanted || at != "" && btrfsIsReadOnly(int(f.Fd())); !p.Live {
		if err := btrfsSnapshot(int(c.set.Fd()), int(f.Fd()), p.ID); err != nil {
			return fmt.Errorf("take subvolume %d: %w", id, err)
		}
	}
	c.out.Parts = append(c.out.Parts, p)
	if !wanted {
		return nil
	}
	return c.nested(id, place, at)
}

// live is the live path of what lies at a path of the mounted subvolume.
func (c *creation) live(at string) (string, error) {
	rel, ok := strings.CutPrefix("/"+at, strings.TrimSuffix("/"+c.inside, "/")+"/")
	if !ok {
		return "", fmt.Errorf("subvolume %s: %w", at, os.ErrNotExist)
	}
	return join(c.mount, rel), nil
}

// nested takes the subvolumes that lie in one.
func (c *creation) nested(id uint64, place, at string) error {
	var list []subvolume
	for _, s := range c.t.list {
		if s.parent == id {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b subvolume) int { return int(a.id) - int(b.id) })
	for _, s := range list {
		rel, err := c.t.within(s)
		if err != nil {
			if errors.Is(err, unix.ENOENT) {
				continue // it is gone
			}
			return err
		}
		if id == btrfsTop && within(rel, BtrfsDir) {
			continue
		}
		below := path.Join(at, rel)
		if _, err := c.live(below); err != nil {
			continue // it does not lie in what is mounted
		}
		if err := c.take(s.id, path.Join(place, rel), below); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (btrfs) Open(_ context.Context, s *Snapshot) (string, func(), error) {
	top, err := openTop(s.Volume)
	if err != nil {
		return "", nil, err
	}
	root := top.path(BtrfsDir, s.Name.String())
	for _, p := range s.Parts {
		if p.Live {
			continue
		}
		if _, err := os.Stat(path.Join(root, p.Path)); err != nil {
			top.close()
			return "", nil, fmt.Errorf("open snapshot %s: %w", s.Name, err)
		}
	}
	return root, top.close, nil
}

func (btrfs) Remove(_ context.Context, v Volume, n Name) error {
	top, err := openTop(v)
	if err != nil {
		return err
	}
	defer top.close()
	return top.remove(n.String())
}

func (t top) remove(name string) error {
	set, err := t.open(path.Join(BtrfsDir, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer set.Close()
	entries, err := set.ReadDir(-1)
	for _, e := range entries {
		err = errors.Join(err, btrfsDestroy(int(set.Fd()), e.Name()))
	}
	if err == nil {
		err = os.Remove(t.path(BtrfsDir, name))
	}
	if err != nil {
		return fmt.Errorf("remove snapshot %s: %w", name, err)
	}
	return nil
}

func (btrfs) List(_ context.Context, v Volume, owner string) ([]Name, error) {
	top, err := openTop(v)
	if err != nil {
		return nil, err
	}
	defer top.close()
	dir, err := top.open(BtrfsDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	var out []Name
	for _, e := range entries {
		if n, ok := ParseName(e.Name()); ok && n.Owner == owner {
			out = append(out, n)
		}
	}
	return out, err
}

func (btrfs) Keep(_ context.Context, v Volume, from, to Name) error {
	top, err := openTop(v)
	if err != nil {
		return err
	}
	defer top.close()
	if err := top.remove(to.String()); err != nil {
		return err
	}
	return os.Rename(top.path(BtrfsDir, from.String()), top.path(BtrfsDir, to.String()))
}
