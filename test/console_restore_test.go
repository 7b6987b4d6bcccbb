package test

import (
	"archive/zip"
	"bytes"
	"crypto/tls"
	"fmt"
	"image"
	"image/png"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	devbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"

	"keepward/test/site"
)

// visitor has logged in to the console, without a browser.
type visitor struct {
	*http.Client
	t   testing.TB
	url string
}

func (f *fleet) visitor(user, password string) *visitor {
	f.t.Helper()
	jar, err := cookiejar.New(nil)
	f.must(err)
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	f.t.Cleanup(tr.CloseIdleConnections)
	v := &visitor{&http.Client{Jar: jar, Transport: tr}, f.t, "https://" + f.Addr}
	res, err := v.PostForm(v.url+"/login", url.Values{"user": {user}, "password": {password}})
	f.must(err)
	f.must(res.Body.Close())
	if res.StatusCode != http.StatusOK || res.Request.URL.Path != "/" {
		f.t.Fatalf("the login of %s leads to %s, %s", user, res.Request.URL, res.Status)
	}
	return v
}

// open asks for a path with a query of these pairs.
func (v *visitor) open(path string, header http.Header, pairs ...string) *http.Response {
	v.t.Helper()
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		q.Add(pairs[i], pairs[i+1])
	}
	req, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, v.url+path+"?"+q.Encode(), nil)
	if err != nil {
		v.t.Fatal(err)
	}
	for k, list := range header {
		req.Header[k] = list
	}
	res, err := v.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// get is an answer that must have this status.
func (v *visitor) get(status int, path string, pairs ...string) []byte {
	v.t.Helper()
	res := v.open(path, nil, pairs...)
	all, err := io.ReadAll(res.Body)
	if err != nil {
		v.t.Fatalf("%s: %v", path, err)
	}
	if res.StatusCode != status {
		v.t.Fatalf("%s %q is answered with %s, want %d:\n%s", path, pairs, res.Status, status, all)
	}
	return all
}

// user makes a user and logs in to the console.
func (f *fleet) user(name, role string) *visitor {
	f.t.Helper()
	const password = "a long enough password"
	file := filepath.Join(f.Dir, name+".password")
	f.must(os.WriteFile(file, []byte(password+"\n"), 0o600))
	f.do("user", "create", name, "--role", role, "--password-file", file)
	return f.visitor(name, password)
}

// hostileNames are names of files that nobody wants to see as they are.
var hostileNames = []string{
	"<img src=x onerror=alert(1)>", "gnp.\u202etxt", "\x1b[31mred\x1b[0m", "quote\"'&;=+%41 #?", "line\nfeed", "not\xffutf8", "back\\slash", strings.Repeat("n", 255), "...", "-rf",
}

