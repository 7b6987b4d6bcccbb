package changes

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// A fact is what an event says of one name, or of a file whose name it does not tell. Its
// order among others does not matter: paths are looked up when they are asked for.
type fact struct {
	what facts
	// dir and target are file handles (type, 4 bytes, then the handle), either may be empty.
	dir, name, target []byte
}

type facts uint16

const (
	factCreated facts = 1 << iota
	factDeleted
	factMovedFrom
	factMovedTo
	factModified
	factAttrib
	factClosed  // after it was open for writing
	factDead    // the inode is gone
	factIsDir   // it is about a directory
	factOpen    // found open for writing, or mapped
	factSubtree // everything below
)

const factNames = factCreated | factDeleted | factMovedFrom | factMovedTo

// watched are the events of the mark.
const watched = unix.FAN_CREATE | unix.FAN_DELETE | unix.FAN_RENAME | unix.FAN_MODIFY | unix.FAN_ATTRIB |
	unix.FAN_CLOSE_WRITE | unix.FAN_DELETE_SELF | unix.FAN_ONDIR

var errEvent = errors.New("an event that cannot be read")

// readEvents calls fn for every fact in a buffer that was read from fanotify; it answers true
// if events were lost.
func readEvents(b []byte, fn func(*fact) error) (lost bool, err error) {
	for len(b) > 0 {
		// struct fanotify_event_metadata: length 4, version 1, reserved 1, its own length 2,
		// mask 8, descriptor 4, process 4.
		if len(b) < 24 {
			return lost, fmt.Errorf("%w: %d bytes", errEvent, len(b))
		}
		n, head := int(binary.NativeEndian.Uint32(b)), int(binary.NativeEndian.Uint16(b[6:]))
		mask := binary.NativeEndian.Uint64(b[8:])
		if b[4] != unix.FANOTIFY_METADATA_VERSION || n > len(b) || head < 24 || n < head {
			return lost, fmt.Errorf("%w: version %d, %d of %d bytes", errEvent, b[4], n, len(b))
		}
		if mask&unix.FAN_Q_OVERFLOW != 0 {
			lost = true
		} else if err := readEvent(mask, b[head:n], fn); err != nil {
			return lost, err
		}
		b = b[n:]
	}
	return lost, nil
}

func readEvent(mask uint64, b []byte, fn func(*fact) error) error {
	var f, old, moved fact
	for len(b) > 0 {
		// struct fanotify_event_info_header: type 1, pad 1, length 2; then fsid 8, and
		// struct file_handle: bytes 4, type 4, the handle; then a name ended by zero.
		if len(b) < 4 {
			return fmt.Errorf("%w: half a record", errEvent)
		}
		typ, n := b[0], int(binary.NativeEndian.Uint16(b[2:]))
		if n < 4 || n > len(b) {
			return fmt.Errorf("%w: record of %d bytes", errEvent, n)
		}
		rec := b[:n]
		b = b[n:]
		to, named := &f, true
		switch typ {
		case unix.FAN_EVENT_INFO_TYPE_FID, unix.FAN_EVENT_INFO_TYPE_DFID:
			named = false
		case unix.FAN_EVENT_INFO_TYPE_DFID_NAME:
		case unix.FAN_EVENT_INFO_TYPE_OLD_DFID_NAME:
			to = &old
		case unix.FAN_EVENT_INFO_TYPE_NEW_DFID_NAME:
			to = &moved
		default:
			continue // not asked for; nothing of ours depends on it
		}
		if len(rec) < 20 {
			return fmt.Errorf("%w: record %d of %d bytes", errEvent, typ, n)
		}
		size := int(binary.NativeEndian.Uint32(rec[12:]))
		if size > len(rec)-20 || size > maxHandle {
			return fmt.Errorf("%w: handle of %d bytes", errEvent, size)
		}
		handle := rec[16 : 20+size]
		if typ == unix.FAN_EVENT_INFO_TYPE_FID {
			f.target = handle
			continue
		}
		to.dir = handle
		if named {
			name, _, ok := bytes.Cut(rec[20+size:], []byte{0})
			if !ok || len(name) > 255 {
				return fmt.Errorf("%w: a name without end", errEvent)
			}
			to.name = name
		}
	}
	return tell(mask, &f, &old, &moved, fn)
}

// tell turns an event into facts.
func tell(mask uint64, f, old, moved *fact, fn func(*fact) error) error {
	for _, m := range []struct {
		mask uint64
		what facts
	}{
		{unix.FAN_CREATE, factCreated},
		{unix.FAN_DELETE, factDeleted},
		{unix.FAN_MODIFY, factModified},
		{unix.FAN_ATTRIB, factAttrib},
		{unix.FAN_CLOSE_WRITE, factClosed},
		{unix.FAN_DELETE_SELF, factDead},
	} {
		if mask&m.mask != 0 {
			f.what |= m.what
		}
	}
	var dir facts
	if mask&unix.FAN_ONDIR != 0 {
		dir = factIsDir
	}
	if f.what != 0 {
		if len(f.dir) == 0 && len(f.target) == 0 {
			return fmt.Errorf("%w: it is about nothing (mask %#x)", errEvent, mask)
		}
		f.what |= dir
		if err := fn(f); err != nil {
			return err
		}
	}
	if mask&unix.FAN_RENAME == 0 {
		return nil
	}
	// One of the two is missing when it lies on another file system, which cannot be.
	for _, r := range []struct {
		f    *fact
		what facts
	}{{old, factMovedFrom}, {moved, factMovedTo}} {
		if len(r.f.dir) == 0 || len(r.f.name) == 0 {
			return fmt.Errorf("%w: a rename without names", errEvent)
		}
		r.f.what, r.f.target = r.what|dir, f.target
		if err := fn(r.f); err != nil {
			return err
		}
	}
	return nil
}

// maxHandle is MAX_HANDLE_SZ.
const maxHandle = 128

// encode appends a fact as the spool has it: what, then dir, name and target, each with its
// length in a byte.
func (f *fact) encode(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(f.what))
	for _, p := range [][]byte{f.dir, f.name, f.target} {
		b = append(append(b, byte(len(p))), p...)
	}
	return b
}

func decodeFact(b []byte) (fact, error) {
	var f fact
	if len(b) < 2 {
		return f, errRecord
	}
	f.what, b = facts(binary.BigEndian.Uint16(b)), b[2:]
	for _, p := range []*[]byte{&f.dir, &f.name, &f.target} {
		var ok bool
		if *p, b, ok = cutShort(b); !ok {
			return f, errRecord
		}
	}
	if len(b) > 0 || len(f.dir) == 0 && len(f.target) == 0 {
		return f, errRecord
	}
	return f, nil
}

// cutShort cuts a part with its length in a byte before it off.
func cutShort(b []byte) (part, rest []byte, ok bool) {
	if len(b) == 0 || int(b[0]) > len(b)-1 {
		return nil, nil, false
	}
	n := 1 + int(b[0])
	return b[1:n:n], b[n:], true
}
