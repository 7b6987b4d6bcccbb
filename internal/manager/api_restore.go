package manager

import (
	"cmp"
	"context"
	"slices"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// overwrites are the policies of a restore; the first is the default.
var overwrites = []string{"different", "always", "newer", "never"}

// RestoreFiles starts a session that restores files of a point, to the computer they are of or
// to another one: who may read which point is decided here, and the key goes with the order.
func (m *Manager) RestoreFiles(ctx context.Context, req *connect.Request[keepwardv1.RestoreFilesRequest]) (*connect.Response[keepwardv1.StartSessionResponse], error) {
	r := proto.CloneOf(req.Msg)
	if r.GetApplication() != nil && r.GetPoint() == "" {
		if err := m.pointOfApplication(ctx, r); err != nil {
			return nil, err
		}
	}
	p, err := m.findPoint(ctx, r.GetPoint(), r.GetComputer())
	if err != nil {
		return nil, err
	}
	r.Point, r.Computer = p.GetId(), p.GetComputer()
	r.TargetComputer = cmp.Or(r.GetTargetComputer(), r.GetComputer())
	if _, err := catalog.GetComputer(ctx, m.deps.DB.Read(), r.GetTargetComputer()); err != nil {
		return nil, err
	}
	if to := string(r.GetTo()); to != "" && !job.Absolute(to) {
		return nil, errs.New(errs.Invalid, "restore.to", "restore: the directory %q is not absolute", to).
			WithHint("name it from the root of %s on, where the files are written", r.GetTargetComputer())
	}
	if d := r.GetRestartInterval(); d != nil && (!d.IsValid() || d.AsDuration() < 0) {
		return nil, errs.New(errs.Invalid, "restore.interval", "restore: the restart interval %v is no time to wait", d)
	}
	if err := checkMaps(r); err != nil {
		return nil, err
	}
	if err := m.checkApplication(ctx, r, p); err != nil {
		return nil, err
	}
	if err := checkTarget(r); err != nil {
		return nil, err
	}
	r.DryRun = r.GetDryRun() || r.GetEstimate()
	r.Overwrite = cmp.Or(r.GetOverwrite(), overwrites[0])
	if !slices.Contains(overwrites, r.GetOverwrite()) {
		return nil, errs.New(errs.Invalid, "restore.overwrite", "restore: overwrite %q is unknown", r.GetOverwrite()).WithHint("use one of %v", overwrites)
	}
	id, err := m.submit(ctx, request{
		typ: job.Restore, repository: p.GetRepository(), by: m.user(ctx),
		computers: []string{r.GetTargetComputer()}, point: p.GetId(), definition: r,
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.StartSessionResponse{Session: id}), nil
}

// checkTarget refuses a command that cannot get what is chosen.
func checkTarget(r *keepwardv1.RestoreFilesRequest) error {
	c := r.GetCommand()
	if c == nil {
		return nil
	}
	bad := func(format string, args ...any) error {
		return errs.New(errs.Invalid, "restore.command", "restore into a command: "+format, args...)
	}
	switch {
	case r.GetApplication() != nil:
		return bad("it is about an application as well")
	case len(r.GetPaths()) != 1:
		return bad("it gets one file, and %d paths are named", len(r.GetPaths()))
	case len(r.GetTo()) > 0 || len(r.GetRenames())+len(r.GetOwners()) > 0 || r.GetDeleteExtra() || r.GetDryRun() || r.GetEstimate() || r.GetStrip() || r.GetVerify():
		return bad("nothing is written to a disk, so nothing can be said of where and how")
	}
	return config.CheckProgram(c.GetPath(), c.GetArguments(), c.GetTimeLimit().AsDuration(), bad)
}

// checkMaps refuses at once what the agent would only refuse once it has its turn.
func checkMaps(r *keepwardv1.RestoreFilesRequest) error {
	for _, o := range r.GetOwners() {
		if o.GetFrom() == "" || o.GetTo() == "" {
			return errs.New(errs.Invalid, "restore.owner", "restore: a rule for owners gives %q what belonged to %q", o.GetTo(), o.GetFrom()).WithHint("name both, by name or number")
		}
	}
	for _, m := range r.GetRenames() {
		if !job.Absolute(string(m.GetFrom())) || !job.Absolute(string(m.GetTo())) {
			return errs.New(errs.Invalid, "restore.rename", "restore: lay %q at %q: both must be full names", m.GetFrom(), m.GetTo()).
				WithHint("write for instance /srv/www=/srv/new")
		}
	}
	return nil
}
