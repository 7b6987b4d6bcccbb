package manager

import (
	"context"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/catalog"
	"keepward/internal/repo/seal"
	"keepward/internal/wire"
)

type (
	agentClient     = keepwardv1connect.AgentServiceClient
	transportClient = keepwardv1connect.TransportServiceClient
)

// repositoryKeys hands out what a task may know of a repository's keys, and no more.
type repositoryKeys struct {
	repository catalog.Repository
	master     seal.Master
}

func (m *Manager) keysOf(ctx context.Context, repository string) (*repositoryKeys, error) {
	r, err := catalog.GetRepository(ctx, m.deps.DB.Read(), repository)
	if err != nil {
		return nil, err
	}
	master, err := m.deps.Master(r)
	if err != nil {
		return nil, err
	}
	return &repositoryKeys{repository: r, master: master}, nil
}

// forComputer are the keys of a task that makes or reads points of one computer.
func (k *repositoryKeys) forComputer(name string) *keepwardv1.RepositoryKeys {
	return wire.KeysToProto(k.master.TaskKeys(k.repository.ID, name))
}

// forMover are the keys of a mover that proves chunks and has no need to open the bodies of
// points. That of a backup does: it opens what it commits.
func (k *repositoryKeys) forMover() *keepwardv1.RepositoryKeys {
	out := k.forComputer("")
	out.ComputerKey = nil
	return out
}

// forAll are the keys of work over all computers.
func (k *repositoryKeys) forAll() *keepwardv1.RepositoryKeys {
	out := k.forMover()
	issue, computers := k.master.IssueKey(), k.master.ComputersKey()
	out.IssueKey, out.ComputersKey = issue[:], computers[:]
	return out
}

func (k *repositoryKeys) owner(computer string) []byte {
	o := k.master.ComputersKey().Owner(computer)
	return o[:]
}

func (k *repositoryKeys) computer(name string) []byte {
	s := k.master.ComputersKey().Computer(name)
	return s[:]
}
