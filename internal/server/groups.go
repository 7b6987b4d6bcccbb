package server

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/errs"
	"keepward/internal/group"
)

type groupService struct{ *server }

func (s *groupService) CreateGroup(ctx context.Context, req *connect.Request[keepwardv1.CreateGroupRequest]) (*connect.Response[keepwardv1.CreateGroupResponse], error) {
	g := req.Msg.Group
	state, err := s.save(ctx, g, func(tx *sql.Tx) error {
		_, err := catalog.GetGroup(ctx, tx, g.Name)
		switch {
		case err == nil:
			return errs.New(errs.Exists, "group.exists", "create group %q: there is one already", g.Name).WithHint("change it with: keepward group edit %s", g.Name)
		case errs.KindOf(err) == errs.NotFound:
			return nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	s.audit(ctx, "group created", "group", g.Name)
	return connect.NewResponse(&keepwardv1.CreateGroupResponse{State: state}), nil
}

func (s *groupService) UpdateGroup(ctx context.Context, req *connect.Request[keepwardv1.UpdateGroupRequest]) (*connect.Response[keepwardv1.UpdateGroupResponse], error) {
	g := req.Msg.Group
	state, err := s.save(ctx, g, func(tx *sql.Tx) error {
		_, err := catalog.GetGroup(ctx, tx, g.Name)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.audit(ctx, "group changed", "group", g.Name)
	return connect.NewResponse(&keepwardv1.UpdateGroupResponse{State: state}), nil
}

// save checks a group and writes it, if allowed has nothing against it, and answers what comes of it.
func (s *groupService) save(ctx context.Context, g *keepwardv1.Group, allowed func(tx *sql.Tx) error) (*keepwardv1.GroupState, error) {
	if g == nil {
		return nil, errs.New(errs.Invalid, "group.missing", "save group: nothing was sent")
	}
	config.CompleteGroup(g)
	if err := config.Error(config.CheckGroup(g)); err != nil {
		return nil, err
	}
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		if err := allowed(tx); err != nil {
			return err
		}
		return writeGroup(ctx, tx, g)
	})
	if err != nil {
		return nil, err
	}
	s.groupsChanged(ctx, g)
	return s.state(ctx, g.Name)
}

// writeGroup writes a checked group, and what follows from it.
func writeGroup(ctx context.Context, tx *sql.Tx, g *keepwardv1.Group) error {
	jobs, err := catalog.Jobs(ctx, tx)
	if err != nil {
		return err
	}
	if err := config.Error(config.ModeConflicts(g, jobs)); err != nil {
		return err
	}
	now := time.Now()
	if err := catalog.PutGroup(ctx, tx, g, now); err != nil {
		return err
	}
	for source, wanted := range map[string]bool{catalog.NamesOfFile: g.File != "", catalog.NamesOfCloud: group.Cloud(g)} {
		if !wanted {
			if err := catalog.ForgetGroupList(ctx, tx, g.Name, source); err != nil {
				return err
			}
		}
	}
	return noteMembers(ctx, tx, now)
}

// groupsChanged has the lists read of groups that were written: files at once, and commands and URLs,
// which may take long, by a session.
func (s *server) groupsChanged(ctx context.Context, list ...*keepwardv1.Group) {
	var files, clouds []string
	for _, g := range list {
		if g.File != "" {
			files = append(files, g.Name)
		}
		if group.Cloud(g) {
			clouds = append(clouds, g.Name)
		}
	}
	s.groups.Reread(ctx, files)
	if len(clouds) > 0 {
		if _, err := s.manager.RescanGroups(ctx, clouds); err != nil {
			s.log.Warn("cloud machines not looked for, the next rescan does it", "groups", clouds, "error", err)
		}
	}
	s.manager.ConfigChanged()
}

func (s *groupService) DeleteGroup(ctx context.Context, req *connect.Request[keepwardv1.DeleteGroupRequest]) (*connect.Response[keepwardv1.DeleteGroupResponse], error) {
	name := req.Msg.Name
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		if _, err := catalog.GetGroup(ctx, tx, name); err != nil {
			return err
		}
		jobs, err := catalog.JobsOfGroups(ctx, tx)
		if err != nil {
			return err
		}
		if in := jobs[name]; len(in) > 0 {
			return errs.New(errs.Busy, "group.used", "delete group %q: it is in job %s", name, strings.Join(in, ", ")).
				WithHint("take it out first: keepward job edit %s --group …", in[0])
		}
		users, err := catalog.LimitedTo(ctx, tx, name)
		if err != nil {
			return err
		}
		if len(users) > 0 {
			// Its user would see nothing; and whoever made another group of the name would give it away.
			return errs.New(errs.Busy, "group.limit", "delete group %q: user %s, or a token of that user, is limited to it", name, users[0])
		}
		if err := toldOfGroup(ctx, tx, name); err != nil {
			return err
		}
		return errors.Join(catalog.ForgetLevel(ctx, tx, "group/"+name, time.Now()), catalog.DeleteGroup(ctx, tx, name))
	})
	if err != nil {
		return nil, err
	}
	s.manager.ConfigChanged()
	s.audit(ctx, "group deleted", "group", name)
	return connect.NewResponse(&keepwardv1.DeleteGroupResponse{}), nil
}

// toldOfGroup refuses if somebody is told of a group: without it they would be told of nothing, or of all.
func toldOfGroup(ctx context.Context, tx *sql.Tx, name string) error {
	rules, err := catalog.NotifyRules(ctx, tx)
	if err != nil {
		return err
	}
	for _, r := range rules {
		if slices.Contains(r.GetGroups(), name) {
			return errs.New(errs.Busy, "group.told", "delete group %q: notification rule %s is about it", name, r.GetName())
		}
	}
	reports, err := catalog.Reports(ctx, tx)
	if err != nil {
		return err
	}
	for _, r := range reports {
		if r.GetGroup() == name {
			return errs.New(errs.Busy, "group.told", "delete group %q: report %s is about it", name, r.GetName())
		}
	}
	return nil
}

func (s *groupService) ListGroups(ctx context.Context, _ *connect.Request[keepwardv1.ListGroupsRequest]) (*connect.Response[keepwardv1.ListGroupsResponse], error) {
	list, err := s.states(ctx)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.ListGroupsResponse{Groups: list}), nil
}

