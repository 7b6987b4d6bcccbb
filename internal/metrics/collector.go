package metrics

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"keepward/internal/job"
)

const (
	// Fresh is how long facts are told again before they are asked for anew: two who scrape, or one
	// who does so all the time, cost the server as much as one.
	Fresh = 5 * time.Second
	// askMost bounds how long the source may take; Prometheus gives up after 10 s by itself.
	askMost = 8 * time.Second
)

// descs are the table as Prometheus describes metrics.
var descs = func() map[string]*prometheus.Desc {
	m := make(map[string]*prometheus.Desc, len(Table))
	for _, r := range Table {
		m[r.Name] = prometheus.NewDesc(r.Name, r.Help, r.Labels, nil)
	}
	return m
}()

// Config is what a Collector is made with.
type Config struct {
	Source  Source
	Version string
	Started time.Time
	Now     func() time.Time
	Log     *slog.Logger
}

// Collector tells Prometheus what a Source knows.
type Collector struct {
	cfg Config

	mu     sync.Mutex
	ledger *ledger
	asked  time.Time
	told   []prometheus.Metric
}

// New makes a Collector whose counters begin with the start of the server.
func New(cfg Config) *Collector {
	return &Collector{cfg: cfg, ledger: newLedger(cfg.Started)}
}

// Describe is prometheus.Collector's.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, r := range Table {
		out <- descs[r.Name]
	}
}

// Collect is prometheus.Collector's. Where the facts cannot be had it says so by keepward_ready
// alone: a server in trouble must not look like one that is gone.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	c.mu.Lock()
	if now := c.cfg.Now(); c.told == nil || now.Sub(c.asked) >= Fresh || now.Before(c.asked) {
		c.told, c.asked = c.ask(), now
	}
	told := c.told
	c.mu.Unlock()
	for _, m := range told {
		out <- m
	}
}

// ask is bounded by a time of its own: Collect has no context.
func (c *Collector) ask() []prometheus.Metric {
	ctx, cancel := context.WithTimeout(context.Background(), askMost)
	defer cancel()
	var s sheet
	s.put("keepward_build_info", 1, c.cfg.Version)
	s.put("keepward_start_timestamp_seconds", seconds(c.cfg.Started))
	ready := c.cfg.Source.Ready(ctx)
	facts, err := c.cfg.Source.Facts(ctx)
	if err == nil {
		err = c.ledger.know(ctx, c.cfg.Source, facts.Jobs)
	}
	if err == nil {
		err = c.ledger.enter(ctx, c.cfg.Source)
	}
	if err != nil {
		c.cfg.Log.Warn("metrics not read", "error", err)
		s.put("keepward_ready", 0)
		return s.list
	}
	s.put("keepward_ready", truth(ready == nil))
	s.site(facts, c.ledger)
	s.sessions(facts.Sessions)
	s.ledger(c.ledger)
	s.jobs(facts.Jobs, c.ledger)
	s.repositories(facts.Repositories)
	return s.list
}

// sheet gathers metrics.
type sheet struct{ list []prometheus.Metric }

func (s *sheet) put(name string, v float64, labels ...string) {
	kind := prometheus.GaugeValue
	if kinds[name] == Counter {
		kind = prometheus.CounterValue
	}
	m, err := prometheus.NewConstMetric(descs[name], kind, v, labels...)
	if err != nil { // a label that is not UTF-8: the scrape says so
		m = prometheus.NewInvalidMetric(descs[name], err)
	}
	s.list = append(s.list, m)
}

var kinds = func() map[string]Kind {
	m := make(map[string]Kind, len(Table))
	for _, r := range Table {
		m[r.Name] = r.Kind
	}
	return m
}()

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (s *sheet) site(f *Facts, l *ledger) {
	for _, c := range f.Certificates {
		s.put("keepward_certificate_expiry_timestamp_seconds", seconds(c.Expires), c.Name)
	}
	open := map[Condition]float64{}
	for _, c := range f.Conditions {
		open[c]++
	}
	for _, j := range l.jobs {
		if j.failed {
			open[Condition{Code: "job.failed", Severity: "error"}]++
		}
	}
	for c, n := range open {
		s.put("keepward_conditions", n, c.Code, c.Severity)
	}
	s.put("keepward_computers", float64(len(f.Computers)))
	s.put("keepward_computers_online", float64(f.ComputersOnline))
	s.put("keepward_transports", float64(f.Transports))
	s.put("keepward_transports_online", float64(f.TransportsOnline))
	for _, c := range f.Computers {
		s.put("keepward_computer_last_success_timestamp_seconds", seconds(c.Last), c.Name)
	}
}

