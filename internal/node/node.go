// Package node is what every node of a server (agent, transport service) has in common:
// its data directory and lock, its identity (made by joining with a token), the link that
// is kept up for as long as the process lives, the heartbeat, and the reports of attempts,
// which are kept on disk until the server has answered.
//
// It does not know what an attempt does. All exported methods may be called from any
// goroutine.
package node

import (
	"log/slog"
	"net/http"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/wire"
)

// Config is what a node is started with.
type Config struct {
	Role wire.Role
	// Name to join as; empty: that of the identity, or of the host.
	Name string
	// DataDir holds identity, lock, term and unacknowledged reports.
	DataDir string
	// Server is host:port; empty: the one joined.
	Server string
	// JoinToken is needed once, and again when the server refuses the certificate because
	// the node was removed.
	JoinToken string
	// Listen is host:port of the door at which the server and movers call; empty: there is none.
	Listen string
	// NoDial has the node wait for its server, even where it knows an address of it.
	NoDial bool
	// Pair has the node wait to be paired anew, although it has an identity.
	Pair bool
	// Waiting is told the code by which a server pairs with this node, while it waits for that.
	Waiting func(code string)
	// Version of this program, for the server's records.
	Version string
	Logger  *slog.Logger
}

// Service is what a node offers to its server and is told by it.
type Service struct {
	// Handler serves the server's calls.
	Handler http.Handler
	// Info describes the node; called at every heartbeat.
	Info func() *keepwardv1.NodeInfo
	// Attempts names the attempts that run now. Ended ones whose end is not acknowledged
	// are added by the node itself.
	Attempts func() []*keepwardv1.AttemptState
	// Drop is told an attempt that the server does not want: stop it and forget it. It must
	// not block. An end reported later for it is thrown away.
	Drop func(attempt string)
	// Rates is told what bounds attempts, at every heartbeat; nil: nothing does. It must not block.
	Rates func(list []*keepwardv1.AttemptRates)
	// Linked is told that the server has answered over a link, and may call it there; nil: nobody
	// wants to know. It must not block.
	Linked func(server *http.Client)
}
