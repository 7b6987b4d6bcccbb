package job

import "time"

// The limits, where nobody set them.
const (
	DefaultAttempts            = 10
	DefaultAttemptsRestore     = 144 // two days of tries, as long as a medium may be away
	DefaultRestartInterval     = 20 * time.Minute
	DefaultTotalRunningTime    = 6 * time.Hour
	DefaultStreams             = 4
	DefaultWriters             = 4
	DefaultClientTasks         = 1
	DefaultLeavingLimit        = 5 * time.Minute
	DefaultHeartbeat           = 15 * time.Second
	DefaultHeartbeatsLost      = 3
	DefaultReservationCleanup  = 1440 * time.Minute
	DefaultSnapshotKept        = 2 * time.Hour
	DefaultCompareEvery        = 30
	DefaultTrackingKept        = 8 * 24 * time.Hour
	DefaultSnapshotRetries     = 3
	DefaultClaimAfter          = time.Hour
	DefaultPreemptionsInRow    = 5
	DefaultProtectedRunning    = 10 * time.Minute
	DefaultSessionRetries      = 3
	DefaultSessionRetryAfter   = 10 * time.Minute
	DefaultMissed              = "run once"
	DefaultDuplicates          = DuplicatesQueue
	DefaultOnBattery           = "30%"
	DefaultOnMetered           = SupplyWait
	DefaultTotalRunningTimeEnd = "kill"
	DefaultConfirmLogins       = time.Hour
	DefaultApprovalWait        = 72 * time.Hour // over a weekend
	DefaultUndeleteGrace       = 72 * time.Hour // long enough to notice on Monday what went on Friday
	DefaultMaintenance         = "daily 03:00"
	DefaultSessionHistory      = 365 * 24 * time.Hour
	DefaultLogHistory          = 90 * 24 * time.Hour // what somebody reads is not older, and it is most of the catalog
	DefaultRecompress          = "idle"
	RecompressNever            = "never"
	DefaultForeignProof        = "first-use"
	ForeignProofArrival        = "arrival"
	ForeignProofNever          = "never"
	MaxParity                  = 25            // percent of a pack: its code has room for no more
	DefaultGroupRescan         = "daily 21:00" // before the backups of the night
	GroupRescanNever           = "never"
	DefaultUnprotectedDays     = 7
	DefaultAgentDays           = 7             // a laptop that is away for a week goes on
	DefaultProofBudget         = 8 * time.Hour // a night
	NotSet                     = "none"        // of a setting that is a text of a form of its own
	DefaultDataConnections     = 1
	MostDataConnections        = 16
	DefaultAgentTrial          = 2 * time.Minute
	DefaultAgentsAtOnce        = 5
)

// Setting is one row of the table of limits.
type Setting struct {
	Name string
	// Default is an int, a time.Duration, a string, or false for a switch that is off.
	Default     any
	Implemented bool
	Meaning     string
}

