package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"keepward/internal/errs"
)

// Sealer compresses and seals chunks. It keeps its buffers, so it belongs to one goroutine
// at a time.
type Sealer struct {
	keys *Keys
	compressor
}

// NewSealer makes a Sealer.
func NewSealer(keys *Keys, setting Compression) (*Sealer, error) {
	s := &Sealer{keys: keys}
	return s, s.start(setting)
}

// Seal appends the record of a chunk to dst. h must be the Hash of kind and content; refs
// are the ids the chunk refers to.
func (s *Sealer) Seal(dst []byte, kind Kind, h H, refs []ID, content []byte) ([]byte, error) {
	if len(content) > MaxRaw || len(refs) > MaxRefs {
		return dst, errs.New(errs.Internal, "", "seal %s: %d bytes, %d ids: out of bounds", kind, len(content), len(refs))
	}
	key, err := s.keys.chunkKey(s.keys.Epoch, h)
	if err != nil {
		return dst, err
	}
	aead, err := newAEAD(key)
	if err != nil {
		return dst, err
	}
	body, codec := s.compress(content)
	start := len(dst)
	var hd [HeaderSize]byte
	copy(hd[:], recordMagic)
	hd[4], hd[5] = byte(kind), byte(codec)
	if isPunched(kind, content) {
		hd[5] |= punchedCodec
	}
	binary.LittleEndian.PutUint16(hd[6:], s.keys.Epoch)
	binary.LittleEndian.PutUint32(hd[8:], s.keys.Domain)
	binary.LittleEndian.PutUint32(hd[12:], uint32(len(content)))
	binary.LittleEndian.PutUint32(hd[16:], uint32(len(body)+tagSize))
	binary.LittleEndian.PutUint32(hd[20:], uint32(len(refs)))
	id := h.ID()
	copy(hd[offID:], id[:])
	_, _ = rand.Read(hd[offNonce:offHeaderCRC]) // documented never to fail
	binary.LittleEndian.PutUint32(hd[offHeaderCRC:], crc32.Checksum(hd[:offHeaderCRC], castagnoli))
	dst = append(dst, hd[:]...)
	for i := range refs {
		dst = append(dst, refs[i][:]...)
	}
	// The header and the ids are bound: a record cannot be given another kind, id or refs.
	dst = aead.Seal(dst, hd[offNonce:offHeaderCRC], body, dst[start:])
	return binary.LittleEndian.AppendUint64(dst, xxhash.Sum64(dst[start:])), nil
}

// Opener opens records. It keeps its buffers, so it belongs to one goroutine at a time.
type Opener struct {
	keys    *Keys
	hasher  *Hasher
	zstd    *zstd.Decoder
	scratch []byte
}

// NewOpener makes an Opener.
func NewOpener(keys *Keys) (*Opener, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxRaw), zstd.WithDecoderLowmem(true), zstd.IgnoreChecksum(true))
	if err != nil {
		return nil, fmt.Errorf("start zstd: %w", err)
	}
	return &Opener{keys: keys, hasher: keys.NewHasher(), zstd: d}, nil
}

// Close frees what the Opener holds.
func (o *Opener) Close() { o.zstd.Close() }

// Open decrypts and decompresses a record into dst's capacity and checks that its content
// is what h says; of a punched bundle, what is left of it. The answer may share dst's memory, never the record's.
func (o *Opener) Open(dst []byte, r *Record, h H) ([]byte, error) {
	return o.open(dst, r, h, func(content []byte) H { return o.hash(r, content) })
}

// OpenMembers is Open for a bundle of which only some members are wanted: the others' content
// is not checked. A wanted one that was taken out is an error.
func (o *Opener) OpenMembers(dst []byte, r *Record, h H, members []uint32) ([]byte, Bundle, error) {
	var b Bundle
	content, err := o.open(dst, r, h, func(content []byte) H {
		var err error
		if b, err = ParseBundle(content); err != nil || b.Punched() != r.Punched {
			return H{}
		}
		for _, m := range members {
			// One that the bundle never had is for the caller to find, who knows what for.
			if int64(m) < int64(b.Len()) && b.Holds(int(m)) && o.hasher.Hash(KindData, b.Member(int(m))) != b.Hash(int(m)) {
				return H{}
			}
		}
		return b.hash(o.hasher)
	})
	for _, m := range members {
		if err == nil && int64(m) < int64(b.Len()) && !b.Holds(int(m)) {
			err = errs.New(errs.Corrupt, "bundle.punched", "open chunk %s: its member %d was taken out", r.ID, m)
		}
	}
	return content, b, err
}

