package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/test/site"
)

// monitored is a whole site that a Prometheus scrapes, over both of its ports.
type monitored struct {
	*fleet
	plain, prometheus string
}

// The rules are those that are shipped, with their waits taken out: promtool's tests of rules show
// at which values and times each of them fires, this one that they fire on what a real server says.
func newMonitored(t *testing.T) *monitored {
	t.Helper()
	needPrograms(t, "prometheus", "promtool")
	dir := tempDir(t)
	m := &monitored{}
	var err error
	if m.plain, err = site.FreeAddr(); err != nil {
		t.Fatal(err)
	}
	s, err := site.StartDevWith(binary, filepath.Join(dir, "site"), "--metrics-listen", m.plain)
	if err != nil {
		t.Fatal(err)
	}
	m.fleet = &fleet{Site: s, t: t, agent: map[string]*site.Proc{}}
	t.Cleanup(m.end)
	m.prometheus, err = site.FreeAddr()
	m.must(err)
	rules, err := os.ReadFile("../packaging/prometheus/keepward.rules.yml")
	m.must(err)
	rules = regexp.MustCompile(`(?m)^ *for: .*\n`).ReplaceAll(rules, nil)
	m.must(os.WriteFile(filepath.Join(dir, "rules.yml"), rules, 0o600))
	var client struct{ CA, Token string }
	text, err := os.ReadFile(s.ClientConfig())
	m.must(err)
	m.must(yaml.Unmarshal(text, &client))
	m.must(os.WriteFile(filepath.Join(dir, "ca.pem"), []byte(client.CA), 0o600))
	m.must(os.WriteFile(filepath.Join(dir, "token"), []byte(client.Token), 0o600))
	m.must(os.WriteFile(filepath.Join(dir, "prometheus.yml"), fmt.Appendf(nil, `
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
scrape_configs:
  - job_name: keepward
    scheme: https
    authorization: {credentials_file: token}
    tls_config: {ca_file: ca.pem}
    static_configs: [{targets: [%q]}]
  - job_name: plain
    static_configs: [{targets: [%q]}]
`, s.Addr, m.plain), 0o600))
	var out bytes.Buffer
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "tsdb"), "--web.listen-address="+m.prometheus)
	cmd.Stdout, cmd.Stderr = &out, &out
	m.must(cmd.Start())
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus:\n%s", &out)
		}
	})
	return m
}

// get is what a page answers.
func (m *monitored) get(address string) (int, string) {
	m.t.Helper()
	res, err := http.Get(address)
	m.must(err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	m.must(err)
	return res.StatusCode, string(text)
}

// value is that of a query which has one series; false: it has another number of them.
func (m *monitored) value(query string) (float64, bool) {
	res, err := http.Get("http://" + m.prometheus + "/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		return 0, false // not there yet
	}
	defer func() { _ = res.Body.Close() }()
	var a struct {
		Data struct{ Result []struct{ Value []any } }
	}
	if json.NewDecoder(res.Body).Decode(&a) != nil || len(a.Data.Result) != 1 || len(a.Data.Result[0].Value) != 2 {
		return 0, false
	}
	v, err := strconv.ParseFloat(fmt.Sprint(a.Data.Result[0].Value[1]), 64)
	return v, err == nil
}

// becomes waits until Prometheus answers a query with a value.
func (m *monitored) becomes(query string, want float64) {
	m.t.Helper()
	m.must(site.Until(20*time.Second, fmt.Sprintf("%s is not %v", query, want), func() (bool, error) {
		v, ok := m.value(query)
		return ok && v == want, nil
	}))
}

func TestPrometheusSeesASessionAndAnAlertFires(t *testing.T) {
	m := newMonitored(t)
	var status keepwardv1.GetStatusResponse
	m.must(m.Message(&status, "status"))
	computer := status.Computers[0].Name
	src := filepath.Join(tempDir(t), "src")
	m.must(site.RandomTree(src, 20, 1<<20, 1))
	m.do("repository", "create", "main", "--transport", status.Transports[0].Name, "--path", filepath.Join(m.Dir, "repository"))
	m.createJob("docs", computer, []string{src})
	// The counters are there before the session ends, so its end is an increase.
	m.becomes(`keepward_sessions_ended_total{job="keepward",type="backup",result="Success"}`, 0)
	s := m.run("docs")
	for _, job := range []string{"keepward", "plain"} {
		m.becomes(`keepward_sessions_ended_total{job="`+job+`",type="backup",result="Success"}`, 1)
	}
	m.becomes(`keepward_session_read_bytes_total{job="keepward",type="backup"}`, float64(s.Progress.Counters.ReadBytes))
	m.becomes(`keepward_session_stored_bytes_total{job="keepward",type="backup"}`, float64(s.Progress.Counters.StoredBytes))
	m.becomes(`round(keepward_job_last_success_timestamp_seconds{job="keepward",backup_job="docs"})`, float64(s.Ended.AsTime().Add(time.Second/2).Unix()))
	m.becomes(`time() - keepward_computer_last_success_timestamp_seconds{job="keepward",computer="`+computer+`"} < bool 300`, 1)
	m.becomes(`keepward_ready{job="keepward"}`, 1)
	// The recovery key of the repository was never exported.
	m.becomes(`ALERTS{alertname="KeepwardConditionOpen",alertstate="firing",code="repository.recovery-key",severity="warning",job="keepward"}`, 1)
	if v, ok := m.value(`ALERTS{alertname="KeepwardServerNotReady"}`); ok {
		t.Errorf("a server that is ready is said not to be: %v", v)
	}
	for page, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ok\n"} {
		if code, text := m.get("http://" + m.plain + page); code != http.StatusOK || text != want {
			t.Errorf("%s: %d %q", page, code, text)
		}
	}
	_, page := m.get("http://" + m.plain + "/metrics")
	check := exec.Command("promtool", "check", "metrics")
	check.Stdin = bytes.NewReader([]byte(page))
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

func TestTheAlertRulesAreRight(t *testing.T) {
	needPrograms(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "keepward.rules.yml"}, {"test", "rules", "keepward.rules.test.yml"}} {
		cmd := exec.Command("promtool", args...)
		cmd.Dir = "../packaging/prometheus"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}
