//go:build linux || darwin || freebsd

package mount

import (
	"bytes"
	"context"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Where a listing goes on: behind . and .. stand the entries, each by its place in the index, or of
// the topmost folder by the index of the point. So a listing may be broken off anywhere and goes on
// without anything being kept for it.
const (
	behindSelf   = 1
	behindParent = 2
	firstEntry   = 3
	behindLatest = ordinals
)

// OpenDir opens a directory. What a point holds never changes, so the kernel may keep its listings.
func (f *fileSystem) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if in.NodeId == rootNode && !f.single {
		return fuse.OK
	}
	out.OpenFlags = fuse.FOPEN_CACHE_DIR | fuse.FOPEN_KEEP_CACHE
	_, status := f.tree(f.node(in.NodeId))
	return status
}

// ReadDir lists a directory.
func (f *fileSystem) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return f.list(cancel, in, func(e fuse.DirEntry, _ func(*fuse.EntryOut)) bool { return out.AddDirEntry(e) })
}

// ReadDirPlus lists a directory with what stat wants to know of each entry.
func (f *fileSystem) ReadDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return f.list(cancel, in, func(e fuse.DirEntry, fill func(*fuse.EntryOut)) bool {
		entry := out.AddDirLookupEntry(e)
		if entry != nil && fill != nil {
			fill(entry)
		}
		return entry != nil
	})
}

// adder takes an entry in, and has fill fill in what else is asked for; false: it does not fit.
type adder func(e fuse.DirEntry, fill func(*fuse.EntryOut)) bool

func (f *fileSystem) list(cancel <-chan struct{}, in *fuse.ReadIn, add adder) fuse.Status {
	if in.Offset < behindSelf && !add(fuse.DirEntry{Mode: syscall.S_IFDIR, Name: ".", Ino: in.NodeId, Off: behindSelf}, nil) {
		return fuse.OK
	}
	if in.Offset < behindParent && !add(fuse.DirEntry{Mode: syscall.S_IFDIR, Name: "..", Off: behindParent}, nil) {
		return fuse.OK
	}
	if in.NodeId == rootNode && !f.single {
		return f.listPoints(cancel, in.Offset, add)
	}
	dir := f.node(in.NodeId)
	t, status := f.tree(dir)
	if !status.Ok() {
		return status
	}
	after := int64(-1)
	if in.Offset >= firstEntry {
		after = int64(in.Offset - firstEntry)
	}
	err := t.children(f.call(cancel), dir, after, func(n *node) (bool, error) {
		name := n.e.Path[bytes.LastIndexByte(n.e.Path, '/')+1:]
		off := firstEntry + n.number&ordinals - 1
		return add(fuse.DirEntry{Mode: modeOf(n.e), Name: string(name), Ino: n.inode, Off: off}, func(out *fuse.EntryOut) { fillEntry(out, n) }), nil
	})
	return f.failed(t, "", err)
}

// listPoints lists the topmost folder, as it is now: who lists it wants to see the newest point.
func (f *fileSystem) listPoints(cancel <-chan struct{}, offset uint64, add adder) fuse.Status {
	ctx := f.call(cancel)
	if offset < firstEntry && f.points.old() {
		if err := f.points.refresh(ctx); err != nil && !temporary(err) && ctx.Err() == nil {
			f.points.o.Tell("the list of points is as it was: " + err.Error())
		}
	}
	if offset >= behindLatest {
		return fuse.OK
	}
	index := uint64(0)
	if offset >= firstEntry {
		index = offset - firstEntry
	}
	for _, t := range f.points.behind(index) {
		number := t.index << indexShift
		e := fuse.DirEntry{Mode: syscall.S_IFDIR, Name: t.name, Ino: number, Off: firstEntry + t.index}
		if !add(e, func(out *fuse.EntryOut) { f.fillPoint(ctx, t, out) }) {
			return fuse.OK
		}
	}
	if t := f.points.latest(); t != nil {
		add(fuse.DirEntry{Mode: syscall.S_IFLNK, Name: latestName, Ino: latestNode, Off: behindLatest}, func(out *fuse.EntryOut) {
			if f.latestAttr(&out.Attr).Ok() {
				out.NodeId = latestNode
				out.SetEntryTimeout(keepShort)
			}
		})
	}
	return fuse.OK
}

// fillPoint tells the kernel of a folder's attributes where that takes no reading: a listing of
// a thousand points must not open each.
func (f *fileSystem) fillPoint(ctx context.Context, t *tree, out *fuse.EntryOut) {
	if !t.isOpen() {
		return // the kernel will ask
	}
	err := t.at(ctx, t.index<<indexShift, func(n *node) error {
		fillEntry(out, n)
		return nil
	})
	if err != nil {
		*out = fuse.EntryOut{}
		return
	}
	out.SetEntryTimeout(keepShort)
}

// xattrs are read as they are; ACLs and capabilities are such too.

// GetXAttr reads an extended attribute.
func (f *fileSystem) GetXAttr(cancel <-chan struct{}, header *fuse.InHeader, name string, dest []byte) (size uint32, status fuse.Status) {
	if f.outside(header.NodeId) {
		return 0, fuse.ENOATTR
	}
	status = f.with(cancel, header.NodeId, func(_ *tree, n *node) fuse.Status {
		for _, x := range n.e.Xattrs {
			if string(x.Name) != name {
				continue
			}
			size = uint32(len(x.Value))
			if len(dest) < len(x.Value) {
				return fuse.ERANGE
			}
			copy(dest, x.Value)
			return fuse.OK
		}
		return fuse.ENOATTR
	})
	return size, status
}

// ListXAttr lists the names of extended attributes.
func (f *fileSystem) ListXAttr(cancel <-chan struct{}, header *fuse.InHeader, dest []byte) (size uint32, status fuse.Status) {
	if f.outside(header.NodeId) {
		return 0, fuse.OK
	}
	status = f.with(cancel, header.NodeId, func(_ *tree, n *node) fuse.Status {
		var names []byte
		for _, x := range n.e.Xattrs {
			names = append(append(names, x.Name...), 0)
		}
		size = uint32(len(names))
		if len(dest) < len(names) {
			return fuse.ERANGE
		}
		copy(dest, names)
		return fuse.OK
	})
	return size, status
}

// outside tells whether a node is not of a point.
func (f *fileSystem) outside(number uint64) bool {
	return number>>indexShift == 0 && !(f.single && number == rootNode)
}
