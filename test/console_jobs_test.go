package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"

	"keepward/test/site"
)

// loggedInAt is a browser of an administrator, on a page.
func (f *fleet) loggedInAt(path string) *browser {
	f.t.Helper()
	m := printedPassword.FindStringSubmatch(f.Server.Log())
	if m == nil {
		f.t.Fatalf("the server printed no password:\n%s", f.Server.Tail(20))
	}
	b := newBrowser(f.t.(*testing.T), "https://"+f.Addr)
	b.size(1280, "light")
	b.open(path)
	b.do(chromedp.SendKeys(chromedp.CSS("#password"), m[1]+"\r"))
	b.at(path)
	return b
}

// fill puts a text into an input, as if it had been typed.
func (b *browser) fill(selector, text string) {
	b.t.Helper()
	b.until("an input at "+selector, fmt.Sprintf("(e => e && (e.value = '', true))(document.querySelector(%q))", selector))
	b.do(chromedp.SendKeys(chromedp.CSS(selector), text))
}

// look looks at the page that there is as gallery does: a step of the wizard has no path of its own.
func (b *browser) look(axe, name string) {
	b.t.Helper()
	for _, l := range []struct {
		width  int64
		scheme string
	}{{400, "dark"}, {1280, "light"}} {
		b.size(l.width, l.scheme)
		at := fmt.Sprintf("%s-%d", name, l.width)
		b.shoot(at)
		b.accessible(axe, at)
		if wide, err := eval[int64](b, "document.documentElement.scrollWidth"); err != nil || wide > l.width {
			b.t.Errorf("%s is %d wide (%v)", at, wide, err)
		}
	}
}

// next presses the button that leads on, and waits for the step.
func (b *browser) next(step string) {
	b.t.Helper()
	b.click(`.sheet button.main`)
	b.says(".sheet > h2", step)
}

// A job is made step by step, each of which is checked; it runs and is watched to its end.
func TestAJobIsMadeByTheWizardAndRuns(t *testing.T) {
	needPrograms(t, "chromium")
	axe, err := os.ReadFile("testdata/axe/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	f := newFleet(t, "web1", "db1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 40, 12<<20, 3))
	f.do("repository", "edit", "main", "--write-limit", "6MB/s") // there is time to look at it

	b := f.loggedInAt("/jobs")
	b.says(".empty", "There is no job yet")
	b.click(`a[href="/jobs/new"]`)
	b.says(".sheet > h2", "Mode")
	b.look(string(axe), "wizard-mode")
	b.next("Name and priority")

	// A name that cannot be one keeps the step where it is.
	b.fill("#in-name", "no name")
	b.says("#checks", "cannot be the name of a job") // said while it is typed
	b.click(`.sheet button.main`)
	b.until("the name is marked", `document.querySelector("#in-name[aria-invalid]")`)
	b.forget() // that the step was refused is an error to the browser
	b.fill("#in-name", "docs")
	b.fill("#in-description", `<script>alert(1)</script>`)
	b.look(string(axe), "wizard-name")
	b.next("Computers")
	b.click(`.sheet button.main`)
	b.says("#checks", "it needs a computer or a group")
	b.forget()
	b.click(`input[name=computers][value=web1]`)
	b.look(string(axe), "wizard-computers")
	b.next("Files")
	b.fill(`[name="files.include"]`, src)
	b.fill(`[name="files.exclude"]`, "*.tmp")
	b.click(`.look button`)
	b.says("#looked", "would be taken of web1")
	b.look(string(axe), "wizard-look")
	b.next("Repository")
	b.click(`input[name=repository][value=main]`)
	b.look(string(axe), "wizard-repository")
	b.next("Retention")
	b.fill(`[name="retention.keep_last"]`, "7")
	b.fill(`[name="retention.weekly"]`, "4")
	b.says("#checks", "keep the newest 7, 4 weekly")
	// The newest seven lie in one week or in two, as the day is: of older weeks three or two are left.
	b.until("the year", `/Of the 365 restore points of a year (9|10) would be there now/.test(document.querySelector("#checks").innerText)`)
	b.until("the drawing of the year", `document.querySelectorAll("#checks .year rect").length === 365 && [9, 10].includes(document.querySelectorAll("#checks .year rect.kept").length)`)
	b.look(string(axe), "wizard-retention")
	b.next("Storage and speed")
	b.look(string(axe), "wizard-storage")
	b.next("Applications and scripts")
	b.look(string(axe), "wizard-guest")
	b.next("Schedule")
	b.fill("#in-schedule", "daily 25:00")
	b.says("#checks", "no time of day")
	b.fill("#in-schedule", "daily 22:00")
	b.until("the calendar", `document.querySelectorAll("#checks .calendar .runs").length > 20`)
	b.look(string(axe), "wizard-schedule")
	b.next("Summary")
	b.says(".facts", "<script>alert(1)</script>")
	b.look(string(axe), "wizard-summary")
	b.click(`button[name=go][value=run]`)
	b.until("page of the session", `/^\/sessions\/\d+$/.test(location.pathname) && document.querySelector("#session h1")`)
	b.says("#session .state", "Running")
	b.says("#session .state", "Completed")

	b.gallery(string(axe), map[string]string{
		"jobs": "/jobs", "jobs-none": "/jobs?show=disabled", "job": "/jobs/show?job=docs", "job-yaml": "/jobs/yaml?job=docs", "job-edit": "/jobs/edit?job=docs&step=summary",
		"job-clone": "/jobs/clone?job=docs&step=name", "job-delete": "/jobs/do/delete?job=docs", "job-disable": "/jobs/do/disable?job=docs", "job-run": "/jobs/run?job=docs",
	})
	b.noTrouble()
}

