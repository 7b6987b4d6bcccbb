package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"keepward/internal/job"
)

// Repository is where restore points are kept.
type Repository struct {
	Name      string
	ID        [16]byte
	Transport string
	Path      string // canonical, as the transport sees it
	Streams   int32
	Writers   int32
	Master    []byte // sealed under the server's key
	Recovery  []byte // recovery secret, sealed under the server's key
	Exported  time.Time
	Created   time.Time
	Figures   Figures
	Upkeep    Upkeep
	Proofs    Proofs
}

// Upkeep is how a repository is kept in order.
type Upkeep struct {
	// UndeleteGrace is how long a deleted point can be undeleted; 0: the default, negative: not
	// at all.
	UndeleteGrace time.Duration
	// UnprotectedAfter is when the points of a computer are deleted that no job names any more;
	// 0: never.
	UnprotectedAfter time.Duration
	// Maintenance is the schedule of retention and sweep, or "never"; empty: the default.
	Maintenance string
	// Recompress tells when what was compressed fast is compressed harder; empty: the default.
	Recompress string
	// ReadLimit and WriteLimit are what all tasks together may read and write, such as 100MB/s; empty:
	// no bound.
	ReadLimit, WriteLimit string
}

// Grace is how long a deleted point can be undeleted.
func (u Upkeep) Grace() time.Duration {
	if u.UndeleteGrace == 0 {
		return job.DefaultUndeleteGrace
	}
	return max(u.UndeleteGrace, 0)
}

// SetGrace sets it; 0 is no grace.
func (u *Upkeep) SetGrace(d time.Duration) {
	if u.UndeleteGrace = d; d <= 0 {
		u.UndeleteGrace = -1
	}
}

// Figures are what a transport counted in a repository.
type Figures struct {
	Looked    time.Time // zero: never
	SizeBytes int64
	FreeBytes int64
	Packs     int64
	Chunks    int64
	Points    int64
	Segments  int64
}

const repositoryColumns = `name, repository_id, transport, path, streams, writers, master, recovery, exported, created,
	looked, size_bytes, free_bytes, packs, chunks, points, undelete_grace, unprotected_after, maintenance,
	proof_days, foreign_proof, proof_json, recompress, segments, parity, read_limit, write_limit`

func scanRepository(row interface{ Scan(...any) error }) (Repository, error) {
	var r Repository
	var id []byte
	var exported, created, looked int64
	var proofs string
	f := &r.Figures
	err := row.Scan(&r.Name, &id, &r.Transport, &r.Path, &r.Streams, &r.Writers, &r.Master, &r.Recovery, &exported, &created,
		&looked, &f.SizeBytes, &f.FreeBytes, &f.Packs, &f.Chunks, &f.Points,
		&r.Upkeep.UndeleteGrace, &r.Upkeep.UnprotectedAfter, &r.Upkeep.Maintenance, &r.Proofs.Days, &r.Proofs.Foreign, &proofs,
		&r.Upkeep.Recompress, &f.Segments, &r.Proofs.Parity, &r.Upkeep.ReadLimit, &r.Upkeep.WriteLimit)
	if err == nil {
		err = r.Proofs.readState(proofs)
	}
	if err != nil {
		return r, err
	}
	if len(id) != len(r.ID) {
		return r, fmt.Errorf("repository %s has an id of %d bytes", r.Name, len(id))
	}
	copy(r.ID[:], id)
	r.Exported, r.Created, f.Looked = timeOf(exported), timeOf(created), timeOf(looked)
	return r, nil
}

// Repositories lists all repositories by name.
func Repositories(ctx context.Context, q Queryer) ([]Repository, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+repositoryColumns+` FROM repositories ORDER BY name`)
	out, err := collect(rows, err, func(r *sql.Rows) (Repository, error) { return scanRepository(r) })
	if err != nil {
		return nil, fmt.Errorf("list repositories: %w", err)
	}
	return out, nil
}

