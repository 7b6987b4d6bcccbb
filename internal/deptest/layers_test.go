// Package deptest holds the layers of Keepward together: who may not import whom,
// and why. It has no code of its own; the table is the rule.
package deptest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "keepward/"

// rule says what the packages below from never reach, through others neither.
type rule struct {
	// from and not are package paths below the module; "x/..." takes x and all below it.
	from []string
	not  []string
	// except takes single packages out of not.
	except []string
	why    string
}

var rules = []rule{
	{
		from:   []string{"internal/job", "internal/schedule", "internal/broker", "internal/gate", "internal/retention", "internal/history", "internal/speed", "internal/traffic"},
		not:    []string{"..."},
		except: []string{"internal/errs", "internal/job", "internal/schedule", "internal/broker", "internal/gate", "internal/retention", "internal/history", "internal/speed", "internal/traffic"},
		why:    "what decides is pure: it is tested with values alone and never waits for anything",
	},
	{
		from: []string{"internal/errs"},
		not:  []string{"..."}, except: []string{"internal/errs"},
		why: "everybody imports it, so it can import nobody",
	},
	{
		from: []string{"internal/storage/..."},
		not:  []string{"..."}, except: []string{"internal/errs", "internal/storage/..."},
		why: "a backend stores named bytes and knows nothing of what they mean",
	},
	{
		from: []string{"internal/metrics"},
		not:  []string{"..."}, except: []string{"internal/errs", "internal/job", "internal/metrics"},
		why: "what a monitoring system is told does not know where the server knows it from",
	},
	{
		from: []string{"internal/qrcode"},
		not:  []string{"..."}, except: []string{"internal/qrcode"},
		why: "a picture of a text knows nothing of what is in it",
	},
	{
		from: []string{"internal/report"},
		not:  []string{"..."}, except: []string{"internal/words", "internal/notify", "internal/errs", "api/...", "internal/report"},
		why: "how a report is written knows neither where its facts are kept nor where it goes",
	},
	{
		from: []string{"internal/notify"},
		not:  []string{"..."}, except: []string{"internal/errs", "internal/words", "api/...", "internal/notify"},
		why: "how something is told knows neither where it is kept nor when it is sent",
	},
	{
		from: []string{"internal/repo/..."},
		not: []string{
			"api/...", "internal/job", "internal/schedule", "internal/broker", "internal/manager/...", "internal/catalog/...",
			"internal/server/...", "internal/agent/...", "internal/mover/...", "internal/transport/...", "internal/wire/...", "internal/cli/...",
		},
		why: "a repository outlives every server: it does not know what a job is",
	},
	{
		from: []string{"internal/passkey"},
		not:  []string{"..."}, except: []string{"internal/errs", "internal/passkey", "internal/spent"},
		why: "how a passkey is checked does not depend on where it is kept",
	},
	{
		from: []string{"internal/signon"},
		not:  []string{"..."}, except: []string{"internal/errs", "internal/repo/seal", "internal/signon", "internal/spent"},
		why: "who somebody is at a provider does not depend on who that is here",
	},
	{
		from: []string{"internal/spent"},
		not:  []string{"..."}, except: []string{"internal/spent"},
		why: "what is remembered of a thing is that it was shown",
	},
	{
		from: []string{"internal/totp"},
		not:  []string{"..."}, except: []string{"internal/totp"},
		why: "a one-time code is a matter of a secret and the time; whose it is others know",
	},
	{
		from: []string{"internal/audit"},
		not:  []string{"..."}, except: []string{"internal/errs", "internal/audit"},
		why: "an audit log is checked by its rows alone, also where there is no server",
	},
	{
		from: []string{"internal/rate"},
		not:  []string{"..."}, except: []string{"internal/rate"},
		why: "what holds a stream to a rate knows neither whose it is nor who decided the rate",
	},
	{
		from: []string{"internal/snapshot/...", "internal/fsid"},
		not:  []string{"..."}, except: []string{"internal/errs", "internal/fsid", "internal/snapshot/..."},
		why: "what keeps a state of a volume knows neither what reads it nor for whom",
	},
	{
		from: []string{"internal/agent/...", "internal/mover/...", "internal/transport/...", "internal/pipeline/...", "internal/source/...", "internal/survey/...", "internal/restore/..."},
		not:  []string{"internal/catalog/...", "internal/manager/...", "internal/server/...", "internal/cli/...", "internal/broker"},
		why:  "agents and movers take orders; they never see the catalog nor decide what runs beside what",
	},
	{
		from: []string{"internal/mover/...", "internal/transport/...", "internal/pipeline/...", "internal/source/...", "internal/survey/...", "internal/restore/..."},
		not:  []string{"internal/schedule"},
		why:  "who moves data does not decide when; an agent does, by what its server has issued to it",
	},
	{
		from: []string{"internal/agent/...", "internal/pipeline/...", "internal/source/...", "internal/survey/...", "internal/restore/..."},
		not:  []string{"internal/mover/...", "internal/transport/...", "internal/storage/..."},
		why:  "a computer reaches a repository over the wire only, in dev too",
	},
	{
		from: []string{"internal/changes/..."},
		not: []string{
			"api/...", "internal/job", "internal/schedule", "internal/broker", "internal/manager/...", "internal/catalog/...", "internal/server/...",
			"internal/agent/...", "internal/mover/...", "internal/transport/...", "internal/wire/...", "internal/cli/...", "internal/storage/...",
			"internal/pipeline/...", "internal/source/...",
		},
		why: "what has changed on a volume has nothing to do with jobs, nor with who reads it",
	},
	{
		from: []string{"internal/mover/...", "internal/transport/..."},
		not:  []string{"internal/agent/...", "internal/pipeline/...", "internal/source/..."},
		why:  "a repository host reaches a computer over the wire only, in dev too",
	},
	{
		from: []string{"internal/server/...", "internal/manager/...", "internal/catalog/..."},
		not:  []string{"internal/repo", "internal/storage/...", "internal/mover/...", "internal/transport/...", "internal/agent/...", "internal/pipeline/..."},
		why:  "the server touches no backup data and does not know the pack format",
	},
	{
		from: []string{"internal/console/..."},
		not: []string{
			"internal/server/...", "internal/catalog/...", "internal/manager/...", "internal/broker", "internal/repo", "internal/storage/...",
			"internal/mover/...", "internal/transport/...", "internal/agent/...", "internal/pipeline/...", "internal/cli/...",
		},
		why: "the console knows what the API answers to its user, and nothing else",
	},
	{
		from: []string{"internal/server/...", "internal/console/...", "internal/content"},
		not:  []string{"internal/content/opener", "internal/mount/...", "internal/repo", "internal/restore/..."},
		why:  "content is opened in a process of its own: what answers browsers passes it on and cannot open it",
	},
	{
		from: []string{"internal/content/..."},
		not: []string{
			"internal/server/...", "internal/console/...", "internal/catalog/...", "internal/manager/...", "internal/agent/...", "internal/mover/...",
			"internal/transport/...", "internal/cli/...", "internal/storage/...", "internal/repo",
		},
		why: "who opens content does not decide who may read it, and reads sealed records from whoever has them",
	},
	{
		from: []string{"internal/schema"},
		not:  []string{"..."}, except: []string{"internal/schema"},
		why: "what describes the API knows neither who serves it nor who calls",
	},
	{
		from: []string{"internal/words"},
		not:  []string{"..."}, except: []string{"internal/words", "internal/errs", "api/..."},
		why: "how something is written knows neither who asks nor where it is shown",
	},
	{
		from: []string{"internal/extract/..."},
		not:  []string{"api/...", "internal/wire/...", "internal/server/...", "internal/catalog/...", "internal/manager/...", "internal/agent/...", "internal/cli/..."},
		why:  "extract works with no server, database or network, so it must not need their code",
	},
	{
		from: []string{"internal/mount/..."},
		not: []string{
			"api/...", "internal/storage/...", "internal/repo", "internal/wire/...", "internal/server/...", "internal/catalog/...", "internal/manager/...",
			"internal/agent/...", "internal/mover/...", "internal/transport/...", "internal/cli/...",
		},
		why: "a mount reads sealed records from whoever has them, and does not know who that is",
	},
	{
		from: []string{"test/formatreader"},
		not:  []string{"..."}, except: []string{"test/formatreader"},
		why: "it proves that the pages of the format are enough, so it may know nothing else",
	},
	{
		from: []string{"cmd/...", "internal/..."},
		not:  []string{"test/..."},
		why:  "the product does not depend on its tests",
	},
	{
		from: []string{"cmd/..."},
		not:  []string{"internal/treecmp/...", "internal/treegen/..."},
		why:  "comparers and generators of trees are for tests; the binary does not carry them",
	},
}

