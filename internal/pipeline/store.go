// Package pipeline turns what a walk finds into a restore point: read, chunk, hash, ask,
// compress, seal, send, and the file index in order, compared with the parent's.
//
// It knows neither jobs nor connections: it is handed a walk and a Store. Run owns all the
// goroutines it starts and waits for them. A buffer belongs to one stage at a time.
package pipeline

import (
	"context"

	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// local is a Store that knows whether it is on this host.
type local interface{ Local() bool }

// empty is a Store that knows whether the repository had nothing when the backup began. Then
// chunks are sent without asking.
type empty interface{ Empty() bool }

// Store is the repository as a backup sees it: the data connection to its mover. All methods
// may be called by several goroutines at once.
type Store interface {
	// Have answers for each h whether the repository holds the chunk and this task may rely
	// on it. A batch has up to 4096.
	Have(ctx context.Context, hs []seal.H) ([]bool, error)
	// Put queues one sealed record. It returns when the bytes are copied or sent, so the
	// record may be reused; a failure to store it shows in a later call.
	Put(ctx context.Context, record []byte) error
	// Get fetches sealed records by id, in any order, and calls fn once for each; fn must not
	// keep rec. A missing one fails the call.
	Get(ctx context.Context, ids []seal.ID, fn func(i int, rec []byte) error) error
	// Point fetches a restore point or checkpoint that the task may read.
	Point(ctx context.Context, name string) ([]byte, error)
	// Checkpoint makes all that was put durable and records an unfinished point.
	Checkpoint(ctx context.Context, d point.Draft) error
	// Commit makes all that was put durable, in order, and then the point. A nil error means
	// that the point is durable.
	Commit(ctx context.Context, d point.Draft) error
}
