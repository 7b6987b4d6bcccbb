package agent

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/app"
	"keepward/internal/app/mariadb"
	"keepward/internal/app/postgres"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/pipeline"
	"keepward/internal/source"
)

// appKinds are the kinds of applications that this agent knows.
var appKinds = map[string]app.Kind{
	job.MariaDB:    mariadb.Kind{},
	job.PostgreSQL: postgres.Kind{},
}

// apps are the applications of an attempt.
type apps struct {
	a       *agent
	attempt string
	job     string
	count   *pipeline.Counters
	list    []*oneApp
	// dir is the attempt's own, with tree, which stands for the root of what is read.
	dir, tree string
	// fail ends the attempt: a file of an application could not be read.
	fail context.CancelCauseFunc
	// first is why the first of them was gone on without; nil: none was.
	first error
}

// oneApp is one application.
type oneApp struct {
	app.Application
	row  *keepwardv1.Application
	plan app.Plan
	read []app.Tree // what is read for the plan
	// copied: that is a copy, which was made behind the snapshots and is in none of them.
	copied bool
	at     string // its folder, below the root of the point
	ended  bool
	more   []app.Tree
	// gone: its session has ended before its time.
	gone bool
	// lost: the point lacks something of it, and may.
	lost atomic.Bool
}

const (
	filesDir = "files"
	moreDir  = "more"
	// committedWithin is how long an application may take to let go of what it kept for a point.
	committedWithin = 30 * time.Second
)

func nameOf(row *keepwardv1.Application) string {
	return row.GetKind() + " " + cmp.Or(row.GetName(), job.DefaultApplicationName)
}

// openApps opens the applications of an order. One that fails fails the attempt, unless it may.
func (a *agent) openApps(ctx context.Context, m *keepwardv1.StartBackupRequest, count *pipeline.Counters, fail context.CancelCauseFunc) (*apps, error) {
	x := &apps{a: a, attempt: m.GetOrder().GetAttempt(), job: m.GetComputer() + "/" + m.GetJob(), count: count, fail: fail}
	x.forgetOld()
	for _, o := range m.GetApplications() {
		if err := x.open(ctx, o); err != nil {
			x.missed(err)
			if err := x.without(o.GetApplication(), err); err != nil {
				x.close()
				return nil, err
			}
		}
	}
	return x, nil
}

// without goes on without an application, if that may be.
func (x *apps) without(row *keepwardv1.Application, err error) error {
	if err == nil || row.GetMode() != job.ApplicationTry {
		return err
	}
	x.warn("application.unprotected", nameOf(row)+" is not protected, and its files are taken as they are: "+err.Error())
	return nil
}

func (x *apps) missed(err error) {
	if x.first == nil {
		x.first = err
	}
}

func (x *apps) warn(code, text string) { x.tell("warning", code, text) }

func (x *apps) tell(level, code, text string) {
	if level == "warning" {
		x.count.Warn()
	}
	x.a.event(x.attempt, level, code, text, nil)
}

