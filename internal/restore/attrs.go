package restore

import (
	"bytes"

	"keepward/internal/repo/fileindex"
)

// attrs is what a restored entry must look like.
type attrs struct {
	typ      fileindex.Type
	mode     uint32 // 07777
	uid, gid uint32
	size     int64
	mtime    fileindex.Time
	rdev     uint64
	flags    uint32
	links    uint64
	target   string
	xattrs   []fileindex.Xattr
}

// attrsOf copies what it needs out of an entry.
func attrsOf(e *fileindex.Entry, o *owners) attrs {
	uid, gid := o.of(e)
	a := attrs{
		typ: e.Type, mode: e.Mode & 0o7777, uid: uid, gid: gid, size: e.Size,
		mtime: e.MTime, rdev: e.RDev, flags: e.Flags, links: e.Links, target: string(e.Target),
	}
	for _, x := range e.Xattrs {
		a.xattrs = append(a.xattrs, fileindex.Xattr{Name: bytes.Clone(x.Name), Value: bytes.Clone(x.Value)})
	}
	return a
}

// present is what stands on the target under a name.
type present struct {
	typ      fileindex.Type
	mode     uint32
	uid, gid uint32
	size     int64
	mtime    fileindex.Time
	rdev     uint64
	dev, ino uint64
	links    uint64
	ctime    fileindex.Time
}

// action is what is to be done with an entry.
type action int

const (
	leave    action = iota // the policy leaves what is there
	create                 // nothing is there
	replace                // something is there and goes
	compare                // it may be right already: look, and replace it if not
	metadata               // its content is right: put owner, mode, times and the like right
)

// decide applies a policy. The answer never asks to write through something of another type.
func decide(policy Overwrite, a *attrs, there *present) action {
	switch {
	case there == nil:
		return create
	case policy == Never:
		return leave
	case policy == Newer && !later(a.mtime, there.mtime):
		return leave
	case there.typ != a.typ:
		return replace
	case a.typ == fileindex.Dir:
		return metadata
	case a.links <= 1 && there.links > 1:
		// Another name of that inode lies elsewhere: it must not change along.
		return replace
	case policy == Always:
		return replace
	case a.typ == fileindex.File && a.size != there.size:
		return replace
	case a.typ == fileindex.File && a.mtime == there.mtime:
		return metadata
	case (a.typ == fileindex.Char || a.typ == fileindex.Block) && a.rdev != there.rdev:
		return replace
	case a.typ == fileindex.File, a.typ == fileindex.Symlink:
		return compare
	}
	return metadata
}

func later(a, b fileindex.Time) bool {
	return a.Sec > b.Sec || a.Sec == b.Sec && a.Nsec > b.Nsec
}
