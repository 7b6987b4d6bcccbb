package server

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/errs"
	"keepward/internal/manager"
	"keepward/internal/retention"
	"keepward/internal/words"
)

// This file says which calls one administrator must not make alone while the setting second_person is on:
// those that take away restore points or what keeps them, those that give out what opens a repository,
// and those by which one administrator would become two. See docs/decisions/second-person.md.

const settingSecondPerson = "second_person"

// secondRule is what is asked of a second person about a call.
type secondRule struct {
	when string // for docs/reference/roles.md
	// what says what a call would do; empty: it needs nobody. A call that would be refused anyway fails here.
	what func(ctx context.Context, s *server, m any) (string, error)
	// again: who asked makes the call, for it answers what nobody else may see.
	again bool
	// disk: the client file of the server's disk may do it alone. Whoever has that disk has everything, and
	// this is the way back where the other administrator is gone.
	disk bool
}

// seconds has a row for each call that may need a second person.
var seconds = map[string]secondRule{
	keepwardv1connect.PointServiceDeletePointsProcedure: {when: "always", what: asking(func(ctx context.Context, s *server, m *keepwardv1.ChangePointsRequest) (string, error) {
		points, err := s.manager.PointsToDelete(ctx, m)
		return aboutPoints("delete", points, m.GetReason()), err
	})},
	keepwardv1connect.PointServiceReleasePointsProcedure: {when: "always", what: asking(func(ctx context.Context, s *server, m *keepwardv1.ChangePointsRequest) (string, error) {
		points, err := s.manager.PointsToRelease(ctx, m)
		return aboutPoints("end the hold of", points, m.GetReason()), err
	})},
	keepwardv1connect.JobServiceCreateJobProcedure: {when: "if points of a former job of its name would go", what: asking(func(ctx context.Context, s *server, m *keepwardv1.CreateJobRequest) (string, error) {
		switch _, err := catalog.GetJob(ctx, s.db.Read(), m.GetJob().GetName()); {
		case err == nil:
			return "", existsJob(m.GetJob().GetName())
		case errs.KindOf(err) != errs.NotFound:
			return "", err
		}
		return s.aboutSaving(ctx, m.GetJob())
	})},
	keepwardv1connect.JobServiceUpdateJobProcedure: {when: "if retention is shortened", what: asking(func(ctx context.Context, s *server, m *keepwardv1.UpdateJobRequest) (string, error) {
		had, err := catalog.GetJob(ctx, s.db.Read(), m.GetJob().GetName())
		if err == nil {
			err = unchanged(had, m.GetJob().GetRevision())
		}
		if err != nil {
			return "", err
		}
		m.Job.Revision = had.GetRevision() // what is approved later is a change of the job as it is now
		return s.aboutSaving(ctx, m.GetJob())
	})},
	keepwardv1connect.JobServiceResumeRetentionProcedure: {when: "always", what: asking(func(context.Context, *server, *keepwardv1.ResumeRetentionRequest) (string, error) {
		return "take the server's clock as right after its jump, and let retention delete by it", nil
	})},
	keepwardv1connect.ConfigServiceApplyProcedure: {when: "if it shortens something", again: true, what: asking(aboutApply)},
	keepwardv1connect.RepositoryServiceEditRepositoryProcedure: {when: "if points go sooner", what: asking(func(ctx context.Context, s *server, m *keepwardv1.EditRepositoryRequest) (string, error) {
		row, err := catalog.GetRepository(ctx, s.db.Read(), m.GetName())
		if err != nil {
			return "", err
		}
		want := configured(row)
		if m.UndeleteGrace != nil {
			want.UndeleteGrace = m.UndeleteGrace
		}
		if m.UnprotectedAfter != nil {
			want.UnprotectedAfter = m.UnprotectedAfter
		}
		return aboutRepository(row, want), nil
	})},
	keepwardv1connect.RepositoryServiceExportRecoveryKeyProcedure: {when: "always", again: true, what: asking(func(_ context.Context, _ *server, m *keepwardv1.ExportRecoveryKeyRequest) (string, error) {
		return fmt.Sprintf("give out the recovery key of repository %s, which opens all that is in it", m.GetName()), nil
	})},
	keepwardv1connect.RepositoryServiceAddRepositoryKeyProcedure: {when: "always", again: true, what: asking(func(_ context.Context, _ *server, m *keepwardv1.AddRepositoryKeyRequest) (string, error) {
		what := fmt.Sprintf("make a new key that opens all that is in repository %s", m.GetName())
		if m.GetReplace() {
			what += ", in the place of those that there are"
		}
		return what, nil
	})},
	keepwardv1connect.RepositoryServiceRemoveRepositoryKeyProcedure: {when: "always", what: asking(func(_ context.Context, _ *server, m *keepwardv1.RemoveRepositoryKeyRequest) (string, error) {
		return fmt.Sprintf("remove key %s of repository %s, which opens it no more then", m.GetNumber(), m.GetName()), nil
	})},

	keepwardv1connect.SettingsServiceSetSettingProcedure: {when: "to switch second_person off", disk: true, what: asking(func(_ context.Context, _ *server, m *keepwardv1.SetSettingRequest) (string, error) {
		if aboutSetting(m) == secondPersonOff {
			return alone, nil
		}
		return "", nil
	})},
	keepwardv1connect.SettingsServiceResetSettingProcedure: {when: "to switch second_person off", disk: true, what: asking(func(_ context.Context, _ *server, m *keepwardv1.ResetSettingRequest) (string, error) {
		if m.GetName() == settingSecondPerson {
			return alone, nil
		}
		return "", nil
	})},
	keepwardv1connect.UserServiceCreateUserProcedure: {when: "of an administrator", disk: true, what: asking(func(_ context.Context, _ *server, m *keepwardv1.CreateUserRequest) (string, error) {
		if m.GetRole() != roleAdmin || len(m.GetLimit().GetGroups()) > 0 {
			return "", nil
		}
		return fmt.Sprintf("make %s an administrator of the whole site, with a password that the one who asked knows", m.GetName()), nil
	})},
	keepwardv1connect.UserServiceEditUserProcedure: {when: "to make an administrator", disk: true, what: asking(func(ctx context.Context, s *server, m *keepwardv1.EditUserRequest) (string, error) {
		u, err := catalog.GetUser(ctx, s.db.Read(), m.GetName())
		if err != nil {
			return "", err
		}
		to := u
		if m.GetRole() != "" {
			to.Role = m.GetRole()
		}
		if m.GetLimit() != nil {
			to.Groups = m.GetLimit().GetGroups()
		}
		if !ruling(to) || ruling(u) {
			return "", nil
		}
		return fmt.Sprintf("make user %s an administrator of the whole site", u.Name), nil
	})},
	keepwardv1connect.UserServiceSetPasswordProcedure: {when: "of another administrator", disk: true, what: asking(func(ctx context.Context, s *server, m *keepwardv1.SetPasswordRequest) (string, error) {
		c, _ := callerOf(ctx)
		if m.GetName() == "" || m.GetName() == c.user.Name {
			return "", nil // the own one
		}
		u, err := catalog.GetUser(ctx, s.db.Read(), m.GetName())
		if err != nil || !ruling(u) {
			return "", err
		}
		return fmt.Sprintf("set the password of %s, an administrator, to one that the one who asked knows", u.Name), nil
	})},
	keepwardv1connect.SignOnServiceSetSignOnProviderProcedure: {when: "always", what: asking(func(_ context.Context, _ *server, m *keepwardv1.SetSignOnProviderRequest) (string, error) {
		return fmt.Sprintf("let %s say who users are, administrators among them", m.GetProvider().GetIssuer()), nil
	})},
}

