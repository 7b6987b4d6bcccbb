package server

import (
	"context"
	"crypto"
	"crypto/x509"
	"database/sql"
	"slices"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/errs"
	"keepward/internal/group"
	"keepward/internal/manager"
	"keepward/internal/wire"
)

// This file is computers that join by themselves with the token of a group, and who is in which job
// after something has changed.

const codeNameTaken = "join.name-taken"

func agentNode(name string) manager.Node { return manager.Node{Role: wire.RoleAgent, Name: name} }

// newOrSame lets a token of a group in under a new name only. Who has it could else take the place of
// any computer, and one that was removed would come back by itself. The same key asks again where an
// answer was lost.
func newOrSame(ctx context.Context, tx *sql.Tx, name, of string, public crypto.PublicKey) error {
	had, err := catalog.CertificatesOf(ctx, tx, string(wire.RoleAgent), name)
	if err != nil {
		return err
	}
	if len(had) == 0 {
		_, err := catalog.GetComputer(ctx, tx, name)
		if errs.KindOf(err) == errs.NotFound {
			return nil
		}
		if err != nil {
			return err
		}
	} else if had[0].Revoked.IsZero() && sameKey(had[0].DER, public) {
		return nil
	}
	return errs.New(errs.Denied, codeNameTaken, "join agent %q with a token of group %s: there is, or was, a computer of that name", name, of).
		WithHint("start it with another --name; to let it take that one's place: keepward token create --role agent --name %s", name)
}

func sameKey(der []byte, public crypto.PublicKey) bool {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return false
	}
	key, ok := cert.PublicKey.(interface{ Equal(x crypto.PublicKey) bool })
	return ok && key.Equal(public)
}

// groupToken checks the request of a token for a group.
func (s *accessService) groupToken(ctx context.Context, role wire.Role, m *keepwardv1.CreateTokenRequest) error {
	if role != wire.RoleAgent || m.Name != "" {
		return errs.New(errs.Invalid, "join-token.group", "create join token of group %s: it is for agents, each of which has a name of its own", m.Group).
			WithHint("keepward token create --group %s", m.Group)
	}
	_, err := catalog.GetGroup(ctx, s.db.Read(), m.Group)
	return err
}

// noteMembers writes down who is in which job because of a group.
func noteMembers(ctx context.Context, tx *sql.Tx, now time.Time) error {
	_, err := group.Note(ctx, tx, now)
	return err
}

// siteGroups adds to what there is to refer to the groups, and the cloud machines.
func siteGroups(ctx context.Context, q catalog.Queryer, site *config.Site) (err error) {
	if site.Groups, err = catalog.Groups(ctx, q); err != nil || len(site.Groups) == 0 {
		return err
	}
	names, err := catalog.GroupNames(ctx, q)
	if err != nil {
		return err
	}
	site.Cloud = map[string]string{}
	for _, g := range site.Groups {
		for _, c := range names[g.GetName()][catalog.NamesOfCloud] {
			site.Cloud[c] = g.GetName()
		}
	}
	return nil
}

// warnWithMembers notes who is in a job that was just written, and says what may not be meant.
func warnWithMembers(ctx context.Context, tx *sql.Tx, j *keepwardv1.Job, site config.Site) ([]string, error) {
	if err := noteMembers(ctx, tx, time.Now()); err != nil {
		return nil, err
	}
	return warnMembers(ctx, tx, j, site)
}

// warnMembers says what of a job may not be meant.
func warnMembers(ctx context.Context, q catalog.Queryer, j *keepwardv1.Job, site config.Site) ([]string, error) {
	if len(j.GetGroups()) == 0 {
		return config.WarnJob(j, site, time.Now()), nil
	}
	all, err := group.Load(ctx, q, time.Now())
	if err != nil {
		return nil, err
	}
	e := all.Expand(j)
	warnings := slices.Clone(e.Warnings)
	for _, c := range j.GetComputers() {
		if slices.Contains(e.Excluded, c) {
			warnings = append(warnings, "computer "+c+" takes no part in job "+j.GetName()+": a group of the job excludes it")
		}
	}
	return append(warnings, config.WarnJob(all.WithMembers([]*keepwardv1.Job{j})[0], site, time.Now())...), nil
}

// withoutLostGroups takes out of a job, as a point knew it, the groups that there are none of here. Who
// made the point takes part by name.
func withoutLostGroups(j *keepwardv1.Job, site config.Site) {
	known := func(name string) bool {
		return slices.ContainsFunc(site.Groups, func(g *keepwardv1.Group) bool { return g.GetName() == name })
	}
	for _, m := range j.Members {
		if c := m.GetComputer(); !known(m.GetGroup()) && slices.Contains(site.Computers, c) && !slices.Contains(j.Computers, c) {
			j.Computers = append(j.Computers, c)
		}
	}
	j.Members = nil
	j.Groups = slices.DeleteFunc(j.Groups, func(name string) bool { return !known(name) })
}
