// Package audit is the rows of the audit log and the chain that they make: each has the hash of
// the one before in its own, so that none can be altered, taken out or put in between without all
// behind it being made anew. docs/formats/audit.md has the encoding, enough to check it without
// this program.
//
// It only computes: who writes rows, and what of, is the server's. Its values are not for
// concurrent use.
package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"strconv"
	"strings"

	"keepward/internal/errs"
)

// Hash is that of a row.
type Hash [sha256.Size]byte

// What a row tells. They are in the hashes: never rename one.
const (
	// KindCall is a call with its outcome.
	KindCall = "call"
	// KindBegin is a call that is about to be answered; its outcome is in the row that ends it.
	KindBegin = "begin"
	// KindEnd is the outcome of a call that a row before tells of.
	KindEnd = "end"
)

// Done is the outcome of a call that was answered.
const Done = "ok"

// Row is one row. Its texts are as they came, with whatever is in them: they are made printable
// where they are shown.
type Row struct {
	Number  uint64 // from 1, without a gap
	Time    int64  // nanoseconds since 1970 UTC
	Kind    string
	Ends    uint64 // the row whose call this ends; 0: none
	User    string // of a login: who was claimed to come
	Token   string // its number
	Role    string
	Address string
	Call    string // Service/Method
	Named   []Named
	Outcome string // Done, the code of an error, or else its kind; of KindBegin empty
	Times   uint64 // how many calls it stands for
	// Previous is the hash of the row before; of the first row zero.
	Previous Hash
	Hash     Hash
}

// Named is something that a call named: the field of its message, and its value.
type Named struct{ Field, Value string }

// magic begins what is hashed: nothing else of ours has a hash that is one of a row.
const magic = "keepward audit row 1\n"

// Sum is what the hash of r must be.
func (r Row) Sum() Hash {
	w := writer{sha256.New()}
	_, _ = w.Write([]byte(magic)) // documented never to fail
	_, _ = w.Write(r.Previous[:])
	w.number(r.Number)
	w.number(uint64(r.Time))
	w.text(r.Kind)
	w.number(r.Ends)
	for _, s := range []string{r.User, r.Token, r.Role, r.Address, r.Call} {
		w.text(s)
	}
	w.text(string(EncodeNamed(r.Named)))
	w.text(r.Outcome)
	w.number(r.Times)
	return Hash(w.Sum(nil))
}

type writer struct{ hash.Hash }

func (w writer) number(n uint64) {
	_, _ = w.Write(binary.BigEndian.AppendUint64(nil, n))
}

func (w writer) text(s string) {
	w.number(uint64(len(s)))
	_, _ = w.Write([]byte(s))
}

// EncodeNamed is what a call named as it is kept and hashed: field and value by turns, each with
// its length before it. Of nothing it is empty.
func EncodeNamed(named []Named) []byte {
	b := []byte{} // not nil: a column that is never NULL
	for _, n := range named {
		for _, s := range []string{n.Field, n.Value} {
			b = binary.BigEndian.AppendUint64(b, uint64(len(s)))
			b = append(b, s...)
		}
	}
	return b
}

// DecodeNamed is the way back.
func DecodeNamed(b []byte) ([]Named, error) {
	var out []Named
	next := func() (string, bool) {
		if len(b) < 8 {
			return "", false
		}
		n := binary.BigEndian.Uint64(b)
		if b = b[8:]; n > uint64(len(b)) {
			return "", false
		}
		s := string(b[:n])
		b = b[n:]
		return s, true
	}
	for len(b) > 0 {
		field, ok := next()
		value, ok2 := next()
		if !ok || !ok2 {
			return nil, errs.New(errs.Corrupt, CodeBroken, "read audit row: what it named cannot be read")
		}
		out = append(out, Named{field, value})
	}
	return out, nil
}

// Head is a row by its number and hash. Whoever has noted it knows all rows up to it.
type Head struct {
	Number uint64
	Hash   Hash
}

// HeadOf is r as a head.
func HeadOf(r Row) Head { return Head{r.Number, r.Hash} }

// String is the head as people note it: 41:9f2c…, or 0 before the first row.
func (h Head) String() string {
	if h.Number == 0 {
		return "0"
	}
	return strconv.FormatUint(h.Number, 10) + ":" + hex.EncodeToString(h.Hash[:])
}

// ParseHead reads what String wrote.
func ParseHead(s string) (Head, error) {
	number, sum, _ := strings.Cut(s, ":")
	n, err := strconv.ParseUint(number, 10, 63)
	b, herr := hex.DecodeString(sum)
	switch {
	case s == "0":
		return Head{}, nil
	case err != nil || herr != nil || n == 0 || len(b) != len(Hash{}):
		return Head{}, errs.New(errs.Invalid, "audit.head", "read head %q: it is the number of a row, a colon, and 64 hex digits, as verify prints it", s)
	}
	return Head{n, Hash(b)}, nil
}

// Codes of what is wrong with a chain.
const (
	CodeBroken = "audit.broken"
	CodeCut    = "audit.cut"
)

// Chain checks rows, from the first to the last.
type Chain struct {
	// Known, if its number is not 0, is a head that was noted before: the chain must go through it.
	Known Head

	head  Head
	begun map[uint64]bool // calls whose ends have not come
}

// Head is the last row that was taken.
func (c *Chain) Head() Head { return c.head }

// Next takes a row, or says why it cannot be the one that comes now. After an error the chain
// takes no more.
func (c *Chain) Next(r Row) error {
	broken := func(format string, args ...any) error {
		return errs.New(errs.Corrupt, CodeBroken, "check audit log: row %d: %s", r.Number, fmt.Sprintf(format, args...))
	}
	switch {
	case r.Number != c.head.Number+1:
		return broken("it follows row %d; what was between is gone, or it was put there", c.head.Number)
	case r.Previous != c.head.Hash:
		return broken("it was written behind another row %d", c.head.Number)
	case r.Sum() != r.Hash:
		return broken("it was altered: its hash is another one")
	case r.Number == c.Known.Number && r.Hash != c.Known.Hash:
		return broken("its hash is not that of the head that was given: this row, or one before it, was made anew")
	case r.Kind == KindEnd && !c.begun[r.Ends]:
		return broken("it ends row %d, which is no call that goes on", r.Ends)
	}
	switch r.Kind {
	case KindCall:
	case KindBegin:
		if c.begun == nil {
			c.begun = map[uint64]bool{}
		}
		c.begun[r.Number] = true
	case KindEnd:
		delete(c.begun, r.Ends)
	default:
		return broken("it is of kind %q, which this version does not know", r.Kind)
	}
	c.head = HeadOf(r)
	return nil
}

// End says, after the last row, whether rows are missing there.
func (c *Chain) End() error {
	if c.head.Number < c.Known.Number {
		return errs.New(errs.Corrupt, CodeCut, "check audit log: it ends with row %d, and the head that was given is row %d: what came behind is gone", c.head.Number, c.Known.Number)
	}
	return nil
}

// Open is how many calls began and have no end: they run, or the server died before it knew.
func (c *Chain) Open() int { return len(c.begun) }
