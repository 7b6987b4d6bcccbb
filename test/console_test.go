package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"keepward/test/site"
)

// shotsEnv names a directory for pictures of the console's pages, for people to look at.
const shotsEnv = "KEEPWARD_SHOTS"

// stepWithin bounds what a page has to come to; it is a second or two.
const stepWithin = 30 * time.Second

var printedPassword = regexp.MustCompile(`(?m)^password: (\S+)$`)

// browser is a real Chromium with one tab.
type browser struct {
	t   *testing.T
	ctx context.Context
	url string

	mu       sync.Mutex
	troubles []string // what the console of the browser shows as errors
}

func newBrowser(t *testing.T, url string) *browser {
	t.Helper()
	needPrograms(t, "chromium")
	opts := slices.Concat(chromedp.DefaultExecAllocatorOptions[:], []chromedp.ExecAllocatorOption{
		chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.IgnoreCertErrors, chromedp.WindowSize(1280, 900),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Env("TZ=Europe/Paris"), // not that of the server, which tests run in UTC as a rule
	})
	ctx, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(stop)
	ctx, leave := chromedp.NewContext(ctx)
	t.Cleanup(leave)
	b := &browser{t: t, ctx: ctx, url: url}
	if err := chromedp.Listen(ctx, b.note); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return b
}

// note keeps the errors that a page makes: of its scripts, of its policy, of what it loads.
func (b *browser) note(ev any) {
	text := ""
	switch ev := ev.(type) {
	case *runtime.EventConsoleAPICalled:
		if ev.Type != runtime.ConsoleAPICalledTypeError && ev.Type != runtime.ConsoleAPICalledTypeWarning {
			return
		}
		for _, a := range ev.Args {
			text += fmt.Sprint(string(a.Value), a.Description, " ")
		}
	case *runtime.EventExceptionThrown:
		text = ev.ExceptionDetails.Text
		if ev.ExceptionDetails.Exception != nil {
			text += " " + ev.ExceptionDetails.Exception.Description
		}
	case *log.EventEntryAdded:
		if ev.Entry.Level != log.EntryLevelError && ev.Entry.Level != log.EntryLevelWarning {
			return
		}
		text = ev.Entry.Text + " " + ev.Entry.URL
	default:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.troubles = append(b.troubles, text)
}

// forget lets go of errors that had to be.
func (b *browser) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.troubles = nil
}

func (b *browser) noTrouble() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range b.troubles {
		b.t.Errorf("the browser's console shows: %s", text)
	}
}

// do runs steps that must succeed.
func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepWithin)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%v\nthe page shows: %s", err, b.text())
	}
}

func (b *browser) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.url + path))
}

// click clicks what it is about, wherever a live part moves it meanwhile.
func (b *browser) click(selector string) {
	b.t.Helper()
	b.until("something to click at "+selector, fmt.Sprintf("(e => e && (e.click(), true))(document.querySelector(%q))", selector))
}

// eval is the value of an expression in the page.
func eval[T any](b *browser, expression string, opts ...chromedp.EvaluateOption) (T, error) {
	ctx, cancel := context.WithTimeout(b.ctx, stepWithin)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression, opts...))
}

func (b *browser) text() string {
	text, err := eval[string](b, `location.pathname + "\n" + (document.body ? document.body.innerText : "")`)
	if err != nil {
		return err.Error()
	}
	return text
}

// until waits until an expression is true in the page, which may change meanwhile.
func (b *browser) until(what, expression string) {
	b.t.Helper()
	err := site.Until(stepWithin, what, func() (bool, error) {
		ok, err := eval[bool](b, "!!("+expression+")")
		return ok && err == nil, err // a page on its way to another one cannot be asked
	})
	if err != nil {
		b.t.Fatalf("%v\nthe page shows: %s", err, b.text())
	}
}

// says waits until the page, or the part of it, has a text.
func (b *browser) says(selector, text string) {
	b.t.Helper()
	quoted, err := json.Marshal([]string{selector, text})
	if err != nil {
		b.t.Fatal(err)
	}
	b.until(fmt.Sprintf("%q in %s", text, selector),
		fmt.Sprintf(`(([s, t]) => [...document.querySelectorAll(s)].some(e => e.innerText.includes(t)))(%s)`, quoted))
}

// at waits until the page is this one, and its script has begun to listen for what changes.
func (b *browser) at(path string) {
	b.t.Helper()
	b.until("page "+path, fmt.Sprintf(`document.readyState === "complete" && location.pathname + location.search === %q`, path))
}

// mark leaves something in a page that is gone when it is loaded again.
func (b *browser) mark() {
	b.t.Helper()
	b.until("mark", "window.marked = true")
}

func (b *browser) isMarked() {
	b.t.Helper()
	if marked, err := eval[bool](b, "!!window.marked"); err != nil || !marked {
		b.t.Errorf("the page was loaded again: it is not live (%v)", err)
	}
}

