package server

import (
	"context"
	"database/sql"
	"encoding/hex"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/errs"
	"keepward/internal/manager"
	"keepward/internal/wire"
)

const (
	// lookEvery is how often transports are asked what is in their repositories.
	lookEvery = 10 * time.Minute
	// lookPause is the least time between two rounds, however many tasks end.
	lookPause = 5 * time.Second
	// lookTimeout bounds one such question: a transport that does not answer is no reason to
	// keep others waiting.
	lookTimeout = 20 * time.Second
	// makeTimeout bounds making a repository, on storage that may be slow to spin up.
	makeTimeout = 2 * time.Minute
)

// repositories makes repositories and knows which can be reached.
type repositories struct {
	*server
	making sync.Mutex    // held from the first check of a new repository to its row
	wake   chan struct{} // capacity 1: one look that is due is as good as many

	mu      sync.Mutex
	ailed   map[string]ailment
	claimed map[string]uint64 // the term in which a repository was found to be ours
}

// ailment is why a repository that its transport should reach cannot be used.
type ailment struct {
	err   error
	since time.Time
}

func newRepositories(s *server) *repositories {
	return &repositories{server: s, wake: make(chan struct{}, 1), ailed: map[string]ailment{}, claimed: map[string]uint64{}}
}

// serve looks at all repositories at intervals, and soon after a transport came online or a
// task at one ended.
func (r *repositories) serve(ctx context.Context) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-r.wake:
		}
		r.lookAtAll(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(lookPause):
		}
	}
}

func (r *repositories) lookAtAll(ctx context.Context) {
	rows, err := catalog.Repositories(ctx, r.db.Read())
	if ctx.Err() != nil {
		return // the server ends
	}
	if err != nil {
		r.log.Warn("repositories not looked at", "error", err)
		return
	}
	for _, row := range rows {
		r.keepProved(ctx, r.look(ctx, row))
	}
	for _, row := range rows { // after all were looked at: it takes longer
		if err := r.comeBack(ctx, row); err != nil && ctx.Err() == nil {
			r.log.Warn("restore points made since the backup of the server not read yet", "repository", row.Name, "error", err)
		}
	}
}

// lookSoon asks for a round of looking.
func (r *repositories) lookSoon() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *repositories) NodeOnline(n manager.Node) {
	if n.Role == wire.RoleTransport {
		r.lookSoon()
	}
}

func (r *repositories) NodeOffline(manager.Node) {}

