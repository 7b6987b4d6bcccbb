package server

import (
	"crypto/rand"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/repo/chunk"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/repoconf"
	"keepward/internal/repo/seal"
)

// material is what a new repository begins with.
type material struct {
	id            [16]byte
	created       time.Time
	master        seal.Master
	recovery      repoconf.Recovery
	configuration []byte
	keys          []*keepwardv1.KeyObject
}

func newMaterial(now time.Time) (*material, error) {
	m := &material{created: now.UTC(), master: seal.Master{Secret: seal.NewSecret()}}
	_, _ = rand.Read(m.id[:]) // documented never to fail
	m.recovery = repoconf.NewRecovery(m.id)
	key, err := repoconf.Wrap(m.id, m.master, repoconf.Wrapping{Recovery: m.recovery, Label: "made with the repository", Created: m.created})
	if err != nil {
		return nil, err
	}
	m.keys = []*keepwardv1.KeyObject{{Name: key.Name, Content: key.Content}}
	m.configuration = repoconf.Config{
		ID: m.id, Created: m.created, Domain: m.master.Domain, Check: m.master.Check(m.id),
		NodeOdds: fileindex.BorderOdds, NodeCap: fileindex.NodeCap, BundleOdds: seal.BundleOdds, BundleCap: seal.BundleMax,
		ChunkMin: chunk.Min, ChunkNormal: chunk.Normal, ChunkMax: chunk.Max,
	}.Encode()
	return m, nil
}