// size sets the width of the page and its scheme of colours.
func (b *browser) size(width int64, scheme string) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, 900))
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// shoot takes a picture of the whole page, where anybody wants one.
func (b *browser) shoot(name string) {
	b.t.Helper()
	dir := os.Getenv(shotsEnv)
	if dir == "" {
		return
	}
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644))
	}
	if err != nil {
		b.t.Error(err)
	}
}

// fault is a rule of accessibility that a page breaks.
type fault struct {
	ID, Help string
	Nodes    []string
}

// accessible has the page checked against the rules of axe-core.
func (b *browser) accessible(axe, name string) {
	b.t.Helper()
	if _, err := eval[chromedp.Void](b, axe); err != nil {
		b.t.Fatalf("%s: load axe: %v", name, err)
	}
	faults, err := eval[[]fault](b, `axe.run(document, {resultTypes: ["violations"], preload: false}).then(r =>
		r.violations.map(v => ({ID: v.id, Help: v.help, Nodes: v.nodes.map(n => n.html + ": " + n.failureSummary)})))`, chromedp.EvalAwaitPromise)
	if err != nil {
		b.t.Fatalf("%s: run axe: %v", name, err)
	}
	for _, f := range faults {
		b.t.Errorf("%s: %s (%s):\n%s", name, f.Help, f.ID, strings.Join(f.Nodes, "\n"))
	}
}

