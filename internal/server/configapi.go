package server

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/errs"
	"keepward/internal/manager"
)

type configService struct{ *server }

func (s *configService) Export(ctx context.Context, _ *connect.Request[keepwardv1.ExportRequest]) (*connect.Response[keepwardv1.ExportResponse], error) {
	rows, err := catalog.Repositories(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	jobs, err := catalog.Jobs(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	repositories := make([]*keepwardv1.Repository, len(rows))
	for i, row := range rows {
		repositories[i] = configured(row)
	}
	all := config.Content{Repositories: repositories, Jobs: jobs}
	if err := exportRules(ctx, s.db.Read(), &all); err != nil {
		return nil, err
	}
	if err := exportGroups(ctx, s.db.Read(), &all); err != nil {
		return nil, err
	}
	if all.Connections, err = exportConnections(ctx, s.db.Read()); err != nil {
		return nil, err
	}
	text, err := config.ExportAll(all)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.ExportResponse{Yaml: text}), nil
}

// configured is what of a repository is configuration.
func configured(row catalog.Repository) *keepwardv1.Repository {
	r := &keepwardv1.Repository{Name: row.Name, Transport: row.Transport, Path: row.Path, Streams: row.Streams, Writers: row.Writers}
	putUpkeep(r, row.Upkeep)
	putProofs(r, row.Proofs)
	return r
}

func (s *configService) Apply(ctx context.Context, req *connect.Request[keepwardv1.ApplyRequest]) (*connect.Response[keepwardv1.ApplyResponse], error) {
	docs, faults := config.Parse(req.Msg.Files)
	s.repos.making.Lock()
	defer s.repos.making.Unlock()
	p := &applying{server: s.server, faults: faults}
	if err := p.plan(ctx, docs); err != nil {
		return nil, err
	}
	if len(p.faults) > 0 || req.Msg.DryRun {
		return connect.NewResponse(p.response()), nil
	}
	if err := p.apply(ctx); err != nil {
		return nil, err
	}
	return connect.NewResponse(p.response()), nil
}

// applying is one Apply: first everything is looked at, then everything is done.
type applying struct {
	*server
	faults   []*keepwardv1.ConfigFault
	warnings []string
	steps    []*step
}

// step is one document that changes something.
type step struct {
	document *config.Document
	change   *keepwardv1.ConfigChange
	path     string // of a new repository, canonical
}

const (
	actionCreate = "create"
	actionChange = "change"
)

func (p *applying) response() *keepwardv1.ApplyResponse {
	if len(p.faults) > 0 {
		return &keepwardv1.ApplyResponse{Faults: p.faults}
	}
	res := &keepwardv1.ApplyResponse{Warnings: p.warnings}
	for _, st := range p.steps {
		res.Changes = append(res.Changes, st.change)
	}
	return res
}

func (p *applying) fault(d *config.Document, list ...config.Fault) {
	for _, f := range list {
		p.faults = append(p.faults, d.Fault(f))
	}
}

// refuse makes a fault of an error about a field; other errors end the plan.
func (p *applying) refuse(d *config.Document, field string, err error) error {
	var e *errs.Error
	if !errors.As(err, &e) || e.Kind == errs.Cancelled || e.Kind == errs.Internal {
		return err
	}
	p.fault(d, config.Fault{Field: field, Err: e})
	return nil
}

// plan looks at all documents: repositories first, for jobs may refer to them.
func (p *applying) plan(ctx context.Context, docs []*config.Document) error {
	site, err := siteOf(ctx, p.db.Read())
	if err != nil {
		return err
	}
	site.Windows = windowsWith(site.Windows, docs)
	if err := p.planConnections(ctx, docs, &site); err != nil {
		return err
	}
	for _, d := range docs {
		if d.Group != nil {
			site = site.WithGroups(d.Group)
		}
	}
	rows, err := catalog.Repositories(ctx, p.db.Read())
	if err != nil {
		return err
	}
	existing := map[string]catalog.Repository{}
	for _, row := range rows {
		existing[row.Name] = row
	}
	for _, d := range docs {
		if d.Repository == nil {
			continue
		}
		if row, ok := existing[d.Name]; ok {
			err = p.changeRepository(ctx, d, row)
		} else {
			p.newRepository(d, site)
		}
		if err != nil {
			return err
		}
	}
	for _, d := range docs {
		if d.Repository != nil {
			site.Repositories = append(site.Repositories, d.Name)
		}
	}
	if err := p.planJobs(ctx, docs, site); err != nil {
		return err
	}
	if err := p.planGroups(ctx, docs, site); err != nil {
		return err
	}
	if err := p.planRules(ctx, docs, site); err != nil {
		return err
	}
	if len(p.faults) > 0 {
		return nil // what a transport would say is asked for once the rest is right
	}
	return p.probe(ctx)
}

func (p *applying) newRepository(d *config.Document, site config.Site) {
	p.fault(d, config.CheckRepository(d.Repository, site)...)
	p.steps = append(p.steps, &step{document: d, change: &keepwardv1.ConfigChange{Action: actionCreate, Kind: d.Kind, Name: d.Name}})
}

// changeRepository allows other limits, and nothing else: a repository does not move.
func (p *applying) changeRepository(ctx context.Context, d *config.Document, row catalog.Repository) error {
	p.fault(d, config.CheckLimits(d.Repository)...)
	var fields []string
	for _, field := range config.ChangedRepository(configured(row), d.Repository) {
		switch field {
		case "transport":
			p.fault(d, moved(field, d.Name, row.Transport))
		case "path":
			same, err := p.samePlace(ctx, row, d.Repository)
			if err != nil {
				return p.refuse(d, field, err)
			}
			if !same {
				p.fault(d, moved(field, d.Name, row.Path))
			}
		default:
			fields = append(fields, field)
		}
	}
	if len(fields) > 0 {
		p.steps = append(p.steps, &step{document: d, change: &keepwardv1.ConfigChange{Action: actionChange, Kind: d.Kind, Name: d.Name, Fields: fields}})
	}
	return nil
}

func moved(field, name, is string) config.Fault {
	return config.Fault{Field: field, Err: errs.New(errs.Invalid, "repository.moved",
		"change repository %q: its %s is %q and cannot be changed", name, field, is)}
}

// samePlace asks the transport whether another path leads to the same repository, as one
// through a symbolic link does.
func (p *applying) samePlace(ctx context.Context, row catalog.Repository, want *keepwardv1.Repository) (bool, error) {
	if want.Transport != row.Transport {
		return false, nil
	}
	client, online := p.nodes.Transport(row.Transport)
	if !online {
		return false, errs.New(errs.Unavailable, "transport.offline", "compare paths of repository %q: transport %s is offline", row.Name, row.Transport).
			WithHint("write its path as %s", row.Path)
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	_, err := client.InspectRepository(ctx, connect.NewRequest(&keepwardv1.InspectRepositoryRequest{
		Path: want.Path, RepositoryId: row.ID[:], Term: p.data.term.Load(),
	}))
	if kind := errs.KindOf(err); kind == errs.Unavailable || kind == errs.Cancelled {
		return false, err
	}
	return err == nil, nil
}

func (p *applying) planJobs(ctx context.Context, docs []*config.Document, site config.Site) error {
	jobs, err := catalog.Jobs(ctx, p.db.Read())
	if err != nil {
		return err
	}
	current := map[string]*keepwardv1.Job{}
	for _, j := range jobs {
		config.CompleteJob(j)
		current[j.Name] = j
	}
	var wanted []*keepwardv1.Job
	for _, d := range docs {
		if d.Job != nil {
			wanted = append(wanted, d.Job)
		}
	}
	site = site.With(wanted...)
	if site.Zones, err = manager.ZonesFor(ctx, p.db.Read(), wanted); err != nil {
		return err
	}
	for _, d := range docs {
		if d.Job == nil {
			continue
		}
		p.fault(d, config.CheckJob(d.Job, site)...)
		p.warnings = append(p.warnings, config.WarnJob(d.Job, site, time.Now())...)
		change := &keepwardv1.ConfigChange{Action: actionCreate, Kind: d.Kind, Name: d.Name}
		if had := current[d.Name]; had != nil {
			change.Action, change.Fields = actionChange, config.ChangedJob(had, d.Job)
			if len(change.Fields) == 0 {
				continue
			}
		}
		p.steps = append(p.steps, &step{document: d, change: change})
	}
	return nil
}

// probe asks the transports about every new repository before any is made.
func (p *applying) probe(ctx context.Context) error {
	var before []*step
	for _, st := range p.steps {
		if !st.createsRepository() {
			continue
		}
		want := st.document.Repository
		path, err := p.repos.probe(ctx, want)
		if err != nil {
			if err := p.refuse(st.document, "path", err); err != nil {
				return err
			}
			continue
		}
		st.path = path
		for _, other := range before {
			if other.document.Repository.Transport == want.Transport && overlap(other.path, path) {
				p.fault(st.document, config.Fault{Field: "path", Err: errs.New(errs.Exists, "repository.place-taken",
					"create repository %q at %s: repository %s would be there, at %s", want.Name, want.Path, other.document.Name, other.path)})
			}
		}
		before = append(before, st)
	}
	return nil
}

func (st *step) createsRepository() bool {
	return st.document.Repository != nil && st.change.Action == actionCreate
}

// apply makes the repositories, one by one, for each is a thing on a disk, and then changes
// everything else in one transaction.
func (p *applying) apply(ctx context.Context) error {
	var made []string
	for _, st := range p.steps {
		if !st.createsRepository() {
			continue
		}
		_, key, err := p.repos.build(ctx, st.document.Repository)
		if err != nil {
			return after(made, err)
		}
		st.change.RecoveryKey = key
		made = append(made, st.document.Name)
	}
	if err := p.db.Write(ctx, func(tx *sql.Tx) error { return p.write(ctx, tx) }); err != nil {
		return after(made, err)
	}
	p.dialler.look()
	p.manager.ConfigChanged()
	p.groupsApplied(ctx)
	if err := p.manager.RulesChanged(ctx); err != nil {
		p.log.Warn("rules of the queue do not hold yet", "error", err) // what ConfigChanged began makes them hold
	}
	for _, st := range p.steps {
		p.audit(ctx, "configuration applied", "action", st.change.Action, "kind", st.change.Kind, "name", st.change.Name, "fields", st.change.Fields)
	}
	return nil
}

// after says which repositories stand although the rest failed.
func after(made []string, err error) error {
	if len(made) == 0 {
		return err
	}
	return fmt.Errorf("apply: after creating %s (get the recovery key with: keepward repository recovery-key): %w", strings.Join(made, ", "), err)
}

func (p *applying) write(ctx context.Context, tx *sql.Tx) error {
	site, err := siteOf(ctx, tx) // as it is now: something may have gone since the plan
	if err != nil {
		return err
	}
	var wanted []*keepwardv1.Job
	for _, st := range p.steps {
		if st.document.Job != nil {
			wanted = append(wanted, st.document.Job)
		}
	}
	if err := p.writeConnections(ctx, tx, &site); err != nil {
		return err
	}
	site = site.With(wanted...)
	if site, err = p.writeGroups(ctx, tx, site); err != nil {
		return err
	}
	for _, st := range p.steps {
		if st.document.Group != nil || st.document.Connection != nil {
			continue // written above, for jobs may name new groups and computers
		}
		if j := st.document.Job; j != nil {
			if err := config.Error(config.CheckJob(j, site)); err != nil {
				return err
			}
			if err := catalog.PutJob(ctx, tx, j, time.Now()); err != nil {
				return err
			}
		} else if st.document.Repository == nil {
			if err := p.writeRule(ctx, tx, st.document, site); err != nil {
				return err
			}
		} else if st.change.Action == actionChange {
			r := st.document.Repository
			if err := catalog.EditRepository(ctx, tx, r.Name, r.Streams, r.Writers); err != nil {
				return err
			}
			if err := catalog.SetUpkeep(ctx, tx, r.Name, upkeepOf(r)); err != nil {
				return err
			}
			if err := setProofs(ctx, tx, r.Name, proofsOf(r)); err != nil {
				return err
			}
		}
	}
	return p.settleGroups(ctx, tx)
}