// look asks the transport what is in a repository, keeps the figures, and answers the row
// with them. A transport that is offline changes nothing.
func (r *repositories) look(ctx context.Context, row catalog.Repository) catalog.Repository {
	client, online := r.nodes.Transport(row.Transport)
	if !online {
		return row
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if err := r.claim(ctx, client, row); err != nil {
		if kind := errs.KindOf(err); kind != errs.Unavailable && kind != errs.Cancelled {
			r.note(row.Name, err)
		}
		return row
	}
	res, err := client.InspectRepository(ctx, connect.NewRequest(r.inspection(row)))
	if kind := errs.KindOf(err); kind == errs.Unavailable || kind == errs.Cancelled {
		return row
	}
	r.note(row.Name, err)
	if err != nil {
		return row
	}
	m := res.Msg
	row.Figures = catalog.Figures{
		Looked: time.Now(), SizeBytes: m.SizeBytes, FreeBytes: m.FreeBytes, Packs: m.Packs, Chunks: m.Chunks, Points: m.Points,
		Segments: m.Segments,
	}
	err = r.db.Write(ctx, func(tx *sql.Tx) error { return catalog.NoteFigures(ctx, tx, row.Name, row.Figures) })
	if err != nil {
		r.log.Warn("figures of a repository not saved", "repository", row.Name, "error", err)
	}
	r.noteProofs(ctx, &row, m.Proof)
	return row
}

// note keeps since when a repository cannot be used, and why.
func (r *repositories) note(name string, err error) {
	r.mu.Lock()
	had, was := r.ailed[name]
	switch {
	case err == nil:
		delete(r.ailed, name)
	case was:
		r.ailed[name] = ailment{err, had.since}
	default:
		r.ailed[name] = ailment{err, time.Now()}
	}
	r.mu.Unlock()
	if (err != nil) != was {
		r.log.Warn("repository changed its state", "repository", name, "usable", err == nil, "reason", err)
	}
}

func (r *repositories) ailment(name string) (ailment, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.ailed[name]
	return a, ok
}

// create makes a repository and answers its row and its recovery key.
func (r *repositories) create(ctx context.Context, want *keepwardv1.Repository) (catalog.Repository, string, error) {
	r.making.Lock()
	defer r.making.Unlock()
	site, err := siteOf(ctx, r.db.Read())
	if err != nil {
		return catalog.Repository{}, "", err
	}
	if err := config.Error(config.CheckRepository(want, site)); err != nil {
		return catalog.Repository{}, "", err
	}
	if _, err := r.probe(ctx, want); err != nil {
		return catalog.Repository{}, "", err
	}
	return r.build(ctx, want)
}

// probe asks whether a repository could be made, and answers its canonical path. Nothing is
// written. The caller holds making.
func (r *repositories) probe(ctx context.Context, want *keepwardv1.Repository) (string, error) {
	rows, err := catalog.Repositories(ctx, r.db.Read())
	if err != nil {
		return "", err
	}
	for _, row := range rows {
		if row.Name == want.Name {
			return "", errs.New(errs.Exists, "repository.exists", "create repository %q: there is one already, on %s at %s", want.Name, row.Transport, row.Path)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, makeTimeout)
	defer cancel()
	res, err := r.call(ctx, want, &keepwardv1.TransportCreateRepositoryRequest{ProbeOnly: true})
	if err != nil {
		return "", err
	}
	for _, row := range rows {
		if row.Transport == want.Transport && overlap(row.Path, res.CanonicalPath) {
			return "", errs.New(errs.Exists, "repository.place-taken", "create repository %q at %s: repository %s is there, at %s", want.Name, want.Path, row.Name, row.Path).
				WithHint("choose a directory that is not inside another repository")
		}
	}
	return res.CanonicalPath, nil
}

// overlap tells whether two canonical paths are the same or one lies in the other.
func overlap(a, b string) bool {
	a, b = strings.TrimRight(a, "/")+"/", strings.TrimRight(b, "/")+"/"
	return strings.HasPrefix(a, b) || strings.HasPrefix(b, a)
}

// build makes a probed repository. The caller holds making.
func (r *repositories) build(ctx context.Context, want *keepwardv1.Repository) (catalog.Repository, string, error) {
	made, err := newMaterial(time.Now())
	if err != nil {
		return catalog.Repository{}, "", err
	}
	row := catalog.Repository{
		Name: want.Name, ID: made.id, Transport: want.Transport, Streams: want.Streams, Writers: want.Writers, Created: made.created,
		Upkeep: upkeepOf(want), Proofs: proofsOf(want),
	}
	if row.Master, err = r.data.keys.sealMaster(made.id, made.master); err != nil {
		return row, "", err
	}
	if row.Recovery, err = r.data.keys.sealRecovery(made.id, made.recovery.Secret); err != nil {
		return row, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, makeTimeout)
	defer cancel()
	res, err := r.call(ctx, want, &keepwardv1.TransportCreateRepositoryRequest{Configuration: made.configuration, Keys: made.keys})
	if err != nil {
		return row, "", err
	}
	row.Path = res.CanonicalPath
	row.Figures.FreeBytes = res.FreeBytes
	// The repository stands; a client that hangs up now must not leave it without a row.
	ctx = context.WithoutCancel(ctx)
	if err := r.db.Write(ctx, func(tx *sql.Tx) error { return catalog.AddRepository(ctx, tx, row) }); err != nil {
		return row, "", err
	}
	r.manager.ConfigChanged()
	r.audit(ctx, "repository created", "repository", row.Name, "transport", row.Transport, "path", row.Path, "id", hex.EncodeToString(row.ID[:]))
	return r.look(ctx, row), made.recovery.Text(), nil
}

// call asks the transport of want to make or probe it.
func (r *repositories) call(ctx context.Context, want *keepwardv1.Repository, req *keepwardv1.TransportCreateRepositoryRequest) (*keepwardv1.TransportCreateRepositoryResponse, error) {
	client, online := r.nodes.Transport(want.Transport)
	if !online {
		return nil, errs.New(errs.Unavailable, "transport.offline", "create repository %q: transport %s is offline", want.Name, want.Transport).
			WithHint("start it, and look at: keepward status")
	}
	req.Path, req.Term, req.Owner = want.Path, r.data.term.Load(), r.data.owner()
	res, err := client.CreateRepository(ctx, connect.NewRequest(req))
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

// siteOf is what there is to refer to.
func siteOf(ctx context.Context, q catalog.Queryer) (site config.Site, err error) {
	if site.Computers, err = catalog.ComputerNames(ctx, q); err != nil {
		return site, err
	}
	if site.Repositories, err = catalog.RepositoryNames(ctx, q); err != nil {
		return site, err
	}
	if site.Transports, err = catalog.TransportNames(ctx, q); err != nil {
		return site, err
	}
	if site.Credentials, err = catalog.CredentialNames(ctx, q); err != nil {
		return site, err
	}
	if site.Schedules, err = catalog.JobSchedules(ctx, q); err != nil {
		return site, err
	}
	if err = siteGroups(ctx, q, &site); err != nil {
		return site, err
	}
	site.Windows, err = catalog.Windows(ctx, q)
	return site, err
}
