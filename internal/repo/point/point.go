// Package point is the restore point object: what stands in clear, what the server issued,
// what the agent sealed. Its format is docs/formats/repository.md, "Restore points".
//
// It encodes and decodes; it neither reads nor writes a repository. Values are plain and may
// be shared once made.
package point

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"time"

	"github.com/cespare/xxhash/v2"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/tlv"
)

// Type is what stands under an attempt's point name. The numbers are format.
type Type uint8

// The types.
const (
	Complete   Type = 1 // a restore point
	Partial    Type = 2 // ended early by kill with commit: never "latest", never counted by retention
	Tombstone  Type = 3 // the attempt was cut off: nothing can be committed under this name
	Checkpoint Type = 4 // an unfinished point; lies with the checkpoints, not with the points
)

func (t Type) String() string {
	switch t {
	case Complete:
		return "point"
	case Partial:
		return "partial point"
	case Tombstone:
		return "tombstone"
	case Checkpoint:
		return "checkpoint"
	}
	return "unknown"
}

// Attempt is the random name of an attempt and of the point it makes.
type Attempt [16]byte

func (a Attempt) String() string { return hex.EncodeToString(a[:]) }

// Compare orders attempts by their bytes.
func (a Attempt) Compare(o Attempt) int { return bytes.Compare(a[:], o[:]) }

// ParseAttempt reads the 32 hex digits of an attempt.
func ParseAttempt(s string) (Attempt, error) {
	var a Attempt
	if len(s) != 32 {
		return a, errs.New(errs.Invalid, "attempt.name", "read attempt name %q: it must have 32 hex digits", s)
	}
	if _, err := hex.Decode(a[:], []byte(s)); err != nil {
		return a, errs.New(errs.Invalid, "attempt.name", "read attempt name %q: %w", s, err)
	}
	return a, nil
}

// Draft is what an agent brings to a commit or a checkpoint: the mover makes the object of
// it together with the issue it got from the server.
type Draft struct {
	Type   Type // Complete, Partial or Checkpoint
	RootID seal.ID
	// Refs are ids the point needs beside the root; the root record names all others.
	Refs []seal.ID
	// Body is sealed by SealBody.
	Body []byte
}

// Point is a parsed object.
type Point struct {
	Type         Type
	RepositoryID [16]byte
	Attempt      Attempt
	RootID       seal.ID
	Refs         []seal.ID
	Issue        []byte // sealed by the server; empty on a tombstone
	Body         []byte // sealed for the computer; empty on a tombstone
	Reason       string // tombstone: why, in clear
	// checkpoints is one more than the number of the last checkpoint that had been made when
	// the tombstone was put; zero: not known.
	checkpoints uint64
}

// CheckpointCounts tells whether a checkpoint of an attempt that was cut off is from before:
// what a mover puts after its tombstone may refer to what is deleted by then.
func (p *Point) CheckpointCounts(number uint32) bool {
	return p.checkpoints == 0 || uint64(number) < p.checkpoints
}

// Layout: "KWPT", version (1 byte), type (1 byte), then tagged fields, then XXH64 of all
// before. Fields: 1 repository id, 2 attempt, 3 root id, 4 ids, 5 issue, 6 body, 7 reason, 8 one
// more than the number of the last checkpoint that counts.
const (
	magic   = "KWPT"
	version = 1
	// MaxSize bounds a point object.
	MaxSize = 1 << 20
)

// Encode makes the object of a draft.
func Encode(repositoryID [16]byte, attempt Attempt, d Draft, issue []byte) []byte {
	b := append([]byte(magic), version, byte(d.Type))
	b = tlv.Bytes(b, 1, repositoryID[:])
	b = tlv.Bytes(b, 2, attempt[:])
	b = tlv.Bytes(b, 3, d.RootID[:])
	refs := make([]byte, 0, 32*len(d.Refs))
	for i := range d.Refs {
		refs = append(refs, d.Refs[i][:]...)
	}
	b = tlv.Bytes(b, 4, refs)
	b = tlv.Bytes(b, 5, issue)
	b = tlv.Bytes(b, 6, d.Body)
	return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b))
}

