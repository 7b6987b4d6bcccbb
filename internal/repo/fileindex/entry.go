// Package fileindex is the list of what a restore point holds: trees of content-addressed
// nodes, sorted by key, whose borders depend only on the keys. Its format is
// docs/formats/repository.md, "File index".
//
// Three trees share the code: the path tree (key: the path's components joined by 0x00), the
// inode table (key: device and inode) and content maps (key: offset in the file). The package
// neither stores nor fetches: it hands chunks to a Saver and asks a Fetcher.
//
// A Builder and a Cursor belong to one goroutine each.
package fileindex

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/tlv"
)

// Type is what kind of file an entry is. The numbers are format.
type Type uint8

// The types.
const (
	Dir     Type = 1
	File    Type = 2
	Symlink Type = 3
	Char    Type = 4
	Block   Type = 5
	FIFO    Type = 6
	Socket  Type = 7
	// Link is one of several names of an inode: the entry holds device and inode only, all
	// else is in the inode table.
	Link Type = 8
)

var typeNames = [...]string{Dir: "dir", File: "file", Symlink: "symlink", Char: "char", Block: "block", FIFO: "fifo", Socket: "socket", Link: "link"}

func (t Type) String() string {
	if int(t) < len(typeNames) && typeNames[t] != "" {
		return typeNames[t]
	}
	return "unknown"
}

// Time is a file time: seconds since 1970, which may be negative, and nanoseconds.
type Time struct {
	Sec  int64
	Nsec uint32
}

// Time is t as the standard library's, in UTC.
func (t Time) Time() time.Time { return time.Unix(t.Sec, int64(t.Nsec)).UTC() }

// Xattr is one extended attribute; POSIX ACLs and capabilities are such too.
type Xattr struct{ Name, Value []byte }

// Stream is a named stream beside a file's main content (Windows, macOS).
type Stream struct {
	Name    []byte
	Size    int64
	Extents []Extent
}

// ExtentKind is where a piece of a file's content comes from. The numbers are format.
type ExtentKind uint8

// The extent kinds.
const (
	InChunk  ExtentKind = 0 // bytes Offset to Offset+Len of a data chunk
	InBundle ExtentKind = 1 // member Member of a bundle, whole
	Hole     ExtentKind = 2 // never written: comes back as a hole
	Zeros    ExtentKind = 3 // allocated zeros: not stored, come back allocated
)

// Extent is a piece of a file's content; extents follow each other without gaps.
type Extent struct {
	Kind   ExtentKind
	H      seal.H // InChunk, InBundle
	Offset uint32 // InChunk
	Member uint32 // InBundle
	Len    int64  // bytes of the file it covers
}

// State are facts about how an entry was taken. The bits are format.
type State uint8

// The states.
const (
	// Racy: the file was so young when it was read that a later change might not show in its
	// times; it counts as changed next time.
	Racy State = 1 << iota
	// Ancestor: a directory above what was included; only its metadata is here.
	Ancestor
	// Incomplete: not all of its content could be read.
	Incomplete
	// CacheTagged: a directory tagged by CACHEDIR.TAG whose content was left out.
	CacheTagged
	// Mountpoint: another file system, whose content was left out.
	Mountpoint
)

// MaxExtents is how many extents stand in an entry itself; more go into a content map.
const MaxExtents = 16

// Entry is one file. Slices may point into a node's memory: Clone keeps an entry.
type Entry struct {
	// Path is relative to the file system's root, components joined by '/', no slash at
	// either end, raw bytes; the root itself is empty.
	Path         []byte
	Type         Type
	Mode         uint32 // permission, set-id and sticky bits (07777)
	UID, GID     uint64
	User, Group  []byte
	Size         int64
	MTime, CTime Time
	BTime        Time // zero: not known
	Inode        uint64
	Device       uint64
	Links        uint64
	RDev         uint64
	Flags        uint32 // as FS_IOC_GETFLAGS gives them
	Xattrs       []Xattr
	Target       []byte // symlink
	Extents      []Extent
	Map          Tree // content map, when there are more than MaxExtents
	Signature    *seal.H
	State        State
	Streams      []Stream
	// Unknown are fields of a later version, as they stood.
	Unknown []byte
}

