package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/manager"
	"keepward/internal/metrics"
	"keepward/internal/wire"
)

// The pages that programs other than clients ask for.
const (
	pageMetrics = "/metrics"
	pageHealth  = "/healthz"
	pageReady   = "/readyz"
)

// readyMost is how long the catalog may take to answer; who asks gives up soon after.
const readyMost = 2 * time.Second

// pages says who may ask for what is no call, as methods does for calls.
var pages = map[string]access{
	pageMetrics: users,
	pageHealth:  open,
	pageReady:   open,
}

// monitor is what a monitoring system asks.
type monitor struct {
	*server
	leaf time.Time // when the certificate ends that the server shows
}

// monitoring serves the pages; who may ask is looked at before.
func (s *server) monitoring(leaf time.Time) http.Handler {
	m := &monitor{s, leaf}
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		metrics.New(metrics.Config{Source: m, Version: s.cfg.Version, Started: s.started, Now: time.Now, Log: s.log}),
	)
	mux := http.NewServeMux()
	mux.Handle("GET "+pageMetrics, promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn)}))
	mux.HandleFunc("GET "+pageHealth, func(w http.ResponseWriter, r *http.Request) { sayState(w, r, nil) })
	mux.HandleFunc("GET "+pageReady, func(w http.ResponseWriter, r *http.Request) {
		err := m.Ready(r.Context())
		if err != nil {
			s.log.Warn("not ready", "error", err)
		}
		sayState(w, r, err)
	})
	return mux
}

// sayState answers whoever asks, so it says what is amiss in the words of this file and not in those of
// an error, which may have paths and names in it.
func sayState(w http.ResponseWriter, r *http.Request, err error) {
	status, reason := http.StatusOK, "ok"
	if err != nil {
		status, reason = http.StatusServiceUnavailable, string(readyReason(err))
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"status": reason}) // who does not listen need not know
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, reason)
}

// unready is why a server does not do its work, fit for everybody.
type unready string

func (u unready) Error() string { return string(u) }

const (
	starting  unready = "the job manager is still starting"
	noCatalog unready = "the catalog does not answer"
)

func readyReason(err error) unready {
	if u := unready(""); errors.As(err, &u) {
		return u
	}
	return "not ready"
}

// Ready is nil when the catalog answers and the manager runs.
func (m *monitor) Ready(ctx context.Context) error {
	if !m.manager.Ready() {
		return starting
	}
	ctx, cancel := context.WithTimeout(ctx, readyMost)
	defer cancel()
	var n int
	if err := m.db.Read().QueryRowContext(ctx, `SELECT count(*) FROM terms WHERE term = ?`, m.data.term.Load()).Scan(&n); err != nil {
		return fmt.Errorf("%w: %w", noCatalog, err)
	}
	return nil
}

