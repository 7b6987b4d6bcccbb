package server

import (
	"cmp"
	"context"
	"database/sql"
	"maps"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/group"
	"keepward/internal/job"
	"keepward/internal/manager"
	"keepward/internal/notify"
	"keepward/internal/pki"
	sitereport "keepward/internal/report"
	"keepward/internal/schedule"
)

// reportPeriods are what reports can cover.
var reportPeriods = map[string]struct {
	kind       string
	days       int
	schedule   string // where none is given
	pictureDay int32  // how many days its picture has
}{
	"daily":  {notify.ReportDaily, 1, "daily 07:00", 14},
	"weekly": {notify.ReportWeekly, 7, "weekly mon 07:00", 28},
}

const (
	// reportsApart is the least time between two of a report, and reportMoments how many are looked at for that.
	reportsApart  = time.Hour
	reportMoments = 5
	// reportTargetsMost bounds where one goes.
	reportTargetsMost = 50
)

func badReport(name, format string, args ...any) *errs.Error {
	return errs.New(errs.Invalid, "notify.report", "save report "+name+": "+format, args...)
}

func checkReport(r *keepwardv1.Report) error {
	if err := pki.CheckName("report", r.GetName()); err != nil {
		return errs.New(errs.Invalid, errs.CodeOf(err), "%w", err)
	}
	if n := len(r.GetTargets()); n == 0 || n > reportTargetsMost {
		return badReport(r.GetName(), "it goes to %d targets, it must be 1 to %d", n, reportTargetsMost)
	}
	if len(r.GetDescription()) > 1024 {
		return badReport(r.GetName(), "its description is too long")
	}
	if _, ok := reportPeriods[r.GetPeriod()]; !ok {
		return badReport(r.GetName(), "there is no period %q", r.GetPeriod()).WithHint("there is %s", "daily and weekly")
	}
	s, err := schedule.Parse(r.GetSchedule(), time.Local)
	if err != nil {
		return badReport(r.GetName(), "%w", err)
	}
	if s.Kind() != schedule.Calendar || s.PerComputer() {
		return badReport(r.GetName(), "schedule %q has no moments of its own", r.GetSchedule()).WithHint("for example: daily 07:00 in Europe/Paris")
	}
	moments := s.NextN(time.Now(), reportMoments)
	for i := 1; i < len(moments); i++ {
		if moments[i].Sub(moments[i-1]) < reportsApart {
			return badReport(r.GetName(), "schedule %q has it come more often than once an hour", r.GetSchedule())
		}
	}
	return nil
}

// reportMessage is a report as it is shown.
func reportMessage(r catalog.Report) *keepwardv1.Report {
	if next, ok := nextReport(r); ok && !r.GetDisabled() {
		r.Next = timestamp(next)
	}
	return r.Report
}

// nextReport is the first moment that no report was sent for.
func nextReport(r catalog.Report) (time.Time, bool) {
	s, err := schedule.Parse(r.GetSchedule(), time.Local)
	if err != nil {
		return time.Time{}, false // it was checked when it was saved
	}
	return s.Next(r.Sent)
}

func (s *notifyService) SaveReport(ctx context.Context, req *connect.Request[keepwardv1.SaveReportRequest]) (*connect.Response[keepwardv1.SaveReportResponse], error) {
	in := req.Msg.GetReport()
	r := &keepwardv1.Report{
		Name: in.GetName(), Description: in.GetDescription(), Disabled: in.GetDisabled(), Targets: in.GetTargets(),
		Period: cmp.Or(in.GetPeriod(), "daily"), Schedule: in.GetSchedule(), Group: in.GetGroup(),
	}
	if r.Schedule == "" {
		r.Schedule = reportPeriods[r.Period].schedule
	}
	if err := checkReport(r); err != nil {
		return nil, err
	}
	now := s.notes.now()
	row := catalog.Report{Report: r, Sent: now}
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		had, err := catalog.GetReport(ctx, tx, r.GetName())
		if err != nil && errs.KindOf(err) != errs.NotFound {
			return err
		}
		r.Created, r.Changed = cmp.Or(had.GetCreated(), timestamppb.New(now)), timestamppb.New(now)
		for _, name := range r.GetTargets() {
			if _, err := catalog.GetNotifyTarget(ctx, tx, name); err != nil {
				return err
			}
		}
		if r.GetGroup() != "" {
			if _, err := catalog.GetGroup(ctx, tx, r.GetGroup()); err != nil {
				return err
			}
		}
		return catalog.PutReport(ctx, tx, row)
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.SaveReportResponse{Report: reportMessage(row)}), nil
}

