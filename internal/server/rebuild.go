package server

import (
	"context"
	"database/sql"
	"encoding/hex"
	"maps"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// rebuild reads the points of one repository into the catalog: points, the computers they are
// of, and the jobs that made them. Every page is a transaction of its own and adds only what
// is missing, so a rebuild that was stopped is asked for again.
type rebuild struct {
	*repositories
	row    catalog.Repository
	master seal.Master
	issue  seal.Secret
	send   func(*keepwardv1.CatalogProgress) error

	told        *keepwardv1.CatalogProgress
	jobs        map[string]remembered
	lastSession int64
}

// remembered is the newest word on a job.
type remembered struct {
	at         time.Time
	definition []byte
}

func (r *repositories) rebuildCatalog(ctx context.Context, row catalog.Repository, send func(*keepwardv1.CatalogProgress) error) error {
	master, err := r.data.keys.master(row)
	if err != nil {
		return err
	}
	b := &rebuild{
		repositories: r, row: row, master: master, issue: master.IssueKey(), send: send,
		told: &keepwardv1.CatalogProgress{Repository: row.Name}, jobs: map[string]remembered{},
	}
	if err := b.run(ctx); err != nil {
		return err
	}
	// Without this, deleted points would show until the next maintenance.
	if err := r.manager.Reconcile(ctx, row.Name); err != nil {
		return err
	}
	r.audit(ctx, "catalog rebuilt", "repository", row.Name, "points", b.told.Points, "added", b.told.AddedPoints)
	b.told.Done, b.told.Attached = true, r.repositoryMessage(r.look(ctx, row))
	r.manager.ConfigChanged()
	return send(b.told)
}

func (b *rebuild) run(ctx context.Context) error {
	client, online := b.nodes.Transport(b.row.Transport)
	if !online {
		return offline("read the points of repository", b.row.Name, b.row.Transport)
	}
	for after, more := "", true; more; {
		res, err := client.ListPoints(ctx, connect.NewRequest(&keepwardv1.TransportListPointsRequest{
			RepositoryPath: b.row.Path, RepositoryId: b.row.ID[:], Term: b.data.term.Load(), After: after,
		}))
		if err != nil {
			return err
		}
		if err := b.page(ctx, res.Msg); err != nil {
			return err
		}
		if more = res.Msg.GetMore() && len(res.Msg.GetPoints()) > 0; more {
			after = res.Msg.GetPoints()[len(res.Msg.GetPoints())-1].GetId()
		}
		if err := b.send(proto.CloneOf(b.told)); err != nil {
			return err
		}
	}
	return b.addJobs(ctx)
}

// page adds what one answer of the transport holds.
func (b *rebuild) page(ctx context.Context, m *keepwardv1.TransportListPointsResponse) error {
	b.told.Unreadable = append(b.told.Unreadable, m.GetUnreadable()...)
	var points []*keepwardv1.Point
	for _, o := range m.GetPoints() {
		p, err := b.open(o)
		if err != nil {
			b.told.Unreadable = append(b.told.Unreadable, "points/"+o.GetId())
			b.log.Warn("a restore point is not taken into the catalog", "repository", b.row.Name, "point", o.GetId(), "error", err)
			continue
		}
		if p != nil {
			points = append(points, p)
		}
	}
	b.told.Points += int64(len(points))
	computers, before := len(b.told.AddedComputers), b.told.AddedPoints
	return b.db.Write(ctx, func(tx *sql.Tx) error {
		b.told.AddedComputers, b.told.AddedPoints = b.told.AddedComputers[:computers], before // it may be called again
		for _, p := range points {
			added := false
			var err error
			if p.Computer != job.ServerComputer {
				added, err = catalog.KnowComputer(ctx, tx, p.Computer)
			}
			if err != nil {
				return err
			}
			if added {
				b.told.AddedComputers = append(b.told.AddedComputers, p.Computer)
			}
			if added, err = catalog.RestorePoint(ctx, tx, p); err != nil {
				return err
			}
			if added {
				b.told.AddedPoints++
			}
		}
		return nil
	})
}

// open makes a row of a point object; nil of a tombstone.
func (b *rebuild) open(o *keepwardv1.PointObject) (*keepwardv1.Point, error) {
	p, err := point.Parse(o.GetContent())
	if err != nil || p.Type == point.Tombstone {
		return nil, err
	}
	if hex.EncodeToString(p.Attempt[:]) != o.GetId() || p.RepositoryID != b.row.ID {
		return nil, errs.New(errs.Corrupt, "point.place", "read restore point %s: it is another point, or another repository's", o.GetId())
	}
	i, err := point.OpenIssue(b.issue, &p)
	if err != nil {
		return nil, err
	}
	body, err := point.OpenBody(b.master.ComputersKey().Computer(i.Computer), &p)
	if err != nil {
		return nil, err
	}
	b.remember(i)
	b.lastSession = max(b.lastSession, i.Session)
	row := &keepwardv1.Point{
		Id: o.GetId(), Computer: i.Computer, Job: i.Job, Session: i.Session, Repository: b.row.Name, Time: timestamppb.New(i.Time),
		Full: i.Full, Partial: p.Type == point.Partial, Completeness: body.Completeness.String(),
		Counters: &keepwardv1.Counters{TotalFiles: body.Files, TotalBytes: body.Bytes, DoneFiles: body.Files, DoneBytes: body.Bytes, Errors: body.Errors},
		Held:     o.GetHeld() != nil, HoldReason: o.GetHoldReason(), Deleted: o.GetDeleted(), DeletedBecause: o.GetDeletedBecause(),
	}
	if i.Parent != (point.Attempt{}) {
		row.Parent = i.Parent.String()
	}
	if j := jobOf(i); j != nil {
		row.Files = config.FilesOf(j, i.Computer)
	}
	return row, nil
}

func (b *rebuild) remember(i point.Issue) {
	if had, ok := b.jobs[i.Job]; i.Job != "" && len(i.Definition) > 0 && (!ok || had.at.Before(i.Time)) {
		b.jobs[i.Job] = remembered{i.Time, i.Definition}
	}
}

// jobOf is the job as it stood in a point; nil if it is not told.
func jobOf(i point.Issue) *keepwardv1.Job {
	j := &keepwardv1.Job{}
	if len(i.Definition) == 0 || proto.Unmarshal(i.Definition, j) != nil {
		return nil
	}
	return j
}

// addJobs adds the jobs that there are none of, disabled: what they name may have changed, and
// backups that begin by themselves while somebody is restoring are not what he wants.
func (b *rebuild) addJobs(ctx context.Context) error {
	jobs := len(b.told.AddedJobs)
	return b.db.Write(ctx, func(tx *sql.Tx) error {
		b.told.AddedJobs = b.told.AddedJobs[:jobs] // it may be called again
		if err := catalog.SkipSessions(ctx, tx, b.lastSession); err != nil {
			return err
		}
		site, err := siteOf(ctx, tx)
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(b.jobs)) {
			j := jobOf(point.Issue{Definition: b.jobs[name].definition})
			if j == nil || j.Name != name {
				continue
			}
			if _, err := catalog.GetJob(ctx, tx, name); errs.KindOf(err) != errs.NotFound {
				if err != nil {
					return err
				}
				continue
			}
			j.Disabled, j.Repository = true, b.row.Name
			j.Computers = slices.DeleteFunc(j.Computers, func(c string) bool { return !slices.Contains(site.Computers, c) })
			withoutLostGroups(j, site)
			if lost := withoutLostCredentials(j, site); len(lost) > 0 {
				b.log.Warn("a job has lost its credentials: make them, and name them in it before it is enabled", "job", name, "credentials", lost)
			}
			config.WithoutStrangers(j)
			config.CompleteJob(j)
			if err := config.Error(config.CheckJob(j, site)); err != nil {
				b.log.Warn("a job is not taken into the catalog", "job", name, "error", err)
				continue
			}
			if err := catalog.PutJob(ctx, tx, j, time.Now()); err != nil {
				return err
			}
			b.told.AddedJobs = append(b.told.AddedJobs, name)
		}
		return nil
	})
}

// withoutLostCredentials takes out of the applications of a job the credentials that there are none of
// here, and names them: no repository tells a secret, and a job without one is more than none.
func withoutLostCredentials(j *keepwardv1.Job, site config.Site) (lost []string) {
	for _, a := range j.GetApplications() {
		if c := a.GetCredential(); c != "" && !slices.Contains(site.Credentials, c) {
			a.Credential, lost = "", append(lost, c)
		}
	}
	return lost
}
