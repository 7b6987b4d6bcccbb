package test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/test/site"
)

// All roles in one process make the same backup as three.
func TestDevIsAWholeSite(t *testing.T) {
	dir := tempDir(t)
	s, err := site.StartDev(binary, filepath.Join(dir, "site"))
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{Site: s, t: t, agent: map[string]*site.Proc{}}
	t.Cleanup(f.end)
	src := filepath.Join(dir, "src")
	f.must(site.RandomTree(src, 50, 2<<20, 1))
	var status keepwardv1.GetStatusResponse
	f.must(f.Message(&status, "status"))
	if len(status.Computers) != 1 || len(status.Transports) != 1 {
		t.Fatalf("dev has the computers %v and the transports %v", status.Computers, status.Transports)
	}
	computer := status.Computers[0].Name
	if len(status.Repositories) == 0 {
		f.do("repository", "create", "main", "--transport", status.Transports[0].Name, "--path", filepath.Join(dir, "repository"))
	}
	f.createJob("docs", computer, []string{src})
	f.run("docs")
	same(t, src, below(f.restore(computer, "latest"), src))
}

// What it says at its start can be done at once: its parts are linked by then.
func TestDevSaysThatItRunsWhenItsPartsAreLinked(t *testing.T) {
	s, err := site.StartDev(binary, filepath.Join(tempDir(t), "site"))
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{Site: s, t: t, agent: map[string]*site.Proc{}}
	t.Cleanup(f.end)
	f.must(site.Until(10*time.Second, "it does not say that it runs", func() (bool, error) {
		return strings.Contains(s.Server.Log(), "Keepward runs."), nil
	}))
	before, _, _ := strings.Cut(s.Server.Log(), "Keepward runs.")
	for _, part := range []string{"transport", "agent"} {
		if !strings.Contains(before, `"msg":"linked","part":"`+part+`"`) {
			t.Errorf("the %s was not linked when it was said:\n%s", part, before)
		}
	}
}
