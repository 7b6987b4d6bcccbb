package test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"keepward/test/site"
)

// press opens the page of a deed, fills it in, and presses its button.
func (b *browser) press(path string, pairs ...string) {
	b.t.Helper()
	b.open(path)
	b.at(path)
	for i := 0; i < len(pairs); i += 2 {
		b.fill(pairs[i], pairs[i+1])
	}
	b.click("form.deed button.main")
}

// An administrator holds a point and releases it, deletes it and brings it back, each on a page that
// says what comes of it.
func TestPointsAreKeptAndDeletedInTheConsole(t *testing.T) {
	needPrograms(t, "chromium")
	axe, err := os.ReadFile("testdata/axe/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 20, 1<<20, 3))
	f.createJob("docs", "web1", []string{src}, "--schedule", "daily 22:00")
	f.run("docs")

	b := f.loggedInAt("/points")
	b.click(`a[href^="/points/show"]`)
	b.says("h1", "web1")
	path, err := eval[string](b, "location.pathname + location.search")
	if err != nil {
		t.Fatal(err)
	}
	of := path[len("/points/show?point="):]
	b.gallery(string(axe), map[string]string{
		"points-filtered": "/points?computer=web1&deleted=yes", "point": path, "point-hold": "/do/hold-point?of=" + of, "point-delete": "/do/delete-point?of=" + of,
	})
	b.size(1280, "light")

	b.open(path)
	b.click(`a[href^="/do/hold-point"]`)
	b.says(".comes", "Nothing deletes it")
	b.fill("#in-reason", "case 117")
	b.click("form.deed button.main")
	b.at(path)
	b.says(".facts", "case 117")
	b.click(`a[href^="/do/release-point"]`)
	b.says(".comes", "as the retention of its job says")
	b.click("form.deed button.main")
	b.at(path)
	b.until("it is not held", `!document.querySelector("main").innerText.includes("case 117")`)

	b.press("/do/delete-point?of="+of, "#in-reason", "wrong paths")
	b.at(path)
	b.says(".notice", "can be undeleted until")
	b.open("/points")
	b.says(".empty", "no restore point yet")
	b.open("/points?deleted=yes")
	b.says("tbody", "deleted")
	b.press("/do/undelete-point?of=" + of)
	b.at(path)
	b.says(".facts", "complete")
	b.open("/points")
	b.says("tbody", "complete")

	// What was done meanwhile on the command line is said, and nothing more is done.
	b.open("/do/delete-point?of=" + of)
	b.says("h2", "What comes of it")
	f.do("point", "hold", of, "--reason", "meanwhile")
	b.click("form.deed button.main")
	b.says(".notice", "There is nothing to do")
	b.forget() // that it was refused is an error to the browser
	b.do(chromedp.Navigate(b.url + path))
	b.says(".facts", "meanwhile")
	b.noTrouble()
}

// A group is made, changed and rescanned, a join token is shown once and revoked, and a computer gets a
// tag and is removed.
func TestComputersAndGroupsInTheConsole(t *testing.T) {
	needPrograms(t, "chromium")
	axe, err := os.ReadFile("testdata/axe/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	f := newFleet(t, "web1", "db1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 20, 1<<20, 3))
	f.createJob("docs", "web1", []string{src}, "--schedule", "daily 22:00")
	f.run("docs")

	b := f.loggedInAt("/groups")
	b.says(".empty", "There is no group yet")
	b.click(`a[href^="/do/new-group"]`)
	b.says("h1", "New group")
	b.fill("#in-name", "no name")
	b.click("form.deed button.main")
	b.says(".notice", "no name") // refused, and kept
	b.forget()
	b.fill("#in-name", "lab")
	b.click(`input[name=computers][value=db1]`)
	b.fill("#in-patterns", "web*")
	b.fill("#in-description", `<script>alert(1)</script>`)
	b.click("form.deed button.main")
	b.at("/groups/show?group=lab")
	b.says(".facts", "<script>alert(1)</script>")
	b.says("tbody", "web1")
	b.says("tbody", "db1")

	// Somebody else changes it while the form is open.
	b.click(`a[href^="/do/edit-group"]`)
	b.says("h1", "Edit: group lab")
	f.do("group", "edit", "lab", "--description", "of the command line")
	b.fill("#in-exclude", "db*")
	b.click("form.deed button.main")
	b.says(".notice", "saved is of the command line")
	b.forget()
	b.fill("#in-description", "both")
	b.click("form.deed button.main")
	b.at("/groups/show?group=lab")
	b.says(".facts", "both")
	b.until("db1 is left out", `[...document.querySelectorAll("h2")].some(e => e.innerText === "Left out")`)
	b.press("/do/rescan-groups?of=lab")
	b.until("page of the session", `/^\/sessions\/\d+$/.test(location.pathname)`)
	b.says("#session .state", "Completed")

	b.press("/do/new-join-token?of=lab")
	b.until("the token", `document.querySelector("#secret").innerText.length > 20`)
	b.look(string(axe), "token-shown")
	b.open("/tokens")
	b.says("tbody", "group lab")
	b.until("the token is shown no more", `!document.querySelector("#secret")`)
	b.click(`a[href^="/do/revoke-join-token"]`)
	b.says(".comes", "Nobody joins with it")
	b.click("form.deed button.main")
	b.at("/tokens")
	b.says("tbody", "revoked")

	b.press("/do/set-tags?of=db1", "#in-tags", "rack-7")
	b.at("/computers/show?computer=db1")
	b.says(".facts", "rack-7")
	b.press("/do/test-connection?of=db1")
	b.says(".notice", "works")
	b.gallery(string(axe), map[string]string{
		"computer": "/computers/show?computer=web1", "groups": "/groups", "group": "/groups/show?group=lab", "group-edit": "/do/edit-group?of=lab", "tokens": "/tokens",
		"updates": "/updates", "connection-edit": "/do/edit-connection?of=web1", "computer-remove": "/do/remove-computer?of=web1",
	})
	b.size(1280, "light")
	b.press("/do/remove-computer?of=db1")
	b.at("/computers")
	b.until("db1 is gone", `!document.querySelector("tbody").innerText.includes("db1")`)
	b.press("/do/delete-group?of=lab")
	b.at("/groups")
	b.says(".empty", "There is no group yet")
	b.noTrouble()
}

