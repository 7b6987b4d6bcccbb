package metrics

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"keepward/internal/job"
)

var began = time.Unix(1_000_000, 0)

// fakeSource is a server whose sessions end as the test says.
type fakeSource struct {
	facts   Facts
	ended   []Ended
	past    []Ended
	volumes int
	asked   int
	err     error
	unready error
}

func (f *fakeSource) Ready(context.Context) error { return f.unready }

func (f *fakeSource) Facts(context.Context) (*Facts, error) {
	f.asked++
	return &f.facts, f.err
}

func (f *fakeSource) Ended(_ context.Context, since time.Time) (out []Ended, _ error) {
	for _, e := range f.ended {
		if !e.Ended.Before(since) {
			out = append(out, e)
		}
	}
	return out, nil
}

func (f *fakeSource) EndedOf(context.Context, string) ([]Ended, error) { return f.past, nil }

func (f *fakeSource) Volume(context.Context, int64) (Volume, error) {
	f.volumes++
	return Volume{Processed: 400, Read: 300, Sent: 200, Stored: 100}, nil
}

// scraped is a collector under a clock that the test moves.
type scraped struct {
	*fakeSource
	t   *testing.T
	now time.Time
	reg *prometheus.Registry
}

func newScraped(t *testing.T) *scraped {
	s := &scraped{fakeSource: &fakeSource{}, t: t, now: began, reg: prometheus.NewPedanticRegistry()}
	s.reg.MustRegister(New(Config{
		Source: s.fakeSource, Version: "1.2", Started: began, Now: func() time.Time { return s.now }, Log: slog.New(slog.DiscardHandler),
	}))
	return s
}

