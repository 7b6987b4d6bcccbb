// Package seal turns content into sealed, self-describing records and back: ids, keys,
// compression, encryption. Its format is docs/formats/repository.md, "Keys" and "Records".
//
// It knows nothing of where records are kept. Keys may be shared between goroutines;
// a Sealer and an Opener belong to one goroutine at a time.
package seal

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync"

	"github.com/zeebo/blake3"

	"keepward/internal/errs"
)

// H is the keyed hash of kind and content. To hold H (and the domain's epoch secret) is to
// be able to open the chunk, so H is only ever stored sealed.
type H [32]byte

// ID names a chunk in clear; it is derived from H and opens nothing.
type ID [32]byte

func (id ID) String() string { return hex.EncodeToString(id[:]) }

// String does not print H: it is a secret.
func (H) String() string { return "(h)" }

// GoString does not print H: it is a secret.
func (H) GoString() string { return "(h)" }

// Secret is 32 bytes of key that cannot print themselves.
type Secret [32]byte

func (Secret) String() string   { return "(secret)" }
func (Secret) GoString() string { return "(secret)" }

// MarshalText refuses: a secret leaves memory only through code that means it.
func (Secret) MarshalText() ([]byte, error) {
	return nil, errs.New(errs.Internal, "", "a secret was about to be written as text")
}

// NewSecret makes a random secret.
func NewSecret() Secret {
	var s Secret
	_, _ = rand.Read(s[:]) // documented never to fail
	return s
}

// Master is the one secret of a key domain. Everything else is derived from it; only the
// server and the recovery key hold it.
type Master struct {
	Domain uint32
	Epoch  uint16 // the epoch to seal with
	Secret Secret
}

// Keys is what a task may know of a domain's keys. It opens a chunk only together with the
// chunk's H, and a restore point only of the computer that ComputerKey belongs to.
type Keys struct {
	RepositoryID [16]byte
	Domain       uint32
	Epoch        uint16 // the epoch to seal with
	Epochs       map[uint16]Secret
	IDKey        Secret // keys the hash that makes H
	ChunkerKey   Secret // makes the chunker's table
	BorderKey    Secret // keys the borders of nodes and bundles
	SignatureKey Secret // keys the hashes of in-place signatures
	ComputerKey  Secret // seals the bodies of one computer's restore points
}

// deriver is BLAKE3 in key derivation mode, for one context. It keeps its hashers: one is 11 KB,
// every chunk needs two, and the keys of a task a dozen.
type deriver struct{ pool sync.Pool }

func newDeriver(context string) *deriver {
	return &deriver{sync.Pool{New: func() any { return blake3.NewDeriveKey(context) }}}
}

// derive derives from all of material.
func (v *deriver) derive(material ...[]byte) Secret {
	d := v.pool.Get().(*blake3.Hasher)
	d.Reset()
	for _, m := range material {
		_, _ = d.Write(m) // never fails
	}
	var s Secret
	d.Sum(s[:0])
	v.pool.Put(d)
	return s
}

// The derivation contexts are format: docs/formats/repository.md lists them.
var (
	ids           = newDeriver("keepward 2026-11 chunk id from h")
	chunkKeys     = newDeriver("keepward 2026-11 chunk key from epoch secret and h")
	idKeys        = newDeriver("keepward 2026-11 id key from master")
	chunkerKeys   = newDeriver("keepward 2026-11 chunker key from master")
	borderKeys    = newDeriver("keepward 2026-11 border key from master")
	signatureKeys = newDeriver("keepward 2026-11 signature key from master")
	epochs        = newDeriver("keepward 2026-11 epoch secret from master and number")
	computersKeys = newDeriver("keepward 2026-11 computers key from master")
	computerKeys  = newDeriver("keepward 2026-11 computer key from computers key and name")
	owners        = newDeriver("keepward 2026-11 owner pseudonym from computers key and name")
	issueKeys     = newDeriver("keepward 2026-11 issue key from master")
	bodyKeys      = newDeriver("keepward 2026-11 point body key from computer key")
	wrapKeys      = newDeriver("keepward 2026-11 wrapping key from recovery secret")
	checks        = newDeriver("keepward 2026-11 configuration check from master")
)

// TaskKeys derives what a task for one computer may know.
func (m Master) TaskKeys(repositoryID [16]byte, computer string) *Keys {
	k := &Keys{
		RepositoryID: repositoryID,
		Domain:       m.Domain,
		Epoch:        m.Epoch,
		Epochs:       make(map[uint16]Secret, m.Epoch+1),
		IDKey:        idKeys.derive(m.Secret[:]),
		ChunkerKey:   chunkerKeys.derive(m.Secret[:]),
		BorderKey:    borderKeys.derive(m.Secret[:]),
		SignatureKey: signatureKeys.derive(m.Secret[:]),
		ComputerKey:  m.ComputersKey().Computer(computer),
	}
	for e := uint16(0); ; e++ {
		k.Epochs[e] = epochs.derive(m.Secret[:], binary.BigEndian.AppendUint16(nil, e))
		if e == m.Epoch {
			return k
		}
	}
}

// ComputersKey derives every computer's key; only the server's own work gets it.
type ComputersKey Secret

// ComputersKey derives the key that all computers' keys come from.
func (m Master) ComputersKey() ComputersKey { return ComputersKey(computersKeys.derive(m.Secret[:])) }

// Computer is the key that seals the restore points of the computer called name.
func (c ComputersKey) Computer(name string) Secret { return computerKeys.derive(c[:], []byte(name)) }

// Owner is the pseudonym under which a computer's index rows are written: it links the rows
// of one computer without naming it.
func (c ComputersKey) Owner(name string) [16]byte {
	s := owners.derive(c[:], []byte(name))
	return [16]byte(s[:16])
}

func (ComputersKey) String() string { return "(secret)" }

// IssueKey seals the part of a restore point that the server alone may write.
func (m Master) IssueKey() Secret { return issueKeys.derive(m.Secret[:]) }

// Check is a public value that tells whether a master belongs to a configuration.
func (m Master) Check(repositoryID [16]byte) [16]byte {
	s := checks.derive(m.Secret[:], repositoryID[:])
	return [16]byte(s[:16])
}

// WrapKey is the key under which a recovery secret seals a master.
func WrapKey(recovery Secret) Secret { return wrapKeys.derive(recovery[:]) }

// BodyKey is the key that seals the bodies of restore points made with a computer's key.
func BodyKey(computer Secret) Secret { return bodyKeys.derive(computer[:]) }

// ID derives the public id of h.
func (h H) ID() ID { return ID(ids.derive(h[:])) }

// chunkKey is the AES-256 key of the chunk h in an epoch.
func (k *Keys) chunkKey(epoch uint16, h H) (Secret, error) {
	e, ok := k.Epochs[epoch]
	if !ok {
		return Secret{}, errs.New(errs.Denied, "repository.epoch-unknown", "open chunk: key epoch %d is not among this task's keys", epoch)
	}
	return chunkKeys.derive(e[:], h[:]), nil
}
