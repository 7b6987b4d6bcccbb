package server

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/group"
	"keepward/internal/job"
	"keepward/internal/script"
	"keepward/internal/wire"
)

const (
	// inventoryWait bounds the call to one agent, which bounds what it does for it itself.
	inventoryWait = 30 * time.Second
	inventoryMost = 1 << 20
	// askedAtOnce is how many agents are asked at once: a small call each, of thousands.
	askedAtOnce = 32
	// troublesShown bounds the lines about single computers.
	troublesShown = 50
)

// groupReader reads what groups have from elsewhere.
type groupReader struct {
	*server
	scripts scriptFolder
	running chan struct{} // one slot: two rescans at once would only ask twice

	mu      sync.Mutex
	hanging map[string]bool // groups whose file somebody still tries to read
}

// Reread reads the files of groups that have changed since they were read, or could not be read then.
func (r *groupReader) Reread(ctx context.Context, names []string) {
	if len(names) == 0 {
		return
	}
	err := r.each(ctx, names, func(g *keepwardv1.Group, lists map[string]catalog.GroupList) error {
		if g.File == "" {
			return nil
		}
		_, err := r.file(ctx, g, lists[catalog.NamesOfFile], false)
		return err
	})
	if err != nil && ctx.Err() == nil {
		r.log.Error("group files not looked at", "groups", names, "error", err)
	}
}

// each calls fn for groups with how the reading of their lists stands; no names: for all.
func (r *groupReader) each(ctx context.Context, names []string, fn func(g *keepwardv1.Group, lists map[string]catalog.GroupList) error) error {
	groups, err := catalog.Groups(ctx, r.db.Read())
	if err != nil {
		return err
	}
	all, err := catalog.GroupLists(ctx, r.db.Read())
	if err != nil {
		return err
	}
	for _, g := range groups {
		if len(names) > 0 && !slices.Contains(names, g.Name) {
			continue
		}
		lists := map[string]catalog.GroupList{}
		for _, l := range all {
			if l.Group == g.Name {
				lists[l.Source] = l
			}
		}
		if err := fn(g, lists); err != nil {
			return err
		}
	}
	return nil
}

