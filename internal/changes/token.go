package changes

import (
	"encoding/binary"
	"hash/crc32"
)

// A token is what a restore point keeps of a tracker: opaque bytes for everybody else.
//
//	version (1), kind (1: btrfs, 2: journal), the fields, CRC-32C of what is before (4)
//	btrfs:   file system (16), subvolume (16), snapshot (16), its transaction (8)
//	journal: journal (16), boot (16), position (8), mark (16)
//
// Numbers are big-endian.
const tokenVersion = 1

type id [16]byte

// btrfsToken is a snapshot.
type btrfsToken struct {
	filesystem, subvolume, snapshot id
	transid                         uint64 // the last transaction that changed the snapshot
}

// journalToken is a place in a journal. mark is a random number that was written down there,
// so that a place in a spool that was set back by a snapshot of the machine is not mistaken.
type journalToken struct {
	journal, boot id
	position      uint64
	mark          id
}

const (
	tokenBtrfs   = 1
	tokenJournal = 2

	btrfsTokenSize   = 2 + 3*16 + 8 + 4
	journalTokenSize = 2 + 3*16 + 8 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sealToken(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func (t *btrfsToken) encode() []byte {
	b := append(make([]byte, 0, btrfsTokenSize), tokenVersion, tokenBtrfs)
	b = append(append(append(b, t.filesystem[:]...), t.subvolume[:]...), t.snapshot[:]...)
	return sealToken(binary.BigEndian.AppendUint64(b, t.transid))
}

func (t *journalToken) encode() []byte {
	b := append(make([]byte, 0, journalTokenSize), tokenVersion, tokenJournal)
	b = append(append(b, t.journal[:]...), t.boot[:]...)
	b = binary.BigEndian.AppendUint64(b, t.position)
	return sealToken(append(b, t.mark[:]...))
}

// TokenKind answers which tracker made a token, or why it cannot be used.
func TokenKind(token []byte) (Kind, Reason) {
	if len(token) == 0 {
		return "", TokenMissing
	}
	if len(token) < 6 || token[0] != tokenVersion {
		return "", TokenUnreadable
	}
	n := len(token) - 4
	if binary.BigEndian.Uint32(token[n:]) != crc32.Checksum(token[:n], castagnoli) {
		return "", TokenUnreadable
	}
	switch {
	case token[1] == tokenBtrfs && len(token) == btrfsTokenSize:
		return KindBtrfs, ""
	case token[1] == tokenJournal && len(token) == journalTokenSize:
		return KindJournal, ""
	}
	return "", TokenUnreadable
}

func parseBtrfsToken(b []byte) (btrfsToken, Reason) {
	var t btrfsToken
	if why := expect(b, KindBtrfs); why != "" {
		return t, why
	}
	b = b[2:]
	for _, f := range []*id{&t.filesystem, &t.subvolume, &t.snapshot} {
		b = b[copy(f[:], b):]
	}
	t.transid = binary.BigEndian.Uint64(b)
	return t, ""
}

func parseJournalToken(b []byte) (journalToken, Reason) {
	var t journalToken
	if why := expect(b, KindJournal); why != "" {
		return t, why
	}
	b = b[2:]
	b = b[copy(t.journal[:], b):]
	b = b[copy(t.boot[:], b):]
	t.position = binary.BigEndian.Uint64(b)
	copy(t.mark[:], b[8:])
	return t, ""
}

func expect(b []byte, want Kind) Reason {
	kind, why := TokenKind(b)
	if why == "" && kind != want {
		why = OtherTracker
	}
	return why
}

// TokenSnapshot answers the id of the snapshot that a token of btrfs needs to be kept, false
// for other tokens.
func TokenSnapshot(token []byte) (uuid [16]byte, ok bool) {
	t, why := parseBtrfsToken(token)
	return t.snapshot, why == ""
}
