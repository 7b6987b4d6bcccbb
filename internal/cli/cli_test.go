package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

func (r result) want(t *testing.T, code int, says ...string) result {
	t.Helper()
	if r.code != code {
		t.Errorf("exit %d, want %d\nstdout: %s\nstderr: %s", r.code, code, r.out, r.err)
	}
	for _, s := range says {
		if !strings.Contains(r.out+r.err, s) {
			t.Errorf("does not say %q\nstdout: %s\nstderr: %s", s, r.out, r.err)
		}
	}
	return r
}

func TestExitStatus(t *testing.T) {
	f := newFake(t)
	f.jobs["docs"] = &keepwardv1.Job{Name: "docs"}
	strange := newFake(t)
	gone := map[string]string{"KEEPWARD_ADDR": "127.0.0.1:1", "KEEPWARD_TOKEN": "x"}
	ok := map[string]string{"KEEPWARD_CONFIG": f.config}
	for _, tt := range []struct {
		name string
		env  map[string]string
		args string
		code int
		says string
	}{
		{"done", ok, "job show docs", 0, "docs"},
		{"version without a server", nil, "version", 0, "v1.2.3"},
		{"no command", nil, "", 2, "wants a command"},
		{"unknown command", nil, "jobs list", 2, "did you mean job?"},
		{"unknown verb", nil, "job shwo docs", 2, "did you mean show?"},
		{"unknown flag", nil, "job show docs --frob", 2, "--frob"},
		{"missing argument", nil, "job show", 2, "wants NAME"},
		{"one argument too many", nil, "job show docs more", 2, `"more"`},
		{"missing flag", nil, "job create docs --computer web1", 2, "--include"},
		{"a bad schedule, found without a server", nil, "job create docs --computer a --include /b --repository c --schedule nightly", 2, "daily 22:00"},
		{"a bad session number", nil, "session show twelve", 2, "twelve"},
		{"a bad point", nil, "point show xyz", 2, "latest"},
		{"restore to nowhere", nil, "restore files --computer a --point latest", 2, "--to DIR"},
		{"restore to two places", nil, "restore files --computer a --point latest --to /x --original", 2, "exclude"},
		{"unknown policy", nil, "restore files --computer a --point latest --to /x --overwrite maybe", 2, "newer"},
		{"unknown format", nil, "version -o xml", 2, "yaml"},
		{"unknown log level", nil, "agent --data-dir x --log-level loud", 2, "loud"},
		{"not found", ok, "job show dosc", 4, "the nearest names are: docs"},
		{"no client file", nil, "job list", 5, "keepward login"},
		{"the chosen client file is missing", nil, "--config /nonexistent/c job list", 4, "/nonexistent/c"},
		{"the server is away", gone, "job list", 6, "127.0.0.1:1"},
		{"another part is away", ok, "session list", 1, "a transport is away"},
		{"not built at the server", ok, "job list", 1, ""},
		{"another authority", map[string]string{"KEEPWARD_CONFIG": strange.writeConfig(t, string(f.ca), "x")}, "job list", 5, "certificate"},
		{"a stream to a server that is away", gone, "session log 12", 6, "127.0.0.1:1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := run(t, tt.env, "", strings.Fields(tt.args)...)
			r.want(t, tt.code, tt.says)
			if tt.code != 0 && r.out != "" {
				t.Errorf("an error is on standard output: %q", r.out)
			}
		})
	}
}

func TestErrorsAreOneSentenceAndAHintOrJSON(t *testing.T) {
	f := newFake(t)
	r := f.do(t, "job", "show", "dosc")
	if want := "keepward: find job \"dosc\": there is none\nhint: the nearest names are: docs\n"; r.err != want {
		t.Errorf("stderr %q, want %q", r.err, want)
	}
	r = f.do(t, "job", "show", "dosc", "-o", "json")
	var got struct {
		Error struct{ Kind, Code, Message, Hint string }
	}
	if err := json.Unmarshal([]byte(r.err), &got); err != nil || got.Error.Kind != "not found" || got.Error.Code != "job.unknown" || got.Error.Hint == "" {
		t.Errorf("%v: %+v from %s", err, got, r.err)
	}
}

