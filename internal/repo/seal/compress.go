package seal

import (
	"fmt"

	"github.com/klauspost/compress"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"keepward/internal/errs"
)

// Compression is how hard a Sealer tries.
type Compression string

// The settings. Under auto the writer says from chunk to chunk what it prefers, zstd unless
// told otherwise.
const (
	CompressNone Compression = "none"
	CompressFast Compression = "fast" // S2
	CompressZstd Compression = "zstd" // zstd at its fastest
	CompressHigh Compression = "high" // zstd, better
	CompressAuto Compression = "auto" // S2 or zstd, as the writer prefers
)

// Compressions lists the settings in the order of their effort.
func Compressions() []Compression {
	return []Compression{CompressAuto, CompressNone, CompressFast, CompressZstd, CompressHigh}
}

// ParseCompression reads a setting; empty means auto.
func ParseCompression(s string) (Compression, error) {
	if s == "" {
		return CompressAuto, nil
	}
	for _, c := range Compressions() {
		if string(c) == s {
			return c, nil
		}
	}
	return "", errs.New(errs.Invalid, "job.compression", "compression %q is unknown", s).WithHint("use one of %v", Compressions())
}

// compressor makes contents smaller where that pays.
type compressor struct {
	setting Compression
	zstd    *zstd.Encoder
	// quick: auto takes S2 now.
	quick   bool
	scratch []byte
}

func (c *compressor) start(setting Compression) (err error) {
	c.setting = setting
	level := zstd.SpeedFastest
	switch setting {
	case CompressNone, CompressFast:
		return nil
	case CompressHigh:
		level = zstd.SpeedBetterCompression
	}
	// One chunk is one frame, and the record has its own checksums.
	c.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(level),
		zstd.WithEncoderCRC(false), zstd.WithWindowSize(4<<20), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return fmt.Errorf("start zstd: %w", err)
	}
	return nil
}

// PreferSpeed tells under auto whether the next chunks should rather be compressed quickly
// than well. The other settings are as they are.
func (c *compressor) PreferSpeed(quick bool) { c.quick = quick && c.setting == CompressAuto }

// keepRaw: what does not shrink by 3 % is kept raw, since opening it would cost more than
// the space is worth.
const keepRaw = 0.97

func (c *compressor) compress(content []byte) ([]byte, Codec) {
	// Below this a frame's own overhead eats what it saves.
	const smallest = 64
	if c.setting == CompressNone || len(content) < smallest || !c.promising(content) {
		return content, CodecRaw
	}
	codec := CodecZstd
	if c.zstd != nil && !c.quick {
		c.scratch = c.zstd.EncodeAll(content, c.scratch[:0])
	} else {
		codec = CodecS2
		c.scratch = s2.Encode(c.scratch[:cap(c.scratch)], content)
	}
	if float64(len(c.scratch)) > keepRaw*float64(len(content)) {
		return content, CodecRaw
	}
	return c.scratch, codec
}

// A probe looks at pieces spread over the content, so that one compressible file in a bundle
// of pictures is met. Below probeFrom it would cost what it saves.
const (
	probeFrom   = 128 << 10
	probePiece  = 1 << 10
	probePieces = 16
	// probeEstimate is the estimate of the compress package from which it says that compressing
	// is likely to pay. Random bytes stay below.
	probeEstimate = 0.1
)

// promising tells from some pieces of content whether compressing it may pay: bytes that are
// unevenly spread, or repeats. One piece is enough.
func (c *compressor) promising(content []byte) bool {
	if len(content) < probeFrom {
		return true
	}
	step := (len(content) - probePiece) / (probePieces - 1)
	var room [2 * probePiece]byte // more than S2 can need
	for i := range probePieces {
		piece := content[i*step:][:probePiece]
		if compress.Estimate(piece) > probeEstimate || float64(len(s2.Encode(room[:], piece))) < keepRaw*probePiece {
			return true
		}
	}
	return false
}
