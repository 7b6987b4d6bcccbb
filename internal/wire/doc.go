// Package wire is how the roles reach each other: identities proven by certificates, the
// link between a node and its server (Connect in both directions over one connection), and
// the data connection between an agent and a mover. The formats are docs/formats/link.md
// and docs/formats/wire.md.
//
// It does not know what is in a record, a point or an order, and decides nothing but who
// may speak. Links, clients and sessions may be used by any number of goroutines.
package wire
