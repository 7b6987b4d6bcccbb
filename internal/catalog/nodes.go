package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Computer is a computer whose agent has joined.
type Computer struct {
	Name     string
	OS       string
	Arch     string
	Hostname string
	Version  string // of the agent
	Address  string // where its link comes from
	Joined   time.Time
	LastSeen time.Time
	Skew     time.Duration // agent clock minus server clock
	Zone     string        // of its clock, as its agent says; empty: not known
}

const computerColumns = `name, os, arch, hostname, version, address, joined, last_seen, skew, zone`

func scanComputer(row interface{ Scan(...any) error }) (Computer, error) {
	var c Computer
	var joined, seen int64
	err := row.Scan(&c.Name, &c.OS, &c.Arch, &c.Hostname, &c.Version, &c.Address, &joined, &seen, &c.Skew, &c.Zone)
	c.Joined, c.LastSeen = timeOf(joined), timeOf(seen)
	return c, err
}

// Computers lists all computers by name.
func Computers(ctx context.Context, q Queryer) ([]Computer, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+computerColumns+` FROM computers ORDER BY name`)
	out, err := collect(rows, err, func(r *sql.Rows) (Computer, error) { return scanComputer(r) })
	if err != nil {
		return nil, fmt.Errorf("list computers: %w", err)
	}
	return out, nil
}

// ComputerNames lists the names of all computers.
func ComputerNames(ctx context.Context, q Queryer) ([]string, error) {
	return names(ctx, q, "computers")
}

// GetComputer finds a computer, or answers errs.NotFound with the nearest names.
func GetComputer(ctx context.Context, q Queryer, name string) (Computer, error) {
	c, err := scanComputer(q.QueryRowContext(ctx, `SELECT `+computerColumns+` FROM computers WHERE name = ?`, name))
	return orNearest(ctx, q, c, err, "computer", "computers", name)
}

// JoinComputer adds a computer, or notes that it joined again.
func JoinComputer(ctx context.Context, tx *sql.Tx, name string, now time.Time) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO computers (name, joined) VALUES (?, ?)
		ON CONFLICT (name) DO UPDATE SET joined = excluded.joined`, name, nanos(now))
	if err != nil {
		return fmt.Errorf("add computer %s: %w", name, err)
	}
	return nil
}

// KnowComputer adds a computer that a repository has points of, and answers whether it was not
// known before.
func KnowComputer(ctx context.Context, tx *sql.Tx, name string) (added bool, err error) {
	res, err := tx.ExecContext(ctx, `INSERT INTO computers (name, joined) VALUES (?, 0) ON CONFLICT (name) DO NOTHING`, name)
	if err != nil {
		return false, fmt.Errorf("add computer %s: %w", name, err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// SeeComputer keeps what a heartbeat told of a computer. A computer that was removed stays so.
func SeeComputer(ctx context.Context, tx *sql.Tx, c Computer) error {
	_, err := tx.ExecContext(ctx, `UPDATE computers SET os = ?, arch = ?, hostname = ?, version = ?, address = ?, last_seen = ?, skew = ?, zone = ?
		WHERE name = ?`, c.OS, c.Arch, c.Hostname, c.Version, c.Address, nanos(c.LastSeen), int64(c.Skew), c.Zone, c.Name)
	if err != nil {
		return fmt.Errorf("update computer %s: %w", c.Name, err)
	}
	return nil
}

// RemoveComputer takes a computer out of the configuration; its jobs must not name it any more.
func RemoveComputer(ctx context.Context, tx *sql.Tx, name string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM computers WHERE name = ?`, name); err != nil {
		return fmt.Errorf("remove computer %s: %w", name, err)
	}
	return nil
}

// Transport is a transport service that has joined.
type Transport struct {
	Name        string
	Hostname    string
	Version     string
	Address     string // where its link comes from
	DataAddress string // where its movers are reached
	Joined      time.Time
	LastSeen    time.Time
}

const transportColumns = `name, hostname, version, address, data_address, joined, last_seen`

func scanTransport(row interface{ Scan(...any) error }) (Transport, error) {
	var t Transport
	var joined, seen int64
	err := row.Scan(&t.Name, &t.Hostname, &t.Version, &t.Address, &t.DataAddress, &joined, &seen)
	t.Joined, t.LastSeen = timeOf(joined), timeOf(seen)
	return t, err
}

// Transports lists all transports by name.
func Transports(ctx context.Context, q Queryer) ([]Transport, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+transportColumns+` FROM transports ORDER BY name`)
	out, err := collect(rows, err, func(r *sql.Rows) (Transport, error) { return scanTransport(r) })
	if err != nil {
		return nil, fmt.Errorf("list transports: %w", err)
	}
	return out, nil
}

// GetTransport finds a transport, or answers errs.NotFound with the nearest names.
func GetTransport(ctx context.Context, q Queryer, name string) (Transport, error) {
	t, err := scanTransport(q.QueryRowContext(ctx, `SELECT `+transportColumns+` FROM transports WHERE name = ?`, name))
	return orNearest(ctx, q, t, err, "transport", "transports", name)
}

// JoinTransport adds a transport, or notes that it joined again.
func JoinTransport(ctx context.Context, tx *sql.Tx, name string, now time.Time) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO transports (name, joined) VALUES (?, ?)
		ON CONFLICT (name) DO UPDATE SET joined = excluded.joined`, name, nanos(now))
	if err != nil {
		return fmt.Errorf("add transport %s: %w", name, err)
	}
	return nil
}

// SeeTransport keeps what a heartbeat told of a transport.
func SeeTransport(ctx context.Context, tx *sql.Tx, t Transport) error {
	_, err := tx.ExecContext(ctx, `UPDATE transports SET hostname = ?, version = ?, address = ?, data_address = ?, last_seen = ?
		WHERE name = ?`, t.Hostname, t.Version, t.Address, t.DataAddress, nanos(t.LastSeen), t.Name)
	if err != nil {
		return fmt.Errorf("update transport %s: %w", t.Name, err)
	}
	return nil
}

// names lists the names in one of our own tables.
func names(ctx context.Context, q Queryer, table string) ([]string, error) {
	rows, err := q.QueryContext(ctx, `SELECT name FROM `+table+` ORDER BY name`)
	out, err := collect(rows, err, func(r *sql.Rows) (string, error) {
		var n string
		err := r.Scan(&n)
		return n, err
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", table, err)
	}
	return out, nil
}

// orNearest makes of "no rows" an error that names the nearest of table.
func orNearest[T any](ctx context.Context, q Queryer, v T, err error, thing, table, name string) (T, error) {
	v, ok, err := found(v, err, "read "+thing)
	if err != nil || ok {
		return v, err
	}
	known, err := names(ctx, q, table)
	if err != nil {
		return v, err
	}
	return v, NotFound(thing, name, known)
}

// NoteSeen keeps when a node was last heard of.
func NoteSeen(ctx context.Context, tx *sql.Tx, role, name string, seen time.Time) error {
	table := "computers"
	if role == "transport" {
		table = "transports"
	}
	if _, err := tx.ExecContext(ctx, `UPDATE `+table+` SET last_seen = ? WHERE name = ?`, nanos(seen), name); err != nil {
		return fmt.Errorf("note last contact of %s %s: %w", role, name, err)
	}
	return nil
}

// TransportNames lists the names of all transports.
func TransportNames(ctx context.Context, q Queryer) ([]string, error) {
	return names(ctx, q, "transports")
}
