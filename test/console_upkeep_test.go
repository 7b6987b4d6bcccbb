package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"keepward/test/site"
)

// A repository is made, gets keys and other limits, and is let go of; the queue is paused; digits, credentials and the audit
// log have their pages: what could be done on the command line only, in a browser.
func TestRepositoriesAndTheQueueAreKeptInTheConsole(t *testing.T) {
	needPrograms(t, "chromium")
	axe, err := os.ReadFile("testdata/axe/axe.min.js")
	must(t, err)
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 20, 1<<20, 3))
	f.createJob("docs", "web1", []string{src})
	f.run("docs")

	b := f.loggedInAt("/repositories")
	path := filepath.Join(f.Dir, "second")
	b.click(`a[href^="/do/new-repository"]`)
	b.says("h1", "New repository")
	b.look(string(axe), "repository-new")
	b.fill("[name=name]", "second")
	b.fill("[name=path]", "relative")
	b.click("form.deed button.main")
	b.says("[role=alert]", "relative")
	b.forget() // a refusal is an error to the browser
	b.fill("[name=path]", path)
	b.click("form.deed button.main")
	b.says(".notice", "shown once")
	key, err := eval[string](b, `document.querySelector("#secret").innerText`)
	must(t, err)
	b.click("a.button.main")
	b.says("h1", "second")
	if _, err := os.Stat(path); err != nil {
		t.Errorf("there is no repository: %v", err)
	}
	b.look(string(axe), "repository-with-keys")
	b.press("/do/export-recovery-key?of=second")
	b.says(".notice", "shown once")
	if again, err := eval[string](b, `document.querySelector("#secret").innerText`); err != nil || again != key || len(key) < 20 {
		t.Errorf("the key is %q and then %q (%v)", key, again, err)
	}
	b.press("/do/add-passphrase?of=second", "[name=password]", "correct horse battery staple", "[name=again]", "correct horse battery staple", "[name=label]", "the <b>two</b> of us")
	b.says("h1", "second")
	b.says("main", "the <b>two</b> of us")
	b.click(`a[href^="/do/remove-key"]`)
	b.says(".facts", "the <b>two</b> of us")
	b.click("form.deed button.main")
	b.says("h1", "second")
	b.until("the passphrase is gone", `!document.querySelector("main").innerText.includes("of us")`)
	b.open("/do/edit-repository?of=second")
	b.fill("[name=grace]", "5d")
	b.fill("[name=unprotected]", "90d")
	b.fill("[name=parity]", "5")
	b.do(chromedp.SetValue(chromedp.CSS("select[name=recompress]"), "never"))
	b.click("form.deed button.main")
	b.says("h1", "second")
	b.says("main", "5d")
	if shown := f.do("repository", "show", "second", "-o", "json").Stdout; !strings.Contains(shown, `"undeleteGrace": "432000s"`) || !strings.Contains(shown, `"unprotectedAfter": "7776000s"`) || !strings.Contains(shown, `"recompress": "never"`) || !strings.Contains(shown, `"parity": 5`) {
		t.Errorf("the repository is %s", shown)
	}
	b.press("/do/detach-repository?of=second")
	b.at("/repositories")
	b.until("it is gone", `!document.querySelector("main").innerText.includes("second")`)
	b.press("/do/detach-repository?of=main")
	b.says("[role=alert]", "docs") // a job names it
	b.forget()

	b.open("/windows")
	b.says("main", "type/verify")
	b.press("/do/set-priority?of=type%2Fverify", "[name=digit]", "9")
	b.at("/windows")
	if list := f.do("priority", "list").Stdout; !strings.Contains(strings.Join(strings.Fields(list), " "), "type/verify 9") {
		t.Errorf("the digits are\n%s", list)
	}
	b.press("/do/pause-server", "[name=reason]", "new switch")
	b.at("/")
	b.says("main", "new switch")
	s := f.start("docs")
	b.press("/do/resume-server")
	b.at("/windows")
	f.final(s, "Completed")

	b.open("/credentials")
	b.says(".empty", "There is none")
	b.press("/do/new-credential", "[name=name]", "pg", "[name=user]", "keeper", "[name=secret]", "s3cret of pg")
	b.at("/credentials")
	b.says("tbody", "keeper")
	b.gallery(string(axe), map[string]string{"audit": "/audit", "audit-filtered": "/audit?call=Credential", "credentials": "/credentials", "windows-with-digits": "/windows", "repository-detach": "/do/detach-repository?of=main"})
	b.size(1280, "light")
	b.open("/audit?call=Credential")
	b.says("tbody", "SaveCredential")
	b.until("no secret", `!document.documentElement.outerHTML.includes("s3cret")`)
	b.press("/do/delete-credential?of=pg")
	b.at("/credentials")
	b.says(".empty", "There is none")
	b.noTrouble()
}
