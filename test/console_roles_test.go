package test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"keepward/test/site"
)

// crawl is a script of the browser that follows every link of every page from the overview on, as the user who is
// logged in, and answers with the status of each path. What leads out, saves a file, or only turns pages is left out;
// of pages that differ by what is asked for only the first few are looked at.
const crawl = `(async () => {
	const statuses = {}, alike = {}, queue = ["/"];
	while (queue.length > 0 && Object.keys(statuses).length < 400) {
		const path = queue.shift();
		if (path in statuses) continue;
		const answer = await fetch(path, {redirect: "follow"});
		statuses[path] = answer.status;
		if (!(answer.headers.get("content-type") || "").startsWith("text/html")) continue;
		const page = new DOMParser().parseFromString(await answer.text(), "text/html");
		for (const a of page.querySelectorAll("a[href]")) {
			const to = new URL(a.getAttribute("href"), new URL(path, location.origin));
			if (to.origin !== location.origin || /^\/(restore\/(content|archive)|assets)/.test(to.pathname) || /before|cursor|text=/.test(to.search)) continue;
			const kind = to.pathname.replace(/\d+/g, "N") + "?" + [...to.searchParams.keys()].sort().join("&");
			if ((alike[kind] = (alike[kind] || 0) + 1) <= 3) queue.push(to.pathname + to.search);
		}
	}
	return statuses;
})()`

// A user of each role is offered nothing that is refused then, on any page, and what only an administrator is offered
// is refused to the others when they ask for it all the same.
func TestEveryRoleIsOfferedWhatItMayDo(t *testing.T) {
	needPrograms(t, "chromium")
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 20, 8<<20, 3))
	f.createJob("docs", "web1", []string{src}, "--schedule", "daily 22:00")
	f.run("docs")
	f.do("group", "create", "office", "--computer", "web1")
	f.startCheck("--read-data", "--rate", "50K") // there is a session to be ended
	for _, role := range []string{"operator", "restore-operator", "viewer"} {
		f.user(role, role)
	}
	b := f.loggedInAt("/")
	seen := func() map[string]int {
		t.Helper()
		got, err := eval[map[string]int](b, crawl, chromedp.EvalAwaitPromise)
		f.must(err)
		return got
	}
	all := seen()
	if len(all) < 60 {
		t.Errorf("an administrator sees %d pages: %v", len(all), all)
	}
	for path, status := range all {
		if status != 200 {
			t.Errorf("an administrator is offered %s, which answers %d", path, status)
		}
	}
	var deeds []string
	for path := range all {
		if strings.HasPrefix(path, "/do/") {
			deeds = append(deeds, path)
		}
	}
	slices.Sort(deeds)
	quoted, err := json.Marshal(deeds)
	f.must(err)
	for _, role := range []string{"operator", "restore-operator", "viewer"} {
		b.click(".out button")
		b.says(".notice", "logged out")
		b.do(chromedp.SetValue(chromedp.CSS("#user"), role), chromedp.SendKeys(chromedp.CSS("#password"), "a long enough password\r"))
		b.until("the overview", `location.pathname === "/" && document.querySelector(".out")`)
		own := seen()
		for path, status := range own {
			if status != 200 {
				t.Errorf("a user of role %s is offered %s, which answers %d", role, path, status)
			}
		}
		answers, err := eval[map[string]string](b, fmt.Sprintf(`(async () => { const out = {}; for (const p of %s) {
			const answer = await fetch(p), page = new DOMParser().parseFromString(await answer.text(), "text/html");
			out[p] = page.querySelector("form.deed button") ? "its button" : answer.status + "";
		} return out })()`, quoted), chromedp.EvalAwaitPromise)
		f.must(err)
		offered := 0
		for _, path := range deeds {
			switch _, shown := own[path]; {
			case shown:
				offered++
			case answers[path] == "its button":
				t.Errorf("a user of role %s is not offered %s, whose page has a button", role, path)
			}
		}
		t.Logf("%s: %d pages, %d of %d deeds", role, len(own), offered, len(deeds))
	}
}