func (s *groupService) GetGroup(ctx context.Context, req *connect.Request[keepwardv1.GetGroupRequest]) (*connect.Response[keepwardv1.GetGroupResponse], error) {
	state, err := s.state(ctx, req.Msg.Name)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.GetGroupResponse{State: state}), nil
}

func (s *groupService) state(ctx context.Context, name string) (*keepwardv1.GroupState, error) {
	if _, err := catalog.GetGroup(ctx, s.db.Read(), name); err != nil {
		return nil, err
	}
	list, err := s.states(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list, func(g *keepwardv1.GroupState) bool { return g.GetGroup().GetName() == name })
	if i < 0 {
		return nil, catalog.NotFound("group", name, nil) // it has gone since
	}
	return list[i], nil
}

// states are all groups with what comes of them now.
func (s *server) states(ctx context.Context) ([]*keepwardv1.GroupState, error) {
	q := s.db.Read()
	site, err := group.Load(ctx, q, time.Now())
	if err != nil {
		return nil, err
	}
	jobs, err := catalog.JobsOfGroups(ctx, q)
	if err != nil {
		return nil, err
	}
	lists, err := catalog.GroupLists(ctx, q)
	if err != nil {
		return nil, err
	}
	names, err := catalog.GroupNames(ctx, q)
	if err != nil {
		return nil, err
	}
	out := make([]*keepwardv1.GroupState, len(site.Groups))
	for i, g := range site.Groups {
		m := site.Members(g.GetName())
		out[i] = &keepwardv1.GroupState{
			Group: g, Members: m.List, Excluded: m.Excluded, Untrusted: m.Untrusted, Jobs: jobs[g.GetName()], Warnings: m.Warnings,
		}
		for _, l := range lists {
			if l.Group == g.GetName() {
				out[i].Lists = append(out[i].Lists, &keepwardv1.GroupList{
					Source: l.Source, Names: int64(len(names[l.Group][l.Source])), Read: timestamp(l.Read), Tried: timestamp(l.Tried),
					Problem: l.Problem, ProblemCode: l.ProblemCode, ProblemSince: timestamp(l.ProblemSince),
				})
			}
		}
	}
	return out, nil
}

func (s *groupService) RescanGroups(ctx context.Context, req *connect.Request[keepwardv1.RescanGroupsRequest]) (*connect.Response[keepwardv1.RescanGroupsResponse], error) {
	id, err := s.manager.RescanGroups(ctx, req.Msg.Names)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.RescanGroupsResponse{Session: id}), nil
}

func (s *groupService) SetTags(ctx context.Context, req *connect.Request[keepwardv1.SetTagsRequest]) (*connect.Response[keepwardv1.SetTagsResponse], error) {
	t := &keepwardv1.ComputerTags{Computer: req.Msg.Computer, Tags: req.Msg.Tags}
	config.CompleteTags(t)
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		site, err := siteOf(ctx, tx)
		if err != nil {
			return err
		}
		if err := config.Error(config.CheckTags(t, site)); err != nil {
			return err
		}
		return writeTags(ctx, tx, t)
	})
	if err != nil {
		return nil, err
	}
	s.manager.ConfigChanged()
	s.audit(ctx, "tags changed", "computer", t.Computer, "tags", t.Tags)
	return connect.NewResponse(&keepwardv1.SetTagsResponse{Tags: t.Tags}), nil
}

func writeTags(ctx context.Context, tx *sql.Tx, t *keepwardv1.ComputerTags) error {
	if err := catalog.SetTags(ctx, tx, t.Computer, t.Tags); err != nil {
		return err
	}
	return noteMembers(ctx, tx, time.Now())
}