func TestTokenIsSentOnlyToTheServerOfTheFile(t *testing.T) {
	f, other := newFake(t), newFake(t)
	f.do(t, "computer", "list").want(t, 0)
	if f.token != "secret" {
		t.Errorf("the token sent is %q", f.token)
	}
	stolen := map[string]string{"KEEPWARD_CONFIG": other.writeConfig(t, string(f.ca), "secret")}
	run(t, stolen, "", "computer", "list").want(t, 5)
	if other.token != "" {
		t.Error("a server of another authority got the token")
	}
}

func TestConfigurationFromEnvironment(t *testing.T) {
	f := newFake(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, f.ca, 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"KEEPWARD_ADDR": f.address, "KEEPWARD_TOKEN": "from-env", "KEEPWARD_CA": ca}
	run(t, env, "", "computer", "list").want(t, 0)
	if f.token != "from-env" {
		t.Errorf("the token sent is %q", f.token)
	}
	run(t, env, "", "--config", f.config, "computer", "list").want(t, 0)
	if f.token != "secret" {
		t.Errorf("--config does not go before the environment: %q", f.token)
	}
}

func TestLogin(t *testing.T) {
	f := newFake(t)
	dir := t.TempDir()
	config := filepath.Join(dir, "sub", "client.yaml")
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("right\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"KEEPWARD_CONFIG": config}
	run(t, env, "right\n", "login", f.address).want(t, 5, f.fingerprint, "--fingerprint")
	run(t, env, "right\n", "login", f.address, "--fingerprint", strings.Repeat("0", 16)).want(t, 5, f.fingerprint)
	run(t, env, "right\n", "login", f.address, "--fingerprint", f.fingerprint[:8]).want(t, 2)
	run(t, env, "wrong\n", "login", f.address, "--fingerprint", f.fingerprint[:16]).want(t, 5, "password is wrong")
	if _, err := os.Stat(config); err == nil {
		t.Error("a failed login left a client file")
	}
	run(t, env, "", "login", f.address, "--password-file", password, "--fingerprint", strings.ToUpper(f.fingerprint)).want(t, 0, config)
	info, err := os.Stat(config)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the client file: %v, %v", info, err)
	}
	run(t, env, "", "computer", "list").want(t, 0)
	if f.token != "fresh" {
		t.Errorf("the token of the login is not used: %q", f.token)
	}
	run(t, env, "right", "login", f.address, "--password-file", "-").want(t, 0) // the authority is known by now
	run(t, env, "", "login", f.address).want(t, 2, "password")
}

func TestTableIsSafeAndJSONExact(t *testing.T) {
	f := newFake(t)
	r := f.do(t, "computer", "list").want(t, 0, "web1", `db\x1b[31m`)
	if strings.Contains(r.out, "\x1b") {
		t.Error("a name reaches the terminal as it is")
	}
	if strings.Contains(r.out, "HOST") {
		t.Error("the table shows the columns of wide")
	}
	f.do(t, "computer", "list", "-o", "wide").want(t, 0, "HOST", "web1.example.com")
	var m keepwardv1.ListComputersResponse
	if err := protojson.Unmarshal([]byte(f.do(t, "computer", "list", "-o", "json").out), &m); err != nil || m.Computers[1].Name != "db\x1b[31m" {
		t.Errorf("%v: %v", err, &m)
	}
	again := f.do(t, "computer", "list", "-o", "json").out
	for range 20 {
		if next := f.do(t, "computer", "list", "-o", "json").out; next != again {
			t.Fatalf("JSON is not stable:\n%s\n%s", again, next)
		}
	}
	f.do(t, "computer", "list", "-o", "yaml").want(t, 0, "computers:\n  - name: web1\n    status: online\n")
}

