// Package pack is the format of packs: a header, sealed records one after the other, a
// directory of them and a footer. It is docs/formats/repository.md, "Packs".
//
// It encodes, parses and scans bytes; it knows neither keys nor where packs are kept. A
// Builder belongs to one goroutine at a time, all else are values.
package pack

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"github.com/cespare/xxhash/v2"

	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// Class tells what a pack holds; the two never share one. The numbers are format.
type Class uint8

// The classes.
const (
	Data Class = 1
	Meta Class = 2
)

// ClassOf is the class of the packs that hold chunks of a kind.
func ClassOf(k seal.Kind) Class {
	if k.Meta() {
		return Meta
	}
	return Data
}

// Letter begins the names of packs of the class.
func (c Class) Letter() byte {
	if c == Meta {
		return 'm'
	}
	return 'd'
}

// Sizes and bounds. All are format.
const (
	HeaderSize = 64
	EntrySize  = 48
	FooterSize = 32
	dirHeader  = 16
	version    = 1
	// MaxSize bounds a whole pack, so that offsets fit in 32 bits with room to spare.
	MaxSize = 1 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Header is the start of a pack.
//
//	0  "KWPK"             24 attempt, 16 bytes
//	4  version, 2 bytes   40 owner pseudonym, 16 bytes
//	6  class              56 number
//	7  0                  60 CRC-32C of bytes 0 to 59
//	8  repository id, 16 bytes
type Header struct {
	Class        Class
	RepositoryID [16]byte
	Attempt      point.Attempt
	Owner        [16]byte
	Number       uint32
}

// Append encodes h.
func (h Header) Append(b []byte) []byte {
	start := len(b)
	b = append(b, "KWPK"...)
	b = binary.LittleEndian.AppendUint16(b, version)
	b = append(b, byte(h.Class), 0)
	b = append(b, h.RepositoryID[:]...)
	b = append(b, h.Attempt[:]...)
	b = append(b, h.Owner[:]...)
	b = binary.LittleEndian.AppendUint32(b, h.Number)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// ParseHeader reads the start of a pack.
func ParseHeader(b []byte) (Header, error) {
	var h Header
	if len(b) < HeaderSize || !bytes.Equal(b[:4], []byte("KWPK")) {
		return h, errs.New(errs.Corrupt, "pack.header", "read pack header: it is none")
	}
	if crc32.Checksum(b[:60], castagnoli) != binary.LittleEndian.Uint32(b[60:]) {
		return h, errs.New(errs.Corrupt, "pack.header", "read pack header: checksum differs")
	}
	if v := binary.LittleEndian.Uint16(b[4:]); v != version {
		return h, errs.New(errs.Invalid, "pack.version", "read pack header: version %d is newer than this Keepward knows", v).WithHint("update Keepward")
	}
	h = Header{
		Class:        Class(b[6]),
		RepositoryID: [16]byte(b[8:24]),
		Attempt:      point.Attempt(b[24:40]),
		Owner:        [16]byte(b[40:56]),
		Number:       binary.LittleEndian.Uint32(b[56:]),
	}
	if h.Class != Data && h.Class != Meta {
		return h, errs.New(errs.Corrupt, "pack.header", "read pack header: class %d is unknown", h.Class)
	}
	return h, nil
}

// Entry is one record in a pack's directory.
//
//	0  id, 32 bytes    36 length, 4 bytes   41 flags: 1 punched
//	32 offset, 4 bytes 40 kind              42 0, 6 bytes
type Entry struct {
	ID             seal.ID
	Offset, Length uint32
	Kind           seal.Kind
	Punched        bool // a bundle of which members were taken out, as its record says too
}

const entryPunched = 1

func (e *Entry) flags() byte {
	if e.Punched {
		return entryPunched
	}
	return 0
}

// AppendDirectory encodes directory and footer; offset is where the directory begins.
//
//	directory: "KWPD", version (2 bytes), 0 (2), number of entries (4), 0 (4), the entries
//	footer:    0  offset of the directory, 8 bytes  16 XXH64 of the directory
//	           8  its length, 4 bytes               24 CRC-32C of footer bytes 0 to 23
//	           12 number of entries, 4 bytes        28 "KWPF"
func AppendDirectory(b []byte, offset int64, entries []Entry) []byte {
	start := len(b)
	b = append(b, "KWPD"...)
	b = binary.LittleEndian.AppendUint16(b, version)
	b = append(b, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(entries)))
	b = append(b, 0, 0, 0, 0)
	for i := range entries {
		e := &entries[i]
		b = append(b, e.ID[:]...)
		b = binary.LittleEndian.AppendUint32(b, e.Offset)
		b = binary.LittleEndian.AppendUint32(b, e.Length)
		b = append(b, byte(e.Kind), e.flags(), 0, 0, 0, 0, 0, 0)
	}
	sum, length := xxhash.Sum64(b[start:]), len(b)-start
	foot := len(b)
	b = binary.LittleEndian.AppendUint64(b, uint64(offset))
	b = binary.LittleEndian.AppendUint32(b, uint32(length))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(entries)))
	b = binary.LittleEndian.AppendUint64(b, sum)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[foot:], castagnoli))
	return append(b, "KWPF"...)
}

