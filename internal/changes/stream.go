package changes

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// The send stream of btrfs, version 1: a header, then commands of attributes. What is not
// exactly as the kernel writes it is an error: a stream that was misread is a change missed.

const (
	streamMagic = "btrfs-stream\x00"
	// maxCommand bounds a command: the kernel builds them in 64 KiB, and its writes of data,
	// which we ask it to leave out, in 48.
	maxCommand = 256 << 10
	maxPath    = 1 << 16
)

// command is the number of a command of the stream.
type command uint16

const (
	cmdSubvol command = iota + 1
	cmdSnapshot
	cmdMkfile
	cmdMkdir
	cmdMknod
	cmdMkfifo
	cmdMksock
	cmdSymlink
	cmdRename
	cmdLink
	cmdUnlink
	cmdRmdir
	cmdSetXattr
	cmdRemoveXattr
	cmdWrite
	cmdClone
	cmdTruncate
	cmdChmod
	cmdChown
	cmdUtimes
	cmdEnd
	cmdUpdateExtent
)

const (
	attrUUID       = 1
	attrTransid    = 2
	attrSize       = 4
	attrPath       = 15
	attrPathTo     = 16
	attrPathLink   = 17
	attrFileOffset = 18
	attrData       = 19
	attrCloneUUID  = 20
	attrCloneTrans = 21
	attrCloneLen   = 24
	attrLast       = 24
)

// needs are the attributes that a command must have, beside the path, for what we take of it.
var needs = map[command][]uint16{
	cmdSnapshot:     {attrUUID, attrTransid, attrCloneUUID, attrCloneTrans},
	cmdMkfile:       nil,
	cmdMkdir:        nil,
	cmdMknod:        nil,
	cmdMkfifo:       nil,
	cmdMksock:       nil,
	cmdSymlink:      {attrPathLink},
	cmdRename:       {attrPathTo},
	cmdLink:         {attrPathLink},
	cmdUnlink:       nil,
	cmdRmdir:        nil,
	cmdSetXattr:     nil,
	cmdRemoveXattr:  nil,
	cmdWrite:        {attrFileOffset, attrData},
	cmdClone:        {attrFileOffset, attrCloneLen},
	cmdTruncate:     {attrSize},
	cmdChmod:        nil,
	cmdChown:        nil,
	cmdUtimes:       nil,
	cmdUpdateExtent: {attrFileOffset, attrSize},
}

// sent is one command. Its slices are valid until the next one.
type sent struct {
	cmd            command
	path, to, link []byte
	offset, length int64 // where content changed

	uuid, cloneUUID       id
	transid, cloneTransid uint64
}

var errStream = errors.New("not a send stream as the kernel writes it")

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errStream, fmt.Sprintf(format, args...))
}

// readStream calls fn for every command of a stream, the first of which is snapshot and the
// last of which, end, it keeps.
func readStream(r io.Reader, fn func(*sent) error) error {
	in := bufio.NewReaderSize(r, 64<<10)
	var head [len(streamMagic) + 4]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return broken("header: %v", err)
	}
	if string(head[:len(streamMagic)]) != streamMagic {
		return broken("it begins with %q", head[:len(streamMagic)])
	}
	if v := binary.LittleEndian.Uint32(head[len(streamMagic):]); v != 1 {
		return broken("version %d", v)
	}
	buf := make([]byte, 64<<10)
	var s sent
	for first := true; ; first = false {
		var h [10]byte
		if _, err := io.ReadFull(in, h[:]); err != nil {
			return broken("it ends without an end: %v", err)
		}
		n := binary.LittleEndian.Uint32(h[:])
		cmd := command(binary.LittleEndian.Uint16(h[4:]))
		if n > maxCommand {
			return broken("a command of %d bytes", n)
		}
		if int(n) > len(buf) {
			buf = make([]byte, maxCommand)
		}
		if _, err := io.ReadFull(in, buf[:n]); err != nil {
			return broken("command %d: %v", cmd, err)
		}
		if sum := binary.LittleEndian.Uint32(h[6:]); sum != streamSum(h, buf[:n]) {
			return broken("command %d: its checksum is wrong", cmd)
		}
		if first != (cmd == cmdSnapshot) {
			return broken("command %d at the wrong place", cmd)
		}
		if cmd == cmdEnd {
			if n != 0 {
				return broken("an end with attributes")
			}
			if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
				return broken("something comes behind its end")
			}
			return nil
		}
		if err := s.parse(cmd, buf[:n]); err != nil {
			return err
		}
		if err := fn(&s); err != nil {
			return err
		}
	}
}