// Clone copies an entry and everything it points to.
func (e *Entry) Clone() *Entry {
	c := *e
	c.Path, c.User, c.Group, c.Target = bytes.Clone(e.Path), bytes.Clone(e.User), bytes.Clone(e.Group), bytes.Clone(e.Target)
	c.Unknown = bytes.Clone(e.Unknown)
	c.Extents = slices.Clone(e.Extents)
	c.Xattrs = slices.Clone(e.Xattrs)
	for i, x := range c.Xattrs {
		c.Xattrs[i] = Xattr{bytes.Clone(x.Name), bytes.Clone(x.Value)}
	}
	c.Streams = slices.Clone(e.Streams)
	for i := range c.Streams {
		c.Streams[i].Name = bytes.Clone(c.Streams[i].Name)
		c.Streams[i].Extents = slices.Clone(c.Streams[i].Extents)
	}
	if e.Signature != nil {
		h := *e.Signature
		c.Signature = &h
	}
	return &c
}

// Field numbers of an entry. They are format.
const (
	fType = iota + 1
	fMode
	fUID
	fGID
	fUser
	fGroup
	fSize
	fMTimeSec
	fMTimeNsec
	fCTimeSec
	fCTimeNsec
	fBTimeSec
	fBTimeNsec
	fInode
	fDevice
	fLinks
	fRDev
	fFlags
	fXattr // list: name, 0x00, value
	fTarget
	fExtents
	fMap       // position in the node's table, level, entries, bytes
	fSignature // position in the node's table plus 1
	fState
	fStream // list: name length, name, size, extents
	lastField
)

// encode appends the entry's value; hashes go to t and are named by their position there.
func (e *Entry) encode(b []byte, t *table) []byte {
	b = tlv.Uint(b, fType, uint64(e.Type))
	b = tlv.Uint(b, fMode, uint64(e.Mode))
	b = tlv.Uint(b, fUID, e.UID)
	b = tlv.Uint(b, fGID, e.GID)
	b = tlv.Bytes(b, fUser, e.User)
	b = tlv.Bytes(b, fGroup, e.Group)
	b = tlv.Int(b, fSize, e.Size)
	b = tlv.Int(b, fMTimeSec, e.MTime.Sec)
	b = tlv.Uint(b, fMTimeNsec, uint64(e.MTime.Nsec))
	b = tlv.Int(b, fCTimeSec, e.CTime.Sec)
	b = tlv.Uint(b, fCTimeNsec, uint64(e.CTime.Nsec))
	b = tlv.Int(b, fBTimeSec, e.BTime.Sec)
	b = tlv.Uint(b, fBTimeNsec, uint64(e.BTime.Nsec))
	b = tlv.Uint(b, fInode, e.Inode)
	b = tlv.Uint(b, fDevice, e.Device)
	b = tlv.Uint(b, fLinks, e.Links)
	b = tlv.Uint(b, fRDev, e.RDev)
	b = tlv.Uint(b, fFlags, uint64(e.Flags))
	for _, x := range e.Xattrs {
		v := make([]byte, 0, len(x.Name)+1+len(x.Value))
		b = tlv.Empty(b, fXattr, append(append(append(v, x.Name...), 0), x.Value...))
	}
	b = tlv.Bytes(b, fTarget, e.Target)
	if len(e.Extents) > 0 {
		t.scratch = encodeExtents(t.scratch[:0], e.Extents, t)
		b = tlv.Bytes(b, fExtents, t.scratch)
	}
	if !e.Map.Empty() {
		t.scratch = binary.AppendUvarint(t.scratch[:0], uint64(t.position(e.Map.H)))
		t.scratch = binary.AppendUvarint(t.scratch, uint64(e.Map.Level))
		t.scratch = binary.AppendUvarint(t.scratch, uint64(e.Map.Entries))
		t.scratch = binary.AppendUvarint(t.scratch, uint64(e.Map.Bytes))
		b = tlv.Bytes(b, fMap, t.scratch)
	}
	if e.Signature != nil {
		b = tlv.Uint(b, fSignature, uint64(t.position(*e.Signature))+1)
	}
	b = tlv.Uint(b, fState, uint64(e.State))
	for _, s := range e.Streams {
		v := binary.AppendUvarint(nil, uint64(len(s.Name)))
		v = append(v, s.Name...)
		v = binary.AppendUvarint(v, uint64(s.Size))
		b = tlv.Empty(b, fStream, encodeExtents(v, s.Extents, t))
	}
	return append(b, e.Unknown...)
}