// Footer is the end of a pack.
type Footer struct {
	DirOffset int64
	DirLength int
	Count     int
	sum       uint64
}

// ParseFooter reads the last FooterSize bytes of a pack of the given size.
func ParseFooter(b []byte, size int64) (Footer, error) {
	var f Footer
	if len(b) != FooterSize || !bytes.Equal(b[28:], []byte("KWPF")) {
		return f, errs.New(errs.Corrupt, "pack.footer", "read pack footer: it is none")
	}
	if crc32.Checksum(b[:24], castagnoli) != binary.LittleEndian.Uint32(b[24:]) {
		return f, errs.New(errs.Corrupt, "pack.footer", "read pack footer: checksum differs")
	}
	off := binary.LittleEndian.Uint64(b)
	f.DirLength = int(binary.LittleEndian.Uint32(b[8:]))
	f.Count = int(binary.LittleEndian.Uint32(b[12:]))
	f.sum = binary.LittleEndian.Uint64(b[16:])
	if size > MaxSize || off < HeaderSize || off > uint64(size) || int64(off)+int64(f.DirLength)+FooterSize != size ||
		f.DirLength != dirHeader+f.Count*EntrySize {
		return f, errs.New(errs.Corrupt, "pack.footer", "read pack footer: directory of %d entries at %d does not fit a pack of %d bytes", f.Count, off, size)
	}
	f.DirOffset = int64(off)
	return f, nil
}

// ParseDirectory reads the directory that f tells of. Its entries cover the pack from the
// header to the directory without gaps.
func (f Footer) ParseDirectory(b []byte) ([]Entry, error) {
	if len(b) != f.DirLength || len(b) < dirHeader || !bytes.Equal(b[:4], []byte("KWPD")) {
		return nil, errs.New(errs.Corrupt, "pack.directory", "read pack directory: it is none")
	}
	if xxhash.Sum64(b) != f.sum {
		return nil, errs.New(errs.Corrupt, "pack.directory", "read pack directory: checksum differs")
	}
	if int(binary.LittleEndian.Uint32(b[8:])) != f.Count {
		return nil, errs.New(errs.Corrupt, "pack.directory", "read pack directory: its count is not the footer's")
	}
	entries := make([]Entry, f.Count)
	at := uint64(HeaderSize)
	for i := range entries {
		r := b[dirHeader+i*EntrySize:]
		e := Entry{ID: seal.ID(r[:32]), Offset: binary.LittleEndian.Uint32(r[32:]), Length: binary.LittleEndian.Uint32(r[36:]), Kind: seal.Kind(r[40]), Punched: r[41]&entryPunched != 0}
		if uint64(e.Offset) != at || !e.Kind.Valid() || e.Length < seal.HeaderSize {
			return nil, errs.New(errs.Corrupt, "pack.directory", "read pack directory: entry %d does not follow the one before", i)
		}
		at += uint64(e.Length)
		entries[i] = e
	}
	if at != uint64(f.DirOffset) {
		return nil, errs.New(errs.Corrupt, "pack.directory", "read pack directory: its records end at %d, not %d", at, f.DirOffset)
	}
	return entries, nil
}
