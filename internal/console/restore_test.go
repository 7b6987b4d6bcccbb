package console

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

// hostilePath is a path whose name is hostile, and no UTF-8.
const hostilePath = "/srv/" + hostile + "\xff"

// fakePoints is a point with one folder. What it is asked for is kept.
type fakePoints struct {
	content []byte     // of its one file
	found   int        // how many versions a search finds; 0: one
	fails   error      // what reading ends with, behind the first piece
	denied  bool       // nobody may read content
	mu      sync.Mutex // of opened and order: a download that was broken off may go on beside the next
	opened  []*keepwardv1.OpenContentRequest
	order   *keepwardv1.ContentOrder
	reading sync.WaitGroup // those that are open
	enough  bool           // a search was ended by who asked
	browsed *keepwardv1.BrowseRequest
	globs   []string
	restore *keepwardv1.RestoreFilesRequest
}

func fakePoint() *keepwardv1.Point {
	return &keepwardv1.Point{Id: "3fa10000000000000000", Computer: hostile, Job: hostile, Repository: hostile, Time: timestamppb.Now()}
}

func fakeEntry(kind string) *keepwardv1.Entry {
	return &keepwardv1.Entry{Path: []byte(hostilePath), Type: kind, Size: 5, User: hostile, Group: hostile, Mtime: timestamppb.Now(), LinkTarget: []byte(hostilePath)}
}

func (f *fakeAPI) Browse(_ context.Context, req *connect.Request[keepwardv1.BrowseRequest]) (*connect.Response[keepwardv1.BrowseResponse], error) {
	f.browsed = req.Msg
	return connect.NewResponse(&keepwardv1.BrowseResponse{
		Point: fakePoint(), Entries: []*keepwardv1.Entry{fakeEntry("dir"), fakeEntry("file"), fakeEntry("symlink"), fakeEntry("fifo")}, NextCursor: []byte(hostile + "\xff"),
	}), nil
}

func (f *fakeAPI) Find(_ context.Context, req *connect.Request[keepwardv1.FindRequest], s *connect.ServerStream[keepwardv1.FindResponse]) error {
	f.globs = append(f.globs, req.Msg.GetGlob())
	e := fakeEntry("file")
	if req.Msg.GetGlob() == "/x" {
		e.Path = []byte("/x")
	}
	for range max(1, f.found) {
		if err := s.Send(&keepwardv1.FindResponse{Point: fakePoint().GetId(), Computer: hostile, Repository: hostile, Entry: e, Points: 2, Time: timestamppb.Now(), FirstTime: timestamppb.Now()}); err != nil {
			f.enough = true
			return err
		}
	}
	return nil
}

func (f *fakeAPI) OpenContent(_ context.Context, req *connect.Request[keepwardv1.OpenContentRequest]) (*connect.Response[keepwardv1.OpenContentResponse], error) {
	f.mu.Lock()
	f.opened = append(f.opened, req.Msg)
	f.mu.Unlock()
	if f.denied {
		return nil, errs.New(errs.Denied, "access.role", "open content: you may not")
	}
	return connect.NewResponse(&keepwardv1.OpenContentResponse{Point: fakePoint(), Keys: &keepwardv1.RepositoryKeys{ComputerKey: []byte("key")}}), nil
}

func (f *fakeAPI) ReadRecords(_ context.Context, req *connect.Request[keepwardv1.ReadRecordsRequest], s *connect.ServerStream[keepwardv1.ReadRecordsResponse]) error {
	return s.Send(&keepwardv1.ReadRecordsResponse{At: uint32(len(req.Msg.GetIds())), Record: []byte("sealed " + req.Msg.GetPoint())})
}

// Open is a Contents, which asks for a record first, as who opens content does.
func (f *fakeAPI) Open(ctx context.Context, order *keepwardv1.ContentOrder, from Records) (Reading, error) {
	f.mu.Lock()
	f.order = order
	f.mu.Unlock()
	got := ""
	err := from.Records(ctx, [][]byte{{1}, {2}}, func(m *keepwardv1.ReadRecordsResponse) error {
		got = fmt.Sprint(m.GetAt(), string(m.GetRecord()))
		return nil
	})
	if err != nil || got != "2sealed "+order.GetPoint() {
		return nil, fmt.Errorf("records: %q, %w", got, err)
	}
	f.reading.Add(1)
	return &fakeReading{f: f}, nil
}

