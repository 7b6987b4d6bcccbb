package test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/test/site"
)

var (
	apiExample = regexp.MustCompile("(?s)\n## (\\w+)\n.*?\n```\n(.*?)\n```\n")
	apiLooks   = regexp.MustCompile(`^(Get|List|Preview|Read|Browse|Find|Diff|Export)`)
)

// TestTheExamplesOfTheReferenceRun takes the commands of docs/reference/api as they stand there and gives those that
// only look to a shell, by a real server and a token for programs: each answers, or refuses with a code that is documented.
func TestTheExamplesOfTheReferenceRun(t *testing.T) {
	t.Parallel()
	needPrograms(t, "curl", "bash")
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "docs")
	f.must(site.RandomTree(src, 5, 1<<16, 1))
	f.createJob("docs", "web1", []string{src})
	session := f.run("docs")

	dir := tempDir(t)
	text, err := os.ReadFile(f.ClientConfig())
	f.must(err)
	var c struct{ CA string }
	f.must(yaml.Unmarshal(text, &c))
	f.must(os.WriteFile(filepath.Join(dir, "ca.pem"), []byte(c.CA), 0o600))
	var token keepwardv1.CreateAPITokenResponse
	f.must(f.Message(&token, "api-token", "create", "curl"))
	f.must(os.WriteFile(filepath.Join(dir, "token.header"), []byte("Authorization: Bearer "+token.GetToken()+"\n"), 0o600))
	codes, err := os.ReadFile("../docs/errors.md")
	f.must(err)

	pages, err := filepath.Glob("../docs/reference/api/*Service.md")
	f.must(err)
	ran, good := 0, 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		f.must(err)
		for _, m := range apiExample.FindAllStringSubmatch(string(text), -1) {
			name, script := m[1], m[2]
			if !apiLooks.MatchString(name) {
				continue
			}
			ran++
			script = strings.ReplaceAll(script, "https://backup.example:7480", "https://"+f.Addr)
			script = strings.ReplaceAll(script, `"id": 42`, `"id": `+itoa(int(session.GetId())))
			script = strings.ReplaceAll(script, "curl -sS ", "curl -sS -w '\\n%{http_code}' ")
			status, answer := runScript(t, dir, name, script)
			switch {
			case strings.HasPrefix(script, "printf"):
				// The error of a stream is in its last message, behind the five bytes that say so.
				end := strings.LastIndex(answer, "\x02\x00\x00")
				if status != "200" || end < 0 || len(answer) < end+5 {
					t.Errorf("%s: status %s: %q", name, status, answer)
				} else if code := failureIn(answer[end+5:]); code == "" {
					good++
				} else if !strings.Contains(string(codes), "`"+code+"`") {
					t.Errorf("%s: %q", name, answer)
				}
			case status == "200":
				if good++; !json.Valid([]byte(answer)) {
					t.Errorf("%s answers what is no JSON: %s", name, answer)
				}
			default:
				if code := failureIn(answer); code == "" || !strings.Contains(string(codes), "`"+code+"`") {
					t.Errorf("%s: status %s, code %q is not documented: %s", name, status, code, answer)
				}
			}
		}
	}
	t.Logf("%d examples ran, %d of them answered", ran, good)

	// The same command again, over a server that was killed: one session.
	one := f.start("docs", "--idempotency-key", "k1")
	f.Server.Kill()
	f.must(f.Server.Start())
	two := f.start("docs", "--idempotency-key", "k1")
	if three := f.start("docs", "--idempotency-key", "k2"); one != two || three == two {
		t.Errorf("the same key made the sessions %d and %d, and another one %d", one, two, three)
	}
	if ran < 35 || good < 30 {
		t.Errorf("only %d examples ran, and %d of them answered", ran, good)
	}
}

// runScript is what a command printed, and the status that curl has put behind it.
func runScript(t *testing.T, dir, name, script string) (status, answer string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s%s\n%s", name, err, out, stderr.String(), script)
	}
	at := strings.LastIndexByte(string(out), '\n')
	return string(out[at+1:]), string(out[:at])
}

// failureIn is the code in an error as JSON has it.
func failureIn(answer string) string {
	type failed struct {
		Details []struct{ Debug struct{ Code string } }
	}
	var e struct {
		failed
		Error failed
	}
	if json.Unmarshal([]byte(answer), &e) != nil {
		return "unreadable"
	}
	for _, d := range append(e.Details, e.Error.Details...) {
		if d.Debug.Code != "" {
			return d.Debug.Code
		}
	}
	return ""
}
