package changes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Btrfs is the tracker of a subvolume of btrfs: it asks the kernel for the difference between
// the snapshot that the parent's backup kept and the one that this backup reads. Its token is
// the snapshot, so it is known only when that is there.
type Btrfs struct {
	// Kept answers where the read-only snapshot with an id lies, fs.ErrNotExist if it is gone.
	Kept func(snapshot [16]byte) (string, error)

	most int // names followed one by one; 0: maxNodes
}

// Kind is KindBtrfs.
func (*Btrfs) Kind() Kind { return KindBtrfs }

// Begin does nothing: the snapshot itself is the moment.
func (b *Btrfs) Begin(context.Context) (Moment, error) { return btrfsMoment{b}, nil }

type btrfsMoment struct{ *Btrfs }

// Token is that of the snapshot in view, nil if it is none that can be kept.
func (m btrfsMoment) Token(_ context.Context, view View) ([]byte, error) {
	root, err := os.Open(view.Root)
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	defer root.Close()
	info, err := subvolInfo(root)
	if err != nil {
		return nil, err
	}
	if !info.readOnly || info.token.subvolume == (id{}) {
		return nil, nil
	}
	return info.token.encode(), nil
}

// Since compares the snapshot of parent with that in view.
func (m btrfsMoment) Since(ctx context.Context, parent []byte, view View) (*Set, error) {
	want, why := parseBtrfsToken(parent)
	if why != "" {
		return doubt(why, nil), nil
	}
	cur, err := os.Open(view.Root)
	if err != nil {
		return doubt(TrackerFailed, fmt.Errorf("open snapshot: %w", err)), nil
	}
	defer cur.Close()
	now, err := subvolInfo(cur)
	if err != nil {
		return doubt(failure(err), err), nil
	}
	if now.token.filesystem != want.filesystem || now.token.subvolume != want.subvolume {
		return doubt(OtherVolume, nil), nil
	}
	if !now.readOnly {
		return doubt(Unsupported, errors.New("the state to read is not a read-only snapshot")), nil
	}
	if now.token == want {
		b := newBuilder(&view)
		defer b.close()
		return b.finish()
	}
	path, err := m.Kept(want.snapshot)
	if err != nil {
		return doubt(SnapshotGone, err), nil
	}
	old, err := os.Open(path)
	if err != nil {
		return doubt(SnapshotGone, err), nil
	}
	defer old.Close()
	then, err := subvolInfo(old)
	if err != nil {
		return doubt(failure(err), err), nil
	}
	if then.token.snapshot != want.snapshot || then.token.filesystem != want.filesystem {
		return doubt(SnapshotGone, fmt.Errorf("%s is another one", path)), nil
	}
	if !then.readOnly || then.token != want {
		return doubt(SnapshotChanged, nil), nil
	}
	return m.compare(ctx, cur, then, now, &view)
}

func (m btrfsMoment) compare(ctx context.Context, cur *os.File, then, now subvol, view *View) (*Set, error) {
	most := m.most
	if most == 0 {
		most = maxNodes
	}
	r := newReplay(most)
	err := sendStream(ctx, cur, then.treeID, func(s *sent) error {
		if s.cmd != cmdSnapshot {
			r.apply(s)
			return nil
		}
		if s.uuid != now.token.snapshot || s.cloneUUID != then.token.snapshot || s.transid != now.token.transid || s.cloneTransid != then.token.transid {
			return broken("it is of other snapshots")
		}
		return nil
	})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, errStream):
		return doubt(StreamBroken, err), nil
	case err != nil:
		return doubt(failure(err), err), nil
	case r.root.whole:
		return doubt(TooMany, nil), nil
	}
	b := newBuilder(view)
	defer b.close()
	b.links = r.links
	n := namer{root: int(cur.Fd())}
	err = r.each(func(path []byte, node *rnode, what What) error {
		return m.emit(ctx, b, &n, path, node, what)
	})
	runtime.KeepAlive(cur)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, errStream):
		return doubt(StreamBroken, err), nil
	case errors.Is(err, errNames):
		return doubt(TrackerFailed, err), nil
	case err != nil:
		return nil, err
	}
	return b.finish()
}

// emit takes a name into the set, with the other names of its file. A name that is not in the
// snapshot shows that the stream was misread.
func (m btrfsMoment) emit(ctx context.Context, b *builder, names *namer, path []byte, node *rnode, what What) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	st, err := statBelow(names.root, path)
	if err != nil {
		return broken("%.200q: %v", path, err)
	}
	c := Change{Path: path, What: what, Inode: st.Ino}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		if what&Replaced != 0 {
			c.What |= Subtree
		}
		c.What &^= Content
		return b.add(&c)
	}
	c.What &^= Listing | Subtree
	if c.What&(Content|Replaced) == Content {
		c.Known, c.Extents = true, clip(normal(node.extents), st.Size)
	}
	if err := b.add(&c); err != nil {
		return err
	}
	if st.Nlink < 2 {
		return nil
	}
	// New and moved names are there by themselves.
	c.What = c.What&^(Replaced|Content) | Metadata
	switch {
	case b.links: // what was said of another name may have been dropped
		c.What |= Content
		c.Known, c.Extents = false, nil
	case node.what&Content != 0:
		c.What |= Content
		c.Known, c.Extents = true, clip(normal(node.extents), st.Size)
	}
	found := uint32(0)
	err = names.each(st.Ino, func(name []byte) error {
		found++
		c.Path = name
		return b.add(&c)
	})
	if err == nil && found != uint32(st.Nlink) {
		err = fmt.Errorf("%w: %d of %d names of inode %d", errNames, found, st.Nlink, st.Ino)
	}
	return err
}

