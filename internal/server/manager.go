package server

import (
	"context"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/broker"
	"keepward/internal/catalog"
	"keepward/internal/manager"
	"keepward/internal/retention"
)

// jobManager is what the server asks of internal/manager.
type jobManager interface {
	keepwardv1connect.SessionServiceHandler
	keepwardv1connect.SessionDetailServiceHandler
	keepwardv1connect.SettingsServiceHandler
	keepwardv1connect.QueueServiceHandler
	keepwardv1connect.TrafficServiceHandler
	keepwardv1connect.PointServiceHandler
	keepwardv1connect.ContentServiceHandler
	keepwardv1connect.RestoreServiceHandler

	Serve(ctx context.Context) error
	// Ready tells whether it does its work.
	Ready() bool
	// Streams is how many streams of each repository are in use.
	Streams() []broker.Use

	NodeOnline(n manager.Node)
	NodeOffline(n manager.Node)
	Heartbeat(ctx context.Context, n manager.Node, boot string, attempts []*keepwardv1.AttemptState) ([]string, error)
	// Supplied is told how the computer of an agent is supplied; nil: it does not say.
	Supplied(n manager.Node, s *keepwardv1.Supply)
	// Rates are what the attempts of a node may move.
	Rates(n manager.Node) []*keepwardv1.AttemptRates
	Progress(ctx context.Context, n manager.Node, attempt string, p *keepwardv1.Progress) error
	Events(ctx context.Context, n manager.Node, attempt string, events []*keepwardv1.Event) error
	End(ctx context.Context, n manager.Node, attempt string, end *keepwardv1.AttemptEnd) error

	// Preferred sorts addresses, those to try first first.
	Preferred(addresses []string) []string

	ConfigChanged()
	// RescanGroups starts a session that reads the lists of groups again.
	RescanGroups(ctx context.Context, names []string) (int64, error)
	// InstallUpdate starts a session in which an agent becomes another version; by: who wants it.
	InstallUpdate(ctx context.Context, o *keepwardv1.UpdateOrder, by string) (int64, error)
	// AgentUpdates are the settings about updates of agents.
	AgentUpdates() (byThemselves bool, atOnce int, trial time.Duration)
	// ListProtectionDays lists what the backups of computers came to, day by day.
	ListProtectionDays(ctx context.Context, req *keepwardv1.ListProtectionDaysRequest) (*keepwardv1.ListProtectionDaysResponse, error)
	// ListHours lists the hours before and behind now.
	ListHours(ctx context.Context, req *keepwardv1.ListHoursRequest) (*keepwardv1.ListHoursResponse, error)
	// ConsoleURL is the setting of where browsers reach the console.
	ConsoleURL() string
	// ConfirmLogins is the setting of how long a login is trusted with what is harmful.
	ConfirmLogins(ctx context.Context) (time.Duration, error)
	// SecondPerson is the setting of whether a second administrator must approve what takes protection away.
	SecondPerson(ctx context.Context) (bool, error)
	// ApprovalWait is the setting of how long that may be decided on.
	ApprovalWait() time.Duration
	// PointsToDelete and PointsToRelease are the points that such a call would change; they fail where it would.
	PointsToDelete(ctx context.Context, req *keepwardv1.ChangePointsRequest) ([]*keepwardv1.Point, error)
	PointsToRelease(ctx context.Context, req *keepwardv1.ChangePointsRequest) ([]*keepwardv1.Point, error)
	// UnprotectedDays is how old the newest point of a computer may be.
	UnprotectedDays() int
	// RulesChanged returns when rules of the queue hold that were written.
	RulesChanged(ctx context.Context) error
	RunJob(ctx context.Context, name string, full bool) (int64, error)
	// RunJobWith starts a session of a job when and how its options say.
	RunJobWith(ctx context.Context, name string, o manager.RunOptions) (int64, error)
	Check(ctx context.Context, req *keepwardv1.CheckRepositoryRequest) (int64, error)
	KeepProved(ctx context.Context, row catalog.Repository, now time.Time) (session int64, err error)
	Rebuild(ctx context.Context, repository string) (int64, error)
	// ReconcileRepository starts a session that compares an index with its directory.
	ReconcileRepository(ctx context.Context, repository string) (int64, error)
	// Sweep starts a session that gives back the space of what no point needs.
	Sweep(ctx context.Context, order *keepwardv1.SweepRepositoryRequest) (int64, error)
	// DryRun asks agents what a backup with a job would take now.
	DryRun(ctx context.Context, j *keepwardv1.Job, computers []string, send func(*keepwardv1.DryRunResponse) error) error
	// PreviewRetention says what retention would do now; by want, if set, in place of the job's own.
	PreviewRetention(ctx context.Context, jobName string, want *keepwardv1.Retention) (*keepwardv1.PreviewRetentionResponse, error)

	// ResumeRetention takes the clock as right, and answers how far it had jumped.
	ResumeRetention(ctx context.Context) (time.Duration, error)
	// Reconcile takes over what marks the points of a repository as deleted or held.
	Reconcile(ctx context.Context, repository string) error
	// Conditions are the lasting problems that it knows of.
	Conditions() []*keepwardv1.Condition

	// JobActive is the newest session of a job that is not over; 0: none.
	JobActive(ctx context.Context, job string) (int64, error)
	// NextRuns are the coming runs of a job, and in words when it runs where that cannot be told.
	NextRuns(ctx context.Context, j *keepwardv1.Job, n int) ([]*keepwardv1.NextRun, string, error)
	// KeptYear says what would be there of a year of a job's runs; daily: taken as one a day.
	KeptYear(ctx context.Context, j *keepwardv1.Job) (days []retention.Day, daily bool)
	// JobFigures says how the sessions of a job went.
	JobFigures(ctx context.Context, req *keepwardv1.GetJobFiguresRequest) (*keepwardv1.JobFigures, error)
	// DescribeJob fills in next and last run.
	DescribeJob(ctx context.Context, j *keepwardv1.Job) error
	// RecentSessions are the newest sessions of a job, the newest first.
	RecentSessions(ctx context.Context, job string, limit int) ([]*keepwardv1.Session, error)
	ActiveSessions(ctx context.Context, limit int) ([]*keepwardv1.Session, error)
	EndedSince(ctx context.Context, since time.Time) ([]*keepwardv1.Session, error)
	// PointsOf are the restore points of a computer, the newest first.
	PointsOf(ctx context.Context, computer string) ([]*keepwardv1.Point, error)
	LastPoint(ctx context.Context, computer string) (time.Time, error)
}