func (x *apps) open(ctx context.Context, o *keepwardv1.ApplicationOrder) error {
	row := o.GetApplication()
	kind := appKinds[row.GetKind()]
	if kind == nil {
		return errs.New(errs.Invalid, "application.kind", "protect %s: this agent knows no such application", nameOf(row)).WithHint("is it older than the server?")
	}
	name := cmp.Or(row.GetName(), job.DefaultApplicationName)
	if !filepath.IsLocal(name) || strings.ContainsAny(name, `/\`) || !filepath.IsLocal(row.GetKind()) {
		return errs.New(errs.Invalid, "application.kind", "protect an application called %q", name)
	}
	opened, err := kind.Open(ctx, app.Instance{
		Name: name, Address: row.GetAddress(), User: o.GetUser(), Secret: app.NewSecret(o.GetSecret()), Settings: row.GetSettings(), Job: x.job, Event: x.tell,
	})
	if err != nil {
		return err
	}
	one := &oneApp{Application: opened, row: row, plan: opened.Plan(), at: job.ApplicationFolder + "/" + row.GetKind() + "/" + name}
	one.read = one.plan.Trees
	x.list = append(x.list, one)
	x.tell("info", "application.found", one.plan.Text)
	return nil
}

// close ends everything that is held, and removes what was made for the attempt.
func (x *apps) close() {
	if x == nil {
		return
	}
	for _, one := range x.list {
		one.Close()
	}
	if x.dir != "" {
		if err := os.RemoveAll(x.dir); err != nil {
			x.a.log.Warn("what was made for an attempt is not removed", "error", err)
		}
	}
}

// forgetOld removes what a process before has left. That may be a copy of a whole server: nobody else
// waits for its end.
func (x *apps) forgetOld() {
	old, _ := os.ReadDir(x.a.appDir()) // usually there is none
	x.a.mu.Lock()
	old = slices.DeleteFunc(old, func(e os.DirEntry) bool { return x.a.running[e.Name()] != nil })
	x.a.mu.Unlock()
	for _, e := range old {
		_ = os.RemoveAll(filepath.Join(x.a.appDir(), e.Name())) // another time
	}
}

func (a *agent) appDir() string { return filepath.Join(a.cfg.DataDir, "applications") }

// each does something with all applications, and goes on without one that may fail.
func (x *apps) each(do func(*oneApp) error) error {
	var failed error
	x.list = slices.DeleteFunc(x.list, func(one *oneApp) bool {
		if failed != nil {
			return false
		}
		err := do(one)
		if err == nil {
			return false
		}
		x.missed(err)
		if failed = x.without(one.row, err); failed != nil {
			return false
		}
		one.Close()
		return true
	})
	return failed
}

// begin prepares all, before anything is held or taken.
func (x *apps) begin(ctx context.Context) error {
	return x.each(func(one *oneApp) error { return one.Begin(ctx) })
}

// reads is a selection with what is read for the applications: what snapshots are wanted of.
func (x *apps) reads(sel source.Selection) source.Selection {
	sel.Include = slices.Clone(sel.Include)
	for _, one := range x.list {
		for _, t := range one.plan.Trees {
			sel.Include = append(sel.Include, t.Path)
		}
	}
	return sel
}

// holds tells whether any of them has to stand still for the snapshot.
func (x *apps) holds() bool {
	return slices.ContainsFunc(x.list, func(one *oneApp) bool { return one.plan.Holds })
}

// hold has all of them stand still.
func (x *apps) hold(ctx context.Context) error {
	return x.each(func(one *oneApp) error {
		if !one.plan.Holds {
			return nil
		}
		return one.Hold(ctx)
	})
}

// release lets all of them go on. One that does not let go loses its session.
func (x *apps) release(ctx context.Context) error {
	return x.each(func(one *oneApp) error {
		if !one.plan.Holds {
			return nil
		}
		err := one.Release(ctx)
		if err != nil {
			one.Close()
			one.gone = true
		}
		return err
	})
}

// gone tells whether one of them has lost its session: only another attempt opens a new one.
func (x *apps) gone() bool {
	return slices.ContainsFunc(x.list, func(one *oneApp) bool { return one.gone })
}

// lay says how what is read for the applications comes into the point. It is called when the state is
// taken; view is how snapshots are read.
func (x *apps) lay(ctx context.Context, view *source.View, opts *pipeline.Options) error {
	if len(x.list) == 0 {
		return x.nothing(opts)
	}
	if err := x.ownDir(); err != nil {
		return errs.New(errs.KindOf(err), "application.stage", "make room for what belongs to an application: %w", err)
	}
	err := x.each(func(one *oneApp) error {
		return errors.Join(stub(x.tree, one.at, 0o755), stub(x.tree, one.at+"/"+filesDir, 0o755), stub(x.tree, one.at+"/"+moreDir, 0o700))
	})
	if err != nil {
		return errs.New(errs.KindOf(err), "application.stage", "make room for what belongs to an application: %w", err)
	}
	opts.PartsAt, opts.Quiet = job.ApplicationFolder, x.quiet
	opts.Selection.Exclude = append(slices.Clone(opts.Selection.Exclude), "/"+job.ApplicationFolder)
	if err := x.each(func(one *oneApp) error { return x.state(ctx, one, view) }); err != nil {
		return err
	}
	if len(x.list) == 0 {
		return x.nothing(opts)
	}
	// What is named both ways is read once.
	opts.Selection.Include = slices.DeleteFunc(slices.Clone(opts.Selection.Include), func(p string) bool {
		return slices.ContainsFunc(x.list, func(one *oneApp) bool {
			return slices.ContainsFunc(one.plan.Trees, func(t app.Tree) bool { return within(p, t.Path) })
		})
	})
	if len(opts.Selection.Include) == 0 {
		opts.Selection.Within = true // nothing, and that is meant
	}
	slices.SortFunc(x.list, func(a, b *oneApp) int { return strings.Compare(a.at, b.at) })
	for _, one := range x.list {
		for _, t := range one.plan.Trees {
			opts.Selection.Exclude = append(opts.Selection.Exclude, source.Literal(t.Path))
		}
		shown := view
		if one.copied {
			shown = nil
		}
		opts.Parts = append(opts.Parts,
			pipeline.Part{Open: func(context.Context) (source.Selection, error) {
				return x.selection(one, filesDir, one.read, shown)
			}},
			pipeline.Part{Rest: true, Strict: true, Open: func(ctx context.Context) (source.Selection, error) {
				if err := x.end(ctx, one); err != nil {
					one.lost.Store(true)
					if err := x.without(one.row, err); err != nil {
						return source.Selection{}, err
					}
				}
				return x.selection(one, moreDir, one.more, nil)
			}})
	}
	told := opts.Event
	opts.Event = func(e pipeline.Event) {
		told(e)
		x.watch(e)
	}
	return nil
}

// nothing is why there is nothing to read, where no application is left and the job takes no more.
func (x *apps) nothing(opts *pipeline.Options) error {
	if len(opts.Selection.Include) > 0 || len(opts.Streams) > 0 {
		return nil
	}
	return x.first
}

// ownDir makes the attempt's own directory. Its path has no link in it, and holds wherever a program
// of an application runs.
func (x *apps) ownDir() error {
	dir, err := filepath.Abs(filepath.Join(x.a.appDir(), x.attempt))
	if err != nil {
		return err
	}
	x.dir = dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if x.dir, err = filepath.EvalSymlinks(dir); err != nil {
		return err
	}
	x.tree = filepath.Join(x.dir, "tree")
	return nil
}

// stub makes a directory in which, or in place of which, something else is read. When it is restored
// the application's user has to come through, whatever the agent's mask is.
func stub(tree, name string, mode os.FileMode) error {
	path := filepath.Join(tree, filepath.FromSlash(name))
	if err := os.MkdirAll(path, mode); err != nil {
		return err
	}
	for at := path; len(at) >= len(tree); at = filepath.Dir(at) {
		if at != path {
			mode = 0o755
		}
		if info, err := os.Stat(at); err != nil || info.Mode().Perm() == mode || at != path && filepath.Base(at) == moreDir {
			break
		}
		if err := os.Chmod(at, mode); err != nil {
			return err
		}
	}
	return nil
}

// state ends an application at once where all of it is in snapshots.
func (x *apps) state(ctx context.Context, one *oneApp, view *source.View) error {
	live := ""
	for _, t := range one.plan.Trees {
		if isLive(t, view) {
			live = t.Path
		}
	}
	if live == "" {
		return x.end(ctx, one)
	}
	if c, ok := one.Application.(app.Copier); ok && one.plan.Snapshot {
		return x.copy(ctx, one, c)
	}
	if one.plan.Snapshot {
		return errs.New(errs.Unavailable, "application.no-snapshot", "protect %s: %s is on a file system of which there is no snapshot, and read live its files make no state", nameOf(one.row), live)
	}
	return nil
}

// isLive tells whether a tree is read from the live files, or a part of it that lies elsewhere.
func isLive(t app.Tree, view *source.View) bool {
	if from, _ := view.Place(t.Path); from == t.Path {
		return true
	}
	return slices.ContainsFunc(view.Below(t.Path), func(g source.Graft) bool {
		rel := strings.TrimPrefix(g.At, t.Path)
		return g.From == g.At && !slices.ContainsFunc(t.Leave, func(p string) bool {
			return strings.HasPrefix(p, "/") && within(rel, strings.TrimSuffix(p, "/*"))
		})
	})
}

// copy has an application make a copy of itself, which is read in place of its files.
func (x *apps) copy(ctx context.Context, one *oneApp, c app.Copier) error {
	dir := filepath.Join(x.dir, "copy", one.at)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return errs.New(errs.KindOf(err), "application.stage", "make room for the copy of an application: %w", err)
	}
	trees, err := c.Copy(ctx, dir)
	if err == nil {
		one.read, one.copied = trees, true
	}
	return err
}

func (x *apps) end(ctx context.Context, one *oneApp) error {
	if one.ended {
		return nil
	}
	one.ended = true
	var err error
	one.more, err = one.End(ctx, filepath.Join(x.tree, one.at, moreDir))
	return err
}

// selection is what is walked for a part of an application's folder.
func (x *apps) selection(one *oneApp, part string, trees []app.Tree, view *source.View) (source.Selection, error) {
	root := "/" + one.at + "/" + part
	sel := source.Selection{Within: true, IncludeTemporary: true, IncludeCaches: true, View: &source.View{Grafts: []source.Graft{{At: "/", From: x.tree}}}}
	var only []string
	for _, t := range trees {
		at := root + "/" + t.Name
		if err := stub(x.tree, one.at+"/"+part+"/"+t.Name, 0o755); err != nil {
			return sel, errs.New(errs.KindOf(err), "application.stage", "make room for what belongs to an application: %w", err)
		}
		from, grafts := view.Place(t.Path)
		sel.View.Grafts = append(sel.View.Grafts, source.Graft{At: at, From: from, Device: grafts.Device, Taken: grafts.Taken})
		for _, g := range view.Below(t.Path) {
			g.At = at + strings.TrimPrefix(g.At, t.Path)
			sel.View.Grafts = append(sel.View.Grafts, g)
		}
		for _, p := range t.Leave {
			if strings.HasPrefix(p, "/") {
				p = source.Literal(at) + p
			}
			sel.Exclude = append(sel.Exclude, p)
		}
		for _, name := range t.Only {
			only = append(only, at+"/"+name)
		}
		if len(t.Only) > 0 {
			sel.Exclude = append(sel.Exclude, source.Literal(at)+"/*")
		}
	}
	sel.Include = append([]string{root}, only...)
	return sel, nil
}

// within tells whether a path is dir or lies below it.
func within(path, dir string) bool {
	path = filepath.Clean(path)
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// quiet: files of an application change and go while they are read, and it copes with that. A whole
// tree does not go.
func (x *apps) quiet(path []byte) bool {
	for _, one := range x.list {
		if name, in := strings.CutPrefix(string(path), one.at+"/"+filesDir+"/"); in {
			return !slices.ContainsFunc(one.read, func(t app.Tree) bool { return within(t.Name, name) })
		}
	}
	return false
}

// watch ends an attempt in which a file of an application is lost: what is left is no state. The point
// of one that may fail does without that application.
func (x *apps) watch(e pipeline.Event) {
	for _, one := range x.list {
		name, in := strings.CutPrefix(string(e.Path), one.at+"/")
		bad := e.Level == source.Error || e.Level == source.Warning && (e.Code == "file.vanished" || within(name, moreDir))
		if !in || !bad || one.lost.Swap(true) {
			continue
		}
		err := errs.New(errs.Unavailable, "application.unreadable", "protect %s: %s: %s", nameOf(one.row), rooted(e.Path), e.Text)
		if err := x.without(one.row, err); err != nil {
			x.fail(err)
		}
	}
}

// committed tells all of them that the point stands, but for those of which it lacks something: what
// they have kept for it is needed still.
func (x *apps) committed(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), committedWithin)
	defer cancel()
	for _, one := range x.list {
		if one.lost.Load() {
			continue
		}
		if err := one.Committed(ctx); err != nil {
			x.warn("application.kept", nameOf(one.row)+" keeps what is in the point until the next backup: "+err.Error())
			continue
		}
		x.tell("info", "application.protected", nameOf(one.row)+" is protected")
	}
}