// What the console hands out is what was backed up: one file, a part of one, and folders as archives, of names
// of any kind; to who may restore, and to nobody else.
func TestContentThroughTheConsoleIsWhatWasBackedUp(t *testing.T) {
	needPrograms(t, "tar", "unzip")
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 200, 8<<20, 5))
	big := site.Noise(rand.New(rand.NewPCG(1, 2)), 9<<20+1)
	f.must(os.WriteFile(filepath.Join(src, "big.bin"), big, 0o640))
	odd := filepath.Join(src, "odd")
	f.must(os.Mkdir(odd, 0o755))
	for i, name := range hostileNames {
		f.must(os.WriteFile(filepath.Join(odd, name), []byte(fmt.Sprintf("hostile %d", i)), 0o644))
	}
	f.must(os.Symlink("../big.bin", filepath.Join(odd, "link")))
	f.must(os.Link(filepath.Join(src, "big.bin"), filepath.Join(odd, "second name")))
	f.must(os.WriteFile(filepath.Join(odd, "empty"), nil, 0o644))
	f.createJob("docs", "web1", []string{src})
	f.run("docs")
	point := f.pointOf("web1", "docs")
	v := f.user("rita", "restore-operator")

	// One file, whole.
	path := filepath.Join(src, "big.bin")
	res := v.open("/restore/content", nil, "point", point, "path", path)
	got, err := io.ReadAll(res.Body)
	f.must(err)
	if res.StatusCode != http.StatusOK || !bytes.Equal(got, big) {
		t.Fatalf("a download is answered with %s and %d bytes, want %d", res.Status, len(got), len(big))
	}
	for name, want := range map[string]string{
		"Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'", "X-Content-Type-Options": "nosniff", "Content-Type": "application/octet-stream",
		"Content-Disposition": `attachment; filename="big.bin"; filename*=UTF-8''big.bin`, "Cache-Control": "no-store", "Accept-Ranges": "bytes",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}

	// One that breaks in the middle goes on where it was.
	res = v.open("/restore/content", nil, "point", point, "path", path)
	part := make([]byte, 3<<20)
	_, err = io.ReadFull(res.Body, part)
	f.must(err)
	_ = res.Body.Close()
	res = v.open("/restore/content", http.Header{"Range": {fmt.Sprintf("bytes=%d-", len(part))}, "If-Range": {res.Header.Get("ETag")}}, "point", point, "path", path)
	rest, err := io.ReadAll(res.Body)
	f.must(err)
	if res.StatusCode != http.StatusPartialContent || !bytes.Equal(append(part, rest...), big) {
		t.Errorf("the rest is answered with %s and %d bytes", res.Status, len(rest))
	}

	// Folders, as they were.
	to := tempDir(t)
	f.must(os.WriteFile(filepath.Join(to, "a.tar"), v.get(http.StatusOK, "/restore/archive", "point", point, "path", src, "format", "tar"), 0o600))
	unpack(t, to, "tar", "-xpf", filepath.Join(to, "a.tar"), "-C", to)
	f.must(os.WriteFile(filepath.Join(to, "a.zip"), v.get(http.StatusOK, "/restore/archive", "point", point, "path", filepath.Join(src, "d000"), "format", "zip"), 0o600))
	unpack(t, to, "unzip", "-q", filepath.Join(to, "a.zip"), "-d", to)
	if diff := diffTrees(t, src, filepath.Join(to, "src")); diff != "" {
		t.Errorf("the tar archive differs:\n%s", diff)
	}
	if diff := diffTrees(t, filepath.Join(src, "d000"), filepath.Join(to, "d000")); diff != "" {
		t.Errorf("the zip archive differs:\n%s", diff)
	}
	// A name that zip cannot have is left out and listed.
	odds := v.get(http.StatusOK, "/restore/archive", "point", point, "path", odd, "format", "zip")
	z, err := zip.NewReader(bytes.NewReader(odds), int64(len(odds)))
	if err != nil {
		t.Fatal(err)
	}
	last := z.File[len(z.File)-1]
	r, err := last.Open()
	f.must(err)
	list, err := io.ReadAll(r)
	f.must(err)
	if last.Name != "keepward-left-out.txt" || !strings.Contains(string(list), `"odd/back\\slash"`) || len(z.File) != len(hostileNames)+4 {
		t.Errorf("the zip archive ends with %s: %s (%d entries)", last.Name, list, len(z.File))
	}

	// Names of any kind are text in pages, and lead nowhere where they are saved.
	page := string(v.get(http.StatusOK, "/restore/browse", "point", point, "path", odd))
	for _, bad := range []string{"<img src=x", "\u202e", "\x1b", "\xff"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page of a folder holds %q", bad)
		}
	}
	for i, name := range hostileNames {
		res := v.open("/restore/content", nil, "point", point, "path", filepath.Join(odd, name))
		got, err := io.ReadAll(res.Body)
		f.must(err)
		if string(got) != fmt.Sprintf("hostile %d", i) {
			t.Errorf("%q is answered with %s: %s", name, res.Status, got)
		}
		if d := res.Header.Get("Content-Disposition"); strings.ContainsAny(d, "\n\r\x1b\u202e") || strings.Contains(d, "/") || strings.Count(d, `"`) != 2 {
			t.Errorf("%q is saved by %q", name, d)
		}
		v.get(http.StatusOK, "/restore/preview", "point", point, "path", filepath.Join(odd, name))
	}
	for _, path := range []string{"/etc/passwd", filepath.Join(src, "..", "..", "etc", "passwd") + "x", src + "/odd/../../big.bin", src + "/missing"} {
		v.get(http.StatusNotFound, "/restore/content", "point", point, "path", path)
	}
	v.get(http.StatusBadRequest, "/restore/content", "point", point, "path", odd)

	// Who may not restore reads nothing.
	for _, user := range []*visitor{f.user("vera", "viewer"), f.user("oscar", "operator")} {
		for _, where := range []string{"/restore/content", "/restore/preview", "/restore/picture", "/restore/browse", "/restore/archive"} {
			user.get(http.StatusForbidden, where, "point", point, "path", path, "format", "tar")
		}
		user.get(http.StatusForbidden, "/restore/find", "text", "big")
	}
	audit := f.do("audit", "list", "-o", "json").Stdout
	if !strings.Contains(audit, "OpenContent") || !strings.Contains(audit, path) || !strings.Contains(audit, `"rita"`) {
		t.Errorf("the audit log does not tell who read what:\n%s", firstLines(audit))
	}
	if log := f.Server.Log(); strings.Contains(log, "more rights than they need") {
		t.Errorf("what opens content could not be confined:\n%s", f.Server.Tail(20))
	}
}