func (s *notifyService) ListReports(ctx context.Context, _ *connect.Request[keepwardv1.ListReportsRequest]) (*connect.Response[keepwardv1.ListReportsResponse], error) {
	rows, err := catalog.Reports(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	res := &keepwardv1.ListReportsResponse{}
	for _, r := range rows {
		res.Reports = append(res.Reports, reportMessage(r))
	}
	return connect.NewResponse(res), nil
}

func (s *notifyService) DeleteReport(ctx context.Context, req *connect.Request[keepwardv1.DeleteReportRequest]) (*connect.Response[keepwardv1.DeleteReportResponse], error) {
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		if _, err := catalog.GetReport(ctx, tx, req.Msg.GetName()); err != nil {
			return err
		}
		return catalog.DeleteReport(ctx, tx, req.Msg.GetName())
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.DeleteReportResponse{}), nil
}

func (s *notifyService) PreviewReport(ctx context.Context, req *connect.Request[keepwardv1.PreviewReportRequest]) (*connect.Response[keepwardv1.PreviewReportResponse], error) {
	r, err := catalog.GetReport(ctx, s.db.Read(), req.Msg.GetName())
	if err != nil {
		return nil, err
	}
	m, err := s.notes.report(ctx, r)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.PreviewReportResponse{Subject: m.Subject, Text: m.Body, Html: m.HTML, Picture: m.Pictures[daysPicture]}), nil
}