// Settings has one row for every limit and switch.
var Settings = []Setting{
	{"attempts", DefaultAttempts, true, "attempts per phase"},
	{"attempts_restore", DefaultAttemptsRestore, true, "attempts per phase of a restore of files"},
	{"restart_interval", DefaultRestartInterval, true, "from a failed attempt to the next"},
	{"total_running_time_limit", false, true, "end a session that runs too long"},
	{"total_running_time", DefaultTotalRunningTime, true, "how long is too long, from the start of its first task on"},
	{"total_running_time_end", DefaultTotalRunningTimeEnd, true, "kill, or commit: what is written by then is kept"},
	{"repository_streams", DefaultStreams, true, "tasks that move data to or from one repository at once"},
	{"mount_path_writers", DefaultWriters, true, "tasks that write to one mount path at once"},
	{"client_tasks", DefaultClientTasks, true, "tasks of one computer at once"},
	{"leaving_limit", DefaultLeavingLimit, true, "how long a task may take to let go before it is cut off"},
	{"heartbeat", DefaultHeartbeat, true, "how often a holder renews its lease"},
	{"heartbeats_lost", DefaultHeartbeatsLost, true, "silent heartbeats until the lease is lost"},
	{"reservation_cleanup_interval", DefaultReservationCleanup, true, "how often reservations without a living holder are looked for; also at start and at the end of a mover"},
	{"snapshot_kept", DefaultSnapshotKept, true, "how long the snapshot of an interrupted transfer is kept; 0: not at all"},
	{"tracking_kept", DefaultTrackingKept, true, "how long a computer keeps what tells the next backup of a job what has changed (a snapshot, a journal); 0: not at all"},
	{"compare_every", DefaultCompareEvery, true, "after how many runs of a job every file is compared, although it is known what has changed; 0: never"},
	{"snapshot_retries", DefaultSnapshotRetries, true, "how often a snapshot that failed is tried again"},
	{"claim_after", DefaultClaimAfter, true, "how long a task is passed over before what it lacks is kept for it"},
	{"preemptions_in_row", DefaultPreemptionsInRow, true, "interruptions after which a task is protected for a while"},
	{"protected_running", DefaultProtectedRunning, true, "that while"},
	{"restores_preempt_backups", false, true, "a restore may interrupt a backup of a higher number"},
	{"backups_preempt_backups", false, true, "a backup may interrupt a backup of a higher number"},
	{"copies_preempt_copies", false, true, "an auxiliary copy may interrupt a copy of a higher number"},
	{"priority_precedence", string(ClientFirst), true, "which digit comes second: client, or agent"},
	{"session_retries", DefaultSessionRetries, true, "retries of a failed scheduled session, failed tasks only"},
	{"session_retry_after", DefaultSessionRetryAfter, true, "from the end of the session to its retry"},
	{"missed", DefaultMissed, true, "a schedule missed while the server was down: run once, or skip"},
	{"on_battery", DefaultOnBattery, true, "what starts by itself while its computer runs on a battery: run, wait, or run down to a charge; per job"},
	{"on_metered", DefaultOnMetered, true, "what starts by itself while the network of its computer is metered: run, or wait; per job"},
	{"data_connections", DefaultDataConnections, true, "connections over which a task moves its data at once: more than one for long lines, or such that lose packets; also per job"},
	{"jitter", false, true, "spread the computers of a scheduled run over so long; per job"},
	{"session_history", DefaultSessionHistory, true, "how long sessions are kept that are over; the newest of each job stays; 0: for ever"},
	{"log_history", DefaultLogHistory, true, "how long their logs are kept; 0: for ever"},
	{"undelete_grace", DefaultUndeleteGrace, true, "how long a deleted restore point can be undeleted; per repository"},
	{"unprotected_after", false, true, "delete the points of a computer that no job names any more, after so long; per repository"},
	{"maintenance", DefaultMaintenance, true, "when retention and sweep run by themselves, or never; per repository"},
	{"recompress", DefaultRecompress, true, "when what was compressed fast is compressed harder: idle, while nothing else works on the repository, or never; per repository"},
	{"proof_days", false, true, "within how many days all content of a repository is proved again; per repository"},
	{"proof_budget", DefaultProofBudget, true, "how long the day's check for that may read"},
	{"foreign_proof", DefaultForeignProof, true, "when a chunk of another computer is proved before it is relied on: first-use, at arrival: all that a computer stores is opened before its point counts, or never: then it is stored again; per repository"},
	{"parity", false, true, "percent of its size that each pack gets as parity, by which a check mends it, up to 25; per repository"},
	{"group_rescan", DefaultGroupRescan, true, "when protection groups are read again and computers are asked what they are: a schedule, or never"},
	{"unprotected_days", DefaultUnprotectedDays, true, "days without a restore point after which a computer is in the view unprotected"},
	{"agent_days", DefaultAgentDays, true, "for how many days an agent gets attempts beforehand for the jobs that it manages: so long it works while the server is away"},
	{"agent_updates", false, true, "bring agents that are older than the server to its version by themselves, within the windows of the activity agent-updates"},
	{"agent_updates_at_once", DefaultAgentsAtOnce, true, "computers of a rollout that are updated at once, where nobody says how many"},
	{"agent_trial", DefaultAgentTrial, true, "how long a new version of an agent may take until the server has answered it; then the old one goes on"},
	{"preferred_networks", NotSet, true, "networks in CIDR notation: of several addresses of a computer or a transport, those in them are tried first"},
	{"console_url", NotSet, true, "where browsers reach the console, as https://HOST:PORT: passkeys and single sign-on go by it"},
	{"confirm_logins", DefaultConfirmLogins, true, "how long after the password was shown a login is trusted with what cannot be undone; then it is asked for again"},
	{"second_person", false, true, "what takes protection away for good is done only after a second administrator has approved it"},
	{"approval_wait", DefaultApprovalWait, true, "how long what a second administrator must approve waits for that and, approved, for who asked for it to do it"},
	{"duplicates", DefaultDuplicates, true, "a second session of the same job: allow, queue, cancel new, cancel lower level, cancel running; per job"},
}

// Attempts is how often a phase of t is tried where nobody set it.
func (t Type) Attempts() int {
	if t == Restore {
		return DefaultAttemptsRestore
	}
	return DefaultAttempts
}