// asking fits a function of one message's type.
func asking[M proto.Message](what func(context.Context, *server, M) (string, error)) func(context.Context, *server, any) (string, error) {
	return func(ctx context.Context, s *server, m any) (string, error) {
		of, ok := m.(M)
		if !ok {
			return "", errs.New(errs.Internal, "", "ask for approval: the message is a %T", m)
		}
		text, err := what(ctx, s, of)
		if err != nil {
			return "", err
		}
		return text, nil
	}
}

// ruling users may approve.
func ruling(u catalog.User) bool { return u.Role == roleAdmin && len(u.Groups) == 0 }

// pointsShown bounds how many points are named one by one.
const pointsShown = 20

func aboutPoints(do string, points []*keepwardv1.Point, reason string) string {
	if len(points) == 0 {
		return "" // they are so already
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: ", do, words.Plural(int64(len(points)), "restore point"))
	for i, p := range points {
		if i > 0 {
			b.WriteString("; ")
		}
		if i == pointsShown {
			fmt.Fprintf(&b, "and %d more", len(points)-i)
			break
		}
		fmt.Fprintf(&b, "%s of %s, %s, in %s", p.GetId(), p.GetComputer(), p.GetTime().AsTime().UTC().Format(time.RFC3339), p.GetRepository())
	}
	if reason != "" {
		fmt.Fprintf(&b, " (reason: %s)", reason)
	}
	return b.String()
}

// aboutSaving is aboutJob for a job that could be saved as it is.
func (s *server) aboutSaving(ctx context.Context, j *keepwardv1.Job) (string, error) {
	if j == nil {
		return "", nil // which is refused
	}
	j = proto.CloneOf(j)
	config.CompleteJob(j)
	site, err := siteOf(ctx, s.db.Read())
	if err != nil {
		return "", err
	}
	if err := config.Error(config.CheckJob(j, site)); err != nil {
		return "", err
	}
	return s.aboutJob(ctx, j)
}

// aboutJobs is what is shortened by jobs as they would be saved.
func (s *server) aboutJobs(ctx context.Context, wanted ...*keepwardv1.Job) (string, error) {
	var parts []string
	for _, j := range wanted {
		what, err := s.aboutJob(ctx, j)
		if err != nil {
			return "", err
		}
		if what != "" {
			parts = append(parts, what)
		}
	}
	return strings.Join(parts, "; "), nil
}

func (s *server) aboutJob(ctx context.Context, j *keepwardv1.Job) (string, error) {
	had, err := catalog.GetJob(ctx, s.db.Read(), j.GetName())
	if err != nil && errs.KindOf(err) != errs.NotFound {
		return "", err
	}
	kept := "keep everything, as the former job of this name is gone"
	var is retention.Policy // without the job everything stays
	if err == nil {
		is = config.PolicyOf(had.GetRetention())
		kept = is.String()
	}
	will := config.PolicyOf(j.GetRetention())
	if will.NoShorter(is) {
		return "", nil
	}
	points, err := catalog.Points(ctx, s.db.Read(), catalog.PointFilter{Job: j.GetName(), Bare: true, Limit: 1})
	if err != nil || had == nil && len(points) == 0 {
		return "", err
	}
	// Nothing that the next backup changes stands in it: what is approved must be the same until then.
	return fmt.Sprintf("shorten the retention of job %s from %q to %q", j.GetName(), kept, will), nil
}

// aboutRepository is what is deleted sooner with other limits of a repository.
func aboutRepository(row catalog.Repository, want *keepwardv1.Repository) string {
	is, will := row.Upkeep, upkeepOf(want)
	var parts []string
	if will.Grace() < is.Grace() {
		parts = append(parts, fmt.Sprintf("let deleted points of repository %s be undeleted for %s instead of %s", row.Name, words.FormatDuration(will.Grace()), words.FormatDuration(is.Grace())))
	}
	if will.UnprotectedAfter > 0 && (is.UnprotectedAfter == 0 || will.UnprotectedAfter < is.UnprotectedAfter) {
		before := "never"
		if is.UnprotectedAfter > 0 {
			before = "after " + words.FormatDuration(is.UnprotectedAfter)
		}
		parts = append(parts, fmt.Sprintf("delete points of computers that no job names, in repository %s, after %s instead of %s", row.Name, words.FormatDuration(will.UnprotectedAfter), before))
	}
	return strings.Join(parts, "; ")
}

// aboutApply is what files would shorten. Files that are wrong are refused by the call itself, whole.
func aboutApply(ctx context.Context, s *server, m *keepwardv1.ApplyRequest) (string, error) {
	docs, faults := config.Parse(m.GetFiles())
	if len(faults) > 0 || m.GetDryRun() {
		return "", nil
	}
	var parts []string
	var jobs []*keepwardv1.Job
	for _, d := range docs {
		switch {
		case d.Job != nil:
			jobs = append(jobs, d.Job)
		case d.Repository != nil:
			row, err := catalog.GetRepository(ctx, s.db.Read(), d.Name)
			if errs.KindOf(err) == errs.NotFound {
				continue
			}
			if err != nil {
				return "", err
			}
			if what := aboutRepository(row, d.Repository); what != "" {
				parts = append(parts, what)
			}
		}
	}
	what, err := s.aboutJobs(ctx, jobs...)
	if what != "" {
		parts = append(parts, what)
	}
	return strings.Join(parts, "; "), err
}

const alone = "set " + settingSecondPerson + " to off: one administrator could do alone again what takes protection away"

// aboutSetting tells whether a call turns the second person on or off. Values that are none are refused by
// the call itself.
func aboutSetting(m *keepwardv1.SetSettingRequest) secondPerson {
	if m.GetName() != settingSecondPerson {
		return secondPersonAsItIs
	}
	switch on, err := manager.ParseSwitch(m.GetName(), m.GetValue()); {
	case err != nil:
		return secondPersonAsItIs
	case on:
		return secondPersonOn
	}
	return secondPersonOff
}

type secondPerson int

const (
	secondPersonAsItIs secondPerson = iota
	secondPersonOn
	secondPersonOff
)
