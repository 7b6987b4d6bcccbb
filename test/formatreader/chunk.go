package formatreader

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/blake3"
)

// Kinds of records.
const (
	kindData, kindBundle = 1, 2
	kindNode, kindMap    = 3, 4
	kindInode, kindRoot  = 5, 7
)

// punched is the bit of the codec that says that members of a bundle are missing.
const punched = 1 << 7

// hash is the h of a content.
func (r *Reader) hash(kind byte, content []byte) (h hash) {
	k := must(blake3.NewKeyed(r.idKey))
	must(k.Write([]byte{kind}))
	must(k.Write(content))
	copy(h[:], k.Sum(nil))
	return h
}

// chunk gives the content with that h, from the first place where it is good; of a bundle, from
// the one with the most members.
func (r *Reader) chunk(kind byte, h hash) []byte {
	id := hash(derive("chunk id from h", h[:]))
	err := fmt.Errorf("chunk %x is not there", id[:6])
	var best []byte
	for _, p := range r.places[id] {
		content, oerr := r.open(kind, h, id, p)
		switch {
		case oerr != nil:
			err = oerr
		case kind != kindBundle:
			return content
		case len(content) > len(best):
			best = content
		}
	}
	if best == nil {
		panic(err)
	}
	return best
}

func (r *Reader) open(kind byte, h, id hash, p place) (content []byte, err error) {
	defer caught(fmt.Sprintf("%s at %d", p.pack, p.offset), &err)
	f := must(os.Open(filepath.Join(r.dir, p.pack)))
	defer f.Close() //nolint:errcheck // only read
	rec := make([]byte, p.length)
	must(f.ReadAt(rec, int64(p.offset)))
	demand(summed("KWR1", rec) && crc(rec[:72]) == le.Uint32(rec[72:]), "the record is damaged")
	demand(rec[4] == kind && hash(rec[28:60]) == id && le.Uint32(rec[8:]) == r.domain, "it is another record")
	at := 76 + 32*le.Uint32(rec[20:]) // the sealed bytes
	sealed := rec[at:][:le.Uint32(rec[16:])]
	demand(int(at)+len(sealed)+8 == len(rec), "its parts do not make up its length")
	epoch := derive("epoch secret from master and number", r.master, []byte{rec[7], rec[6]})
	nonce := append([]byte(nil), rec[60:72]...)
	content = must(unseal(derive("chunk key from epoch secret and h", epoch, h[:]), append(nonce, sealed...), rec[:at]))
	switch rec[5] &^ punched {
	case 1:
		content = must(s2.Decode(nil, content))
	case 2:
		d := must(zstd.NewReader(nil))
		defer d.Close()
		content = must(d.DecodeAll(content, nil))
	}
	demand(len(content) == int(le.Uint32(rec[12:])), "the content has %d bytes", len(content))
	hashed := content
	if kind == kindBundle {
		n := le.Uint32(content)
		demand(n>>31 == uint32(rec[5]&punched)>>7, "record and content differ in whether members are missing")
		n &^= 1 << 31
		hashed = append(le.AppendUint32(nil, n), content[4:][:36*n]...)
	}
	demand(r.hash(kind, hashed) == h, "the content is not what its h says")
	return content, nil
}

// member gives a file out of a bundle.
func (r *Reader) member(h hash, number uint64) []byte {
	if r.bundleHash != h {
		r.bundle = r.chunk(kindBundle, h)
		r.bundleHash = h
	}
	b := r.bundle
	n := le.Uint32(b) &^ (1 << 31)
	at := 4 + 36*n
	held := func(uint64) bool { return true }
	if le.Uint32(b)>>31 != 0 { // members are missing
		bits := b[at:]
		at += (n + 7) / 8
		held = func(i uint64) bool { return bits[i/8]>>(i%8)&1 != 0 }
	}
	demand(held(number), "member %d was taken out of its bundle", number)
	for i := range number {
		if held(i) {
			at += le.Uint32(b[4+36*i+32:])
		}
	}
	head := b[4+36*number:][:36]
	content := b[at:][:le.Uint32(head[32:])]
	demand(r.hash(kindData, content) == hash(head), "member %d of a bundle is not what its h says", number)
	return content
}

// input takes bytes from the front.
type input []byte

func (in *input) take(n uint64) []byte {
	b := (*in)[:n]
	*in = (*in)[n:]
	return b
}

func (in *input) uvarint() uint64 {
	v, n := binary.Uvarint(*in)
	demand(n > 0, "a varint is cut short")
	in.take(uint64(n))
	return v
}

// fields are tagged fields by number. A number is kept as its 8 bytes. Of a list this reader
// needs nothing.
type fields map[uint64][]byte

func parseFields(b []byte) fields {
	f, last := fields{}, uint64(0)
	for in := input(b); len(in) > 0; {
		tag := in.uvarint()
		demand(tag>>1 >= last, "field %d stands behind field %d", tag>>1, last)
		last = tag >> 1
		if tag&1 == 0 {
			f[last] = le.AppendUint64(nil, in.uvarint())
		} else {
			f[last] = in.take(in.uvarint())
		}
	}
	return f
}

func (f fields) uint(no uint64) uint64 {
	if len(f[no]) == 0 {
		return 0
	}
	return le.Uint64(f[no])
}

func (f fields) signed(no uint64) int64 { return int64(f.uint(no)>>1) ^ -int64(f.uint(no)&1) }