// A repository is edited, checked and swept, a window made and its week edited by keyboard, a setting
// changed and reset, a traffic rule made, a user and tokens made and ended.
func TestTheServerIsSetInTheConsole(t *testing.T) {
	needPrograms(t, "chromium")
	axe, err := os.ReadFile("testdata/axe/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 20, 1<<20, 3))
	f.createJob("docs", "web1", []string{src}, "--schedule", "daily 22:00")
	f.run("docs")
	b := f.loggedInAt("/repositories")

	b.click(`a[href="/repositories/show?repository=main"]`)
	b.says("h1", "main")
	b.press("/do/edit-repository?of=main", "#in-streams", "3", "#in-write", "50MB/s")
	b.at("/repositories/show?repository=main")
	b.says(".facts", "50MB/s")
	for _, name := range []string{"check", "sweep"} {
		b.open("/do/" + name + "-repository?of=main")
		b.says("h2", "What comes of it")
		b.click("form.deed button.main")
		b.until("page of the session", `/^\/sessions\/\d+$/.test(location.pathname)`)
		b.says("#session .state", "Completed")
	}

	b.press("/do/new-window", "#in-name", "night", "#in-open", "mon-fri 20:00-06:00")
	b.at("/windows")
	b.says("tbody", "mon-fri 20:00-06:00")
	b.open("/do/edit-week?of=night")
	b.until("the week", `document.querySelectorAll(".week input:checked").length === 50`)
	b.until("the focus", `(e => e && (e.focus(), true))(document.querySelector("input[value=mon-19]"))`)
	b.do(chromedp.KeyEvent(" "))           // Monday from seven
	b.do(chromedp.KeyEvent(kb.ArrowRight)) // Tuesday
	b.do(chromedp.KeyEvent(kb.ArrowUp))
	b.do(chromedp.KeyEvent(" "))
	b.until("two more hours", `document.querySelectorAll(".week input:checked").length === 52 && document.querySelector("input[value=tue-18]").checked`)
	b.click("form.deed button.main")
	b.at("/windows")
	b.says("tbody", "mon 19:00-24:00")
	b.says("tbody", "18:00-19:00")
	b.open("/do/switch-off")
	b.click(`input[name=activities]`)
	b.fill("#in-time", "2h")
	b.click("form.deed button.main")
	b.at("/windows")
	b.click(`a[href^="/do/switch-on"]`)
	b.says("h1", "Switch on")
	b.click("form.deed button.main")
	b.at("/windows")
	b.until("all are on", `![...document.querySelectorAll("a")].some(e => e.pathname === "/do/switch-on")`)

	b.press("/do/set-setting?of=claim_after", "#in-value", "soon")
	b.says(".notice", "claim_after") // refused, and kept
	b.forget()
	b.press("/do/set-setting?of=claim_after", "#in-value", "2h")
	b.at("/settings")
	b.says("tbody", "changed")
	b.click(`a[href="/do/reset-setting?of=claim_after"]`)
	b.says("h1", "Reset")
	b.click("form.deed button.main")
	b.at("/settings")
	b.until("it is as it was", `document.querySelector("tbody") && !document.querySelector('a[href^="/do/reset-setting"]')`)

	b.press("/do/new-rule", "#in-name", "branch", "#in-limit", "40Mbit/s", "#in-source", "127.0.0.0/8")
	b.until("it is saved", `location.pathname === "/traffic" || document.querySelector("h1").innerText.includes("done")`)
	b.open("/traffic")
	b.says("tbody", "40Mbit/s")

	// A mailbox that a daily report goes to: the test of it fails with what the other side says, and says so.
	b.press("/do/new-mail-target", "#in-name", "ops", "#in-host", "127.0.0.1", "#in-port", "1", "#in-from", "keepward@example.org", "#in-to", "ops@example.org")
	b.at("/notifications")
	b.says("tbody", "ops@example.org")
	b.open("/do/test-target?of=ops")
	b.says("h1", "Test")
	b.click("form.deed button.main")
	b.says("main", "was not taken")
	b.open("/do/new-report")
	b.fill("#in-name", "morning")
	b.click(`input[name=targets][value=ops]`)
	b.click("form.deed button.main")
	b.at("/notifications")
	b.says("main", "daily 07:00")
	b.open("/do/send-report?of=morning")
	b.says("main", "beside those")
	b.click("form.deed button.main")
	b.at("/notifications")
	b.says("main", "failing")
	b.click(`a[href="/notifications/report?report=morning"]`)
	b.says("pre", "1 of 1 computer protected")
	b.until("the picture", `document.querySelector("img.drawn").naturalWidth > 500`)

	b.press("/do/new-user", "#in-name", "eve", "#in-password", "correct horse battery", "#in-again", "correct horse battery")
	b.at("/users")
	b.says("tbody", "eve")
	b.press("/do/new-api-token", "#in-name", "ci")
	b.until("the token", `document.querySelector("#secret").innerText.length > 20`)
	b.open("/users")
	b.says("tbody", "ci")
	b.gallery(string(axe), map[string]string{
		"repository": "/repositories/show?repository=main", "repository-edit": "/do/edit-repository?of=main", "repository-check": "/do/check-repository?of=main", "resources": "/resources",
		"windows": "/windows", "window-week": "/do/edit-week?of=night", "window-edit": "/do/edit-window?of=night", "settings": "/settings", "setting": "/do/set-setting?of=claim_after",
		"traffic": "/traffic", "rule-edit": "/do/edit-rule?of=branch", "users": "/users", "user-new": "/do/new-user", "notifications": "/notifications", "report": "/notifications/report?report=morning", "mail-target": "/do/edit-mail-target?of=ops", "notify-rule-new": "/do/new-notify-rule", "report-edit": "/do/edit-report?of=morning", "switch-off": "/do/switch-off",
	})
	b.size(1280, "light")

	// Who may only look is offered nothing, on no page.
	b.click(".out button")
	b.says(".notice", "logged out")
	b.open("/login?next=/settings")
	b.fill("#user", "eve")
	b.do(chromedp.SendKeys(chromedp.CSS("#password"), "correct horse battery\r"))
	b.at("/settings")
	for _, path := range []string{"/settings", "/windows", "/traffic", "/notifications", "/notifications/report?report=morning", "/repositories/show?repository=main", "/computers/show?computer=web1", "/groups", "/tokens", "/points"} {
		b.open(path)
		b.at(path)
		b.until("no way to a deed on "+path, `document.querySelector("h1") && !document.querySelector('main a[href^="/do/"]')`)
	}
	b.noTrouble()
	b.open("/do/set-setting?of=claim_after") // refused, which is an error to the browser
	b.says(".notice", "Your role may not do this")
}
