// Package extract restores from a bare repository directory with the recovery key, and needs
// no server, database or network: the engine of `keepward extract`.
//
// It only reads the repository, so it works on a read-only mount. Run and List may be called
// from any goroutine.
package extract

import (
	"context"
	"fmt"
	"time"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/seal"
	"keepward/internal/restore"
	"keepward/internal/storage"
)

// Options say where to read from, which point, and where to.
type Options struct {
	// Repository is the directory of the repository.
	Repository string
	// RecoveryKey is the text of the recovery key, as it was written at creation.
	RecoveryKey string
	Passphrase  string // in place of the recovery key
	// Point is an id, a unique prefix of 4 or more of its digits, "latest", or a time in RFC
	// 3339 (the newest at or before it).
	Point string
	// Computer narrows the choice; latest and times need it when the repository holds points
	// of several computers.
	Computer string
	// Restore says what to restore and how; Store, Keys and Point in it are set by Run.
	Restore restore.Options
}

// opened is an open repository and its master.
type opened struct {
	r      *repo.Repository
	master seal.Master
}

// open opens a repository. The key is tried first of all: a wrong one is said at once.
func open(ctx context.Context, o Options) (*opened, error) {
	if o.Passphrase == "" {
		if _, err := repo.ParseRecovery(o.RecoveryKey); err != nil {
			return nil, err
		}
	}
	dir, err := storage.OpenDir(o.Repository)
	if err != nil {
		return nil, err
	}
	r, err := repo.Open(ctx, newOverlay(dir))
	if err != nil {
		return nil, err
	}
	m, err := r.UnwrapMaster(ctx, repo.Unlock{RecoveryKey: o.RecoveryKey, Passphrase: o.Passphrase})
	if err != nil {
		return nil, closing(err, r)
	}
	return &opened{r: r, master: m}, nil
}

// closing closes r after err, which matters more than what may go wrong now.
func closing(err error, r *repo.Repository) error {
	if cerr := r.Close(); cerr != nil {
		return errs.New(errs.KindOf(err), errs.CodeOf(err), "%w (and then: %w)", err, cerr)
	}
	return err
}

// List answers the repository's points, newest first, only the computer's if one is set.
func List(ctx context.Context, o Options) ([]Point, error) {
	s, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	list, err := s.points(ctx, o.Computer)
	if err != nil {
		return nil, closing(err, s.r)
	}
	return list, s.r.Close()
}

// Run restores a point and answers which one it was.
func Run(ctx context.Context, o Options) (Point, restore.Result, error) {
	s, err := open(ctx, o)
	if err != nil {
		return Point{}, restore.Result{}, err
	}
	p, res, err := s.run(ctx, o)
	if err != nil {
		return p, res, closing(err, s.r)
	}
	return p, res, s.r.Close()
}

func (s *opened) run(ctx context.Context, o Options) (Point, restore.Result, error) {
	list, err := s.points(ctx, o.Computer)
	if err != nil {
		return Point{}, restore.Result{}, err
	}
	p, err := choose(list, o.Point)
	if err != nil {
		return Point{}, restore.Result{}, err
	}
	if p.damage != nil {
		return p, restore.Result{}, fmt.Errorf("restore point %s: %w", p.ID, p.damage)
	}
	ro := o.Restore
	ro.Store = &store{r: s.r, owner: s.master.ComputersKey().Owner(p.Computer), name: p.ID, obj: p.object}
	ro.Keys = s.master.TaskKeys(s.r.Config().ID, p.Computer)
	ro.Point = p.ID
	res, err := restore.Run(ctx, ro)
	return p, res, err
}

// Point is one restore point of the repository.
type Point struct {
	ID       string
	Computer string
	Job      string
	Session  int64
	Time     time.Time
	Full     bool
	Partial  bool
	// Completeness is complete, with errors, unfinished; damaged: the object cannot be read.
	Completeness string
	Files        int64
	Bytes        int64
	Errors       int64
	// Deleted points are not gone yet, and never meant by latest or a time. Held ones stay.
	Deleted, Held bool

	object []byte
	damage error
}