// Rescan reads the lists of groups, and asks their members what they are; no names: all groups, and
// all computers.
func (r *groupReader) Rescan(ctx context.Context, names []string, line func(level, code, text string)) error {
	select {
	case r.running <- struct{}{}:
		defer func() { <-r.running }()
	case <-ctx.Done():
		return ctx.Err()
	}
	err := r.each(ctx, names, func(g *keepwardv1.Group, lists map[string]catalog.GroupList) error {
		if g.File != "" {
			l, err := r.file(ctx, g, lists[catalog.NamesOfFile], true)
			if err != nil {
				return err
			}
			tell(line, g, "file "+g.File, l)
		}
		if group.Cloud(g) {
			l, err := r.cloud(ctx, g, lists[catalog.NamesOfCloud])
			if err != nil {
				return err
			}
			tell(line, g, "list of cloud machines", l)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.survey(ctx, names, line)
}

// outcome is how a list stands after a try, and how many names a good one has.
type outcome struct {
	catalog.GroupList
	names int
}

func tell(line func(level, code, text string), g *keepwardv1.Group, what string, o outcome) {
	if o.Problem != "" {
		line("warning", o.ProblemCode, fmt.Sprintf("group %s: %s; the list of before holds", g.Name, o.Problem))
		return
	}
	line("info", "group.read", fmt.Sprintf("group %s: its %s names %d", g.Name, what, o.names))
}

// file reads the file of a group; unless force is set only if it is another one than it was.
func (r *groupReader) file(ctx context.Context, g *keepwardv1.Group, had catalog.GroupList, force bool) (outcome, error) {
	state := had.State
	if force || had.Origin != g.File {
		state = ""
	}
	names, now, err := r.readFile(ctx, g, state)
	if err == nil && names == nil && now == state && state != "" {
		return outcome{GroupList: had}, nil
	}
	return r.keep(ctx, g, catalog.GroupList{Group: g.Name, Source: catalog.NamesOfFile, Origin: g.File, State: now}, had, names, err)
}

// readFile waits no longer for a file than its bound: it may lie on a file system that hangs, and
// then nobody can end the call.
func (r *groupReader) readFile(ctx context.Context, g *keepwardv1.Group, state string) ([]string, string, error) {
	stuck := errs.New(errs.Unavailable, "group.file", "read group file %s: it cannot be read in %s", g.File, group.FileLimit).
		WithHint("look whether the file system that it lies on answers; the last good list holds")
	r.mu.Lock()
	if r.hanging[g.Name] {
		r.mu.Unlock()
		return nil, "", stuck
	}
	r.hanging[g.Name] = true
	r.mu.Unlock()
	type answer struct {
		names []string
		state string
		err   error
	}
	done := make(chan answer, 1) // nobody may listen any more
	go func() {
		names, now, err := group.ReadFile(g.File, state)
		r.mu.Lock()
		delete(r.hanging, g.Name)
		r.mu.Unlock()
		done <- answer{names, now, err}
	}()
	limit := time.NewTimer(group.FileLimit)
	defer limit.Stop()
	select {
	case a := <-done:
		return a.names, a.state, a.err
	case <-limit.C:
		return nil, "", stuck
	case <-ctx.Done():
		return nil, "", ctx.Err()
	}
}

// cloud asks for the cloud machines of a group.
func (r *groupReader) cloud(ctx context.Context, g *keepwardv1.Group, had catalog.GroupList) (outcome, error) {
	limit := g.TimeLimit.AsDuration()
	if limit <= 0 {
		limit = group.DefaultLimit
	}
	l := catalog.GroupList{Group: g.Name, Source: catalog.NamesOfCloud}
	var names []string
	var err error
	if g.Url != "" {
		l.Origin = g.Url
		names, err = group.Fetch(ctx, g.Url, limit)
	} else {
		l.Origin = g.Command
		names, err = r.command(ctx, g, limit)
	}
	if ctx.Err() != nil {
		return outcome{}, ctx.Err() // the session was ended: that says nothing of the list
	}
	return r.keep(ctx, g, l, had, names, err)
}

func (r *groupReader) command(ctx context.Context, g *keepwardv1.Group, limit time.Duration) ([]string, error) {
	path, err := r.scripts.find(g.Command)
	if err != nil {
		return nil, err
	}
	out := &group.Buffer{}
	res, err := script.Run(ctx, script.Command{
		Path: path, Arguments: g.Arguments, Limit: limit, Stdout: out, Variables: map[string]string{"KEEPWARD_GROUP": g.Name},
	})
	if err != nil {
		for _, text := range res.Output[:min(len(res.Output), 3)] {
			err = fmt.Errorf("%w; it said: %.200s", err, text)
		}
		return nil, errs.New(errs.KindOf(err), "group.cloud", "list cloud machines: %w", err).WithHint("the last good list holds; keepward group rescan tries again")
	}
	return group.ParseCloud(out.Bytes())
}

// keep writes down how a try to read a list went. Where it went wrong the names stay as they are.
func (r *groupReader) keep(ctx context.Context, g *keepwardv1.Group, l, had catalog.GroupList, names []string, failed error) (outcome, error) {
	if failed != nil && ctx.Err() != nil {
		return outcome{}, ctx.Err()
	}
	l.Tried, l.Read = time.Now(), had.Read
	if failed != nil {
		l.Problem, l.ProblemCode, l.ProblemSince = failed.Error(), errs.CodeOf(failed), had.ProblemSince
		if l.ProblemCode == "" {
			l.ProblemCode = "group." + l.Source
		}
		if l.ProblemSince.IsZero() {
			l.ProblemSince = l.Tried
		}
		if had.Problem != l.Problem {
			r.log.Warn("list of a group not read, the last good one holds", "group", g.Name, "source", l.Source, "error", failed)
		}
	} else {
		l.Read = l.Tried
	}
	err := r.db.Write(ctx, func(tx *sql.Tx) error {
		now, err := catalog.GetGroup(ctx, tx, g.Name)
		if errs.KindOf(err) == errs.NotFound || err == nil && (now.File != g.File || now.Command != g.Command || now.Url != g.Url) {
			return nil // it was changed meanwhile, and that list is not its own any more
		}
		if err != nil {
			return err
		}
		if err := catalog.PutGroupList(ctx, tx, l); err != nil {
			return err
		}
		if failed != nil {
			return nil
		}
		if err := catalog.PutGroupNames(ctx, tx, g.Name, l.Source, names); err != nil {
			return err
		}
		return noteMembers(ctx, tx, l.Tried)
	})
	return outcome{l, len(names)}, err
}

// survey asks computers what they are, and says which groups come to what.
func (r *groupReader) survey(ctx context.Context, names []string, line func(level, code, text string)) error {
	site, err := group.Load(ctx, r.db.Read(), time.Now())
	if err != nil {
		return err
	}
	var computers []string
	for _, g := range site.Groups {
		if len(names) > 0 && !slices.Contains(names, g.Name) {
			continue
		}
		m := site.Members(g.Name)
		line("info", "group.members", fmt.Sprintf("group %s: %d members", g.Name, len(m.List)))
		for _, w := range m.Warnings {
			line("warning", "group.warning", fmt.Sprintf("group %s: %s", g.Name, w))
		}
		if len(m.Untrusted) > 0 {
			line("warning", "group.untrusted", fmt.Sprintf("group %s: not joined, or shut out: %s", g.Name, strings.Join(m.Untrusted[:min(len(m.Untrusted), troublesShown)], ", ")))
		}
		for _, one := range m.List {
			computers = append(computers, one.GetComputer())
		}
	}
	if len(names) == 0 {
		if computers, err = catalog.ComputerNames(ctx, r.db.Read()); err != nil {
			return err
		}
	}
	slices.Sort(computers)
	return r.ask(ctx, slices.Compact(computers), line)
}

// ask takes the inventory of computers that are online.
func (r *groupReader) ask(ctx context.Context, computers []string, line func(level, code, text string)) error {
	var mu sync.Mutex
	answered, offline := 0, 0
	var troubles []string
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(askedAtOnce)
	for _, name := range computers {
		if name == job.ServerComputer {
			continue
		}
		l := r.nodes.find(wire.RoleAgent, name)
		if l == nil {
			offline++
			continue
		}
		g.Go(func() error {
			err := r.takeInventory(ctx, l, name)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				answered++
			} else {
				troubles = append(troubles, fmt.Sprintf("%s does not say what it is: %v", name, err))
			}
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	slices.Sort(troubles)
	for _, text := range troubles[:min(len(troubles), troublesShown)] {
		line("warning", "group.inventory", text)
	}
	line("info", "group.inventory", fmt.Sprintf("asked what they are: %d computers answered, %d did not, %d are offline", answered, len(troubles), offline))
	return nil
}

func (r *groupReader) takeInventory(ctx context.Context, l *nodeLink, name string) error {
	call, cancel := context.WithTimeout(ctx, inventoryWait)
	defer cancel()
	res, err := l.inventory.TakeInventory(call, connect.NewRequest(&keepwardv1.TakeInventoryRequest{Term: r.data.term.Load()}))
	if connect.CodeOf(err) == connect.CodeUnimplemented {
		return errors.New("its agent is too old for that")
	}
	if err != nil {
		return err
	}
	i := res.Msg.GetInventory()
	if i == nil {
		return errors.New("it said nothing")
	}
	boundInventory(i)
	i.Taken = timestamppb.Now()
	return r.db.Write(ctx, func(tx *sql.Tx) error { return catalog.PutInventory(ctx, tx, name, i) })
}