type fakeReading struct{ f *fakeAPI }

func (r *fakeReading) Info() *keepwardv1.ContentInfo {
	return &keepwardv1.ContentInfo{Type: "file", Size: int64(len(r.f.content)), Mtime: timestamppb.New(time.Unix(1000, 0))}
}

func (r *fakeReading) Read(offset int64, n int) ([]byte, error) {
	if offset > 0 && r.f.fails != nil {
		return nil, r.f.fails
	}
	rest := r.f.content[offset:]
	return rest[:min(n, len(rest))], nil
}

func (r *fakeReading) Close() error {
	r.f.reading.Done()
	return nil
}

func content(path string) string { return "/restore/content?point=3fa1&path=" + url.QueryEscape(path) }

func TestADownloadIsNamedToTheAPIBeforeItIsRead(t *testing.T) {
	b := loggedIn(t)
	b.api.content = []byte("hello")
	res := b.get(content("/srv/docs/"))
	if got := text(t, res); res.StatusCode != http.StatusOK || got != "hello" {
		t.Fatalf("answered with %s: %q", res.Status, got)
	}
	if len(b.api.opened) != 1 || b.api.opened[0].GetPoint() != "3fa1" || string(b.api.opened[0].GetPath()) != "/srv/docs" || b.api.opened[0].GetKind() != "download" {
		t.Errorf("the API was told %v", b.api.opened)
	}
	if o := b.api.order; string(o.GetPath()) != "srv/docs" || string(o.GetKeys().GetComputerKey()) != "key" || o.GetFormat() != "" {
		t.Errorf("opened was %v", o)
	}
	b.api.denied = true
	before := b.api.order
	for _, path := range []string{content("/x"), "/restore/preview?point=x&path=y", "/restore/picture?point=x&path=y", "/restore/archive?format=tar&point=x&path=y"} {
		if res := b.get(path); res.StatusCode != http.StatusForbidden || res.Header.Get("Content-Disposition") != "" || b.api.order != before {
			t.Errorf("%s by who may not is answered with %s", path, res.Status)
		}
	}
	b.api.reading.Wait() // each was closed, whatever came of it
}

func TestContentRunsNothingInTheBrowser(t *testing.T) {
	b := loggedIn(t)
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 3, 3))); err != nil {
		t.Fatal(err)
	}
	svg := []byte("<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>")
	for name, content := range map[string][]byte{"picture": picture.Bytes(), "svg": svg} {
		b.api.content = content
		for _, path := range []string{"/restore/content?point=1&path=/x.html", "/restore/archive?format=zip&point=1&path=/x", "/restore/picture?point=1&path=/x.html"} {
			res := b.get(path)
			isPicture := strings.HasPrefix(path, "/restore/picture")
			if isPicture && name == "svg" {
				if page := text(t, res); res.StatusCode != http.StatusBadRequest || strings.Contains(page, "<svg") {
					t.Errorf("%s shows what is no picture: %s", path, res.Status)
				}
				continue
			}
			csp, kind := res.Header.Get("Content-Security-Policy"), res.Header.Get("Content-Type")
			if res.StatusCode != http.StatusOK || !strings.HasPrefix(csp, "sandbox; default-src 'none'") || res.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s of a %s: %s, %q", path, name, res.Status, csp)
			}
			if isPicture != (kind == "image/png") || strings.Contains(kind, "html") || strings.Contains(kind, "svg") {
				t.Errorf("%s of a %s is a %s", path, name, kind)
			}
			if !isPicture && !strings.HasPrefix(res.Header.Get("Content-Disposition"), "attachment; ") {
				t.Errorf("%s of a %s is shown, not saved", path, name)
			}
		}
	}
	b.api.content = svg
	if page := text(t, b.get("/restore/preview?point=1&path=/x.svg")); strings.Contains(page, "<svg") || !strings.Contains(page, "&lt;svg") || strings.Contains(page, "/restore/picture") {
		t.Error("a preview of SVG is not its text")
	}
	b.api.content = picture.Bytes()
	if page := text(t, b.get("/restore/preview?point=1&path=/x.txt")); !strings.Contains(page, `<img class="preview" src="/restore/picture?`) {
		t.Error("a preview of a picture does not show it")
	}
	for content, want := range map[string]string{"": "file is empty", "a\x00b": "no text", "gr\xfc\xdfe \u202e\x1b[31m\tend": "gr\\xfc\\xdfe"} {
		b.api.content = []byte(content)
		if page := text(t, b.get("/restore/preview?point=1&path=/x.svg")); !strings.Contains(page, want) || strings.ContainsAny(page, "\x1b\u202e") {
			t.Errorf("a preview of %q does not say %q", content, want)
		}
	}
}

