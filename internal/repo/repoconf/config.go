// Package repoconf is what a repository is founded on: its configuration, the recovery key,
// and the key objects that hold its master. It is apart from internal/repo so that the server,
// which makes them, knows neither packs nor storage. Its format is docs/formats/repository.md.
//
// It does no I/O. All functions may be called from any goroutine.
package repoconf

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/cespare/xxhash/v2"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// Config is written once, at creation. Chunk, node and bundle parameters are here so that
// every writer cuts alike; a reader needs none of them.
type Config struct {
	// Incompatible features: who does not know one must not touch the repository.
	// ReadCompatible: who does not know one may read. Compatible: no harm in not knowing.
	Incompatible, ReadCompatible, Compatible uint64

	ID      [16]byte
	Created time.Time
	Domain  uint32 // of the keys
	// ChunkMin, ChunkNormal and ChunkMax are sizes of file chunks in bytes.
	ChunkMin, ChunkNormal, ChunkMax uint32
	// A node closes behind one key in NodeOdds, and before it would pass NodeCap bytes.
	NodeOdds, NodeCap uint32
	// A bundle closes behind one name in BundleOdds, and before it would pass BundleCap bytes.
	BundleOdds, BundleCap uint32
	// Check tells whether a master is this repository's: seal.Master.Check.
	Check [16]byte
}

// The features this version knows: none yet.
const (
	knownIncompatible   = 0
	knownReadCompatible = 0
)

// Configuration layout: the block at 0, zeros, the same block again at 4096, so that one
// damaged sector does not lose it.
//
//	0  "KWCF"                        52 created, ns since 1970, 8 bytes
//	4  format version, 2 bytes       60 key domain
//	6  0, 2 bytes                    64 chunk min, normal, max, 4 bytes each
//	8  length of the block, 4 bytes  76 node odds, cap
//	12 incompatible, 8 bytes         84 bundle odds, cap
//	20 read-only compatible, 8       92 check value of the master, 16 bytes
//	28 compatible, 8                 108 0, 12 bytes
//	36 repository id, 16 bytes       120 XXH64 of bytes 0 to 119
const (
	configVersion = 1
	configBlock   = 128

	// SecondCopy is where the second copy begins, Size the length of the object.
	SecondCopy = 4096
	Size       = SecondCopy + configBlock
)

// Encode makes the configuration object.
func (c Config) Encode() []byte {
	b := make([]byte, 0, Size)
	b = append(b, "KWCF"...)
	b = binary.LittleEndian.AppendUint16(b, configVersion)
	b = append(b, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, configBlock)
	for _, v := range []uint64{c.Incompatible, c.ReadCompatible, c.Compatible} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	b = append(b, c.ID[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(c.Created.UnixNano()))
	for _, v := range []uint32{c.Domain, c.ChunkMin, c.ChunkNormal, c.ChunkMax, c.NodeOdds, c.NodeCap, c.BundleOdds, c.BundleCap} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	b = append(b, c.Check[:]...)
	b = append(b, make([]byte, 12)...)
	b = binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b))
	b = append(b, make([]byte, SecondCopy-configBlock)...)
	return append(b, b[:configBlock]...)
}

// ParseConfig reads a configuration. damage tells, if err is nil, what is wrong with one of
// its two copies.
func ParseConfig(b []byte) (c Config, damage, err error) {
	first, errA := parseConfigBlock(b)
	var errB error = errs.New(errs.Corrupt, "configuration.short", "read configuration: the second copy is missing")
	var second Config
	if len(b) == Size {
		second, errB = parseConfigBlock(b[SecondCopy:])
	}
	switch {
	case errA == nil && errB == nil && first != second:
		errB = errs.New(errs.Corrupt, "configuration.copies", "read configuration: its two copies differ")
		fallthrough
	case errA == nil && errB != nil:
		return first, errB, nil
	case errA == nil:
		return first, padding(b), nil
	case errB == nil:
		return second, errA, nil
	}
	return c, nil, errA
}

func padding(b []byte) error {
	if len(bytes.Trim(b[configBlock:SecondCopy], "\x00")) != 0 {
		return errs.New(errs.Corrupt, "configuration.padding", "read configuration: there is something between its copies")
	}
	return nil
}

func parseConfigBlock(b []byte) (Config, error) {
	var c Config
	if len(b) < configBlock || !bytes.Equal(b[:4], []byte("KWCF")) {
		return c, errs.New(errs.Corrupt, "configuration.magic", "read configuration: it is none")
	}
	if xxhash.Sum64(b[:120]) != binary.LittleEndian.Uint64(b[120:]) {
		return c, errs.New(errs.Corrupt, "configuration.checksum", "read configuration: checksum differs")
	}
	u32 := func(off int) uint32 { return binary.LittleEndian.Uint32(b[off:]) }
	u64 := func(off int) uint64 { return binary.LittleEndian.Uint64(b[off:]) }
	c = Config{
		Incompatible: u64(12), ReadCompatible: u64(20), Compatible: u64(28),
		ID: [16]byte(b[36:52]), Created: time.Unix(0, int64(u64(52))).UTC(), Domain: u32(60),
		ChunkMin: u32(64), ChunkNormal: u32(68), ChunkMax: u32(72),
		NodeOdds: u32(76), NodeCap: u32(80), BundleOdds: u32(84), BundleCap: u32(88),
		Check: [16]byte(b[92:108]),
	}
	if v := binary.LittleEndian.Uint16(b[4:]); v != configVersion || c.Incompatible&^uint64(knownIncompatible) != 0 || u32(8) != configBlock {
		return c, errs.New(errs.Invalid, "repository.too-new", "read configuration: format version %d with features %x is newer than this Keepward knows", v, c.Incompatible).WithHint("update Keepward")
	}
	return c, nil
}

// Writable refuses to write a repository whose features this version cannot keep up.
func (c Config) Writable() error {
	if f := c.ReadCompatible &^ uint64(knownReadCompatible); f != 0 {
		return errs.New(errs.Invalid, "repository.read-only", "write to repository: its features %x are newer than this Keepward knows, it can only be read", f).WithHint("update Keepward")
	}
	return nil
}

// ChecksMaster tells whether m is the master of the repository.
func (c Config) ChecksMaster(m seal.Master) bool {
	return m.Domain == c.Domain && m.Check(c.ID) == c.Check
}

// Valid refuses what cannot be written.
func (c Config) Valid() error {
	if c.ID == ([16]byte{}) || c.Check == ([16]byte{}) || c.ChunkMin == 0 || c.ChunkMin > c.ChunkNormal || c.ChunkNormal > c.ChunkMax ||
		c.ChunkMax > seal.MaxRaw {
		return errs.New(errs.Invalid, "repository.configuration", "create repository: its configuration is not complete")
	}
	return nil
}
