package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/errs"
	"keepward/internal/manager"
)

// PreviewJob looks at a job as save does, and writes nothing.
func (s *jobService) PreviewJob(ctx context.Context, req *connect.Request[keepwardv1.PreviewJobRequest]) (*connect.Response[keepwardv1.PreviewJobResponse], error) {
	m := req.Msg
	if m.GetJob() == nil {
		return nil, errs.New(errs.Invalid, "job.missing", "save job: nothing was sent")
	}
	res := &keepwardv1.PreviewJobResponse{Job: m.GetJob()}
	j := res.Job
	if m.GetLeaveOutStrangers() {
		res.LeftOut = leaveOutStrangers(j)
	}
	config.CompleteJob(j)
	if err := s.compare(ctx, m, res); err != nil {
		return nil, err
	}
	site, err := siteOf(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	found := config.CheckJob(j, site)
	if _, taken := site.Schedules[j.GetName()]; taken && j.GetName() != m.GetInsteadOf() {
		found = append(found, config.Fault{Field: "name", Err: existsJob(j.GetName())})
	}
	for _, f := range found {
		res.Faults = append(res.Faults, &keepwardv1.JobFault{Field: f.Field, Code: f.Err.Code, Text: f.Err.Error(), Hint: f.Err.Hint})
	}
	if res.Yaml, err = config.Export(nil, []*keepwardv1.Job{j}); err != nil {
		return nil, err
	}
	// When it runs can be told while something else is still missing.
	if !slices.ContainsFunc(found, func(f config.Fault) bool { return f.Field == "schedule" || f.Field == "jitter" }) {
		if res.Coming, res.When, err = s.manager.NextRuns(ctx, j, min(int(m.GetNextRuns()), nextRunsMost)); err != nil {
			return nil, err
		}
	}
	if m.GetYear() && !slices.ContainsFunc(found, func(f config.Fault) bool { return f.Field == "schedule" || strings.HasPrefix(f.Field, "retention") }) {
		days, daily := s.manager.KeptYear(ctx, j)
		res.YearDaily = daily
		for _, d := range days {
			res.Year = append(res.Year, &keepwardv1.KeptDay{Day: d.Date.Format(time.DateOnly), Made: int32(d.Made), Kept: int32(d.Kept), Because: d.Because})
		}
	}
	if len(found) > 0 {
		return connect.NewResponse(res), nil
	}
	if site.Zones, err = manager.ZonesFor(ctx, s.db.Read(), []*keepwardv1.Job{j}); err != nil {
		return nil, err
	}
	res.Warnings, err = warnMembers(ctx, s.db.Read(), j, site.With(j))
	return connect.NewResponse(res), err
}

// compare says in what a job differs from the one whose place it takes.
func (s *jobService) compare(ctx context.Context, m *keepwardv1.PreviewJobRequest, res *keepwardv1.PreviewJobResponse) error {
	if m.GetInsteadOf() == "" {
		return nil
	}
	had, err := catalog.GetJob(ctx, s.db.Read(), m.GetInsteadOf())
	if err != nil {
		return err
	}
	config.CompleteJob(had)
	res.Changed = config.ChangedJob(had, res.Job)
	res.Revision, res.Revised = had.GetRevision(), timestamppb.New(revised(had))
	return nil
}

func existsJob(name string) *errs.Error {
	return errs.New(errs.Exists, "job.exists", "create job %q: there is one already", name).WithHint("change it with: keepward job edit %s", name)
}

// leaveOutStrangers takes out of a job what it has for computers that are not its own, and says what
// that was.
func leaveOutStrangers(j *keepwardv1.Job) (gone []string) {
	before := proto.CloneOf(j)
	config.WithoutStrangers(j)
	for _, o := range before.GetOverrides() {
		if config.OverrideOf(j, o.GetComputer()) == nil {
			gone = append(gone, "what is taken of computer "+o.GetComputer()+" alone")
		}
	}
	for _, a := range before.GetApplications() {
		if !slices.ContainsFunc(j.GetApplications(), func(b *keepwardv1.Application) bool { return a.GetKind() == b.GetKind() && a.GetName() == b.GetName() }) {
			gone = append(gone, fmt.Sprintf("the application %s %s", a.GetKind(), a.GetName()))
		}
	}
	for _, c := range before.GetCommands() {
		if !slices.ContainsFunc(j.GetCommands(), func(d *keepwardv1.CommandSource) bool { return c.GetName() == d.GetName() }) {
			gone = append(gone, "the command "+c.GetName())
		}
	}
	return gone
}
