package console

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

func fakeLine() *keepwardv1.Event {
	return &keepwardv1.Event{Seq: 12, Time: timestamppb.New(speedBegan), Level: "error", Part: "agent", Task: "t", Text: hostile + "\n2026 forged line", Path: []byte(hostile + "\xff\r\n"), Actor: hostile}
}

func (f *fakeAPI) ReadLogPage(_ context.Context, req *connect.Request[keepwardv1.ReadLogPageRequest]) (*connect.Response[keepwardv1.ReadLogPageResponse], error) {
	f.foundLog = req.Msg
	if req.Msg.GetText() == "nowhere" {
		return connect.NewResponse(&keepwardv1.ReadLogPageResponse{Next: 9}), nil
	}
	return connect.NewResponse(&keepwardv1.ReadLogPageResponse{Events: []*keepwardv1.Event{fakeLine()}, Next: 12}), nil
}

func (f *fakeAPI) ListFileErrors(_ context.Context, req *connect.Request[keepwardv1.ListFileErrorsRequest]) (*connect.Response[keepwardv1.ListFileErrorsResponse], error) {
	f.foundFiles = req.Msg
	return connect.NewResponse(&keepwardv1.ListFileErrorsResponse{Files: []*keepwardv1.FileError{{Lines: 3, Newest: fakeLine()}}, Next: &keepwardv1.FilePlace{Path: []byte("/a\xff&b"), Task: "t"}}), nil
}

func (f *fakeAPI) ListTransitions(context.Context, *connect.Request[keepwardv1.ListTransitionsRequest]) (*connect.Response[keepwardv1.ListTransitionsResponse], error) {
	return connect.NewResponse(&keepwardv1.ListTransitionsResponse{Events: []*keepwardv1.Event{{Task: "t", To: "Running", Text: hostile, Time: timestamppb.New(speedBegan)}}, More: 4}), nil
}

func TestALogIsNarrowedAndPagedByItsForm(t *testing.T) {
	b := loggedIn(t)
	page := text(t, b.get("/sessions/7?level=error&text=a%26b&before=40&file=x"))
	if diff := cmp.Diff(&keepwardv1.ReadLogPageRequest{Id: 7, Levels: []string{"error"}, Text: "a&b", Before: 40, Limit: logShown}, b.api.foundLog, protocmp.Transform()); diff != "" {
		t.Errorf("the API was asked (want, got):\n%s", diff)
	}
	for _, want := range []string{`href="/sessions/7?before=12&amp;file=x&amp;level=error&amp;text=a%26b#log-title"`, "Earlier lines", `value="a&amp;b"`, "is not added", `href="/sessions/7/file"`, "4 more changes"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Contains(page, "/sessions/7/log?after") {
		t.Error("lines that come are added to a log that is narrowed")
	}
	if page := text(t, b.get("/sessions/7")); !strings.Contains(page, "/sessions/7/log?after=12") {
		t.Error("lines that come are not added")
	}
	if page := text(t, b.get("/sessions/7?text=nowhere")); !strings.Contains(page, "Search on in the earlier ones") || !strings.Contains(page, "before=9") {
		t.Error("a search that has looked at its share of lines does not say so")
	}
}

// The name of a file need not be text: the link to the next page has its bytes.
func TestFilesWithErrorsArePagedByTheBytesOfTheirNames(t *testing.T) {
	b := loggedIn(t)
	page := text(t, b.get("/sessions/7?file=denied"))
	_, rest, ok := strings.Cut(page, `<nav class="pages" aria-label="Pages of files"><a href="`)
	to, _, _ := strings.Cut(rest, `"`)
	u, err := url.Parse(strings.ReplaceAll(to, "&amp;", "&"))
	if !ok || err != nil {
		t.Fatalf("there is no link to more files (%v): %s", err, to)
	}
	b.get(u.Path + "?" + u.RawQuery)
	want := &keepwardv1.ListFileErrorsRequest{Id: 7, Text: "denied", After: &keepwardv1.FilePlace{Path: []byte("/a\xff&b"), Task: "t"}, Limit: filesShown}
	if diff := cmp.Diff(want, b.api.foundFiles, protocmp.Transform()); diff != "" {
		t.Errorf("the API was asked (want, got):\n%s", diff)
	}
}

// Whatever stands in a line, in the file it is one line and nothing but text.
func TestADownloadedLogIsHarmless(t *testing.T) {
	b := loggedIn(t)
	res := b.get("/sessions/7/file")
	got := text(t, res)
	if kind, as := res.Header.Get("Content-Type"), res.Header.Get("Content-Disposition"); kind != "text/plain; charset=utf-8" || as != `attachment; filename="session-7-log.txt"` {
		t.Errorf("it comes as %q, %q", kind, as)
	}
	if strings.Count(got, "\n") != 1 || strings.ContainsAny(got, "\x1b\r\u202e") || !utf8.ValidString(got) || !strings.Contains(got, "alert(1)") || !strings.Contains(got, "error   agent") {
		t.Errorf("it is %q", got)
	}
	line := fileLine(map[string]string{"t": "web1"}, fakeLine())
	if !strings.HasPrefix(line, "2026-03-01T10:00:00.000Z error   agent  web1: ") || strings.ContainsAny(line, "\n\r\x1b") {
		t.Errorf("a line is %q", line)
	}
	if res := b.get("/sessions/8/file"); res.StatusCode != http.StatusNotFound || res.Header.Get("Content-Disposition") != "" {
		t.Errorf("of a session that is not there: %s as %q", res.Status, res.Header.Get("Content-Disposition"))
	}
	b.api.logBreaks = errs.New(errs.Unavailable, "test", "the catalog is gone")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+"/sessions/7/file", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	res, err = b.Do(req)
	if err == nil {
		defer func() { _ = res.Body.Close() }()
		if _, err = res.Body.Read(make([]byte, 1<<10)); err == nil {
			t.Error("a download that broke looks whole")
		}
	}
}
