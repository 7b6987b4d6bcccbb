// Package metrics is what a monitoring system is told of a server, as Prometheus asks for it: the
// table of all metrics, and the collector that fills it from what a Source knows.
//
// It is not for deciding anything, and it reads no database itself. A Collector is safe for
// concurrent use: who asks at once gets the same facts.
package metrics

// Kind is what a metric is to Prometheus.
type Kind string

// The kinds.
const (
	Gauge     Kind = "gauge"
	Counter   Kind = "counter"
	Histogram Kind = "histogram"
)

// Metric is a row of the table.
type Metric struct {
	Name   string
	Kind   Kind
	Labels []string
	Help   string
	// Series says how many series it may have: labels whose values nothing bounds are not allowed.
	Series string
}

const (
	one           = "1"
	perType       = "one for each job type"
	perRepository = "one for each repository"
	perJob        = "one for each job"
)

// Table has one row for each metric. Names are never used again for something else.
var Table = []Metric{
	{"keepward_build_info", Gauge, []string{"version"}, "Always 1; the version of the server is in its label.", one},
	{"keepward_ready", Gauge, nil, "Whether the catalog answers and the job manager runs, as /readyz says it.", one},
	{"keepward_start_timestamp_seconds", Gauge, nil, "When the server was started. Its counters begin with it.", one},
	{"keepward_certificate_expiry_timestamp_seconds", Gauge, []string{"certificate"}, "When a certificate of the server ends: server is the one that it shows, authority the one that everybody pins.", "2"},
	{"keepward_conditions", Gauge, []string{"code", "severity"}, "Lasting problems that are open now, as 'keepward status' lists them; changes.missed is not among them.", "one for each code that is open; a code is one of the program"},

	{"keepward_sessions", Gauge, []string{"type", "status"}, "Sessions that are not over.", "job types × statuses, those that occur"},
	{"keepward_sessions_waiting", Gauge, []string{"reason"}, "Sessions that wait, by the code of the reason for delay.", "one for each reason that occurs"},
	{"keepward_sessions_waiting_oldest_timestamp_seconds", Gauge, []string{"reason"}, "When the first of the sessions that wait for this reason was submitted.", "one for each reason that occurs"},
	{"keepward_sessions_ended_total", Counter, []string{"type", "result"}, "Sessions that have ended since the start of the server, by result: None, Success, Warning, Failed.", "job types × 4"},
	{"keepward_session_duration_seconds", Histogram, []string{"type"}, "How long the sessions took that have ended since the start of the server, from the start of their first task.", "job types × 11"},
	{"keepward_session_processed_bytes_total", Counter, []string{"type"}, "Bytes that the sessions dealt with that have ended since the start of the server, read or taken over.", perType},
	{"keepward_session_read_bytes_total", Counter, []string{"type"}, "Bytes that they read from their source.", perType},
	{"keepward_session_sent_bytes_total", Counter, []string{"type"}, "Bytes that they sent over data connections.", perType},
	{"keepward_session_stored_bytes_total", Counter, []string{"type"}, "Bytes by which they made packs grow.", perType},

	{"keepward_job_last_success_timestamp_seconds", Gauge, []string{"backup_job"}, "When the newest session of the job ended that left a result; 0: none of the newest 1000 did.", perJob},
	{"keepward_job_success_due_timestamp_seconds", Gauge, []string{"backup_job"}, "When the next success should be there: twice the longest pause of the job's calendar after the last one, or after the job was made. Not there for jobs that are disabled or that no calendar starts.", perJob},

	{"keepward_computers", Gauge, nil, "Computers that are known.", one},
	{"keepward_computers_online", Gauge, nil, "Computers whose agent is connected.", one},
	{"keepward_computer_last_success_timestamp_seconds", Gauge, []string{"computer"}, "When the computer's newest restore point was made that is whole and not deleted; 0: it has none.", "one for each computer: the only metric that has that many"},
	{"keepward_transports", Gauge, nil, "Transports that are known.", one},
	{"keepward_transports_online", Gauge, nil, "Transports that are connected.", one},

	{"keepward_repository_up", Gauge, []string{"repository"}, "Whether the repository can be used.", perRepository},
	{"keepward_repository_size_bytes", Gauge, []string{"repository"}, "What the repository takes on its disk, as counted last.", perRepository},
	{"keepward_repository_free_bytes", Gauge, []string{"repository"}, "What is free on its disk, as counted last.", perRepository},
	{"keepward_repository_looked_timestamp_seconds", Gauge, []string{"repository"}, "When the repository was counted last; 0: never.", perRepository},
	{"keepward_repository_points", Gauge, []string{"repository"}, "Restore points in it, as counted last.", perRepository},
	{"keepward_repository_streams", Gauge, []string{"repository"}, "How many streams may write to or read from it at once.", perRepository},
	{"keepward_repository_streams_used", Gauge, []string{"repository"}, "How many of them are held by tasks.", perRepository},
	{"keepward_repository_proof_bytes", Gauge, []string{"repository"}, "Bytes that restore points need, as the transport counted for proofs last. The metrics about proofs are not there before it has.", perRepository},
	{"keepward_repository_proof_proved_bytes", Gauge, []string{"repository"}, "Of these, those that were ever compared with their hashes.", perRepository},
	{"keepward_repository_proof_due_bytes", Gauge, []string{"repository"}, "Proof debt: of these, those that should have been proved again by now.", perRepository},
	{"keepward_repository_proof_oldest_timestamp_seconds", Gauge, []string{"repository"}, "When the pack was proved whose proof is the oldest; 0: none is proved.", perRepository},
	{"keepward_repository_damaged_packs", Gauge, []string{"repository"}, "Packs that hold records marked as damaged.", perRepository},
}