func TestBrowseReadsAllPages(t *testing.T) {
	f := newFake(t)
	f.entries = []*keepwardv1.Entry{
		{Path: []byte("/srv/new\nline"), Type: "file", Mode: 0o4755, Size: 1234567, User: "root", Gid: 7, Mtime: timestamppb.New(now)},
		{Path: []byte("/srv/\xff\xfe"), Type: "dir", Mode: 0o1777},
		{Path: []byte("/srv/link"), Type: "symlink", Mode: 0o777, LinkTarget: []byte("\u202eto")},
	}
	r := f.do(t, "point", "browse", "abcd", "/srv").want(t, 0, `new\nline`, "-rwsr-xr-x  root   7      1 234 567  2026-11-01 12:00:00", `\xff\xfe`, "drwxrwxrwt", `link -> \u202eto`)
	if n := strings.Count(r.out, "\n"); n != 4 {
		t.Errorf("%d lines for 3 names and a head:\n%s", n, r.out)
	}
	var m keepwardv1.BrowseResponse
	if err := protojson.Unmarshal([]byte(f.do(t, "point", "browse", "abcd", "/srv", "-o", "json").out), &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Entries) != 3 || string(m.Entries[1].Path) != "/srv/\xff\xfe" || m.Entries[1].PathText != `/srv/\xff\xfe` || m.Entries[2].LinkTargetText != `\u202eto` {
		t.Errorf("%v", &m)
	}
}

func TestFindAndDiffStreamOneObject(t *testing.T) {
	f := newFake(t)
	var found struct {
		Found []struct {
			Entry struct{ Path, PathText string }
		}
	}
	if err := json.Unmarshal([]byte(f.do(t, "point", "find", "x", "-o", "json").out), &found); err != nil || len(found.Found) != 0 {
		t.Errorf("nothing found: %v, %+v", err, found)
	}
	f.entries = []*keepwardv1.Entry{{Path: []byte("/a\t")}, {Path: []byte("/b")}}
	if err := json.Unmarshal([]byte(f.do(t, "point", "find", "x", "-o", "json").out), &found); err != nil || len(found.Found) != 2 || found.Found[0].Entry.PathText != `/a\t` {
		t.Errorf("%v, %+v", err, found)
	}
	f.do(t, "point", "find", "x").want(t, 0, "abababababab", `/a\t`)
	f.do(t, "point", "find", "x", "-o", "yaml").want(t, 0, "found:\n- point: ", `pathText: /a\t`)
	f.do(t, "point", "diff", "abcd", "ef01").want(t, 0, `- /gone\n`)
}

func TestPointNamesAreSentAsTheServerTakesThem(t *testing.T) {
	f := newFake(t)
	for say, want := range map[string]string{
		"latest": "latest", "abcd": "abcd", "2026-10-31 22:00": "2026-10-31T21:00:00Z",
		"yesterday": "2026-10-31T22:59:59Z", "2026-11-01T10:00:00Z": "2026-11-01T10:00:00Z",
	} {
		f.do(t, "point", "show", say).want(t, 0)
		if f.point != want {
			t.Errorf("%s: sent as %s, want %s", say, f.point, want)
		}
	}
	for _, args := range [][]string{{"-3h"}, {"--", "-3h"}} {
		f.do(t, append([]string{"point", "show"}, args...)...).want(t, 0)
		if f.point != "2026-11-01T08:00:00Z" {
			t.Errorf("%s: sent as %s", args, f.point)
		}
	}
}

func TestJobEditChangesOnlyWhatIsNamed(t *testing.T) {
	f := newFake(t)
	f.do(t, "job", "create", "docs", "--computer", "web1", "--computer", "web2", "--include", "/a,b", "--repository", "main", "--schedule", "daily 22:00").want(t, 0)
	j := f.jobs["docs"]
	if j.GetType() != "backup" || len(j.GetComputers()) != 2 || j.GetFiles().GetInclude()[0] != "/a,b" {
		t.Errorf("created: %v", j)
	}
	f.do(t, "job", "edit", "docs", "--exclude", "*.tmp", "--restart-interval", "1d").want(t, 0)
	j = f.jobs["docs"]
	if j.GetSchedule() != "daily 22:00" || j.GetFiles().GetExclude()[0] != "*.tmp" || j.GetRestartInterval().AsDuration() != 24*time.Hour || j.GetRepository() != "main" {
		t.Errorf("edited: %v", j)
	}
	f.do(t, "job", "edit", "docs", "--schedule", "").want(t, 0)
	f.do(t, "job", "disable", "docs").want(t, 0)
	if j = f.jobs["docs"]; j.GetSchedule() != "" || !j.GetDisabled() {
		t.Errorf("edited: %v", j)
	}
	f.do(t, "job", "enable", "docs").want(t, 0)
	if f.jobs["docs"].GetDisabled() {
		t.Error("still disabled")
	}
}

