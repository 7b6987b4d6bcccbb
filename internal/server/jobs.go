package server

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/errs"
	"keepward/internal/manager"
)

const (
	// recentOfJob is how many sessions a job is shown with.
	recentOfJob = 10
	// nextRunsMost bounds how far ahead a client may ask.
	nextRunsMost = 1000
	// startMost is how far ahead a session may wait for its start: what is later is a slip of the finger.
	startMost = 366 * 24 * time.Hour
)

type jobService struct{ *server }

func (s *jobService) CreateJob(ctx context.Context, req *connect.Request[keepwardv1.CreateJobRequest]) (*connect.Response[keepwardv1.CreateJobResponse], error) {
	j, warnings, err := s.save(ctx, req.Msg.Job, func(tx *sql.Tx, name string) error {
		_, err := catalog.GetJob(ctx, tx, name)
		switch {
		case err == nil:
			return existsJob(name)
		case errs.KindOf(err) == errs.NotFound:
			return nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	s.audit(ctx, "job created", "job", j.Name)
	return connect.NewResponse(&keepwardv1.CreateJobResponse{Job: j, Warnings: warnings}), nil
}

func (s *jobService) UpdateJob(ctx context.Context, req *connect.Request[keepwardv1.UpdateJobRequest]) (*connect.Response[keepwardv1.UpdateJobResponse], error) {
	read := req.Msg.Job.GetRevision() // what its sender has seen
	j, warnings, err := s.save(ctx, req.Msg.Job, func(tx *sql.Tx, name string) error {
		had, err := catalog.GetJob(ctx, tx, name)
		if err == nil {
			err = unchanged(had, read)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	s.audit(ctx, "job changed", "job", j.Name)
	return connect.NewResponse(&keepwardv1.UpdateJobResponse{Job: j, Warnings: warnings}), nil
}

// unchanged refuses to change a job that is not as its sender has read it; 0: he does not mind.
func unchanged(had *keepwardv1.Job, read int64) error {
	if read == 0 || read == had.GetRevision() {
		return nil
	}
	return errs.New(errs.Busy, "job.changed", "change job %q: it was changed meanwhile, at %s", had.GetName(), revised(had).Format(time.RFC3339)).
		WithHint("look at it as it is now, and change it again: keepward job show %s", had.GetName())
}

// revised is when a job was changed last: its revision says so.
func revised(j *keepwardv1.Job) time.Time { return time.Unix(0, j.GetRevision()).UTC() }

// save checks a job and writes it, if allowed has nothing against its name. It answers the
// job as it stands then, and what may not be meant.
func (s *jobService) save(ctx context.Context, j *keepwardv1.Job, allowed func(tx *sql.Tx, name string) error) (saved *keepwardv1.Job, warnings []string, err error) {
	if j == nil {
		return nil, nil, errs.New(errs.Invalid, "job.missing", "save job: nothing was sent")
	}
	config.CompleteJob(j)
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		if err := allowed(tx, j.Name); err != nil {
			return err
		}
		site, err := siteOf(ctx, tx)
		if err != nil {
			return err
		}
		if err := config.Error(config.CheckJob(j, site)); err != nil {
			return err
		}
		if site.Zones, err = manager.ZonesFor(ctx, tx, []*keepwardv1.Job{j}); err != nil {
			return err
		}
		if err := catalog.PutJob(ctx, tx, j, time.Now()); err != nil {
			return err
		}
		warnings, err = warnWithMembers(ctx, tx, j, site)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	s.manager.ConfigChanged()
	saved, err = s.job(ctx, j.Name)
	return saved, warnings, err
}

// job is a job with what is computed of it.
func (s *jobService) job(ctx context.Context, name string) (*keepwardv1.Job, error) {
	j, err := catalog.GetJob(ctx, s.db.Read(), name)
	if err != nil {
		return nil, err
	}
	return j, s.manager.DescribeJob(ctx, j)
}

func (s *jobService) ListJobs(ctx context.Context, _ *connect.Request[keepwardv1.ListJobsRequest]) (*connect.Response[keepwardv1.ListJobsResponse], error) {
	jobs, err := catalog.Jobs(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	if err := s.describe(ctx, jobs); err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.ListJobsResponse{Jobs: jobs}), nil
}

func (s *server) describe(ctx context.Context, jobs []*keepwardv1.Job) error {
	for _, j := range jobs {
		if err := s.manager.DescribeJob(ctx, j); err != nil {
			return err
		}
	}
	return nil
}

func (s *jobService) GetJob(ctx context.Context, req *connect.Request[keepwardv1.GetJobRequest]) (*connect.Response[keepwardv1.GetJobResponse], error) {
	j, err := s.job(ctx, req.Msg.Name)
	if err != nil {
		return nil, err
	}
	res := &keepwardv1.GetJobResponse{Job: j}
	if res.Recent, err = s.manager.RecentSessions(ctx, j.Name, recentOfJob); err != nil {
		return nil, err
	}
	if res.Coming, res.When, err = s.manager.NextRuns(ctx, j, min(int(req.Msg.NextRuns), nextRunsMost)); err != nil {
		return nil, err
	}
	for _, r := range res.Coming {
		if r.After == "" {
			res.NextRuns = append(res.NextRuns, r.Time)
		}
	}
	site, err := siteOf(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	if site.Zones, err = manager.ZonesFor(ctx, s.db.Read(), []*keepwardv1.Job{j}); err != nil {
		return nil, err
	}
	if res.Warnings, err = warnMembers(ctx, s.db.Read(), j, site); err != nil {
		return nil, err
	}
	return connect.NewResponse(res), nil
}

func (s *jobService) DeleteJob(ctx context.Context, req *connect.Request[keepwardv1.DeleteJobRequest]) (*connect.Response[keepwardv1.DeleteJobResponse], error) {
	name := req.Msg.Name
	if _, err := catalog.GetJob(ctx, s.db.Read(), name); err != nil {
		return nil, err
	}
	session, err := s.manager.JobActive(ctx, name)
	if err != nil {
		return nil, err
	}
	if session != 0 {
		return nil, errs.New(errs.Busy, "job.active", "delete job %q: session %d of it is not over", name, session).
			WithHint("wait for it, or end it with: keepward session kill %d", session)
	}
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		site, err := siteOf(ctx, tx)
		if err != nil {
			return err
		}
		if followers := config.Followers(site, name); len(followers) > 0 {
			return errs.New(errs.Busy, "job.followed", "delete job %q: %s starts after it", name, strings.Join(followers, ", ")).
				WithHint("give it another schedule first: keepward job edit %s --schedule …", followers[0])
		}
		return catalog.DeleteJob(ctx, tx, name)
	})
	if err != nil {
		return nil, err
	}
	s.manager.ConfigChanged()
	s.audit(ctx, "job deleted", "job", name)
	return connect.NewResponse(&keepwardv1.DeleteJobResponse{}), nil
}

func (s *jobService) RunJob(ctx context.Context, req *connect.Request[keepwardv1.RunJobRequest]) (*connect.Response[keepwardv1.StartSessionResponse], error) {
	o := manager.RunOptions{Full: req.Msg.Full, After: req.Msg.After, Suspended: req.Msg.Suspended}
	if at := req.Msg.StartAt; at != nil {
		if !at.IsValid() || at.AsTime().After(time.Now().Add(startMost)) {
			return nil, errs.New(errs.Invalid, "job.start", "run job %s: it must start within a year, not at %s", req.Msg.Name, at.AsTime())
		}
		o.At = at.AsTime()
	}
	return startedSession(s.manager.RunJobWith(ctx, req.Msg.Name, o))
}

func (s *jobService) GetJobFigures(ctx context.Context, req *connect.Request[keepwardv1.GetJobFiguresRequest]) (*connect.Response[keepwardv1.GetJobFiguresResponse], error) {
	f, err := s.manager.JobFigures(ctx, req.Msg)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.GetJobFiguresResponse{Figures: f}), nil
}

func (s *jobService) PreviewRetention(ctx context.Context, req *connect.Request[keepwardv1.PreviewRetentionRequest]) (*connect.Response[keepwardv1.PreviewRetentionResponse], error) {
	res, err := s.manager.PreviewRetention(ctx, req.Msg.Job, req.Msg.Retention)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(res), nil
}

func (s *jobService) ResumeRetention(ctx context.Context, _ *connect.Request[keepwardv1.ResumeRetentionRequest]) (*connect.Response[keepwardv1.ResumeRetentionResponse], error) {
	jump, err := s.manager.ResumeRetention(ctx)
	if err != nil {
		return nil, err
	}
	res := &keepwardv1.ResumeRetentionResponse{}
	if jump != 0 {
		res.Jump = durationpb.New(jump)
		s.audit(ctx, "clock taken as right, retention goes on", "jump", jump)
	}
	return connect.NewResponse(res), nil
}