func TestADownloadGoesOnWhereItBroke(t *testing.T) {
	b := loggedIn(t)
	b.api.content = bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	whole := b.get(content("/big"))
	tag := whole.Header.Get("ETag")
	if tag == "" || strings.HasPrefix(tag, "W/") || whole.Header.Get("Accept-Ranges") != "bytes" {
		t.Fatalf("a download has the tag %q and takes ranges by %q", tag, whole.Header.Get("Accept-Ranges"))
	}
	_ = whole.Body.Close()
	const from = 1_000_003
	res := b.get(content("/big"), "Range", fmt.Sprintf("bytes=%d-", from), "If-Range", tag)
	if got := text(t, res); res.StatusCode != http.StatusPartialContent || got != string(b.api.content[from:]) {
		t.Errorf("the rest is answered with %s and %d bytes", res.Status, len(got))
	}
	if res := b.get(content("/other"), "Range", "bytes=5-", "If-Range", tag); res.StatusCode != http.StatusOK {
		t.Errorf("the rest of another file is answered with %s", res.Status)
	}
	if res := b.get(content("/big"), "Range", "bytes=99999999-"); res.StatusCode != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("what is behind the end is answered with %s", res.Status)
	}
}

// A download that cannot be read to its end must not look like a shorter one.
func TestWhatBreaksOffDoesNotLookWhole(t *testing.T) {
	b := loggedIn(t)
	b.api.content, b.api.fails = make([]byte, 3<<20), errs.New(errs.Corrupt, "chunk.damaged", "a chunk is damaged")
	for _, path := range []string{content("/big"), "/restore/archive?format=tar&point=1&path=/x"} {
		res := b.get(path)
		if n, err := io.Copy(io.Discard, res.Body); err == nil {
			t.Errorf("%s ends without an error after %d bytes", path, n)
		}
	}
	b.api.content = nil
	if res := b.get("/restore/archive?format=exe&point=1&path=/x"); res.StatusCode != http.StatusBadRequest {
		t.Errorf("an unknown format is answered with %s", res.Status)
	}
}

func TestNamesOfDownloadsLeadNowhere(t *testing.T) {
	for name, want := range map[string]string{
		"report.odt": "report.odt", "a\"b": "a_b", "a\nb": "a_b", "gnp.\u202etxt": "gnp._txt", "not\xffutf8": "not_utf8", "..": "_", "": "_", "..\\..\\x": ".._.._x",
		"größe %41.txt": "größe %41.txt", "C:evil": "C_evil", " x ": "x", "日本": "日本",
	} {
		if got := fileName(name); got != want {
			t.Errorf("%q is saved as %q, want %q", name, got, want)
		}
		d := disposition(name)
		kind, params, err := mime.ParseMediaType(d)
		if err != nil || kind != "attachment" || params["filename"] != want {
			t.Errorf("%q is sent as %q, which says %v (%v)", name, d, params, err)
		}
	}
	for _, long := range []string{strings.Repeat("n", 300) + ".odt", strings.Repeat("ß", 200) + ".odt"} {
		if got := fileName(long); len(got) > nameMost || !strings.HasSuffix(got, ".odt") || !strings.HasPrefix(got, long[:100]) {
			t.Errorf("a long name is saved as %q", got)
		}
	}
}

func TestASearchEndsAndSaysSo(t *testing.T) {
	b := loggedIn(t)
	b.api.found = 100_000
	page := text(t, b.get("/restore/find?text=report"))
	if n := strings.Count(page, "/restore/preview?"); n != foundMost || !strings.Contains(page, "There is more") || !b.api.enough {
		t.Errorf("it shows %d of many (the search was ended: %t)", n, b.api.enough)
	}
	b.api.found = foundMost
	if strings.Contains(text(t, b.get("/restore/find?text=report")), "There is more") {
		t.Error("a search that found all says that there is more")
	}
	b.api.globs = nil
	for _, text := range []string{"report", "*.odt", "srv/docs", "a?"} {
		b.get("/restore/find?text=" + url.QueryEscape(text))
	}
	b.get("/restore/versions?computer=x&path=" + url.QueryEscape("/a[1]*?\\"))
	if got := strings.Join(b.api.globs, " "); got != `*report* *.odt **srv/docs** a? /a\[1]\*\?\\` {
		t.Errorf("it looked for %s", got)
	}
}

