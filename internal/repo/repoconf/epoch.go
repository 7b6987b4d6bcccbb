package repoconf

import (
	"bytes"
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"keepward/internal/errs"
)

// EpochSize is the length of an epoch object.
const EpochSize = 32

// Epoch object layout: "KWEP", version (2), epoch (2), repository id (16), XXH64 of all before.
// The highest is what new chunks are sealed under; key objects may be older and tell a lower.
const epochVersion = 1

// EncodeEpoch makes an epoch object.
func EncodeEpoch(repositoryID [16]byte, epoch uint16) []byte {
	b := append([]byte("KWEP"), epochVersion, 0)
	b = binary.LittleEndian.AppendUint16(b, epoch)
	b = append(b, repositoryID[:]...)
	return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b))
}

// ParseEpoch reads an epoch object of a repository.
func ParseEpoch(b []byte, repositoryID [16]byte) (uint16, error) {
	switch {
	case len(b) != EpochSize || !bytes.Equal(b[:4], []byte("KWEP")):
		return 0, errs.New(errs.Corrupt, "epoch.magic", "read epoch object: it is none")
	case xxhash.Sum64(b[:EpochSize-8]) != binary.LittleEndian.Uint64(b[EpochSize-8:]):
		return 0, errs.New(errs.Corrupt, "epoch.checksum", "read epoch object: checksum differs")
	case binary.LittleEndian.Uint16(b[4:]) != epochVersion:
		return 0, errs.New(errs.Invalid, "epoch.version", "read epoch object: it is newer than this Keepward knows").WithHint("update Keepward")
	case [16]byte(b[8:24]) != repositoryID:
		return 0, errs.New(errs.Corrupt, "epoch.place", "read epoch object: it is another repository's")
	}
	return binary.LittleEndian.Uint16(b[6:]), nil
}