// Facts are what the parts of the server know.
func (m *monitor) Facts(ctx context.Context) (*metrics.Facts, error) {
	f := &metrics.Facts{Certificates: []metrics.Certificate{
		{Name: "server", Expires: m.leaf}, {Name: "authority", Expires: m.data.authority.Certificate.NotAfter},
	}}
	for _, fill := range []func(context.Context, *metrics.Facts) error{m.computers, m.work, m.stores, m.others} {
		if err := fill(ctx, f); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func note(out *metrics.Facts, list ...*keepwardv1.Condition) {
	for _, c := range list {
		out.Conditions = append(out.Conditions, metrics.Condition{Code: c.GetCode(), Severity: c.GetSeverity()})
	}
}

func (m *monitor) computers(ctx context.Context, f *metrics.Facts) error {
	newest, err := catalog.NewestPoints(ctx, m.db.Read())
	if err != nil {
		return err
	}
	for _, p := range newest {
		f.Computers = append(f.Computers, metrics.Computer{Name: p.Computer, Last: p.Time})
	}
	rows, err := catalog.Computers(ctx, m.db.Read())
	if err != nil {
		return err
	}
	now := time.Now()
	for _, row := range rows {
		live := m.nodes.liveness(manager.Node{Role: wire.RoleAgent, Name: row.Name})
		if live.Online {
			f.ComputersOnline++
			row.LastSeen, row.Skew = live.Seen, live.Skew
		}
		note(f, computerConditions(row, live.Online)...)
		note(f, m.nodes.twins.conditions(row.Name, now)...)
	}
	transports, err := m.transportMessages(ctx)
	if err != nil {
		return err
	}
	f.Transports = len(transports)
	for _, t := range transports {
		if t.Status == statusOnline {
			f.TransportsOnline++
		}
	}
	note(f, transportConditions(transports)...)
	return nil
}

func (m *monitor) work(ctx context.Context, f *metrics.Facts) error {
	active, err := catalog.CountActive(ctx, m.db.Read())
	if err != nil {
		return err
	}
	for _, a := range active {
		f.Sessions = append(f.Sessions, metrics.Sessions(a))
	}
	jobs, err := catalog.Jobs(ctx, m.db.Read())
	if err != nil {
		return err
	}
	now := time.Now()
	for _, j := range jobs {
		one := metrics.Job{Name: j.Name, Created: j.Created.AsTime()}
		one.Spacing, _ = manager.Spacing(j, now)
		f.Jobs = append(f.Jobs, one)
	}
	return nil
}

func (m *monitor) stores(ctx context.Context, f *metrics.Facts) error {
	rows, err := catalog.Repositories(ctx, m.db.Read())
	if err != nil {
		return err
	}
	used := map[string]int{}
	for _, u := range m.manager.Streams() {
		used[u.Name] = u.Used
	}
	for _, row := range rows {
		r := metrics.Repository{
			Name: row.Name, Up: m.repositoryStatus(row) == "online", SizeBytes: row.Figures.SizeBytes, FreeBytes: row.Figures.FreeBytes,
			Looked: row.Figures.Looked, Points: row.Figures.Points, Streams: int(row.Streams), StreamsUsed: used[row.Name],
		}
		if p := row.Proofs.State; p != nil {
			r.Proof = &metrics.Proof{Bytes: p.Bytes, ProvedBytes: p.ProvedBytes, DueBytes: p.DueBytes, DamagedPacks: p.DamagedPacks}
			if p.Oldest != nil {
				r.Proof.Oldest = p.Oldest.AsTime()
			}
		}
		f.Repositories = append(f.Repositories, r)
		note(f, m.repositoryConditions(row)...)
	}
	return nil
}

// others are the conditions that no computer, transport, repository or job has.
func (m *monitor) others(ctx context.Context, f *metrics.Facts) error {
	note(f, m.manager.Conditions()...)
	for _, of := range []func(context.Context) ([]*keepwardv1.Condition, error){m.groupConditions, m.updateConditions, m.notifyConditions, m.alarmConditions} {
		list, err := of(ctx)
		if err != nil {
			return err
		}
		note(f, list...)
	}
	return nil
}

// Ended are the sessions that ended at or after a moment.
func (m *monitor) Ended(ctx context.Context, since time.Time) ([]metrics.Ended, error) {
	return endedOf(catalog.EndedSince(ctx, m.db.Read(), since))
}

// pastRuns is how far back the last success of a job is looked for, once after a start.
const pastRuns = 1000

// EndedOf are those of the newest sessions of a job that are over.
func (m *monitor) EndedOf(ctx context.Context, job string) ([]metrics.Ended, error) {
	return endedOf(catalog.EndedOfJob(ctx, m.db.Read(), job, pastRuns))
}

func endedOf(list []catalog.EndedSession, err error) ([]metrics.Ended, error) {
	out := make([]metrics.Ended, len(list))
	for i, s := range list {
		out[i] = metrics.Ended(s)
	}
	return out, err
}

// Volume is what a session has moved.
func (m *monitor) Volume(ctx context.Context, session int64) (metrics.Volume, error) {
	list, err := catalog.CountersOf(ctx, m.db.Read(), session)
	var v metrics.Volume
	for _, c := range list {
		v.Processed += c.GetDoneBytes()
		v.Read += c.GetReadBytes()
		v.Sent += c.GetSentBytes()
		v.Stored += c.GetStoredBytes()
	}
	return v, err
}

// listenMetrics opens the plain port, if one is wanted.
func (s *server) listenMetrics() (net.Listener, error) {
	if s.cfg.MetricsListen == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", s.cfg.MetricsListen)
	if err != nil {
		return nil, errs.New(errs.Unavailable, "listen.failed", "listen on %s for metrics: %w", s.cfg.MetricsListen, err)
	}
	return l, nil
}

// serveMetrics serves the pages without login: where that is allowed is the operator's choice.
func (s *server) serveMetrics(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler: s.pages, ReadHeaderTimeout: headerTimeout, ReadTimeout: openTimeout, IdleTimeout: idleTimeout,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		_ = srv.Close() // a scrape that is cut off comes again
	})
	err := srv.Serve(l)
	if !stop() {
		<-stopped
		return nil
	}
	return errs.New(errs.Unavailable, "listen.failed", "serve metrics on %s: %w", l.Addr(), errors.Join(err, srv.Close()))
}
