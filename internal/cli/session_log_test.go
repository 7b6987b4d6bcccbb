package cli_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

// ReadLogPage has one line a page.
func (f *fake) ReadLogPage(_ context.Context, r *connect.Request[keepwardv1.ReadLogPageRequest]) (*connect.Response[keepwardv1.ReadLogPageResponse], error) {
	out := &keepwardv1.ReadLogPageResponse{}
	for i := range slices.Backward(f.events) {
		e := f.events[i]
		if n := int64(i + 1); (r.Msg.GetBefore() == 0 || n < r.Msg.GetBefore()) && (len(r.Msg.GetLevels()) == 0 || slices.Contains(r.Msg.GetLevels(), e.GetLevel())) && strings.Contains(e.GetText(), r.Msg.GetText()) {
			out.Events, out.Next = []*keepwardv1.Event{e}, n
			break
		}
	}
	return connect.NewResponse(out), nil
}

func (f *fake) ListFileErrors(_ context.Context, r *connect.Request[keepwardv1.ListFileErrorsRequest]) (*connect.Response[keepwardv1.ListFileErrorsResponse], error) {
	file := func(path string) *keepwardv1.FileError {
		return &keepwardv1.FileError{Lines: 3, Newest: &keepwardv1.Event{Time: timestamppb.New(now), Level: "error", Task: "t", Path: []byte(path), Text: "denied " + r.Msg.GetText()}}
	}
	if r.Msg.GetAfter() == nil {
		return connect.NewResponse(&keepwardv1.ListFileErrorsResponse{Files: []*keepwardv1.FileError{file("/a\x1b\xff")}, Next: &keepwardv1.FilePlace{Path: []byte("/a"), Task: "t"}}), nil
	}
	return connect.NewResponse(&keepwardv1.ListFileErrorsResponse{Files: []*keepwardv1.FileError{file("/z")}}), nil
}

func TestALogIsSearchedPageByPageAndPrintedInItsOrder(t *testing.T) {
	f := newFake(t)
	f.events = []*keepwardv1.Event{
		{Level: "error", Text: "first bad"}, {Level: "info", Text: "first good"}, {Level: "warning", Text: "second bad"}, {Level: "error", Text: "third bad"},
	}
	order := func(want ...string) {
		t.Helper()
		at := -1
		r := f.do(t, "session", "log", "12", "--level", "warning", "--search", "bad").want(t, 0)
		for _, text := range want {
			i := strings.Index(r.out, text)
			if i < at || i < 0 {
				t.Errorf("%q is not in its place:\n%s", text, r.out)
			}
			at = i
		}
		if strings.Contains(r.out, "good") {
			t.Errorf("it prints what was not looked for:\n%s", r.out)
		}
	}
	order("first bad", "second bad", "third bad")
	f.do(t, "session", "log", "12", "--level", "error", "-o", "json").want(t, 0, `"events"`, "first bad")
	f.do(t, "session", "log", "12", "--level", "loud").want(t, 2, "none of info, warning, error")
	f.do(t, "session", "log", "12", "-f", "--search", "x").want(t, 2, "--follow")
}

func TestFilesWithErrorsAreListedToTheLastPage(t *testing.T) {
	f := newFake(t)
	s := state("Failed", nil)
	s.Tasks = []*keepwardv1.Task{{Id: "t", Computer: "web1"}}
	f.sessions = []*keepwardv1.Session{s}
	f.do(t, "session", "errors", "12", "--search", "me").want(t, 0, `/a\x1b\xff`, "/z", "denied me", "web1")
	f.do(t, "session", "errors", "12", "-o", "json").want(t, 0, `"pathText"`, `"lines"`)
}