// queue is how many wait for a reason, and since when the first does.
type queue struct {
	count  int64
	oldest time.Time
}

func (s *sheet) sessions(list []Sessions) {
	type key struct {
		t job.Type
		s job.Status
	}
	active, waiting := map[key]int64{}, map[string]*queue{}
	for _, one := range list {
		active[key{one.Type, one.Status}] += one.Count
		if one.Status.Class() != job.Parked {
			continue
		}
		q := waiting[one.Reason]
		if q == nil {
			q = &queue{oldest: one.Oldest}
			waiting[one.Reason] = q
		}
		q.count += one.Count
		if one.Oldest.Before(q.oldest) {
			q.oldest = one.Oldest
		}
	}
	for k, n := range active {
		s.put("keepward_sessions", float64(n), string(k.t), string(k.s))
	}
	for reason, q := range waiting {
		if reason == "" {
			reason = string(job.NoReason)
		}
		s.put("keepward_sessions_waiting", float64(q.count), reason)
		s.put("keepward_sessions_waiting_oldest_timestamp_seconds", seconds(q.oldest), reason)
	}
}

func (s *sheet) ledger(l *ledger) {
	for t, a := range l.types {
		for r, n := range a.results {
			s.put("keepward_sessions_ended_total", n, string(t), string(r))
		}
		s.put("keepward_session_processed_bytes_total", float64(a.volume.Processed), string(t))
		s.put("keepward_session_read_bytes_total", float64(a.volume.Read), string(t))
		s.put("keepward_session_sent_bytes_total", float64(a.volume.Sent), string(t))
		s.put("keepward_session_stored_bytes_total", float64(a.volume.Stored), string(t))
		buckets, sum := make(map[float64]uint64, len(durations)), uint64(0)
		for i, bound := range durations {
			sum += a.buckets[i]
			buckets[bound] = sum
		}
		s.list = append(s.list, prometheus.MustNewConstHistogram(descs["keepward_session_duration_seconds"], a.count, a.seconds, buckets, string(t)))
	}
}

func (s *sheet) jobs(list []Job, l *ledger) {
	for _, j := range list {
		success := l.jobs[j.Name].success
		s.put("keepward_job_last_success_timestamp_seconds", seconds(success), j.Name)
		if j.Spacing == 0 {
			continue
		}
		if success.Before(j.Created) {
			success = j.Created
		}
		s.put("keepward_job_success_due_timestamp_seconds", seconds(success.Add(2*j.Spacing)), j.Name)
	}
}

func (s *sheet) repositories(list []Repository) {
	for _, r := range list {
		s.put("keepward_repository_up", truth(r.Up), r.Name)
		s.put("keepward_repository_looked_timestamp_seconds", seconds(r.Looked), r.Name)
		s.put("keepward_repository_streams", float64(r.Streams), r.Name)
		s.put("keepward_repository_streams_used", float64(r.StreamsUsed), r.Name)
		if !r.Looked.IsZero() {
			s.put("keepward_repository_size_bytes", float64(r.SizeBytes), r.Name)
			s.put("keepward_repository_free_bytes", float64(r.FreeBytes), r.Name)
			s.put("keepward_repository_points", float64(r.Points), r.Name)
		}
		if p := r.Proof; p != nil {
			s.put("keepward_repository_proof_bytes", float64(p.Bytes), r.Name)
			s.put("keepward_repository_proof_proved_bytes", float64(p.ProvedBytes), r.Name)
			s.put("keepward_repository_proof_due_bytes", float64(p.DueBytes), r.Name)
			s.put("keepward_repository_proof_oldest_timestamp_seconds", seconds(p.Oldest), r.Name)
			s.put("keepward_repository_damaged_packs", float64(p.DamagedPacks), r.Name)
		}
	}
}
