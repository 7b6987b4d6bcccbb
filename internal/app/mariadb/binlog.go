package mariadb

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"keepward/internal/errs"
)

// Of the format of binary logs: a magic number, then events, each with a header of 19 bytes: when in
// seconds, type, number of the server, length, where the next one is, flags.
const (
	logMagic    = "\xfebin"
	eventHeader = 19
	// Types of events: a group is what was committed together, and MariaDB begins each with its GTID.
	eventFormat    = 15
	eventGTID      = 162
	eventEncrypted = 164
)

// nowhere is a position that no log has.
const nowhere = ^uint64(0)

// logNumber is the number at the end of the name of a log.
func logNumber(name string) (uint64, bool) {
	_, digits, _ := strings.Cut(filepath.Ext(name), ".")
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil
}

// cut finds in a log the first group from a position on that was begun at a time or later: all that
// was acknowledged before that time is before it, since groups are in the order of their commits.
func cut(path string, from uint64, at time.Time) (position uint64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // only read
	bad := func(format string, args ...any) error {
		return errs.New(errs.Corrupt, "application.log-broken", "read the binary log "+filepath.Base(path)+": "+format, args...)
	}
	magic := make([]byte, len(logMagic))
	if _, err := io.ReadFull(f, magic); err != nil || string(magic) != logMagic {
		return 0, bad("it is none")
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	head := make([]byte, eventHeader)
	for pos := uint64(len(logMagic)); ; {
		switch n, err := f.ReadAt(head, int64(pos)); {
		case errors.Is(err, io.EOF) && n == 0:
			return nowhere, nil
		case err != nil:
			return 0, bad("it ends in the middle of an event, at %d", pos)
		}
		when, kind, size := binary.LittleEndian.Uint32(head), head[4], uint64(binary.LittleEndian.Uint32(head[9:]))
		switch {
		case kind == eventEncrypted:
			return 0, bad("it is encrypted")
		case size < eventHeader || pos+size > uint64(info.Size()):
			return 0, bad("the event at %d has %d bytes, which it has not", pos, size)
		case kind == eventGTID && pos >= from && int64(when) >= at.Unix():
			return pos, nil
		}
		pos += size
	}
}