func TestAFolderGoesOnAtItsCursor(t *testing.T) {
	b := loggedIn(t)
	page := text(t, b.get("/restore/browse?point=3fa1&path=/srv"))
	if got := b.api.browsed; got.GetLimit() != entriesShown || string(got.GetPath()) != "/srv" || len(got.GetCursor()) != 0 {
		t.Errorf("asked for %v", got)
	}
	next := "cursor=" + url.QueryEscape(hostile+"\xff")
	if !strings.Contains(page, next) || strings.Contains(page, "From the beginning") {
		t.Fatalf("the first page does not lead on:\n%s", page)
	}
	if page = text(t, b.get("/restore/browse?point=3fa1&path=/srv&"+next)); string(b.api.browsed.GetCursor()) != hostile+"\xff" || !strings.Contains(page, "From the beginning") {
		t.Errorf("the next page was asked for from %q on", b.api.browsed.GetCursor())
	}
}

func TestAPointIsFoundByItsTime(t *testing.T) {
	b := loggedIn(t)
	if res := b.get("/restore/points?computer=x&at=2026-11-01T22:00"); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/restore/browse?point=3fa10000000000000000" {
		t.Errorf("a time leads to %q, %s", res.Header.Get("Location"), res.Status)
	}
	for at, status := range map[string]int{"2020-01-01": http.StatusNotFound, "soon": http.StatusBadRequest} {
		if res := b.get("/restore/points?computer=x&at=" + at); res.StatusCode != status {
			t.Errorf("%q is answered with %s, want %d", at, res.Status, status)
		}
	}
}

