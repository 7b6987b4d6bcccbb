package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.yaml.in/yaml/v3"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/catalog"
	"keepward/internal/job"
)

// bigSite is how much there is in a site that is made up: jobs of ten computers each, which have run
// once a day.
type bigSite struct {
	computers, days int
}

func (b bigSite) jobs() int     { return b.computers / 10 }
func (b bigSite) sessions() int { return b.jobs() * b.days }
func (b bigSite) points() int   { return b.computers * b.days }

// BenchmarkConsoleOfABigSite asks a server, which is a process of its own, for every page that lists
// something, of a site of 10 000 computers, 100 000 sessions and 1 000 000 restore points; and has 200
// lists of sessions open while one session changes every second. For each page it says the median of
// its times, its size, and by how much the most memory that the server had grew meanwhile.
// KEEPWARD_BIG_COMPUTERS says how many computers; with fewer there are fewer of the others too.
//
//	go test ./internal/server -run xxx -bench ConsoleOfABigSite -benchtime 1x -timeout 0
func BenchmarkConsoleOfABigSite(b *testing.B) {
	site := bigSite{computers: 10_000, days: 100}
	if text := os.Getenv("KEEPWARD_BIG_COMPUTERS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 100 {
			b.Fatalf("KEEPWARD_BIG_COMPUTERS is %q", text)
		}
		site.computers = n
	}
	dir := b.TempDir()
	password := site.make(b, dir)
	for range b.N { // once: it takes longer than a benchmark's time
		began := time.Now()
		address, pid := startIdle(b, dir)
		b.ReportMetric(time.Since(began).Seconds(), "s-to-start")
		browser := logIn(b, dir, address, password)
		for _, p := range site.pages() {
			b.Run("page="+p.name, func(b *testing.B) {
				for range b.N {
					measurePage(b, browser, pid, "https://"+address+p.path)
				}
				b.ReportMetric(0, "ns/op")
			})
		}
		b.Run("consoles=200", func(b *testing.B) {
			for range b.N {
				measureConsoles(b, browser, pid, "https://"+address, 200)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
	b.ReportMetric(0, "ns/op")
}

// loud is the session whose log has bigLog lines.
func (b bigSite) loud() int { return b.sessions() - 1 }

// bigLog is ten times what a session's log can have; every tenth line is an error of a file of its own.
const bigLog = 1_000_000

type bigPage struct{ name, path string }

func (b bigSite) pages() []bigPage {
	last := b.sessions()
	q := func(path string, pairs ...string) string {
		v := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		return path + "?" + v.Encode()
	}
	return []bigPage{
		{"overview", "/"},
		{"sessions", "/sessions"},
		{"sessions-failed", q("/sessions", "status", "failed")},
		{"sessions-of-job", q("/sessions", "job", "job0007")},
		{"sessions-of-computer", q("/sessions", "computer", "c00077")},
		{"sessions-with-text", q("/sessions", "text", "connection lost")},
		{"sessions-with-text-nowhere", q("/sessions", "text", "no such text")},
		{"sessions-old", q("/sessions", "before", strconv.Itoa(last/2))},
		{"session", fmt.Sprintf("/sessions/%d", last)},
		{"session-of-large-log", fmt.Sprintf("/sessions/%d", b.loud())},
		{"session-of-large-log-errors", q(fmt.Sprintf("/sessions/%d", b.loud()), "level", "error")},
		{"session-of-large-log-text-nowhere", q(fmt.Sprintf("/sessions/%d", b.loud()), "text", "no such text", "file", "no such text")},
		{"waits", "/sessions/waits"},
		{"jobs", "/jobs"},
		{"job", q("/jobs/show", "job", "job0007")},
		{"job-new", "/jobs/new"},
		{"computers", "/computers"},
		{"days", "/computers/days"},
		{"days-60", q("/computers/days", "days", "60")},
		{"days-60-last-page", q("/computers/days", "days", "60", "skip", strconv.Itoa(b.computers-50))},
		{"days-of-overview", "/overview/days"},
		{"computers-unprotected", q("/computers", "view", "unprotected")},
		{"computer", q("/computers/show", "computer", "c00077")},
		{"groups", "/groups"},
		{"group", q("/groups/show", "group", "g01")},
		{"updates", "/updates"},
		{"repositories", "/repositories"},
		{"repository", q("/repositories/show", "repository", "r1")},
		{"resources", "/resources"},
		{"settings", "/settings"},
		{"users", "/users"},
		{"points", "/points"},
		{"points-of-computer", q("/points", "computer", "c00077")},
		{"points-of-job", q("/points", "job", "job0007")},
		{"point", q("/points/show", "point", fmt.Sprintf("%032x", b.points()))},
		{"restore", "/restore"},
		{"restore-points", q("/restore/points", "computer", "c00077")},
	}
}

// make makes the site up in a data directory, and answers the administrator's password.
func (b bigSite) make(tb testing.TB, dir string) (password string) {
	tb.Helper()
	ctx := tb.Context()
	var out bytes.Buffer
	stopped, stop := context.WithCancel(ctx)
	err := Run(stopped, Config{
		DataDir: dir, Listen: "127.0.0.1:0", Version: "test", Out: &out, Logger: slog.New(slog.DiscardHandler),
		Ready: func(string) { stop() },
	})
	if err != nil {
		tb.Fatal(err)
	}
	password = passwordLine.FindStringSubmatch(out.String())[1]
	data, err := openDataDir(ctx, dir, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	defer func() {
		if err := data.close(); err != nil {
			tb.Fatal(err)
		}
	}()
	now := time.Now()
	for _, statement := range b.statements(now) {
		err := data.db.Write(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, statement)
			return err
		})
		if err != nil {
			tb.Fatalf("%v, of:\n%s", err, statement)
		}
	}
	err = data.db.Write(ctx, func(tx *sql.Tx) error {
		for i := range b.jobs() {
			if err := catalog.PutJob(ctx, tx, b.job(i), now.AddDate(0, 0, -b.days)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return password
}

func (b bigSite) job(i int) *keepwardv1.Job {
	j := &keepwardv1.Job{
		Name: fmt.Sprintf("job%04d", i), Repository: fmt.Sprintf("r%d", i%10), Schedule: "daily 22:00", Type: string(job.Backup),
		Files:     &keepwardv1.FileSelection{Include: []string{"/home", "/etc"}, Exclude: []string{"*.tmp"}},
		Retention: &keepwardv1.Retention{KeepLast: 7, Weekly: 4, Monthly: 12},
	}
	for c := range 10 {
		j.Computers = append(j.Computers, fmt.Sprintf("c%05d", 10*i+c))
	}
	return j
}

// statements write it as SQL: by calls a million restore points would take long. What the messages in
// it say is what a server has written of a real backup.
func (b bigSite) statements(now time.Time) []string {
	// A session's moment: the newest ended a minute ago.
	began := fmt.Sprintf("(%d + ((n - 1) / %d - %d) * 86400000000000 + (n - 1) %%%% %d * 1000000)", now.Add(-5*time.Minute).UnixNano(), b.jobs(), b.days-1, b.jobs())
	numbers := func(to int) string {
		return fmt.Sprintf("WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < %d)", to)
	}
	const (
		name       = `printf('job%%04d', (n - 1) %% %[1]d)`
		definition = `printf('{"name":"%%s","computers":["c%%05d"],"repository":"r%%d","files":{"include":["/home","/etc"],"exclude":["*.tmp"]},"retention":{"keepLast":7,"weekly":4,"monthly":12},"schedule":"daily 22:00","type":"backup"}', ` + name + `, ((n - 1) %% %[1]d) * 10, (n - 1) %% 10)`
		counters   = `{"doneFiles":"41000","doneDirs":"1000","doneBytes":"5200000000","readBytes":"120000000","sentBytes":"64000000","storedBytes":"31000000","changedFiles":"310"}`
	)
	jobs := b.jobs()
	f := func(text string, args ...any) string { return fmt.Sprintf(text, append([]any{jobs}, args...)...) }
	return []string{
		fmt.Sprintf(`INSERT INTO transports (name, joined) VALUES ('store', %d)`, now.UnixNano()),
		numbers(10) + fmt.Sprintf(`INSERT INTO repositories (name, repository_id, transport, path, streams, writers, master, recovery, exported, created, looked, size_bytes, free_bytes, packs, chunks, points)
			SELECT printf('r%%d', n - 1), randomblob(16), 'store', printf('/backup/r%%d', n - 1), 50, 4, x'00', x'00', %[1]d, %[1]d, %[1]d, 4000000000000, 6000000000000, 62000, 9000000, %[2]d FROM t`, now.UnixNano(), b.points()/10),
		numbers(b.computers) + fmt.Sprintf(`INSERT INTO computers (name, os, arch, hostname, version, address, joined, last_seen)
			SELECT printf('c%%05d', n - 1), 'linux', 'amd64', printf('host%%d.example.org', n), 'test', '10.0.0.1:7480', %[1]d, %[1]d FROM t`, now.UnixNano()),
		numbers(20) + fmt.Sprintf(`INSERT INTO protection_groups (name, definition, created, changed)
			SELECT printf('g%%02d', n), printf('{"name":"g%%02d","patterns":["c%%02d*"]}', n, n), %[1]d, %[1]d FROM t`, now.UnixNano()),
		// One session of 500 has failed.
		numbers(b.sessions()) + f(`INSERT INTO sessions (id, job, type, status, failure_json, priority, repository, is_full, started_by, definition_json, created, started, ended, last_seq)
			SELECT n, `+name+`, 'backup', CASE n %% 500 WHEN 0 THEN 'Failed' ELSE 'Completed' END,
				CASE n %% 500 WHEN 0 THEN '{"code":"agent.lost","message":"connection lost to c00001"}' ELSE '' END,
				366, printf('r%%d', (n - 1) %% 10), n <= %[1]d, 'schedule', `+definition+`, `+began+`, `+began+` + 1000000000, `+began+` + 240000000000, 5 FROM t`),
		numbers(b.points()) + f(`INSERT INTO tasks (id, session, position, computer, repository, status, attempts, failure_json, progress_json, point, started, ended)
			SELECT printf('%%032x', i), n, i %% 10, printf('c%%05d', ((n - 1) %% %[1]d) * 10 + i %% 10), printf('r%%d', (n - 1) %% 10),
				CASE n %% 500 WHEN 0 THEN 'Failed' ELSE 'Completed' END, 1, CASE n %% 500 WHEN 0 THEN '{"code":"agent.lost","message":"connection lost"}' ELSE '' END,
				'{"counters":`+counters+`}', printf('%%032x', i), `+began+`, `+began+` + 240000000000
			FROM (SELECT n AS i, (n - 1) / 10 + 1 AS n FROM t)`),
		numbers(b.points()) + f(`INSERT INTO points (id, computer, job, session, repository, time, parent, is_full, partial, completeness, counters_json, files_json)
			SELECT printf('%%032x', i), printf('c%%05d', ((n - 1) %% %[1]d) * 10 + i %% 10), `+name+`, n, printf('r%%d', (n - 1) %% 10), `+began+`,
				CASE WHEN n <= %[1]d THEN '' ELSE printf('%%032x', i - %[1]d * 10) END, n <= %[1]d, 0, 'complete', '`+counters+`', '{"include":["/home","/etc"],"exclude":["*.tmp"]}'
			FROM (SELECT n AS i, (n - 1) / 10 + 1 AS n FROM t)`),
		numbers(5*b.sessions()) + f(`INSERT INTO events (session, seq, time, task, level, part, code, text)
			SELECT n, (i - 1) %% 5 + 1, `+began+` + i %% 5, '', CASE i %% 50 WHEN 0 THEN 'warning' ELSE 'info' END, 'server', 'session.note', 'the restore point was made: 41 000 files, 4.8 GiB'
			FROM (SELECT n AS i, (n - 1) / 5 + 1 AS n FROM t) WHERE %[1]d > 0`),
		numbers(bigLog) + fmt.Sprintf(`INSERT INTO events (session, seq, time, task, level, part, code, text, path)
			SELECT %d, n + 5, %d + n, '', CASE n %% 10 WHEN 0 THEN 'error' ELSE 'info' END, 'agent', 'file.unreadable', 'open: permission denied',
				CASE n %% 10 WHEN 0 THEN CAST(printf('/srv/data/%%05d/%%d.txt', n / 100, n) AS BLOB) END FROM t`, b.loud(), now.UnixNano()),
	}
}

// bigBrowser is who has logged in to the console of a big site.
type bigBrowser struct {
	*http.Client
	pool  *x509.CertPool
	token string // of the administrator, for the API
}

func logIn(b *testing.B, dir, address, password string) *bigBrowser {
	b.Helper()
	text, err := os.ReadFile(filepath.Join(dir, clientFile))
	if err != nil {
		b.Fatal(err)
	}
	var c clientConfig
	if err := yaml.Unmarshal(text, &c); err != nil {
		b.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.Fatal(err)
	}
	out := &bigBrowser{pool: x509.NewCertPool(), token: c.Token}
	if !out.pool.AppendCertsFromPEM([]byte(c.CA)) {
		b.Fatalf("%s has no certificate", clientFile)
	}
	out.Client = &http.Client{Jar: jar, Transport: out.transport()}
	res, err := out.PostForm("https://"+address+"/login", url.Values{"user": {"admin"}, "password": {password}})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK || res.Request.URL.Path == "/login" {
		b.Fatalf("log in: %s", res.Status)
	}
	return out
}

// transport is a connection of its own.
func (c *bigBrowser) transport() *http.Transport {
	return &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: c.pool}, ForceAttemptHTTP2: true}
}

// measurePage asks for a page, once to be warm and then again and again.
func measurePage(b *testing.B, browser *bigBrowser, pid int, address string) {
	b.Helper()
	get := func() (took time.Duration, size int64) {
		began := time.Now()
		res, err := browser.Get(address)
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		size, err = io.Copy(io.Discard, res.Body)
		if err != nil {
			b.Fatal(err)
		}
		if res.StatusCode != http.StatusOK || res.Request.URL.Path == "/login" {
			b.Fatalf("%s: %s", address, res.Status)
		}
		return time.Since(began), size
	}
	get()
	before := resident(b, pid)
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		b.Fatal(err)
	}
	var took []time.Duration
	var size int64
	for range 9 {
		var t time.Duration
		t, size = get()
		took = append(took, t)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "worst-ms")
	b.ReportMetric(float64(size)/1024, "KiB")
	b.ReportMetric(float64(peak(b, pid)-before)/(1<<20), "MiB-more")
}

// peak is the most memory that a process had since its peak was set back.
func peak(b *testing.B, pid int) int64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := bytes.Cut(text, []byte("VmHWM:"))
	var kib int64
	if _, err := fmt.Sscan(string(rest), &kib); err != nil {
		b.Fatal(err)
	}
	return kib << 10
}

// consolesFor is how long open consoles are looked at.
const consolesFor = 30 * time.Second

// measureConsoles has n browsers look at the list of sessions, each over a connection of its own, while
// the priority of one that waits is changed every second.
func measureConsoles(b *testing.B, browser *bigBrowser, pid int, address string, n int) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	api := &http.Client{Transport: browser.transport()}
	run, err := keepwardv1connect.NewJobServiceClient(api, address, as(browser.token)).RunJob(ctx, connect.NewRequest(&keepwardv1.RunJobRequest{Name: "job0007"}))
	if err != nil {
		b.Fatal(err)
	}
	var own sync.WaitGroup
	var looking, messages atomic.Int64
	before := resident(b, pid)
	for range n {
		own.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/sessions/live", nil)
			if err != nil {
				b.Error(err)
				return
			}
			client := &http.Client{Jar: browser.Jar, Transport: browser.transport()}
			res, err := client.Do(req)
			if err != nil {
				b.Error(err)
				return
			}
			defer func() { _ = res.Body.Close() }()
			if res.Header.Get("Content-Type") != "text/event-stream" {
				b.Errorf("a list that goes on by itself: %s, %s", res.Status, res.Header.Get("Content-Type"))
				return
			}
			looking.Add(1)
			for lines := bufio.NewScanner(res.Body); lines.Scan(); {
				if strings.HasPrefix(lines.Text(), "data:") && strings.Contains(lines.Text(), "<tr") {
					messages.Add(1)
				}
			}
		})
	}
	for looking.Load() < int64(n) && !b.Failed() {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(5 * time.Second) // the rush is over
	sent, used, began := messages.Load(), processor(b, pid), time.Now()
	sessions := keepwardv1connect.NewSessionServiceClient(api, address, as(browser.token))
	for i := 0; time.Since(began) < consolesFor; i++ {
		if _, err := sessions.SetSessionPriority(ctx, connect.NewRequest(&keepwardv1.SetSessionPriorityRequest{Id: run.Msg.GetSession(), Priority: int32(100 + i)})); err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Second)
	}
	spent, took := processor(b, pid)-used, time.Since(began)
	b.ReportMetric(100*spent.Seconds()/took.Seconds(), "%core")
	b.ReportMetric(float64(messages.Load()-sent)/float64(n)/took.Seconds(), "messages/console/s")
	b.ReportMetric(float64(resident(b, pid)-before)/float64(n)/1024, "KiB/console")
	cancel()
	own.Wait()
}
