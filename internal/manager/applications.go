package manager

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// laterMost is how many points behind one are looked at for the log of a time after it: some may
// have been made without the application.
const laterMost = 5

// credential is the user and the secret that a name stands for; empty: there is none.
func (m *Manager) credential(ctx context.Context, name string) (user, secret string, err error) {
	if name == "" {
		return "", "", nil
	}
	c, err := catalog.GetCredential(ctx, m.deps.DB.Read(), name)
	if err != nil {
		return "", "", err
	}
	if m.deps.Credential == nil {
		return "", "", errs.New(errs.Internal, "credential.secret", "open credential %s: this server has no key", name)
	}
	secret, err = m.deps.Credential(c)
	return c.User, secret, err
}

// applicationOrders are the applications of a job on a computer, with what opens them. Where a credential
// is gone the attempt fails, whatever the mode: what was named is missing, not the application.
func (c *call) applicationOrders(ctx context.Context) (out []*keepwardv1.ApplicationOrder, err error) {
	for _, a := range config.ApplicationsOf(c.plan.interval, c.row.Computer) {
		o := &keepwardv1.ApplicationOrder{Application: a}
		if o.User, o.Secret, err = c.m.credential(ctx, a.GetCredential()); err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

// commandSecrets are what opens something for the commands of an order.
func (c *call) commandSecrets(ctx context.Context, commands []*keepwardv1.CommandSource) (out []*keepwardv1.CommandSecret, err error) {
	for _, one := range commands {
		if one.GetCredential() == "" {
			continue
		}
		s := &keepwardv1.CommandSecret{Command: one.GetName()}
		if s.User, s.Secret, err = c.m.credential(ctx, one.GetCredential()); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// laterPoints are those of the same job and computer behind the point of a restore, the oldest first.
func (c *call) laterPoints(ctx context.Context) ([]string, error) {
	a := c.plan.restore.GetApplication()
	if a.GetToTime() == nil {
		return nil, nil
	}
	points, err := catalog.Points(ctx, c.m.deps.DB.Read(), catalog.PointFilter{Computer: c.plan.restore.GetComputer()})
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(points, func(p *keepwardv1.Point) bool { return p.GetId() == c.row.Point })
	if i < 0 {
		return nil, nil
	}
	var out []string
	for k := i - 1; k >= 0 && len(out) < laterMost; k-- { // the newest is the first
		if p := points[k]; p.GetJob() == points[i].GetJob() && p.GetRepository() == points[i].GetRepository() && !p.GetPartial() {
			out = append(out, p.GetId())
		}
	}
	return out, nil
}

// applicationOrder is what an agent is told of a restore of an application; nil: it is none.
func (c *call) applicationOrder(ctx context.Context) (*keepwardv1.ApplicationRestoreOrder, error) {
	a := c.plan.restore.GetApplication()
	if a == nil {
		return nil, nil
	}
	o := &keepwardv1.ApplicationRestoreOrder{Restore: a}
	var err error
	if o.Later, err = c.laterPoints(ctx); err == nil {
		o.User, o.Secret, err = c.m.credential(ctx, a.GetCredential())
	}
	return o, err
}

// checkApplication looks at a restore of an application, and completes it.
func (m *Manager) checkApplication(ctx context.Context, r *keepwardv1.RestoreFilesRequest, p *keepwardv1.Point) error {
	a := r.GetApplication()
	if a == nil {
		return nil
	}
	bad := func(format string, args ...any) error {
		return errs.New(errs.Invalid, "restore.application", "restore: "+format, args...)
	}
	row, ok := job.Application(a.GetKind())
	a.Name = cmp.Or(a.GetName(), job.DefaultApplicationName)
	switch {
	case !ok:
		return bad("there is no kind of application %q, there is %s", a.GetKind(), config.ApplicationKinds())
	case len(r.GetTo()) == 0:
		return bad("an application is restored into a directory of its own")
	case r.GetDryRun() || r.GetEstimate() || len(r.GetPaths()) > 0:
		return bad("of an application all is restored, and really")
	case a.GetInto() != "" && a.GetDatabase() == "":
		return bad("name the database that is loaded into %s", a.GetInto())
	case a.GetInto() == "" && (a.GetDatabase() != "" || a.GetAs() != "" || a.GetCredential() != ""):
		return bad("a database and a credential are for loading it into a server: name that")
	case a.GetToTime() != nil && (!a.GetToTime().IsValid() || a.GetToTime().AsTime().Before(p.GetTime().AsTime())):
		return bad("the point %s was begun after that time", p.GetId()[:8])
	}
	for _, name := range slices.Sorted(maps.Keys(a.GetSettings())) {
		s, known := row.Setting(name)
		if !known {
			return bad("%s has no setting %s", a.GetKind(), name)
		}
		if v := a.GetSettings()[name]; len(s.Choices) > 0 && !slices.Contains(s.Choices, v) {
			return bad("%s is %s, not %q", name, strings.Join(s.Choices, " or "), v)
		}
	}
	if a.GetCredential() != "" {
		if _, err := catalog.GetCredential(ctx, m.deps.DB.Read(), a.GetCredential()); err != nil {
			return err
		}
	}
	return nil
}

// pointOfApplication names the point that an application is restored of where nobody has: the newest,
// or the newest of before the time that is wanted, of a job that protects it.
func (m *Manager) pointOfApplication(ctx context.Context, r *keepwardv1.RestoreFilesRequest) error {
	a := r.GetApplication()
	if _, err := catalog.GetComputer(ctx, m.deps.DB.Read(), r.GetComputer()); err != nil {
		return err
	}
	jobs, err := catalog.Jobs(ctx, m.deps.DB.Read())
	if err != nil {
		return err
	}
	protects := map[string]bool{}
	for _, j := range jobs {
		protects[j.GetName()] = slices.ContainsFunc(j.GetApplications(), func(o *keepwardv1.Application) bool {
			return o.GetKind() == a.GetKind() && o.GetName() == cmp.Or(a.GetName(), job.DefaultApplicationName)
		})
	}
	points, err := catalog.Points(ctx, m.deps.DB.Read(), catalog.PointFilter{Computer: r.GetComputer()})
	if err != nil {
		return err
	}
	points = slices.DeleteFunc(points, func(p *keepwardv1.Point) bool { return !protects[p.GetJob()] || p.GetPartial() })
	p, err := pointBefore(points, a.GetToTime(), func(p *keepwardv1.Point) (time.Time, error) { return m.madeAt(ctx, p) })
	if err != nil {
		return err
	}
	if p != nil {
		r.Point = p.GetId()
		return nil
	}
	return errs.New(errs.NotFound, "point.unknown", "restore: no point of %s by a job that protects %s is there from before that time", r.GetComputer(), a.GetKind()).
		WithHint("name the point, if the job is no more: keepward point list --computer %s", r.GetComputer())
}

// pointBefore is the point that a state is brought back from: the newest whose backup had ended by that
// time, since before its end its files are no state. points are in order, the newest first. Where only
// such are there that had begun by then, it is the newest of those: their files may have been read
// from a snapshot, long before the end.
func pointBefore(points []*keepwardv1.Point, at *timestamppb.Timestamp, ended func(*keepwardv1.Point) (time.Time, error)) (begun *keepwardv1.Point, err error) {
	for _, p := range points {
		if at == nil {
			return p, nil
		}
		if p.GetTime().AsTime().After(at.AsTime()) {
			continue
		}
		switch end, err := ended(p); {
		case err != nil:
			return nil, err
		case !end.After(at.AsTime()):
			return p, nil
		case begun == nil:
			begun = p
		}
	}
	return begun, nil
}

// madeAt is when the backup that made a point ended; zero: that is not known any more.
func (m *Manager) madeAt(ctx context.Context, p *keepwardv1.Point) (time.Time, error) {
	tasks, err := catalog.Tasks(ctx, m.deps.DB.Read(), p.GetSession())
	if err != nil {
		return time.Time{}, err
	}
	for _, t := range tasks {
		if t.Point == p.GetId() {
			return t.Ended, nil
		}
	}
	return time.Time{}, nil
}

// loadAgents gives the tasks of a session the agents whose rows say whether they may be interrupted.
func (s *session) loadAgents() {
	if s.row.Type != job.Backup {
		return
	}
	for _, t := range s.tasks {
		for _, a := range config.ApplicationsOf(s.plan.interval, t.row.Computer) {
			if row, ok := job.Application(a.GetKind()); ok {
				t.agents = append(t.agents, row.Agent)
			}
		}
	}
}
