// Package server is the backup server: it opens the catalog and the certificate authority,
// listens on the one port, answers clients (API with a token) and nodes (link with a
// certificate), and wires the manager to both.
//
// It decides who may call, and what may stand in the configuration; what runs, and when, is
// the manager's. It never touches backup data. All handlers may run at once: what they share
// is the catalog and the register of links, each with its own locks. Lock order: repositories.making,
// nodes.events, nodes.mu; the catalog's transactions are begun under making at most.
package server