func unpack(t *testing.T, dir string, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, firstLines(string(out)))
	}
}

// diffTrees compares what a download keeps: names, types, targets of links, modes and content.
func diffTrees(t *testing.T, a, b string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "rsync", "-rnic", "--links", "--perms", "--delete", a+"/", b+"/").CombinedOutput()
	if err != nil {
		t.Fatalf("rsync: %v\n%s", err, out)
	}
	return firstLines(string(out))
}

// Somebody finds a file over all points, looks at its versions, sees one and saves it; then restores a folder to
// another computer, after an estimate. Every page is accessible, fits a narrow screen, and makes no error.
func TestARestoreInARealBrowser(t *testing.T) {
	needPrograms(t, "chromium")
	axe, err := os.ReadFile("testdata/axe/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	f := newFleet(t, "web1", "web2")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 60, 4<<20, 9))
	reports := filepath.Join(src, "reports")
	f.must(os.Mkdir(reports, 0o755))
	plan := filepath.Join(reports, "plan.txt")
	f.must(os.WriteFile(plan, []byte("the first text\n"), 0o644))
	f.must(os.Chtimes(plan, time.Now(), time.Now().Add(-time.Hour)))
	var picture bytes.Buffer
	f.must(png.Encode(&picture, image.NewGray(image.Rect(0, 0, 40, 30))))
	f.must(os.WriteFile(filepath.Join(reports, "chart.html"), picture.Bytes(), 0o644)) // whatever its name says
	f.must(os.WriteFile(filepath.Join(reports, "drawing.png"), []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`), 0o644))
	for i, name := range hostileNames {
		f.must(os.WriteFile(filepath.Join(reports, name), []byte(fmt.Sprintf("hostile %d", i)), 0o644))
	}
	f.createJob("docs", "web1", []string{src})
	f.run("docs")
	f.must(os.WriteFile(plan, []byte("the second text, which is longer\n"), 0o644))
	f.run("docs")
	point := f.pointOf("web1", "docs")
	f.user("rita", "restore-operator")

	b := newBrowser(t, "https://"+f.Addr)
	b.size(1280, "light")
	b.open("/restore")
	b.at("/login?next=%2Frestore")
	b.do(chromedp.SetValue(chromedp.CSS("#user"), "rita"), chromedp.SendKeys(chromedp.CSS("#password"), "a long enough password\r"))
	b.at("/restore")

	// A file is found over all points, seen in both versions, and saved.
	b.do(chromedp.SendKeys(chromedp.CSS("#text"), "plan\r"))
	b.says(".name", "plan.txt")
	b.click(`a[aria-label="Versions of plan.txt"]`)
	b.says(".versions", "33 B")
	b.says(".versions", "15 B")
	b.click(`.versions li:last-child a[href^="/restore/preview"]`)
	b.says("pre.preview", "the first text")
	saved := tempDir(t)
	_, err = chromedp.Call(b.ctx, devbrowser.SetDownloadBehavior, devbrowser.SetDownloadBehaviorParams{Behavior: "allow", DownloadPath: saved})
	f.must(err)
	b.click(`a[href^="/restore/content"]`)
	f.must(site.Until(stepWithin, "the saved file", func() (bool, error) {
		got, err := os.ReadFile(filepath.Join(saved, "plan.txt"))
		return err == nil && string(got) == "the first text\n", nil
	}))

	// Pictures are shown by what they are; what could run is text.
	preview := func(name string) string {
		return "/restore/preview?" + url.Values{"point": {point}, "path": {filepath.Join(reports, name)}}.Encode()
	}
	b.open(preview("chart.html"))
	b.until("the picture", `(i => i && i.complete && i.naturalWidth === 40)(document.querySelector("img.preview"))`)
	b.open(preview("drawing.png"))
	b.says("pre.preview", "<svg")

	// From a computer to its points, to its files.
	b.open("/restore")
	b.click(`a[href="/restore/points?computer=web1"]`)
	b.click(`.timeline a`)
	b.until("the folders of the newest point", `location.pathname === "/restore/browse"`)
	folder := "/restore/browse?" + url.Values{"point": {point}, "path": {reports}}.Encode()
	b.open(folder)
	b.says(".name", `gnp.\u202etxt`)
	b.until("names as text", fmt.Sprintf(`document.querySelectorAll("tbody tr").length === %d && !document.querySelector("td img")`, len(hostileNames)+3))
	choose := "/restore/to?" + url.Values{"point": {point}, "path": {reports}}.Encode()
	b.gallery(string(axe), map[string]string{
		"restore": "/restore", "restore-points": "/restore/points?computer=web1", "restore-browse": folder, "restore-find": "/restore/find?text=plan", "restore-find-none": "/restore/find?text=nowhere",
		"restore-versions": "/restore/versions?" + url.Values{"computer": {"web1"}, "path": {plan}}.Encode(), "restore-preview": preview("plan.txt"), "restore-picture": preview("chart.html"), "restore-to": choose,
	})
	b.size(1280, "light")

	// All of it is chosen, also what is no text, and goes to another computer.
	b.open(folder)
	b.until("all chosen", `[...document.querySelectorAll("td input")].map(e => e.click()).length`)
	b.click("form button.main")
	b.until("the form", `location.pathname === "/restore/to" && document.querySelector("#to")`)
	to := filepath.Join(tempDir(t), "back")
	b.do(chromedp.SetValue(chromedp.CSS("#target"), "web2"), chromedp.SendKeys(chromedp.CSS("#to"), to))
	b.click(`button[value="estimate"]`)
	b.says("#estimate", "To write")
	b.accessible(string(axe), "estimate")
	b.shoot("restore-estimate")
	if _, err := os.Stat(to); err == nil {
		t.Error("an estimate has written something")
	}
	b.click(`button[value="restore"]`)
	b.until("page of the session", `/^\/sessions\/\d+$/.test(location.pathname) && document.querySelector("#session h1")`)
	b.says("#session .state", "Completed")
	b.says("#lines", filepath.Join(reports, "plan.txt")+": created")
	b.shoot("restore-result")
	same(t, reports, below(to, reports))
	b.noTrouble()
}