// tab is another tab of the same browser.
func (b *browser) tab() *browser {
	b.t.Helper()
	ctx, leave := chromedp.NewContext(b.ctx)
	b.t.Cleanup(leave)
	other := &browser{t: b.t, ctx: ctx, url: b.url}
	if err := chromedp.Listen(ctx, other.note); err != nil {
		b.t.Fatalf("open a tab: %v", err)
	}
	other.size(1280, "light")
	return other
}

// Two tabs change one job: the second is told what the first did, takes over what it had not touched
// itself, and loses nothing of its own. A job that was deleted under an open form can be made anew of it.
func TestTwoTabsThatChangeOneJob(t *testing.T) {
	needPrograms(t, "chromium")
	axe, err := os.ReadFile("testdata/axe/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 5, 1<<20, 3))
	f.createJob("docs", "web1", []string{src}, "--schedule", "daily 22:00")

	a := f.loggedInAt("/jobs/edit?job=docs&step=schedule")
	b := a.tab()
	b.open("/jobs/edit?job=docs&step=schedule")
	b.at("/jobs/edit?job=docs&step=schedule")

	a.fill("#in-schedule", "daily 23:00")
	a.click(`button[name=go][value="step:name"]`)
	a.says(".sheet > h2", "Name")
	a.fill("#in-description", "of the first tab")
	a.click(`button[name=go][value="step:summary"]`)
	a.says(".sheet", "Changed: description, schedule")
	a.click(`button[name=go][value=save]`)
	a.at("/jobs/show?job=docs")
	a.says(".facts", "of the first tab")

	b.fill("#in-schedule", "daily 04:00")
	b.click(`button[name=go][value="step:summary"]`)
	b.says(".notice", "changed elsewhere")
	b.says(".notice", "of the first tab")
	b.says(".notice", "saved is daily 23:00; yours is daily 04:00")
	b.look(string(axe), "wizard-told")
	b.click(`button[name=go][value=save]`)
	b.at("/jobs/show?job=docs")
	b.says(".facts", "daily 04:00")
	b.says(".facts", "of the first tab")
	if shown := f.do("job", "show", "docs").Stdout; !strings.Contains(shown, "daily 04:00") || !strings.Contains(shown, "of the first tab") {
		t.Errorf("the job is now:\n%s", shown)
	}

	// Between the last look and the saving.
	b.open("/jobs/edit?job=docs&step=name")
	b.fill("#in-description", "of the second tab")
	b.click(`button[name=go][value="step:summary"]`)
	b.says(".sheet", "Changed: description")
	f.do("job", "edit", "docs", "--keep-last", "3")
	b.click(`button[name=go][value=save]`)
	b.says(".notice", "changed elsewhere")
	b.forget() // that it was refused is an error to the browser
	b.click(`button[name=go][value=save]`)
	b.at("/jobs/show?job=docs")
	b.says(".facts", "keep the newest 3")
	b.says(".facts", "of the second tab")

	// Deleted under an open form.
	b.open("/jobs/edit?job=docs&step=name")
	b.fill("#in-description", "left over")
	a.open("/jobs/do/delete?job=docs")
	a.says(".comes", "Its restore points stay")
	a.click("button.main")
	a.at("/jobs")
	a.says(".empty", "There is no job yet")
	b.click(`button[name=go][value="step:summary"]`)
	b.says(".notice", "deleted meanwhile")
	b.click(`button[name=go][value=save]`)
	b.at("/jobs/show?job=docs")
	b.says(".facts", "left over")

	// A form of which only a part came writes nothing.
	b.open("/jobs/edit?job=docs&step=name")
	b.until("the end of the form is gone", `(e => e && (e.remove(), true))(document.querySelector("[name=whole]"))`)
	b.click(`button[name=go][value="step:summary"]`)
	b.says(".notice", "a part of it is missing")
	b.forget()
	a.noTrouble()
	b.noTrouble()
}

// Several sessions are paused, resumed and ended at once; one that waits is drawn with whom it waits
// for; and the page of a job outlives the server.
func TestSeveralSessionsAtOnceAndWhoWaitsForWhom(t *testing.T) {
	needPrograms(t, "chromium")
	axe, err := os.ReadFile("testdata/axe/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 40, 16<<20, 3))
	f.createJob("docs", "web1", []string{src}, "--schedule", "every 1h")
	f.run("docs")
	first := f.startCheck("--read-data", "--rate", "150K")
	f.do("repository", "edit", "main", "--streams", "1")
	second := f.startAnotherCheck(first, "--read-data", "--rate", "150K")

	b := f.loggedInAt("/sessions")
	choose := func() {
		t.Helper()
		for _, id := range []int64{first, second} {
			b.click(fmt.Sprintf("#pick%d", id))
		}
	}
	b.says(fmt.Sprintf("#s%d", second), "Waiting")
	b.open("/sessions/waits")
	b.says("#waits", fmt.Sprintf("session %d", first))
	b.until("a line to who holds it", `document.querySelectorAll("#waits svg path").length >= 2`)
	b.gallery(string(axe), map[string]string{"waits": "/sessions/waits", "sessions-many": "/sessions", "many": fmt.Sprintf("/sessions/do?act=kill&id=%d&id=%d", first, second), "many-none": "/sessions/do?act=kill"})
	b.size(1280, "light")

	// A restore takes the stream away from the one that has it, who is asked for it back, then waits for it itself,
	// and has it again. The first would be over in a moment, so its mover is slow to answer.
	f.do("repository", "edit", "main", "--read-limit", "4MB/s")
	drawn := func(kind, text string) {
		t.Helper()
		b.until(text+" as "+kind, fmt.Sprintf(`[...document.querySelectorAll("#waits svg g.%s")].some(g => g.textContent.includes(%q))`, kind, text))
	}
	b.open("/sessions/waits")
	drawn("holder", "Running")
	b.mark()
	slow := site.Movers(f.store)
	if len(slow) != 1 {
		t.Fatalf("one check has the stream, and movers run: %v", slow)
	}
	f.must(syscall.Kill(slow[0].Pid, syscall.SIGSTOP))
	restored := f.Command(t.Context(), "restore", "files", "--computer", "web1", "--point", "latest", "--to", filepath.Join(tempDir(t), "to"), "--wait")
	f.must(restored.Start())
	drawn("waiter", "restore")
	drawn("holder", "Interrupt Pending")
	b.says("#waits", "waiting for sessions [")
	b.until("that the stream is on its way", `document.querySelector("#waits svg path.leaving")`)
	b.shoot("waits-preemption")
	f.must(syscall.Kill(slow[0].Pid, syscall.SIGCONT))
	drawn("holder", "restore")
	b.says("#waits", "no resources")
	f.must(restored.Wait())
	drawn("holder", "verify")
	b.isMarked()
	f.do("repository", "edit", "main", "--read-limit", "")

	b.open("/sessions")
	choose()
	b.click(`#many button[value=suspend]`)
	b.says("h1", "Suspend: 2 sessions")
	b.says(".comes", "nothing that is stored is lost")
	b.click("button.main")
	b.at("/sessions")
	for _, id := range []int64{first, second} {
		b.says(fmt.Sprintf("#s%d", id), "Suspended")
	}
	// The boxes keep their ticks while the list changes under them.
	choose()
	f.do("session", "priority", itoa(int(first)), "7")
	b.says(fmt.Sprintf("#s%d", first), "007")
	b.until("the ticks", fmt.Sprintf(`document.querySelector("#pick%d").checked && document.querySelector("#pick%d").checked`, first, second))
	b.click(`#many button[value=resume]`)
	b.click("button.main")
	b.at("/sessions")
	b.says("#sessions tbody", "Running") // one of the two: there is one stream

	b.open("/sessions?type=verify&within=1d")
	b.says(fmt.Sprintf("#s%d", first), "verify")
	b.until("only checks", `[...document.querySelectorAll("#sessions tbody tr")].every(e => e.innerText.includes("verify"))`)
	choose()
	b.click(`#many button[value=kill]`)
	b.click("button.main")
	b.at("/sessions")
	for _, id := range []int64{first, second} {
		b.says(fmt.Sprintf("#s%d", id), "Killed")
	}
	b.noTrouble()

	// The page of a job under which the server goes away says so, and comes back by itself.
	b.open("/jobs/show?job=docs")
	b.mark()
	f.Server.Kill()
	b.until("word that the server is away", `!document.querySelector("#stale").hidden`)
	f.must(f.Server.Start())
	b.until("word that it is back", `document.querySelector("#stale").hidden`)
	f.final(f.start("docs"), "Completed")
	b.until("the new session", `document.querySelectorAll("#job table.sessions tbody tr").length === 2`)
	b.isMarked()
}

// Everything of the wizard can be done by keyboard.
func TestTheWizardByKeyboardAlone(t *testing.T) {
	needPrograms(t, "chromium")
	f := newFleet(t, "web1")
	b := f.loggedInAt("/jobs/new")
	press := func(keys string) {
		t.Helper()
		b.do(chromedp.KeyEvent(keys))
	}
	// to goes on with the tabulator until an element has the focus.
	to := func(selector string) {
		t.Helper()
		for range 60 {
			if on, err := eval[bool](b, fmt.Sprintf("document.activeElement?.matches(%q)", selector)); err == nil && on {
				return
			}
			press("\t")
		}
		t.Fatalf("no way by keyboard to %s\nthe page shows: %s", selector, b.text())
	}
	at := func(step string) {
		t.Helper()
		b.says(".sheet > h2", step)
	}
	to(".sheet button.main")
	press("\r")
	at("Name")
	to("#in-name")
	press("keys")
	press("\r") // the return key leads on, as the button does
	at("Computers")
	to("[name=computers]")
	press(" ")
	to(".sheet button.main")
	press("\r")
	at("Files")
	to(`[name="files.include"]`)
	press(f.Dir)
	to(".sheet button.main")
	press("\r")
	at("Repository")
	to("[name=repository]")
	press(" ")
	to(".sheet button.main")
	press("\r")
	at("Retention")
	to(`button[value="step:summary"]`)
	press("\r")
	at("Summary")
	to("button[value=save]")
	press("\r")
	b.at("/jobs/show?job=keys")
	b.noTrouble()
}
