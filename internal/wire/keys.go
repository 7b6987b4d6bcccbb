package wire

import (
	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// KeysToProto writes a task's keys into an order.
func KeysToProto(k *seal.Keys) *keepwardv1.RepositoryKeys {
	p := &keepwardv1.RepositoryKeys{
		RepositoryId: k.RepositoryID[:],
		IdKey:        k.IDKey[:],
		ChunkerKey:   k.ChunkerKey[:],
		BorderKey:    k.BorderKey[:],
		SignatureKey: k.SignatureKey[:],
		Epoch:        uint32(k.Epoch),
		Epochs:       make(map[uint32][]byte, len(k.Epochs)),
		ComputerKey:  k.ComputerKey[:],
		Domain:       k.Domain,
	}
	for e, s := range k.Epochs {
		p.Epochs[uint32(e)] = s[:]
	}
	return p
}

// KeysFromProto reads a task's keys out of an order. A missing computer key stays zero: a
// task over all computers gets its keys otherwise.
func KeysFromProto(p *keepwardv1.RepositoryKeys) (*seal.Keys, error) {
	k := &seal.Keys{Domain: p.GetDomain(), Epoch: uint16(p.GetEpoch()), Epochs: make(map[uint16]seal.Secret, len(p.GetEpochs()))}
	for _, f := range []struct {
		name string
		from []byte
		to   []byte
	}{
		{"repository id", p.GetRepositoryId(), k.RepositoryID[:]},
		{"id key", p.GetIdKey(), k.IDKey[:]},
		{"chunker key", p.GetChunkerKey(), k.ChunkerKey[:]},
		{"border key", p.GetBorderKey(), k.BorderKey[:]},
		{"signature key", p.GetSignatureKey(), k.SignatureKey[:]},
		{"computer key", p.GetComputerKey(), k.ComputerKey[:]},
	} {
		if f.name == "computer key" && len(f.from) == 0 {
			continue
		}
		if len(f.from) != len(f.to) {
			return nil, errs.New(errs.Invalid, "order.keys", "read keys of order: the %s has %d bytes, not %d", f.name, len(f.from), len(f.to))
		}
		copy(f.to, f.from)
	}
	for e, s := range p.GetEpochs() {
		if len(s) != len(seal.Secret{}) || e > 1<<16-1 {
			return nil, errs.New(errs.Invalid, "order.keys", "read keys of order: epoch %d has %d bytes, not %d", e, len(s), len(seal.Secret{}))
		}
		k.Epochs[uint16(e)] = seal.Secret(s)
	}
	if _, ok := k.Epochs[k.Epoch]; !ok {
		return nil, errs.New(errs.Invalid, "order.keys", "read keys of order: the secret of epoch %d is missing", k.Epoch)
	}
	return k, nil
}
