// Package formatreader reads a repository in a directory, given its recovery key. It is
// written from docs/formats/repository.md and repository-layout.md alone, to prove that they
// are enough, and stays so: it must import nothing of this module. Where a change of the
// format breaks it, the pages are changed first and this after them.
//
// It restores names and contents, not metadata, and is no model of speed: it holds the index
// in memory. A Reader belongs to one goroutine.
package formatreader

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/zeebo/blake3"
)

type hash [32]byte

var (
	le   = binary.LittleEndian
	be64 = binary.BigEndian.Uint64
)

// Reader is an open repository.
type Reader struct {
	dir                           string
	id, master                    []byte
	domain                        uint32
	idKey, issueKey, computersKey []byte
	places                        map[hash][]place
	bundle                        []byte // the content of the bundle that was opened last
	bundleHash                    hash
}

// place is where a record lies.
type place struct {
	pack           string
	offset, length uint32
}

// Point is a restore point.
type Point struct {
	Attempt, Computer, Job string
	Time                   time.Time
	root                   hash
}

// What is wrong panics inside, so that parsers read like the tables of the pages, and is an
// error outside.
func caught(what string, err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%s: %v", what, r)
	}
}

func must[T any](v T, err error) T {
	demand(err == nil, "%v", err)
	return v
}

func demand(ok bool, format string, args ...any) {
	if !ok {
		panic(fmt.Sprintf(format, args...))
	}
}

func derive(context string, material ...[]byte) []byte {
	out := make([]byte, 32)
	blake3.DeriveKey("keepward 2026-11 "+context, bytes.Join(material, nil), out)
	return out
}

// unseal opens a nonce and what AES-256-GCM made with it.
func unseal(key, sealed, associated []byte) ([]byte, error) {
	gcm := must(cipher.NewGCM(must(aes.NewCipher(key))))
	return gcm.Open(nil, sealed[:12], sealed[12:], associated)
}