// streamSum is the kernel's CRC-32C of a command, which begins with 0 and does not invert,
// with zeros in the checksum's place.
func streamSum(h [10]byte, data []byte) uint32 {
	clear(h[6:])
	return ^crc32.Update(crc32.Update(^uint32(0), castagnoli, h[:]), castagnoli, data)
}

func (s *sent) parse(cmd command, b []byte) error {
	need, ok := needs[cmd]
	if !ok {
		return broken("command %d is not known", cmd)
	}
	*s = sent{cmd: cmd}
	var have uint32
	for len(b) > 0 {
		if len(b) < 4 {
			return broken("command %d: half an attribute", cmd)
		}
		t, n := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		if n > len(b)-4 {
			return broken("command %d: attribute %d is cut off", cmd, t)
		}
		v := b[4 : 4+n]
		b = b[4+n:]
		if t == 0 || t > attrLast || have&(1<<t) != 0 {
			return broken("command %d: attribute %d", cmd, t)
		}
		have |= 1 << t
		if err := s.attr(t, v); err != nil {
			return err
		}
	}
	if have&(1<<attrPath) == 0 {
		return broken("command %d has no path", cmd)
	}
	for _, t := range need {
		if have&(1<<t) == 0 {
			return broken("command %d has no attribute %d", cmd, t)
		}
	}
	if s.length > 1<<62 || s.offset > 1<<62 {
		return broken("command %d: content at %d, %d bytes", cmd, s.offset, s.length)
	}
	if cmd != cmdUtimes && cmd != cmdChmod && cmd != cmdChown && cmd != cmdSetXattr && cmd != cmdRemoveXattr && len(s.path) == 0 {
		return broken("command %d of the root", cmd)
	}
	return nil
}

func (s *sent) attr(t uint16, v []byte) error {
	number := func(to *int64) error {
		if len(v) != 8 {
			return broken("attribute %d has %d bytes", t, len(v))
		}
		*to = int64(binary.LittleEndian.Uint64(v))
		if *to < 0 {
			return broken("attribute %d is %d", t, uint64(*to))
		}
		return nil
	}
	counter := func(to *uint64) error {
		var n int64
		err := number(&n)
		*to = uint64(n)
		return err
	}
	uuid := func(to *id) error {
		if len(v) != len(to) {
			return broken("attribute %d has %d bytes", t, len(v))
		}
		copy(to[:], v)
		return nil
	}
	switch t {
	case attrPath:
		s.path = v
		return checkPath(v)
	case attrPathTo:
		s.to = v
		if len(v) == 0 {
			return broken("an empty path")
		}
		return checkPath(v)
	case attrPathLink:
		s.link = v // of a symlink, it is any text
		if s.cmd == cmdLink {
			if len(v) == 0 {
				return broken("an empty path")
			}
			return checkPath(v)
		}
	case attrFileOffset:
		return number(&s.offset)
	case attrCloneLen:
		return number(&s.length)
	case attrSize:
		// Of a truncate it is the new size, of an update the length of what changed.
		if s.cmd == cmdTruncate {
			var size int64
			return number(&size)
		}
		return number(&s.length)
	case attrData:
		s.length = int64(len(v))
	case attrUUID:
		return uuid(&s.uuid)
	case attrCloneUUID:
		return uuid(&s.cloneUUID)
	case attrTransid:
		return counter(&s.transid)
	case attrCloneTrans:
		return counter(&s.cloneTransid)
	}
	return nil
}

// checkPath refuses what cannot be a path below the root. The root itself is empty.
func checkPath(p []byte) error {
	if len(p) > maxPath {
		return broken("a path of %d bytes", len(p))
	}
	for start, i := 0, 0; len(p) > 0 && i <= len(p); i++ {
		if i < len(p) && p[i] == 0 {
			return broken("a path with a zero byte")
		}
		if i < len(p) && p[i] != '/' {
			continue
		}
		if c := string(p[start:i]); c == "" || c == "." || c == ".." || len(c) > 255 {
			return broken("path %.100q", p)
		}
		start = i + 1
	}
	return nil
}