func (s *notifyService) SendReport(ctx context.Context, req *connect.Request[keepwardv1.SendReportRequest]) (*connect.Response[keepwardv1.SendReportResponse], error) {
	r, err := catalog.GetReport(ctx, s.db.Read(), req.Msg.GetName())
	if err != nil {
		return nil, err
	}
	m, err := s.notes.report(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := s.db.Write(ctx, func(tx *sql.Tx) error { return s.notes.putMessage(ctx, tx, m, r.GetTargets()) }); err != nil {
		return nil, err
	}
	s.notes.poke()
	return connect.NewResponse(&keepwardv1.SendReportResponse{Event: m.Event.ID}), nil
}

// sendReports puts the reports into the outbox whose moment has come: one for all moments that went by
// while the server was off. One that cannot be written holds up nothing else.
func (n *notifier) sendReports(ctx context.Context) error {
	rows, err := catalog.Reports(ctx, n.db.Read())
	if err != nil {
		return err
	}
	for _, r := range rows {
		next, ok := nextReport(r)
		if r.GetDisabled() || !ok || next.After(n.now()) {
			continue
		}
		m, err := n.report(ctx, r)
		if err != nil {
			if ctx.Err() == nil {
				n.log.Error("report not written, will try again", "report", r.GetName(), "error", err)
			}
			continue
		}
		err = n.db.Write(ctx, func(tx *sql.Tx) error {
			if mine, err := catalog.NoteReportSent(ctx, tx, r, m.Event.Time); err != nil || !mine {
				return err
			}
			return n.putMessage(ctx, tx, m, r.GetTargets())
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// daysPicture is the name by which a report shows its picture.
const daysPicture = "days"

// report writes a report as of now.
func (n *notifier) report(ctx context.Context, r catalog.Report) (notify.Message, error) {
	period := reportPeriods[r.GetPeriod()]
	f, err := n.facts(ctx, r, period.days, period.pictureDay)
	if err != nil {
		return notify.Message{}, err
	}
	written, err := sitereport.Write(f)
	if err != nil {
		return notify.Message{}, err
	}
	severity := notify.Info
	if f.Failed+f.Unprotected > 0 || len(f.Conditions) > 0 {
		severity = notify.Warning
	}
	e := n.event(period.kind, severity)
	e.Title, e.Text = strings.TrimPrefix(written.Subject, "[Keepward] "), written.Text
	e.Report = &notify.Report{
		Name: r.GetName(), Group: r.GetGroup(), From: f.From, To: f.To, Success: f.Success, Warning: f.Warning, Failed: f.Failed,
		Computers: f.Computers, Unprotected: f.Unprotected, Conditions: int64(len(f.Conditions)),
	}
	m := notify.Message{Event: e, Subject: written.Subject, Body: written.Text, HTML: written.HTML}
	if len(written.Picture) > 0 {
		m.Pictures = map[string][]byte{daysPicture: written.Picture}
	}
	return m, nil
}

// facts are what a report tells: of the whole site, or of what who is limited to its group may know of.
func (n *notifier) facts(ctx context.Context, r catalog.Report, days int, pictureDays int32) (f sitereport.Facts, err error) {
	zone := time.Local
	if s, err := schedule.Parse(r.GetSchedule(), time.Local); err == nil {
		zone = s.Zone()
	}
	f.Server, f.Group, f.To, f.Console = n.host, r.GetGroup(), n.now().In(zone), n.consoleOrigin()
	f.From = f.To.AddDate(0, 0, -days)
	w := &horizon{ctx: ctx, db: n.db.Read()}
	var within []string
	if r.GetGroup() != "" {
		if w.computers, err = n.membersOf(ctx, r.GetGroup()); err != nil {
			return f, err
		}
		within = slices.AppendSeq([]string{}, maps.Keys(w.computers))
		ctx = manager.Within(ctx, within)
	}
	if err := n.sessionFacts(ctx, &f, within); err != nil {
		return f, err
	}
	standing := &keepwardv1.GetStatusResponse{}
	if _, err := n.fillStanding(ctx, standing); err != nil {
		return f, err
	}
	for _, c := range standing.GetComputers() {
		if within != nil && !w.computers[c.GetName()] || c.GetName() == job.ServerComputer {
			continue
		}
		f.Computers++
		if slices.Contains(c.GetViews(), viewUnprotected) {
			f.Unprotected++
		}
	}
	if f.Conditions, err = n.conditionsOf(ctx, standing); err != nil {
		return f, err
	}
	if within == nil {
		f.Repositories, err = n.repositoryFacts(ctx, standing.GetRepositories(), f.From)
	} else {
		f.Conditions = slices.DeleteFunc(f.Conditions, func(c *keepwardv1.Condition) bool {
			in, _ := w.keeps(c) // of a condition it asks nobody
			return !in
		})
	}
	if err != nil {
		return f, err
	}
	mostUrgent(f.Conditions)
	f.Days, err = n.manager.ListProtectionDays(ctx, &keepwardv1.ListProtectionDaysRequest{Days: pictureDays, Limit: sitereport.ComputersMost})
	return f, err
}

// membersOf are the computers of a group.
func (n *notifier) membersOf(ctx context.Context, name string) (map[string]bool, error) {
	if _, err := catalog.GetGroup(ctx, n.db.Read(), name); err != nil {
		return nil, err
	}
	site, err := group.Load(ctx, n.db.Read(), n.now())
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, m := range site.Members(name).List {
		out[m.GetComputer()] = true
	}
	return out, nil
}

// sessionFacts counts what ended, the newest first. What failed and was taken on by a later session counts
// as that one; one that only browses is nobody's news.
func (n *notifier) sessionFacts(ctx context.Context, f *sitereport.Facts, within []string) error {
	rows, err := catalog.Sessions(ctx, n.db.Read(), catalog.SessionFilter{EndedAfter: f.From, Within: within})
	if err != nil {
		return err
	}
	for _, row := range rows {
		if row.Type == job.IndexRestore {
			continue
		}
		switch row.Status.Result() {
		case job.ResultSuccess:
			f.Success++
			continue
		case job.ResultWarning:
			f.Warning++
			continue
		}
		if retried, err := catalog.RetriedBy(ctx, n.db.Read(), row); err != nil {
			return err
		} else if retried || !row.RetryAt.IsZero() {
			continue
		}
		f.Failed++
		f.FailedSessions = append(f.FailedSessions, &keepwardv1.Session{Id: row.ID, Type: string(row.Type), Job: row.Job, Ended: timestamp(row.Ended), Failure: row.Failure})
	}
	return nil
}

// repositoryFacts are repositories with how much more they hold than on the day of a moment.
func (n *notifier) repositoryFacts(ctx context.Context, list []*keepwardv1.Repository, since time.Time) (out []sitereport.Repository, err error) {
	days, err := catalog.RepositoryDays(ctx, n.db.Read(), catalog.DayOf(since))
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		one := sitereport.Repository{Repository: r}
		if known := days[r.GetName()]; len(known) > 0 {
			one.More = r.GetSizeBytes() - known[0].SizeBytes
		}
		out = append(out, one)
	}
	return out, nil
}
