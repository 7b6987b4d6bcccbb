package server

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/config"
)

// This file is protection groups and tags as documents.

func exportGroups(ctx context.Context, q catalog.Queryer, into *config.Content) (err error) {
	if into.Groups, err = catalog.Groups(ctx, q); err != nil {
		return err
	}
	tags, err := catalog.TagsOfComputers(ctx, q)
	if err != nil {
		return err
	}
	for _, c := range slices.Sorted(maps.Keys(tags)) {
		into.Tags = append(into.Tags, &keepwardv1.ComputerTags{Computer: c, Tags: tags[c]})
	}
	return nil
}

// planGroups looks at the documents about groups and tags.
func (p *applying) planGroups(ctx context.Context, docs []*config.Document, site config.Site) error {
	had, err := catalog.Groups(ctx, p.db.Read())
	if err != nil {
		return err
	}
	jobs, err := catalog.Jobs(ctx, p.db.Read())
	if err != nil {
		return err
	}
	jobs = slices.DeleteFunc(jobs, func(j *keepwardv1.Job) bool { // those of the files are looked at as they shall be
		return slices.ContainsFunc(docs, func(d *config.Document) bool { return d.Job.GetName() == j.GetName() })
	})
	tags, err := catalog.TagsOfComputers(ctx, p.db.Read())
	if err != nil {
		return err
	}
	for _, d := range docs {
		change := &keepwardv1.ConfigChange{Action: actionCreate, Kind: d.Kind, Name: d.Name}
		switch {
		case d.Group != nil:
			p.fault(d, config.CheckGroup(d.Group)...)
			p.fault(d, config.ModeConflicts(d.Group, jobs)...)
			if i := slices.IndexFunc(had, func(g *keepwardv1.Group) bool { return g.GetName() == d.Name }); i >= 0 {
				change.Action, change.Fields = actionChange, config.ChangedGroup(had[i], d.Group)
				if len(change.Fields) == 0 {
					continue
				}
			}
		case d.Tags != nil:
			p.fault(d, config.CheckTags(d.Tags, site)...)
			change.Action, change.Fields = actionChange, config.ChangedTags(&keepwardv1.ComputerTags{Tags: tags[d.Name]}, d.Tags)
			if len(change.Fields) == 0 {
				continue
			}
		default:
			continue
		}
		p.steps = append(p.steps, &step{document: d, change: change})
	}
	return nil
}

// writeGroups writes the groups and tags of a plan, before the jobs that name them, and answers the
// site with them.
func (p *applying) writeGroups(ctx context.Context, tx *sql.Tx, site config.Site) (config.Site, error) {
	for _, st := range p.steps {
		if t := st.document.Tags; t != nil {
			if err := config.Error(config.CheckTags(t, site)); err != nil {
				return site, err
			}
			if err := catalog.SetTags(ctx, tx, t.Computer, t.Tags); err != nil {
				return site, err
			}
		}
		if g := st.document.Group; g != nil {
			if err := catalog.PutGroup(ctx, tx, g, time.Now()); err != nil {
				return site, err
			}
			site = site.WithGroups(g)
		}
	}
	return site, nil
}

// settleGroups does what follows from the groups of a plan, when its jobs stand too.
func (p *applying) settleGroups(ctx context.Context, tx *sql.Tx) error {
	for _, st := range p.steps {
		if g := st.document.Group; g != nil {
			if err := writeGroup(ctx, tx, g); err != nil {
				return err
			}
		}
	}
	return noteMembers(ctx, tx, time.Now())
}

// groupsApplied has the lists of changed groups read.
func (p *applying) groupsApplied(ctx context.Context) {
	var list []*keepwardv1.Group
	for _, st := range p.steps {
		if st.document.Group != nil {
			list = append(list, st.document.Group)
		}
	}
	if len(list) > 0 {
		p.groupsChanged(ctx, list...)
	}
}