// decode reads an entry's value into e, whose Path stays as it is.
func (e *Entry) decode(b []byte, t tableView) error {
	*e = Entry{Path: e.Path, Extents: e.Extents[:0], Xattrs: e.Xattrs[:0]}
	last := 0
	for len(b) > 0 {
		f, rest, err := tlv.Next(b, last)
		if err != nil {
			return err
		}
		b, last = rest, f.Number
		if f.Number >= lastField {
			e.Unknown = append(e.Unknown, f.Raw...)
			continue
		}
		if err := e.field(&f, t); err != nil {
			return err
		}
	}
	return nil
}

func (e *Entry) field(f *tlv.Field, t tableView) (err error) {
	switch f.Number {
	case fType:
		e.Type = Type(f.Value)
	case fMode:
		e.Mode = uint32(f.Value)
	case fUID:
		e.UID = f.Value
	case fGID:
		e.GID = f.Value
	case fUser:
		e.User = f.Data
	case fGroup:
		e.Group = f.Data
	case fSize:
		e.Size = f.Int()
	case fMTimeSec:
		e.MTime.Sec = f.Int()
	case fMTimeNsec:
		e.MTime.Nsec = uint32(f.Value)
	case fCTimeSec:
		e.CTime.Sec = f.Int()
	case fCTimeNsec:
		e.CTime.Nsec = uint32(f.Value)
	case fBTimeSec:
		e.BTime.Sec = f.Int()
	case fBTimeNsec:
		e.BTime.Nsec = uint32(f.Value)
	case fInode:
		e.Inode = f.Value
	case fDevice:
		e.Device = f.Value
	case fLinks:
		e.Links = f.Value
	case fRDev:
		e.RDev = f.Value
	case fFlags:
		e.Flags = uint32(f.Value)
	case fXattr:
		name, value, ok := bytes.Cut(f.Data, []byte{0})
		if !ok {
			return errs.New(errs.Corrupt, "entry.xattr", "decode entry: an extended attribute has no name")
		}
		e.Xattrs = append(e.Xattrs, Xattr{name, value})
	case fTarget:
		e.Target = f.Data
	case fExtents:
		e.Extents, err = decodeExtents(e.Extents, f.Data, t)
	case fMap:
		e.Map, err = decodeMap(f.Data, t)
	case fSignature:
		var h seal.H
		if h, err = t.at(f.Value - 1); err == nil {
			e.Signature = &h
		}
	case fState:
		e.State = State(f.Value)
	case fStream:
		var s Stream
		if s, err = decodeStream(f.Data, t); err == nil {
			e.Streams = append(e.Streams, s)
		}
	}
	return err
}

// Hashes calls fn for every hash the entry refers to.
func (e *Entry) Hashes(fn func(kind seal.Kind, h seal.H)) {
	visit := func(list []Extent) {
		for i := range list {
			switch list[i].Kind {
			case InChunk:
				fn(seal.KindData, list[i].H)
			case InBundle:
				fn(seal.KindBundle, list[i].H)
			}
		}
	}
	visit(e.Extents)
	if !e.Map.Empty() {
		fn(seal.KindMap, e.Map.H)
	}
	if e.Signature != nil {
		fn(seal.KindSignature, *e.Signature)
	}
	for i := range e.Streams {
		visit(e.Streams[i].Extents)
	}
}