// pure packages import none of these themselves: they get time, randomness, disk
// and network as values.
var (
	pure   = []string{"internal/job", "internal/schedule", "internal/broker", "internal/gate", "internal/retention", "internal/history", "internal/speed", "internal/traffic"}
	impure = []string{"os", "os/exec", "net", "net/http", "database/sql", "syscall", "math/rand", "math/rand/v2", "crypto/rand", "log/slog", "golang.org/x/sys/unix"}
)

type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func TestLayers(t *testing.T) {
	pkgs := list(t)
	for _, r := range rules {
		for _, p := range pkgs {
			if !matches(p.ImportPath, r.from) {
				continue
			}
			for _, d := range p.Deps {
				if strings.HasPrefix(d, module) && matches(d, r.not) && !matches(d, r.except) {
					t.Errorf("%s reaches %s: %s", p.ImportPath, d, r.why)
				}
			}
		}
	}
}

func TestDecidingPackagesDoNoIO(t *testing.T) {
	for _, p := range list(t) {
		if !matches(p.ImportPath, pure) {
			continue
		}
		for _, i := range p.Imports {
			if slices.Contains(impure, i) {
				t.Errorf("%s imports %s: time, randomness, disk and network reach it as values", p.ImportPath, i)
			}
		}
	}
}

// A rule about packages that are gone proves nothing.
func TestEveryRuleNamesPackagesThatExist(t *testing.T) {
	pkgs := list(t)
	for _, r := range rules {
		for _, from := range r.from {
			if !slices.ContainsFunc(pkgs, func(p pkg) bool { return matches(p.ImportPath, []string{from}) }) {
				t.Errorf("no package matches %s (rule: %s)", from, r.why)
			}
		}
	}
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", module+"...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

func matches(path string, patterns []string) bool {
	path = strings.TrimPrefix(path, module)
	return slices.ContainsFunc(patterns, func(p string) bool {
		base, all := strings.CutSuffix(p, "...")
		if !all {
			return path == p
		}
		base = strings.TrimSuffix(base, "/")
		return base == "" || path == base || strings.HasPrefix(path, base+"/")
	})
}
