package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// Who dials.
const (
	DialAgent  = "agent"
	DialServer = "server"
	DialMover  = "mover"
)

// Connection says how a computer is reached.
type Connection struct {
	Computer string
	// Control is who dials the link: DialAgent or DialServer.
	Control string
	// Data is who dials the data connection: DialAgent or DialMover.
	Data string
	// Addresses are where its agent waits for calls, host:port.
	Addresses []string
}

// UsualConnection is that of a computer of which nothing else is said.
func UsualConnection(computer string) Connection {
	return Connection{Computer: computer, Control: DialAgent, Data: DialAgent}
}

// Usual tells whether nothing is said of the connection.
func (c Connection) Usual() bool {
	return c.Control == DialAgent && c.Data == DialAgent && len(c.Addresses) == 0
}

// Equal tells whether two connections say the same.
func (c Connection) Equal(d Connection) bool {
	return c.Computer == d.Computer && c.Control == d.Control && c.Data == d.Data && slices.Equal(c.Addresses, d.Addresses)
}

func scanConnection(row interface{ Scan(...any) error }) (Connection, error) {
	var c Connection
	var addresses string
	err := row.Scan(&c.Computer, &c.Control, &c.Data, &addresses)
	c.Addresses = strings.Fields(addresses)
	return c, err
}

const connectionColumns = `computer, control, data, addresses`

// Connections are those of which something is said, by the names of their computers.
func Connections(ctx context.Context, q Queryer) ([]Connection, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+connectionColumns+` FROM computer_connections ORDER BY computer`)
	out, err := collect(rows, err, func(r *sql.Rows) (Connection, error) { return scanConnection(r) })
	if err != nil {
		return nil, fmt.Errorf("list connections: %w", err)
	}
	return out, nil
}

// ConnectionOf is how a computer is reached.
func ConnectionOf(ctx context.Context, q Queryer, computer string) (Connection, error) {
	c, err := scanConnection(q.QueryRowContext(ctx, `SELECT `+connectionColumns+` FROM computer_connections WHERE computer = ?`, computer))
	c, ok, err := found(c, err, "read connection of a computer")
	if err == nil && !ok {
		c = UsualConnection(computer)
	}
	return c, err
}

// SetConnection keeps how a computer is reached.
func SetConnection(ctx context.Context, tx *sql.Tx, c Connection) error {
	var err error
	if c.Usual() {
		_, err = tx.ExecContext(ctx, `DELETE FROM computer_connections WHERE computer = ?`, c.Computer)
	} else {
		_, err = tx.ExecContext(ctx, `INSERT INTO computer_connections (computer, control, data, addresses) VALUES (?, ?, ?, ?)
			ON CONFLICT (computer) DO UPDATE SET control = excluded.control, data = excluded.data, addresses = excluded.addresses`,
			c.Computer, c.Control, c.Data, strings.Join(c.Addresses, " "))
	}
	if err != nil {
		return fmt.Errorf("set connection of %s: %w", c.Computer, err)
	}
	return nil
}