func (o *Opener) open(dst []byte, r *Record, h H, hash func(content []byte) H) ([]byte, error) {
	if h.ID() != r.ID {
		return nil, errs.New(errs.Corrupt, "chunk.id", "open chunk %s: it is not the chunk that was asked for", r.ID)
	}
	if r.Domain != o.keys.Domain {
		return nil, errs.New(errs.Denied, "repository.domain", "open chunk %s: it is of key domain %d, this task's is %d", r.ID, r.Domain, o.keys.Domain)
	}
	key, err := o.keys.chunkKey(r.Epoch, h)
	if err != nil {
		return nil, err
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	bound := make([]byte, 0, HeaderSize+len(r.refs))
	bound = append(append(bound, r.raw[:HeaderSize]...), r.refs...)
	plain, err := aead.Open(o.scratch[:0], r.raw[offNonce:offHeaderCRC], r.sealed, bound)
	if err != nil {
		return nil, errs.New(errs.Corrupt, "chunk.seal", "open chunk %s: it does not open with its key: it was altered", r.ID)
	}
	o.scratch = plain
	switch r.Codec {
	case CodecRaw:
		dst = append(dst[:0], plain...)
	case CodecS2:
		if n, lerr := s2.DecodedLen(plain); lerr != nil || n != r.RawLen {
			return nil, errs.New(errs.Corrupt, "chunk.codec", "open chunk %s: its S2 block has another length than its header says", r.ID)
		}
		if cap(dst) < r.RawLen {
			dst = make([]byte, r.RawLen)
		}
		dst, err = s2.Decode(dst[:cap(dst)], plain)
	case CodecZstd:
		if cap(dst) < r.RawLen {
			dst = make([]byte, 0, r.RawLen)
		}
		dst, err = o.zstd.DecodeAll(plain, dst[:0])
	default:
		return nil, errs.New(errs.Corrupt, "chunk.codec", "open chunk %s: codec %d is unknown", r.ID, r.Codec)
	}
	if err != nil {
		return nil, errs.New(errs.Corrupt, "chunk.codec", "open chunk %s: decompress: %w", r.ID, err)
	}
	if len(dst) != r.RawLen || hash(dst) != h {
		return nil, errs.New(errs.Corrupt, "chunk.content", "open chunk %s: its content does not match its id", r.ID)
	}
	return dst, nil
}

// hash is the H of a chunk's content; a bundle's is that of its header alone, which holds
// the hashes of its members, and these are checked here too.
func (o *Opener) hash(r *Record, content []byte) H {
	if r.Kind != KindBundle {
		return o.hasher.Hash(r.Kind, content)
	}
	b, err := ParseBundle(content)
	if err != nil || b.Punched() != r.Punched {
		return H{}
	}
	for i := range b.Len() {
		if b.Holds(i) && o.hasher.Hash(KindData, b.Member(i)) != b.Hash(i) {
			return H{}
		}
	}
	return b.hash(o.hasher)
}

func newAEAD(key Secret) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("start AES: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("start GCM: %w", err)
	}
	return aead, nil
}

// SealBytes seals a small object (a key, a point's body) under key with bound as associated
// data: 12 random bytes, then AES-256-GCM.
func SealBytes(key Secret, plain, bound []byte) ([]byte, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 12, 12+len(plain)+tagSize)
	_, _ = rand.Read(out)
	return aead.Seal(out, out[:12], plain, bound), nil
}

// OpenBytes opens what SealBytes made. A wrong key and an altered object look the same:
// errs.Denied with code seal.key.
func OpenBytes(key Secret, sealed, bound []byte) ([]byte, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	if len(sealed) < 12+tagSize {
		return nil, errs.New(errs.Corrupt, "seal.short", "open sealed object: %d bytes are too few", len(sealed))
	}
	plain, err := aead.Open(nil, sealed[:12], sealed[12:], bound)
	if err != nil {
		return nil, errs.New(errs.Denied, "seal.key", "open sealed object: wrong key, or it was altered")
	}
	return plain, nil
}