func TestRestoreSendsExactBytes(t *testing.T) {
	f := newFake(t)
	f.do(t, "restore", "files", "--computer", "web1", "--point", "latest", "--path", "/a\xff", "--to", "/b\xfe", "--target", "web2", "--delete-extra").want(t, 0, "12")
	if q := f.restore; string(q.GetPaths()[0]) != "/a\xff" || string(q.GetTo()) != "/b\xfe" || q.GetTargetComputer() != "web2" || q.GetOverwrite() != "different" || !q.GetDeleteExtra() {
		t.Errorf("%v", q)
	}
}

func TestRecoveryKeyFile(t *testing.T) {
	f := newFake(t)
	path := filepath.Join(t.TempDir(), "main.key")
	create := func(dir string) result {
		return f.do(t, "repository", "create", "main", "--transport", "t", "--path", dir, "--recovery-key-out", path)
	}
	create("/full").want(t, 2, "not empty")
	if _, err := os.Stat(path); err == nil {
		t.Error("a repository that was refused left a key file")
	}
	create("/new").want(t, 0, path)
	key, err := os.ReadFile(path)
	if err != nil || string(key) != "KEY\n" {
		t.Errorf("%q, %v", key, err)
	}
	if len(f.exported) != 1 || f.exported[0] != "main" {
		t.Errorf("the server does not know that the key was taken: %q", f.exported)
	}
	create("/new").want(t, 1, "exists")
	if r := f.do(t, "repository", "create", "main", "--transport", "t", "--path", "/new"); r.out != "KEY\n" {
		t.Errorf("the key is not on standard output: %+v", r)
	}
}

func TestApply(t *testing.T) {
	f := newFake(t)
	env := map[string]string{"KEEPWARD_CONFIG": f.config}
	run(t, env, "docs", "apply", "-f", "-").want(t, 0, "create", "docs")
	f.do(t, "apply", "-f", "/nonexistent").want(t, 4, "/nonexistent")
	f.do(t, "apply").want(t, 2, "--file")
	f.faults = []*keepwardv1.ConfigFault{{File: "jobs.yaml", Line: 7, Column: 3, Field: "repositry", Text: "unknown field"}}
	run(t, env, "docs", "apply", "-f", "-").want(t, 2, "jobs.yaml:7:3: repositry: unknown field", "nothing was applied")
	run(t, env, "docs", "apply", "-f", "-", "-o", "json").want(t, 2, `"line": 7`)
}

func TestExport(t *testing.T) {
	f := newFake(t)
	if r := f.do(t, "export"); r.out != "kind: job\nname: docs\n---\nkind: repository\n" {
		t.Errorf("%q", r.out)
	}
	var m struct{ Documents []map[string]string }
	if err := json.Unmarshal([]byte(f.do(t, "export", "-o", "json").out), &m); err != nil || m.Documents[0]["name"] != "docs" || len(m.Documents) != 2 {
		t.Errorf("%v: %+v", err, m)
	}
}

func TestTokenIsTheWholeOutput(t *testing.T) {
	f := newFake(t)
	if r := f.do(t, "token", "create", "--role", "agent", "--name", "web1", "--ttl", "2d"); r.out != "kw1.SECRET.48h0m0s\n" {
		t.Errorf("%q", r.out)
	}
}

func TestCompletion(t *testing.T) {
	f := newFake(t)
	f.do(t, "__complete", "computer", "show", "").want(t, 0, "web1")
	f.do(t, "__complete", "job", "create", "x", "--computer", "").want(t, 0, "web1")
	f.do(t, "__complete", "restore", "files", "--overwrite", "").want(t, 0, "newer")
	f.do(t, "__complete", "session", "l").want(t, 0, "list", "log")
	f.do(t, "completion", "bash").want(t, 0, "keepward")
}
