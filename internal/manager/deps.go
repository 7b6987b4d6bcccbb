package manager

import (
	"context"
	"log/slog"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/broker"
	"keepward/internal/catalog"
	"keepward/internal/repo/seal"
	"keepward/internal/retention"
	"keepward/internal/wire"
)

// Nodes finds the nodes that are connected now. Calls through a client that is no longer
// connected fail with errs.Unavailable; they must end when their context does.
type Nodes interface {
	Agent(name string) (keepwardv1connect.AgentServiceClient, bool)
	Transport(name string) (keepwardv1connect.TransportServiceClient, bool)
}

// Deps is what a Manager works with.
type Deps struct {
	DB    *catalog.DB
	Nodes Nodes
	// Master opens the key of a repository.
	Master func(r catalog.Repository) (seal.Master, error)
	// Credential opens the secret of a credential; nil: none can be opened.
	Credential func(c catalog.Credential) (string, error)
	// Term is the term that orders carry: that of this start of the server, or higher since it took
	// a repository over.
	Term func() uint64
	// Owner is what this start of the server puts under its term where it claims a repository.
	Owner []byte
	// User is who makes the call that ctx belongs to.
	User func(ctx context.Context) string
	Log  *slog.Logger
	// RunScript runs a script of the server, from the folder that it allows; nil: there is none.
	RunScript func(ctx context.Context, s *keepwardv1.Script, variables map[string]string) *keepwardv1.ScriptEnd
	// Groups reads what protection groups have from elsewhere; nil: it is as the catalog has it.
	Groups Groups
	// Updates brings agents to other versions; nil: nobody does.
	Updates Updates
	// Reach says how the data connection with a computer is made; nil: its agent dials.
	Reach func(ctx context.Context, computer string) (Reach, error)
	// Standing finds the nodes of jobs that agents manage; nil: there are no such jobs.
	Standing StandingNodes
	// Clock reads the host's clocks; nil: those of the system.
	Clock func() retention.Reading
	// Places says what stands where for a task of a job; false: its repository and its computer, as
	// for all tasks where Places is nil.
	Places func(job string, t catalog.Task) (Places, bool)
	// Resources are what there is besides computers and repositories; nil: nothing.
	Resources func() []broker.Resource
	// Settings may be zero: then the defaults hold.
	Settings Settings
}

// Reach is how the data connection with a computer is made.
type Reach struct {
	// Passive: the mover dials the agent, at one of Addresses.
	Passive   bool
	Addresses []string
}

// Node is a node as its certificate names it.
type Node struct {
	Role wire.Role
	Name string
}

// An agentOf or transportOf names a node by its role.
func agentOf(name string) Node     { return Node{wire.RoleAgent, name} }
func transportOf(name string) Node { return Node{wire.RoleTransport, name} }

func (n Node) String() string { return string(n.Role) + " " + n.Name }