func TestFoldersOnTheWay(t *testing.T) {
	for path, want := range map[string]string{"/": "/", "/srv/docs": "/ /srv /srv/docs", "C:/Users/x": "/ C: C:/Users C:/Users/x", "/a/a/a": "/ /a /a/a /a/a/a"} {
		var got []string
		for _, c := range crumbs(path) {
			got = append(got, c.path)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func (f *fakeAPI) RestoreFiles(_ context.Context, req *connect.Request[keepwardv1.RestoreFilesRequest]) (*connect.Response[keepwardv1.StartSessionResponse], error) {
	f.restore = req.Msg
	switch {
	case f.denied:
		return nil, errs.New(errs.Denied, "access.role", "restore: you may not")
	case string(req.Msg.GetTo()) == "relative":
		return nil, errs.New(errs.Invalid, "restore.to", "restore: the directory is not absolute")
	}
	return connect.NewResponse(&keepwardv1.StartSessionResponse{Session: 7}), nil
}

func TestARestoreIsEstimatedAndThenRunAsItWasAskedFor(t *testing.T) {
	b := loggedIn(t)
	form := url.Values{
		"point": {"3fa1"}, "chosen": {escaped(hostilePath), escaped("/100 %41")}, "target": {"web2"}, "place": {"other"}, "to": {"/srv/back"},
		"overwrite": {"never"}, "strip": {"yes"}, "verify": {"yes"}, "do": {"estimate"},
	}
	asked := func() string {
		r := b.api.restore
		return fmt.Sprintf("%s %q %s %s %s strip=%t extra=%t verify=%t estimate=%t dry=%t",
			r.GetPoint(), r.GetPaths(), r.GetTargetComputer(), r.GetTo(), r.GetOverwrite(), r.GetStrip(), r.GetDeleteExtra(), r.GetVerify(), r.GetEstimate(), r.GetDryRun())
	}
	res := b.post("/restore/to", form)
	want := func(verify, estimate, dry bool) string {
		return fmt.Sprintf("3fa1 %q web2 /srv/back never strip=true extra=false verify=%t estimate=%t dry=%t", []string{hostilePath, "/100 %41"}, verify, estimate, dry)
	}
	if got := asked(); res.StatusCode != http.StatusSeeOther || got != want(false, true, false) {
		t.Fatalf("answered with %s, asked for\n%s, want\n%s", res.Status, got, want(false, true, false))
	}
	// The page that it leads to holds the same form, and what was estimated.
	page := text(t, b.get(res.Header.Get("Location")))
	for _, part := range []string{"/srv/back", `value="never" checked`, "/restore/estimate/7", "100 %2541", "Estimate", "session 7"} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %s:\n%s", part, page)
		}
	}
	for do, says := range map[string]string{"restore": want(true, false, false), "list": want(false, false, true)} {
		form.Set("do", do)
		res := b.post("/restore/to", form)
		if got := asked(); res.Header.Get("Location") != "/sessions/7" || got != says {
			t.Errorf("%s leads to %q, asked for %s", do, res.Header.Get("Location"), got)
		}
	}
	form.Set("chosen", "/")
	form.Set("place", "original")
	b.post("/restore/to", form)
	if r := b.api.restore; len(r.GetPaths()) != 0 || len(r.GetTo()) != 0 || r.GetStrip() {
		t.Errorf("everything, where it was: %v", r)
	}
}

// A site has more computers than a list to choose from may have.
func TestTheTargetIsWrittenWhereThereAreMany(t *testing.T) {
	b := loggedIn(t)
	form := url.Values{"point": {"3fa1"}, "chosen": {"/srv"}, "place": {"original"}, "do": {"restore"}, "named": {"web 100%"}}
	if res := b.post("/restore/to", form); res.StatusCode != http.StatusSeeOther || b.api.restore.GetTargetComputer() != "web 100%" {
		t.Errorf("answered with %s, the target is %q", res.Status, b.api.restore.GetTargetComputer())
	}
	form.Set("do", "estimate")
	if page := text(t, b.get(b.post("/restore/to", form).Header.Get("Location"))); !strings.Contains(page, `name="named" value="web 100%"`) {
		t.Errorf("the estimate has another target:\n%s", page)
	}
}

func TestARestoreThatCannotBeIsSaidInItsForm(t *testing.T) {
	b := loggedIn(t)
	form := url.Values{"point": {"3fa1"}, "chosen": {"/srv"}, "place": {"other"}, "to": {"relative"}, "do": {"restore"}}
	if res := b.post("/restore/to", form); res.StatusCode != http.StatusBadRequest || !strings.Contains(text(t, res), `value="relative"`) {
		t.Errorf("what the API refuses is answered with %s", res.Status)
	}
	b.api.restore = nil
	for name, change := range map[string][2]string{"no folder": {"to", ""}, "no place": {"place", ""}, "no act": {"do", "erase"}, "no path": {"chosen", "%zz"}} {
		form := url.Values{"point": {"3fa1"}, "chosen": {"/srv"}, "place": {"other"}, "to": {"/x"}, "do": {"restore"}}
		form.Set(change[0], change[1])
		if res := b.post("/restore/to", form); res.StatusCode != http.StatusBadRequest || b.api.restore != nil {
			t.Errorf("%s: answered with %s", name, res.Status)
		}
	}
	if res := b.get("/restore/to?point=3fa1"); res.StatusCode != http.StatusBadRequest {
		t.Errorf("nothing chosen is answered with %s", res.Status)
	}
	form.Set("to", "/x")
	b.api.denied = true
	if res := b.post("/restore/to", form); res.StatusCode != http.StatusForbidden {
		t.Errorf("who may not restore is answered with %s", res.Status)
	}
	b.api.denied, b.api.restore = false, nil
	if res := b.post("/restore/to", form, "Sec-Fetch-Site", "cross-site"); res.StatusCode != http.StatusForbidden || b.api.restore != nil {
		t.Errorf("a restore for another site is answered with %s", res.Status)
	}
}

func TestAPathOutlivesAForm(t *testing.T) {
	for _, path := range []string{"/srv/docs", hostilePath, "/100 %41%", "/line\nfeed", "/gr\xfc\xdfe/\ufffd/日本"} {
		got, err := url.PathUnescape(escaped(path))
		if err != nil || got != path {
			t.Errorf("%q comes back as %q (%v)", path, got, err)
		}
		if e := escaped(path); strings.ToValidUTF8(e, "") != e || strings.ContainsAny(e, "\x00\n\r\x1b") {
			t.Errorf("%q is sent as %q", path, e)
		}
	}
}