// page is what a scrape answers, after the facts have aged.
func (s *scraped) page() string {
	s.t.Helper()
	s.now = s.now.Add(Fresh)
	w := httptest.NewRecorder()
	promhttp.HandlerFor(s.reg, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		s.t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func (s *scraped) has(page string, lines ...string) {
	s.t.Helper()
	for _, line := range lines {
		if !strings.Contains(page, line+"\n") {
			s.t.Errorf("%q is not in\n%s", line, page)
		}
	}
}

func whole() Facts {
	return Facts{
		Certificates: []Certificate{{"server", began.Add(time.Hour)}},
		Conditions:   []Condition{{"agent.offline", "warning"}, {"agent.offline", "warning"}},
		Sessions: []Sessions{
			{job.Backup, job.Running, "", 2, began},
			{job.Backup, job.Waiting, "STREAMS_SHORT", 3, began.Add(time.Minute)},
			{job.Restore, job.Queued, "STREAMS_SHORT", 1, began.Add(time.Second)},
		},
		Jobs:      []Job{{"docs", began, time.Hour}, {"by hand", began, 0}},
		Computers: []Computer{{"web1", began}, {"web2", time.Time{}}}, ComputersOnline: 1, Transports: 2, TransportsOnline: 1,
		Repositories: []Repository{{
			Name: "main", Up: true, SizeBytes: 10, FreeBytes: 20, Looked: began, Points: 3, Streams: 4, StreamsUsed: 1,
			Proof: &Proof{Bytes: 9, ProvedBytes: 8, DueBytes: 7, DamagedPacks: 6, Oldest: began},
		}},
	}
}

func TestEveryMetricOfTheTableIsTold(t *testing.T) {
	s := newScraped(t)
	s.facts = whole()
	page := s.page()
	for _, m := range Table {
		if !strings.Contains(page, "\n# TYPE "+m.Name+" "+string(m.Kind)+"\n") {
			t.Errorf("%s is not told as %s", m.Name, m.Kind)
		}
	}
	s.has(
		page,
		`keepward_ready 1`, `keepward_build_info{version="1.2"} 1`,
		`keepward_conditions{code="agent.offline",severity="warning"} 2`,
		`keepward_sessions{status="Waiting",type="backup"} 3`,
		`keepward_sessions_waiting{reason="STREAMS_SHORT"} 4`,
		`keepward_sessions_waiting_oldest_timestamp_seconds{reason="STREAMS_SHORT"} 1.000001e+06`,
		`keepward_sessions_ended_total{result="Failed",type="backup"} 0`,
		`keepward_job_success_due_timestamp_seconds{backup_job="docs"} 1.0072e+06`,
		`keepward_computer_last_success_timestamp_seconds{computer="web2"} 0`,
		`keepward_repository_streams_used{repository="main"} 1`,
	)
	if strings.Contains(page, `due_timestamp_seconds{backup_job="by hand"`) {
		t.Error("a job without a calendar is due")
	}
}

func TestASessionThatEndedIsCountedOnceEvenIfItShowsUpLate(t *testing.T) {
	s := newScraped(t)
	s.facts = whole()
	s.page()
	end := func(id int64, at time.Duration, status job.Status) Ended {
		return Ended{ID: id, Job: "docs", Type: job.Backup, Status: status, Started: began, Ended: began.Add(at)}
	}
	s.ended = append(s.ended, end(2, 100*time.Second, job.Completed))
	s.has(s.page(), `keepward_sessions_ended_total{result="Success",type="backup"} 1`)
	// Its end was taken before that of the other, its commit came after it.
	s.ended = append(s.ended, end(1, 50*time.Second, job.Failed))
	s.page()
	page := s.page()
	s.has(
		page,
		`keepward_sessions_ended_total{result="Success",type="backup"} 1`,
		`keepward_sessions_ended_total{result="Failed",type="backup"} 1`,
		`keepward_session_read_bytes_total{type="backup"} 600`,
		`keepward_session_duration_seconds_bucket{type="backup",le="60"} 1`,
		`keepward_session_duration_seconds_bucket{type="backup",le="300"} 2`,
		`keepward_session_duration_seconds_sum{type="backup"} 150`,
		`keepward_job_last_success_timestamp_seconds{backup_job="docs"} 1.0001e+06`,
	)
	if strings.Contains(page, "job.failed") {
		t.Error("the job's newest session did not fail")
	}
	s.ended = append(s.ended, end(3, time.Hour, job.Failed))
	s.has(s.page(), `keepward_conditions{code="job.failed",severity="error"} 1`)
	s.page()
	if s.volumes != 3 {
		t.Errorf("the counters of 3 sessions were read %d times", s.volumes)
	}
}

func TestThePastOfAJobIsKnownAfterAStart(t *testing.T) {
	s := newScraped(t)
	s.facts = whole()
	s.past = []Ended{
		{ID: 2, Status: job.Failed, Ended: began.Add(-time.Minute)},
		{ID: 1, Status: job.CompletedWithErrors, Ended: began.Add(-time.Hour)},
	}
	s.facts.Jobs = s.facts.Jobs[:1]
	s.has(
		s.page(),
		`keepward_job_last_success_timestamp_seconds{backup_job="docs"} 996400`,
		`keepward_conditions{code="job.failed",severity="error"} 1`,
		`keepward_sessions_ended_total{result="Failed",type="backup"} 0`, // before the start
	)
}

func TestWhoScrapesOftenCostsTheSourceNoMore(t *testing.T) {
	s := newScraped(t)
	s.page()
	for range 3 { // the clock stands still
		if _, err := s.reg.Gather(); err != nil {
			t.Fatal(err)
		}
	}
	if s.asked != 1 {
		t.Errorf("asked %d times", s.asked)
	}
	if s.page(); s.asked != 2 {
		t.Errorf("asked %d times after the facts have aged", s.asked)
	}
}

func TestATroubledServerSaysSo(t *testing.T) {
	s := newScraped(t)
	s.facts = whole()
	s.unready = errors.New("starting")
	s.has(s.page(), `keepward_ready 0`)
	s.unready, s.err = nil, errors.New("disk I/O error: /secret/path")
	page := s.page()
	s.has(page, `keepward_ready 0`, `keepward_build_info{version="1.2"} 1`)
	if strings.Contains(page, "secret") || strings.Contains(page, "keepward_computers ") {
		t.Error(page)
	}
}
