package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"keepward/test/site"
)

// Two administrators need each other: one asks by what he does anyhow, in the console and on the command line, and the
// other one decides. A server that is killed between both forgets nothing.
func TestASecondAdministratorApproves(t *testing.T) {
	needPrograms(t, "chromium")
	axe, err := os.ReadFile("testdata/axe/axe.min.js")
	must(t, err)
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 20, 1<<20, 3))
	f.createJob("docs", "web1", []string{src}, "--keep-last", "7")
	point := f.run("docs").GetTasks()[0].GetPoint()

	f.fails(5, []string{"one administrator only", "keepward user create"}, "setting", "set", "second_person", "on")
	const password = "a long enough password"
	file := filepath.Join(f.Dir, "ann.password")
	must(t, os.WriteFile(file, []byte(password+"\n"), 0o600))
	f.do("user", "create", "ann", "--role", "admin", "--password-file", file)
	config := filepath.Join(f.Dir, "of-ann.yaml")
	f.do("--config", config, "login", f.Addr, "--user", "ann", "--password-file", file, "--ca", filepath.Join(f.Server.DataDir, "ca.crt"))
	ann := func(args ...string) []string { return append([]string{"--config", config}, args...) }
	f.do(ann("setting", "set", "second_person", "on")...)

	// Ann deletes a point in the console, and shortens a retention on the command line.
	b := newBrowser(t, "https://"+f.Addr)
	b.size(1280, "light")
	b.open("/points")
	b.fill("[name=user]", "ann")
	b.do(chromedp.SendKeys(chromedp.CSS("#password"), password+"\r"))
	b.at("/points")
	b.press("/do/delete-point?of="+point, "#in-reason", "project <b>over</b>")
	b.says("[role=alert]", "another administrator must approve it")
	b.forget() // a refusal is an error to the browser
	b.accessible(string(axe), "approval-asked")
	b.shoot("approval-asked")
	b.click(`[role=alert] a[href="/approvals"]`)
	b.at("/approvals")
	b.says("tbody", "project <b>over</b>")
	b.says("tbody", "Take back")
	f.fails(5, []string{"as approval 2", `from "keep the newest 7" to "keep the newest 2"`, "keepward approval show 2"}, ann("job", "edit", "docs", "--keep-last", "2")...)
	f.fails(5, []string{"another one must approve"}, ann("approval", "grant", "1")...)

	f.Server.Kill()
	f.must(f.Server.Start())
	if list := f.do("approval", "list", "--waiting").Stdout; !strings.Contains(list, "project <b>over</b>") || !strings.Contains(list, "keep the newest 2") {
		t.Fatalf("after a kill of the server there wait\n%s", list)
	}

	// The other one looks at it, and approves one and refuses the other.
	other := f.loggedInAt("/approvals")
	other.gallery(string(axe), map[string]string{"approvals": "/approvals", "approval-grant": "/do/grant-approval?of=1", "approval-refuse": "/do/refuse-approval?of=2"})
	other.size(1280, "light")
	other.press("/do/grant-approval?of=1", "#in-note", "agreed on the phone")
	other.at("/approvals")
	other.says("main", "agreed on the phone")
	other.press("/do/refuse-approval?of=2", "#in-note", "keep it")
	other.at("/approvals")
	other.says("main", "Nothing waits for a decision")
	other.shoot("approvals-decided")
	other.noTrouble()
	if got := f.do("point", "list", "--deleted", "-o", "json").Stdout; !strings.Contains(got, `"deleted"`) || !strings.Contains(got, "project") {
		t.Errorf("the point stands as %s", got)
	}
	if got := f.do("job", "show", "docs", "-o", "json").Stdout; !strings.Contains(got, `"keepLast": 7`) {
		t.Errorf("the job is %s", got)
	}

	// A recovery key is given to who asked for it, once.
	key := filepath.Join(f.Dir, "key")
	export := ann("repository", "recovery-key", "main", "--out", key)
	f.fails(5, []string{"as approval 3", "do it again then"}, export...)
	if r := f.do("approval", "grant", "3"); !strings.Contains(r.Stderr, "ann does it now, once") {
		t.Errorf("it says %s", r)
	}
	f.do(export...)
	if text, err := os.ReadFile(key); err != nil || len(text) < 20 {
		t.Errorf("the key is %q (%v)", text, err)
	}
	must(t, os.Remove(key))
	f.fails(5, []string{"as approval 4"}, export...)
	f.do(ann("approval", "refuse", "4")...)
	states := map[string]string{}
	for line := range strings.Lines(f.do("approval", "list").Stdout) {
		if words := strings.Fields(line); len(words) > 1 {
			states[words[0]] = words[1]
		}
	}
	if states["1"] != "done" || states["2"] != "refused" || states["3"] != "done" || states["4"] != "withdrawn" {
		t.Errorf("they ended as %v", states)
	}
	if rows := f.do("audit", "list", "--call", "DeletePoints").Stdout; !strings.Contains(rows, "approval=1") || !strings.Contains(rows, "ann") {
		t.Errorf("the audit log has\n%s", rows)
	}
	f.fails(5, []string{"to set second_person to off"}, ann("setting", "set", "second_person", "off")...)
	f.do("setting", "set", "second_person", "off") // by who has the server's disk
	f.do(ann("setting", "set", "second_person", "off")...)
}