func crc(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// summed tells whether b begins with its magic and ends with the XXH64 of all before.
func summed(magic string, b []byte) bool {
	n := len(b) - 8
	return n >= len(magic) && string(b[:len(magic)]) == magic && xxhash.Sum64(b[:n]) == le.Uint64(b[n:])
}

// Open reads configuration, keys and index.
func Open(dir, recoveryKey string) (r *Reader, err error) {
	defer caught("open "+dir, &err)
	r = &Reader{dir: dir, places: map[hash][]place{}}
	conf := must(os.ReadFile(filepath.Join(dir, "keepward.conf")))
	c := conf[:128]
	if !summed("KWCF", c) {
		c = conf[4096:4224]
	}
	demand(summed("KWCF", c), "both copies of the configuration are damaged")
	demand(le.Uint16(c[4:]) == 1 && le.Uint64(c[12:]) == 0, "a later format")
	r.id, r.domain = c[36:52], le.Uint32(c[60:])
	r.master = r.openMaster(recoveryKey, c[92:108])
	r.idKey = derive("id key from master", r.master)
	r.issueKey = derive("issue key from master", r.master)
	r.computersKey = derive("computers key from master", r.master)
	r.readIndex()
	return r, nil
}

func (r *Reader) files(pattern string) []string {
	return must(filepath.Glob(filepath.Join(r.dir, filepath.FromSlash(pattern))))
}

func (r *Reader) openMaster(recoveryKey string, check []byte) []byte {
	var text strings.Builder
	for line := range strings.Lines(recoveryKey) {
		if !strings.HasPrefix(line, "#") {
			text.WriteString(strings.Join(strings.Fields(line), ""))
		}
	}
	typed := strings.NewReplacer("-", "", "0", "O", "1", "I", "8", "B").Replace(strings.ToUpper(text.String()))
	b := must(base32.StdEncoding.DecodeString(typed))
	demand(len(b) == 40 && b[0] == 1, "this is no recovery key")
	sum := blake3.Sum256(b[:37])
	demand(bytes.Equal(sum[:3], b[37:]), "the recovery key has a typo")
	demand(bytes.Equal(r.id[:4], b[1:5]), "the recovery key is another repository's")
	wrapping := derive("wrapping key from recovery secret", b[5:37])
	for _, name := range r.files("keys/*") {
		k := must(os.ReadFile(name))
		if len(k) != 202 || !summed("KWKY", k) || le.Uint16(k[6:]) != 1 || !bytes.Equal(k[8:24], r.id) {
			continue
		}
		if plain, err := unseal(wrapping, k[128:194], k[:128]); err == nil {
			master := plain[6:38]
			demand(bytes.Equal(check, derive("configuration check from master", master, r.id)[:16]), "%s holds another master", name)
			return master
		}
	}
	panic("no key object is opened by this recovery key")
}

// readIndex takes in the rows of all segments.
func (r *Reader) readIndex() {
	damaged := map[place]bool{}
	for _, name := range r.files("index/*/*") {
		b := must(os.ReadFile(name))
		demand(summed("KWIX", b[:128]), "%s: its header is damaged", name)
		table, pages := b[le.Uint64(b[80:]):], b[le.Uint64(b[104:]):]
		demand(summed("KWIX", b[:le.Uint64(b[104:])]), "%s: its head is damaged", name)
		rows, entry := uint64(0), map[uint16]uint32{1: 40, 2: 56}[le.Uint16(b[4:])]
		demand(entry > 0, "%s: its version is not known", name)
		for n := 0; len(pages) > 0; n, pages = n+1, pages[4096:] {
			demand(xxhash.Sum64(pages[:4088]) == le.Uint64(pages[4088:]) && int(le.Uint32(pages[4080:])) == n, "%s: page %d is damaged", name, n)
			for i := range int(le.Uint16(pages[4084:])) {
				row := pages[48*i:][:48]
				pack := table[entry*le.Uint32(row[32:]):][:40]
				attempt := hex.EncodeToString(pack[:16])
				p := place{fmt.Sprintf("packs/%s/%s/%c%08d", attempt[:2], attempt, " dm"[pack[16]], le.Uint32(pack[20:])), le.Uint32(row[36:]), le.Uint32(row[40:])}
				r.places[hash(row[:32])] = append(r.places[hash(row[:32])], p)
				damaged[p] = damaged[p] || row[45]&4 != 0
				rows++
			}
		}
		demand(rows == le.Uint64(b[64:]), "%s: it has %d rows", name, rows)
	}
	for id, places := range r.places {
		var good []place
		for _, p := range places {
			if !damaged[p] {
				good = append(good, p)
			}
		}
		r.places[id] = good
	}
}

// WithoutIndex puts what the packs' own directories say in the place of the index.
func (r *Reader) WithoutIndex() (err error) {
	defer caught("read packs", &err)
	r.places = map[hash][]place{}
	for _, name := range r.files("packs/*/*/[dm]????????") {
		b := must(os.ReadFile(name))
		demand(string(b[:4]) == "KWPK" && crc(b[:60]) == le.Uint32(b[60:]), "%s: its header is damaged", name)
		foot := b[len(b)-32:]
		demand(string(foot[28:]) == "KWPF" && crc(foot[:24]) == le.Uint32(foot[24:]), "%s: its footer is damaged", name)
		at := le.Uint64(foot)
		dir := b[at:][:le.Uint32(foot[8:])]
		demand(string(dir[:4]) == "KWPD" && xxhash.Sum64(dir) == le.Uint64(foot[16:]), "%s: its directory is damaged", name)
		next := uint32(64)
		for e := dir[16:]; len(e) > 0; e = e[48:] {
			p := place{must(filepath.Rel(r.dir, name)), le.Uint32(e[32:]), le.Uint32(e[36:])}
			demand(p.offset == next, "%s: a record at %d, not at %d", name, p.offset, next)
			next += p.length
			r.places[hash(e[:32])] = append(r.places[hash(e[:32])], p)
		}
		demand(uint64(next) == at, "%s: its records end at %d", name, next)
	}
	return nil
}

// Points lists the restore points by name.
func (r *Reader) Points() (points []Point, err error) {
	defer caught("list points", &err)
	for _, name := range r.files("points/*") {
		b := must(os.ReadFile(name))
		demand(summed("KWPT", b) && b[4] == 1, "%s is no restore point", name)
		if b[5] > 2 {
			continue // a tombstone
		}
		points = append(points, r.point(name, b))
	}
	return points, nil
}

// Checkpoints lists the checkpoints by name.
func (r *Reader) Checkpoints() (points []Point, err error) {
	defer caught("list checkpoints", &err)
	for _, name := range r.files("checkpoints/*") {
		b := must(os.ReadFile(name))
		demand(summed("KWPT", b) && b[4] == 1 && b[5] == 4, "%s is no checkpoint", name)
		points = append(points, r.point(name, b))
	}
	return points, nil
}

func (r *Reader) point(name string, b []byte) Point {
	f := parseFields(b[6 : len(b)-8])
	attempt := f[2]
	demand(bytes.Equal(f[1], r.id), "%s is another repository's", name)
	open := func(what string, key, sealed []byte) fields {
		return parseFields(must(unseal(key, sealed, bytes.Join([][]byte{[]byte("keepward " + what), r.id, attempt}, nil))))
	}
	issue := open("issue", r.issueKey, f[5])
	computer := derive("computer key from computers key and name", r.computersKey, issue[1])
	body := open("body", derive("point body key from computer key", computer), f[6])
	return Point{
		Attempt: hex.EncodeToString(attempt), Computer: string(issue[1]), Job: string(issue[2]),
		Time: time.Unix(0, issue.signed(4)), root: hash(body[1]),
	}
}
