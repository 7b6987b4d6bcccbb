// Package repotest is what tests of repositories share: a site with its keys, backups of
// invented files through a writer, and restores. It is for tests only, and does not import
// internal/repo, so that the tests within that package can use it too.
//
// A Site may be used by any number of goroutines, a Backup by one.
package repotest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"keepward/internal/repo/point"
	"keepward/internal/repo/repoconf"
	"keepward/internal/repo/seal"
)

// Site is what the server would hold of a repository.
type Site struct {
	ID       [16]byte
	Master   seal.Master
	Recovery repoconf.Recovery
}

// NewSite is the same site every time.
func NewSite() *Site {
	s := &Site{ID: [16]byte{0xab, 1, 2, 3}, Master: seal.Master{Domain: 5, Epoch: 1, Secret: seal.Secret{1, 2, 3}}}
	s.Recovery = repoconf.Recovery{Repository: [4]byte(s.ID[:4]), Secret: seal.Secret{9, 9}}
	return s
}

// Config is the configuration of the site's repository.
func (s *Site) Config() repoconf.Config {
	return repoconf.Config{
		ID: s.ID, Created: time.Unix(1_700_000_000, 5).UTC(), Domain: s.Master.Domain,
		ChunkMin: 256 << 10, ChunkNormal: 1 << 20, ChunkMax: 4 << 20, NodeOdds: 256, NodeCap: 192 << 10,
		BundleOdds: 64, BundleCap: 1 << 20, Check: s.Master.Check(s.ID),
	}
}

// Keys are what a task of the computer gets.
func (s *Site) Keys(computer string) *seal.Keys { return s.Master.TaskKeys(s.ID, computer) }

// Owner is the computer's pseudonym.
func (s *Site) Owner(computer string) [16]byte { return s.Master.ComputersKey().Owner(computer) }

// KeyObject is the master under the recovery key.
func (s *Site) KeyObject() (repoconf.KeyObject, error) {
	return repoconf.WrapMaster(s.ID, s.Recovery, s.Master)
}

// Writer is the part of repo.Writer that a backup needs.
type Writer interface {
	Have(ctx context.Context, hs []seal.H) ([]bool, error)
	Put(record []byte) (int, error)
	Commit(ctx context.Context, d point.Draft, issue []byte) error
}

// Reader is the part of repo.Repository that a restore needs.
type Reader interface {
	Point(ctx context.Context, a point.Attempt) ([]byte, error)
	Read(ctx context.Context, id seal.ID, buf []byte) (seal.Record, error)
}

// Attempt is an attempt by its number.
func Attempt(n int) point.Attempt {
	return point.Attempt{byte(n), byte(n >> 8), 0x5a, byte(n >> 16), byte(n >> 24)}
}

// Files are n files of up to size bytes that do not compress.
func Files(n, size int, seed uint64) map[string]string {
	rng := rand.New(rand.NewPCG(seed, 3))
	files := map[string]string{}
	for i := range n {
		b := make([]byte, rng.IntN(size)+1)
		for j := range b {
			b[j] = byte(rng.Uint32())
		}
		files[fmt.Sprintf("dir%d/file%d", i%3, i)] = string(b)
	}
	return files
}