// clip cuts off what lies behind the end of a file.
func clip(es []Extent, size int64) []Extent {
	for i, e := range es {
		if e.Offset >= size {
			return es[:i]
		}
		es[i].Length = min(e.Length, size-e.Offset)
	}
	return es
}

func failure(err error) Reason {
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EBUSY), errors.Is(err, unix.ETXTBSY):
		return TrackerBusy
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), errors.Is(err, unix.ENOTTY), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
		return Unsupported
	}
	return TrackerFailed
}

const (
	btrfsMagic = 0x94

	iocSend           = 1<<30 | 72<<16 | btrfsMagic<<8 | 38
	iocTreeSearch     = 3<<30 | 112<<16 | btrfsMagic<<8 | 17
	iocFSInfo         = 2<<30 | 1024<<16 | btrfsMagic<<8 | 31
	iocSubvolInfo     = 2<<30 | 504<<16 | btrfsMagic<<8 | 60
	sendNoFileData    = 1
	subvolReadOnly    = 2 // BTRFS_SUBVOL_RDONLY, as BTRFS_IOC_SUBVOL_GETFLAGS has it
	iocSubvolGetFlags = 2<<30 | 8<<16 | btrfsMagic<<8 | 25
)

// subvol is what the kernel says of a subvolume.
type subvol struct {
	treeID   uint64
	readOnly bool
	token    btrfsToken
}

func subvolInfo(f *os.File) (subvol, error) {
	var fs [1024]byte
	var sub [504]byte
	var flags uint64
	for _, q := range []struct {
		nr  uintptr
		arg unsafe.Pointer
	}{{iocFSInfo, unsafe.Pointer(&fs)}, {iocSubvolInfo, unsafe.Pointer(&sub)}, {iocSubvolGetFlags, unsafe.Pointer(&flags)}} {
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), q.nr, uintptr(q.arg)); e != 0 {
			return subvol{}, fmt.Errorf("ask btrfs about %s: %w", f.Name(), e)
		}
	}
	runtime.KeepAlive(f)
	// struct btrfs_ioctl_fs_info_args: max_id 8, num_devices 8, fsid.
	// struct btrfs_ioctl_get_subvol_info_args: treeid 8, name 256, parent_id 8, dirid 8,
	// generation 8, flags 8, uuid, parent_uuid, received_uuid, ctransid 8.
	ne := nativeEndian
	s := subvol{treeID: ne.Uint64(sub[:]), readOnly: flags&subvolReadOnly != 0}
	copy(s.token.filesystem[:], fs[16:])
	copy(s.token.snapshot[:], sub[296:])
	copy(s.token.subvolume[:], sub[312:])
	s.token.transid = ne.Uint64(sub[344:])
	return s, nil
}

// sendArgs is struct btrfs_ioctl_send_args.
type sendArgs struct {
	fd      int64
	nclone  uint64
	clones  *uint64
	parent  uint64
	flags   uint64
	version uint32
	_       [28]byte
}

// sendStream calls fn for the commands that lead from the snapshot with tree id parent to cur.
func sendStream(ctx context.Context, cur *os.File, parent uint64, fn func(*sent) error) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	if conn, err := r.SyscallConn(); err == nil {
		// A megabyte lets the kernel run ahead; where that is not allowed the default will do.
		_ = conn.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, 1<<20) })
	}
	// The kernel must wait for us, not fail, when the pipe is full.
	wfd := w.Fd()
	if err := unix.SetNonblock(int(wfd), false); err != nil {
		_ = w.Close()
		return err
	}
	done := make(chan error, 1) // the sender never waits for us
	go func() {
		a := sendArgs{fd: int64(wfd), nclone: 1, clones: &parent, parent: parent, flags: sendNoFileData}
		_, _, e := unix.Syscall(unix.SYS_IOCTL, cur.Fd(), iocSend, uintptr(unsafe.Pointer(&a)))
		runtime.KeepAlive(&a)
		_ = w.Close() // nothing of ours is buffered in it
		if e != 0 {
			done <- fmt.Errorf("send stream: %w", e)
			return
		}
		done <- nil
	}()
	// Closing the reading end makes the kernel give up.
	stop := context.AfterFunc(ctx, func() { _ = r.Close() })
	defer stop()
	readErr := readStream(r, fn)
	_ = r.Close()
	sendErr := <-done
	if sendErr != nil && !(readErr != nil && errors.Is(sendErr, unix.EPIPE)) {
		return sendErr
	}
	return readErr
}

// statBelow stats a path below an open directory; symlinks are not followed. The kernel sends
// no path that is too long for this.
func statBelow(root int, path []byte) (unix.Stat_t, error) {
	var st unix.Stat_t
	if len(path) == 0 {
		return st, unix.Fstat(root, &st)
	}
	return st, unix.Fstatat(root, string(path), &st, unix.AT_SYMLINK_NOFOLLOW)
}