// Somebody logs in with the printed password, starts a job, watches it to its end, pauses a check
// and lets it go on, sees who waits for whom, and ends it; every page is accessible, fits a narrow
// screen, and makes no error in the browser.
func TestTheConsoleInARealBrowser(t *testing.T) {
	needPrograms(t, "chromium")
	axe, err := os.ReadFile("testdata/axe/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	f := newFleet(t, "web1", "db1") // nothing protects db1
	f.do("repository", "create", "spare", "--transport", f.store.Name, "--path", filepath.Join(f.Dir, "spare"))
	f.do("repository", "edit", "main", "--write-limit", "6MB/s") // there is time to look at a backup
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 60, 24<<20, 3))
	f.createJob("docs", "web1", []string{src}, "--schedule", "daily 22:00")
	f.createJob("broken", "web1", []string{filepath.Join(src, "missing")}, "--attempts", "1")
	m := printedPassword.FindStringSubmatch(f.Server.Log())
	if m == nil {
		t.Fatalf("the server printed no password:\n%s", f.Server.Tail(20))
	}

	b := newBrowser(t, "https://"+f.Addr)
	b.size(1280, "light")

	// The login keeps where one wanted to go. Everything is done by keyboard.
	b.open("/jobs")
	b.at("/login?next=%2Fjobs")
	b.do(chromedp.SendKeys(chromedp.CSS("#password"), "wrong\r"))
	b.says(".notice", "user or password is wrong")
	b.forget() // that a page was refused is an error to the browser
	b.do(chromedp.SendKeys(chromedp.CSS("#password"), m[1]+"\r"))
	b.at("/jobs")
	b.says("footer", "times in Europe/Paris")

	// A job, from its start to its end.
	b.click(`a[href="/jobs/run?job=docs"]`)
	b.says("h2", "What comes of it")
	b.click("button.main")
	b.until("page of the session", `/^\/sessions\/\d+$/.test(location.pathname) && document.querySelector("#session h1")`)
	b.mark()
	b.says("#session .state", "Running")
	b.until("progress", `document.querySelector("#session progress")`)
	b.says("#session .big", "/s")
	b.until("a graph of the speed that goes on", `document.querySelector("#session svg.speed path.read")`)
	b.says("#session .state", "Completed")
	b.says("#lines", "Running → Completed")
	b.isMarked()
	docs := f.last("docs", "Completed").GetId()
	b.until("what limited it", `document.querySelector("#session .shares rect title")`)
	broken := f.start("broken")
	f.final(broken, "Failed", "Completed w/ errors", "Failed to start")

	// Its log is narrowed and saved, and its speed is there in numbers.
	b.open(fmt.Sprintf("/sessions/%d?text=COMPLETED", docs))
	b.until("one line of many", `document.querySelectorAll("#lines li").length === 1`)
	b.until("the whole log as text", `fetch(document.querySelector('a[href$="/file"]').href).then(r => r.text()).then(t => t.includes("Running → Completed") && t.split("\n").length > 5)`)
	b.click(`a[href$="/speed"]`)
	b.says("tbody", "/s")

	// A slow check is paused and goes on.
	check := f.startCheck("--read-data", "--rate", "500K")
	b.open(fmt.Sprintf("/sessions/%d", check))
	b.says("#session .state", "Running")
	b.click(`a[href$="/suspend"]`)
	b.says(".comes", "nothing that is stored is lost")
	b.click("button.main")
	b.at(fmt.Sprintf("/sessions/%d", check))
	b.says("#session .state", "Suspended")
	b.open(fmt.Sprintf("/sessions/%d", check))
	b.until("the pause in the time line", `[...document.querySelectorAll("#timeline rect.warn title")].some(t => t.textContent.startsWith("Suspended from"))`)
	b.click(`a[href$="/resume"]`)
	b.says(".comes", "It queues again")
	b.click("button.main")
	b.at(fmt.Sprintf("/sessions/%d", check))
	b.says("#session .state", "Running")

	// Another one waits for it, and says so.
	f.do("repository", "edit", "main", "--streams", "1")
	waiting := f.startAnotherCheck(check, "--read-data", "--rate", "500K")
	b.open("/sessions?status=active")
	b.says(fmt.Sprintf("#s%d", waiting), fmt.Sprintf("held by sessions [%d]", check))
	b.open(fmt.Sprintf("/sessions/%d", waiting))
	b.says(".waits", fmt.Sprintf("held up by session %d", check))

	b.gallery(string(axe), map[string]string{
		"overview": "/", "sessions": "/sessions", "session-running": fmt.Sprintf("/sessions/%d", check), "session-waiting": fmt.Sprintf("/sessions/%d", waiting),
		"session-over": fmt.Sprintf("/sessions/%d", docs), "session-failed": fmt.Sprintf("/sessions/%d", broken), "session-speed": fmt.Sprintf("/sessions/%d/speed", check),
		"session-log": fmt.Sprintf("/sessions/%d?level=trouble&text=nowhere&file=nowhere", broken), "kill": fmt.Sprintf("/sessions/%d/kill", check), "priority": fmt.Sprintf("/sessions/%d/priority", check),
		"jobs": "/jobs", "run": "/jobs/run?job=docs", "computers": "/computers", "repositories": "/repositories", "points": "/points",
		"points-none": "/points?computer=db1", "login": "/login?why=out", "days": "/computers/days", "days-of-one": "/computers/days?computer=web1&days=90",
	})
	b.size(1280, "light")

	// One glance shows who is protected of today, and a click the sessions of that day.
	today := time.Now().UTC().Format(time.DateOnly)
	b.open("/")
	b.until("the day of web1", fmt.Sprintf(`document.querySelector('#days a.success[title="web1, %s: success"]')`, today))
	b.until("the day of db1, which nothing protects", fmt.Sprintf(`document.querySelector('#days a.none[title="db1, %s: no backup"]')`, today))
	if _, err := eval[chromedp.Void](b, `document.querySelector("#days").dataset.kept = "yes"; document.querySelector(".tile b").textContent = "old"; htmx.ajax("GET", "/overview", {target: "#overview", swap: "innerMorph"}); undefined`); err != nil {
		t.Fatal(err)
	}
	b.until("the rest changes, and leaves the days alone", `document.querySelector(".tile b").textContent !== "old" && document.querySelector("#days").dataset.kept === "yes" && document.querySelector("#days a.success")`)
	b.click(fmt.Sprintf(`#days a[title="web1, %s: success"]`, today))
	b.says(fmt.Sprintf("#s%d", docs), "Completed")

	// A list changes by itself: a session is ended elsewhere, another one comes.
	b.open("/sessions")
	b.says(fmt.Sprintf("#s%d", waiting), "Waiting")
	b.mark()
	f.do("session", "kill", itoa(int(waiting)))
	b.says(fmt.Sprintf("#s%d", waiting), "Killed")
	b.isMarked()
	b.open(fmt.Sprintf("/sessions/%d/kill", check))
	b.click("button.main")
	b.at(fmt.Sprintf("/sessions/%d", check))
	b.says("#session .state", "Killed")
	b.noTrouble()

	// A page outlives the server: it says that it is away, and comes back by itself. The browser
	// shows errors for that, as it should.
	b.open("/sessions")
	b.mark()
	b.until("live list", `document.querySelector("#sessions")._htmx?.sse?.reader`)
	f.Server.Kill()
	b.until("word that the server is away", `!document.querySelector("#stale").hidden`)
	f.must(f.Server.Start())
	b.until("word that it is back", `document.querySelector("#stale").hidden`)
	again := f.start("docs")
	b.says(fmt.Sprintf("#s%d", again), "docs")
	b.isMarked()
	f.final(again, "Completed")

	b.click(".out button")
	b.says(".notice", "logged out")
	b.open("/sessions")
	b.at("/login?next=%2Fsessions")
}

// gallery opens pages wide and light, and narrow and dark, and looks at each.
func (b *browser) gallery(axe string, pages map[string]string) {
	b.t.Helper()
	for _, look := range []struct {
		width  int64
		scheme string
	}{{1280, "light"}, {400, "dark"}} {
		b.size(look.width, look.scheme)
		for name, path := range pages {
			name = fmt.Sprintf("%s-%d", name, look.width)
			b.open(path)
			b.at(path)
			b.shoot(name)
			b.accessible(axe, name)
			if wide, err := eval[int64](b, "document.documentElement.scrollWidth"); err != nil || wide > look.width {
				b.t.Errorf("%s is %d wide (%v)", name, wide, err)
			}
		}
	}
}