// GetRepository finds a repository, or answers errs.NotFound with the nearest names.
func GetRepository(ctx context.Context, q Queryer, name string) (Repository, error) {
	r, err := scanRepository(q.QueryRowContext(ctx, `SELECT `+repositoryColumns+` FROM repositories WHERE name = ?`, name))
	return orNearest(ctx, q, r, err, "repository", "repositories", name)
}

// AddRepository adds a repository that was just made; its name and place must be free.
func AddRepository(ctx context.Context, tx *sql.Tx, r Repository) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO repositories
		(name, repository_id, transport, path, streams, writers, master, recovery, created, undelete_grace, unprotected_after, maintenance, proof_days, foreign_proof, recompress, parity, read_limit, write_limit)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.Name, r.ID[:], r.Transport, r.Path, r.Streams, r.Writers, r.Master, r.Recovery, nanos(r.Created),
		r.Upkeep.UndeleteGrace, r.Upkeep.UnprotectedAfter, r.Upkeep.Maintenance, r.Proofs.Days, r.Proofs.Foreign,
		r.Upkeep.Recompress, r.Proofs.Parity, r.Upkeep.ReadLimit, r.Upkeep.WriteLimit)
	if err != nil {
		return fmt.Errorf("add repository %s: %w", r.Name, err)
	}
	return nil
}

// EditRepository sets the limits of a repository.
func EditRepository(ctx context.Context, tx *sql.Tx, name string, streams, writers int32) error {
	_, err := tx.ExecContext(ctx, `UPDATE repositories SET streams = ?, writers = ? WHERE name = ?`, streams, writers, name)
	if err != nil {
		return fmt.Errorf("edit repository %s: %w", name, err)
	}
	return nil
}

// SetUpkeep sets how a repository is kept in order.
func SetUpkeep(ctx context.Context, tx *sql.Tx, name string, u Upkeep) error {
	_, err := tx.ExecContext(ctx, `UPDATE repositories SET undelete_grace = ?, unprotected_after = ?, maintenance = ?, recompress = ?, read_limit = ?, write_limit = ? WHERE name = ?`,
		u.UndeleteGrace, u.UnprotectedAfter, u.Maintenance, u.Recompress, u.ReadLimit, u.WriteLimit, name)
	if err != nil {
		return fmt.Errorf("edit repository %s: %w", name, err)
	}
	return nil
}

// NoteExport keeps that the recovery key of a repository was handed out.
func NoteExport(ctx context.Context, tx *sql.Tx, name string, now time.Time) error {
	_, err := tx.ExecContext(ctx, `UPDATE repositories SET exported = ? WHERE name = ?`, nanos(now), name)
	if err != nil {
		return fmt.Errorf("note export of repository %s: %w", name, err)
	}
	return nil
}

// SetKeys keeps what the server has of a repository's keys, sealed. A new recovery key counts as
// not exported.
func SetKeys(ctx context.Context, tx *sql.Tx, name string, master, recovery []byte) error {
	_, err := tx.ExecContext(ctx, `UPDATE repositories SET exported = CASE WHEN recovery = ? THEN exported ELSE 0 END, master = ?, recovery = ? WHERE name = ?`,
		recovery, master, recovery, name)
	if err != nil {
		return fmt.Errorf("keep keys of repository %s: %w", name, err)
	}
	return nil
}

// NoteFigures keeps what a transport counted.
func NoteFigures(ctx context.Context, tx *sql.Tx, name string, f Figures) error {
	_, err := tx.ExecContext(ctx, `UPDATE repositories
		SET looked = ?, size_bytes = ?, free_bytes = ?, packs = ?, chunks = ?, points = ?, segments = ? WHERE name = ?`,
		nanos(f.Looked), f.SizeBytes, f.FreeBytes, f.Packs, f.Chunks, f.Points, f.Segments, name)
	if err != nil {
		return fmt.Errorf("note figures of repository %s: %w", name, err)
	}
	return nil
}
