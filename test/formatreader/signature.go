package formatreader

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"os"

	"github.com/zeebo/blake3"
)

const kindSignature, block = 6, 16 << 10

// signed compares a file with its signature.
func (r *Reader) signed(f *os.File, top hash, size uint64) {
	material := blake3.NewDeriveKey("keepward 2026-11 signature block keys from signature key")
	must(material.Write(derive("signature key from master", r.master)))
	keys := make([]byte, 64)
	must(material.Digest().Read(keys))
	inner := must(cipher.NewGCM(must(aes.NewCipher(keys[:32]))))
	outer := must(aes.NewCipher(keys[32:]))
	at := uint64(0)
	buf := make([]byte, block)
	check := func(sum uint64) {
		b := buf[:min(block, size-at)]
		must(f.ReadAt(b, int64(at)))
		want := uint64(0)
		if len(bytes.Trim(b, "\x00")) > 0 {
			tag := inner.Seal(nil, make([]byte, 12), nil, b)
			outer.Encrypt(tag, tag)
			want = max(le.Uint64(tag), 1)
		}
		demand(sum == want, "the signature of the block at %d is %x, not %x", at, sum, want)
		at += uint64(len(b))
	}
	var visit func(h hash, covers uint64, level int)
	visit = func(h hash, covers uint64, level int) {
		if h == (hash{}) {
			for end := at + covers; at < end; {
				check(0)
			}
			return
		}
		in := input(r.chunk(kindSignature, h))
		head := in.take(2)
		demand(head[0] == 1 && (level < 0 || int(head[1]) == level), "a signature of version %d and level %d", head[0], head[1])
		level = int(head[1])
		size := in.uvarint()
		demand(size == covers, "a signature of %d bytes, not %d", size, covers)
		for end, full := at+covers, uint64(4096*block)<<(10*max(level-1, 0)); at < end; {
			if level == 0 {
				check(le.Uint64(in.take(8)))
			} else {
				visit(hash(in.take(32)), min(full, end-at), level-1)
			}
		}
		demand(len(in) == 0, "%d bytes behind a signature", len(in))
	}
	visit(top, size, -1)
}