// EncodeTombstone makes the object that cuts an attempt off; checkpoint is the number of its
// last checkpoint.
func EncodeTombstone(repositoryID [16]byte, attempt Attempt, reason string, checkpoint uint32) []byte {
	b := append([]byte(magic), version, byte(Tombstone))
	b = tlv.Bytes(b, 1, repositoryID[:])
	b = tlv.Bytes(b, 2, attempt[:])
	b = tlv.Bytes(b, 7, reason)
	b = tlv.Uint(b, 8, uint64(checkpoint)+1)
	return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b))
}

// Parse reads an object and checks its checksum. The answer points into b.
func Parse(b []byte) (Point, error) {
	var p Point
	if len(b) < len(magic)+2+8 || len(b) > MaxSize {
		return p, errs.New(errs.Corrupt, "point.length", "read restore point: %d bytes cannot be one", len(b))
	}
	if !bytes.HasPrefix(b, []byte(magic)) {
		return p, errs.New(errs.Corrupt, "point.magic", "read restore point: it is not one")
	}
	sum := binary.LittleEndian.Uint64(b[len(b)-8:])
	if b = b[:len(b)-8]; xxhash.Sum64(b) != sum {
		return p, errs.New(errs.Corrupt, "point.checksum", "read restore point: checksum differs")
	}
	if b[4] != version {
		return p, errs.New(errs.Invalid, "point.version", "read restore point: version %d is newer than this Keepward knows", b[4]).WithHint("update Keepward")
	}
	p.Type = Type(b[5])
	if p.Type < Complete || p.Type > Checkpoint {
		return p, errs.New(errs.Corrupt, "point.type", "read restore point: type %d is unknown", p.Type)
	}
	last := 0
	for rest := b[6:]; len(rest) > 0; {
		f, r, err := tlv.Next(rest, last)
		if err != nil {
			return p, err
		}
		rest, last = r, f.Number
		if err := p.field(f); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (p *Point) field(f tlv.Field) error {
	fixed := func(dst []byte) error {
		if len(f.Data) != len(dst) {
			return errs.New(errs.Corrupt, "point.field", "read restore point: field %d has %d bytes, not %d", f.Number, len(f.Data), len(dst))
		}
		copy(dst, f.Data)
		return nil
	}
	switch f.Number {
	case 1:
		return fixed(p.RepositoryID[:])
	case 2:
		return fixed(p.Attempt[:])
	case 3:
		return fixed(p.RootID[:])
	case 4:
		if len(f.Data)%32 != 0 {
			return errs.New(errs.Corrupt, "point.field", "read restore point: %d bytes are no list of ids", len(f.Data))
		}
		p.Refs = make([]seal.ID, len(f.Data)/32)
		for i := range p.Refs {
			p.Refs[i] = seal.ID(f.Data[i*32 : i*32+32])
		}
	case 5:
		p.Issue = f.Data
	case 6:
		p.Body = f.Data
	case 7:
		p.Reason = string(f.Data)
	case 8:
		p.checkpoints = f.Value
	}
	return nil
}

// Issue is what the server alone may say of a point: who, when, by which job. Agents cannot
// make one, so they cannot choose the time of their points.
type Issue struct {
	Computer string
	Job      string
	Session  int64
	Time     time.Time
	Parent   Attempt // zero: none
	Full     bool
	// Definition is the job as it was then, in the server's own encoding: who loses the server
	// finds his jobs in the repository.
	Definition []byte
}

// SealIssue seals an issue under the master's issue key, bound to repository and attempt.
func SealIssue(key seal.Secret, repositoryID [16]byte, attempt Attempt, i Issue) ([]byte, error) {
	b := tlv.Bytes(nil, 1, i.Computer)
	b = tlv.Bytes(b, 2, i.Job)
	b = tlv.Int(b, 3, i.Session)
	b = tlv.Int(b, 4, i.Time.UnixNano())
	if i.Parent != (Attempt{}) {
		b = tlv.Bytes(b, 5, i.Parent[:])
	}
	b = tlv.Bool(b, 6, i.Full)
	b = tlv.Bytes(b, 7, i.Definition)
	return seal.SealBytes(key, b, bound(repositoryID, attempt, "issue"))
}

// OpenIssue opens what SealIssue made.
func OpenIssue(key seal.Secret, p *Point) (Issue, error) {
	var i Issue
	b, err := seal.OpenBytes(key, p.Issue, bound(p.RepositoryID, p.Attempt, "issue"))
	if err != nil {
		return i, errs.New(errs.KindOf(err), errs.CodeOf(err), "open issue of restore point %s: %w", p.Attempt, err)
	}
	last := 0
	for len(b) > 0 {
		f, rest, err := tlv.Next(b, last)
		if err != nil {
			return i, err
		}
		b, last = rest, f.Number
		switch f.Number {
		case 1:
			i.Computer = string(f.Data)
		case 2:
			i.Job = string(f.Data)
		case 3:
			i.Session = f.Int()
		case 4:
			i.Time = time.Unix(0, f.Int())
		case 5:
			copy(i.Parent[:], f.Data)
		case 6:
			i.Full = f.Value == 1
		case 7:
			i.Definition = f.Data
		}
	}
	return i, nil
}

func bound(repositoryID [16]byte, attempt Attempt, what string) []byte {
	b := append([]byte("keepward "), what...)
	b = append(b, repositoryID[:]...)
	return append(b, attempt[:]...)
}

// Completeness tells whether every object that was asked for is in the point.
type Completeness uint8

// The degrees of completeness. The numbers are format.
const (
	Whole      Completeness = 0 // everything that was asked for
	WithErrors Completeness = 1 // some objects could not be read
	Unfinished Completeness = 2 // a checkpoint, or ended early
)

func (c Completeness) String() string {
	switch c {
	case Whole:
		return "complete"
	case WithErrors:
		return "with errors"
	case Unfinished:
		return "unfinished"
	}
	return "unknown"
}

// Body is what the agent says of a point, sealed for its computer.
type Body struct {
	Root         seal.H
	Completeness Completeness
	Files        int64  // entries in the path tree
	Bytes        int64  // sum of the sizes of its regular files
	Errors       int64  // objects that failed
	Tracker      []byte // token of the change tracker; empty: none
	Options      []byte // fingerprint of include and exclude options: another one forbids trackers
	// Last is the key of the last entry that a checkpoint holds: go on behind it.
	Last []byte
}

// SealBody seals a body with the computer's key, bound to repository and attempt.
func SealBody(computer seal.Secret, repositoryID [16]byte, attempt Attempt, o Body) ([]byte, error) {
	b := tlv.Bytes(nil, 1, o.Root[:])
	b = tlv.Uint(b, 2, uint64(o.Completeness))
	b = tlv.Int(b, 3, o.Files)
	b = tlv.Int(b, 4, o.Bytes)
	b = tlv.Int(b, 5, o.Errors)
	b = tlv.Bytes(b, 6, o.Tracker)
	b = tlv.Bytes(b, 7, o.Options)
	b = tlv.Bytes(b, 8, o.Last)
	return seal.SealBytes(seal.BodyKey(computer), b, bound(repositoryID, attempt, "body"))
}

// OpenBody opens what SealBody made. With another computer's key it is errs.Denied.
func OpenBody(computer seal.Secret, p *Point) (Body, error) {
	var o Body
	b, err := seal.OpenBytes(seal.BodyKey(computer), p.Body, bound(p.RepositoryID, p.Attempt, "body"))
	if err != nil {
		return o, errs.New(errs.KindOf(err), errs.CodeOf(err), "open body of restore point %s: %w", p.Attempt, err)
	}
	last := 0
	for len(b) > 0 {
		f, rest, err := tlv.Next(b, last)
		if err != nil {
			return o, err
		}
		b, last = rest, f.Number
		switch f.Number {
		case 1:
			if copy(o.Root[:], f.Data) != len(o.Root) {
				return o, errs.New(errs.Corrupt, "point.body", "open body of restore point %s: its root has %d bytes", p.Attempt, len(f.Data))
			}
		case 2:
			o.Completeness = Completeness(f.Value)
		case 3:
			o.Files = f.Int()
		case 4:
			o.Bytes = f.Int()
		case 5:
			o.Errors = f.Int()
		case 6:
			o.Tracker = f.Data
		case 7:
			o.Options = f.Data
		case 8:
			o.Last = f.Data
		}
	}
	return o, nil
}
