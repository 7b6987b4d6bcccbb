package console

import (
	"context"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

func fakeRuns() []*keepwardv1.NextRun {
	return []*keepwardv1.NextRun{{Time: timestamppb.New(time.Now().Add(time.Hour)), Computers: []string{hostile}, Zone: hostile, After: hostile}}
}

func (f *fakeAPI) PreviewJob(_ context.Context, req *connect.Request[keepwardv1.PreviewJobRequest]) (*connect.Response[keepwardv1.PreviewJobResponse], error) {
	j := req.Msg.GetJob()
	res := &keepwardv1.PreviewJobResponse{Job: j, Coming: fakeRuns(), When: hostile, Warnings: []string{hostile}, LeftOut: []string{hostile}, Changed: []string{"computers", "repository", "retention.keep_last"}, Yaml: []byte("name: " + hostile + "\n")}
	if j.GetDescription() == "bad" {
		res.Faults = []*keepwardv1.JobFault{
			{Field: "files.include[0]", Text: "not absolute: " + hostile, Hint: hostile},
			{Field: "applications[0].settings.database", Text: "no such database"},
			{Field: "overrides.web1.include", Text: "no such path"},
			{Field: "retention.weekly", Text: "of the server"},
		}
	}
	return connect.NewResponse(res), nil
}

func (f *fakeAPI) ListCredentials(context.Context, *connect.Request[keepwardv1.ListCredentialsRequest]) (*connect.Response[keepwardv1.ListCredentialsResponse], error) {
	return connect.NewResponse(&keepwardv1.ListCredentialsResponse{Credentials: []*keepwardv1.Credential{{Name: hostile, User: hostile, Description: hostile, Jobs: []string{hostile}}, {Name: "long"}}}), nil
}

func (f *fakeAPI) PreviewRetention(context.Context, *connect.Request[keepwardv1.PreviewRetentionRequest]) (*connect.Response[keepwardv1.PreviewRetentionResponse], error) {
	return connect.NewResponse(&keepwardv1.PreviewRetentionResponse{Kept: 3, Deleted: 2, FreedBytes: 1 << 20}), nil
}

func (f *fakeAPI) ListResources(context.Context, *connect.Request[keepwardv1.ListResourcesRequest]) (*connect.Response[keepwardv1.ListResourcesResponse], error) {
	return connect.NewResponse(&keepwardv1.ListResourcesResponse{Resources: []*keepwardv1.Resource{{
		Kind: "stream", Label: hostile, Capacity: 1, Used: 1, Holders: []*keepwardv1.Holder{{Session: 3, Job: hostile}}, Waiters: []*keepwardv1.Holder{{Session: 7, Job: hostile}},
	}}}), nil
}

func (f *fakeAPI) UpdateJob(_ context.Context, req *connect.Request[keepwardv1.UpdateJobRequest]) (*connect.Response[keepwardv1.UpdateJobResponse], error) {
	if f.changed && req.Msg.GetJob().GetRevision() != 2 {
		return nil, errs.New(errs.Busy, "job.changed", "it was changed meanwhile")
	}
	f.saved = req.Msg.GetJob()
	return connect.NewResponse(&keepwardv1.UpdateJobResponse{Job: f.saved}), nil
}

func (f *fakeAPI) CreateJob(_ context.Context, req *connect.Request[keepwardv1.CreateJobRequest]) (*connect.Response[keepwardv1.CreateJobResponse], error) {
	f.saved = req.Msg.GetJob()
	return connect.NewResponse(&keepwardv1.CreateJobResponse{Job: f.saved}), nil
}

func (f *fakeAPI) DryRun(_ context.Context, _ *connect.Request[keepwardv1.DryRunRequest], s *connect.ServerStream[keepwardv1.DryRunResponse]) error {
	return s.Send(&keepwardv1.DryRunResponse{Computer: hostile, Result: &keepwardv1.DryRun{
		Taken: &keepwardv1.Amount{Files: 3, Bytes: 1024}, Includes: []*keepwardv1.DryRunPath{{Path: []byte(hostile + "\xff"), State: "missing", Text: hostile}},
		LeftOut: []*keepwardv1.DryRunRule{{Kind: "exclude", Rule: hostile, What: hostile, Unseen: 1}}, LargestFiles: []*keepwardv1.DryRunSize{{Path: []byte(hostile), Bytes: 7}},
		Problems: []*keepwardv1.DryRunProblem{{Level: "error", Path: []byte(hostile), Text: hostile}}, Errors: 4, Remarks: []string{hostile},
	}})
}

var (
	shownInput  = regexp.MustCompile(`<input ([^>]*)>`)
	shownArea   = regexp.MustCompile(`(?s)<textarea ([^>]*)>(.*?)</textarea>`)
	shownSelect = regexp.MustCompile(`(?s)<select ([^>]*)>(.*?)</select>`)
	chosen      = regexp.MustCompile(`<option value="([^"]*)" selected`)
	attribute   = regexp.MustCompile(`([a-z-]+)="([^"]*)"`)
)

// formOn is what a browser would send of the wizard on a page.
func formOn(page string) url.Values {
	form := url.Values{}
	attrs := func(text string) map[string]string {
		out := map[string]string{}
		for _, m := range attribute.FindAllStringSubmatch(text, -1) {
			out[m[1]] = html.UnescapeString(m[2])
		}
		return out
	}
	for _, m := range shownInput.FindAllStringSubmatch(page, -1) {
		a := attrs(m[1])
		if a["name"] == "" || (a["type"] == "checkbox" || a["type"] == "radio") && !strings.Contains(m[1], " checked") {
			continue
		}
		form.Add(a["name"], a["value"])
	}
	for _, m := range shownArea.FindAllStringSubmatch(page, -1) {
		form.Add(attrs(m[1])["name"], strings.ReplaceAll(html.UnescapeString(m[2]), "\n", "\r\n")) // as browsers do
	}
	for _, m := range shownSelect.FindAllStringSubmatch(page, -1) {
		if c := chosen.FindStringSubmatch(m[2]); c != nil {
			form.Add(attrs(m[1])["name"], html.UnescapeString(c[1]))
		}
	}
	return form
}

func with(form url.Values, pairs ...string) url.Values {
	out := url.Values{}
	for k, v := range form {
		out[k] = slices.Clone(v)
	}
	for i := 0; i < len(pairs); i += 2 {
		out.Set(pairs[i], pairs[i+1])
	}
	return out
}

// A job that goes through all steps of the wizard and is saved is what it was, whatever is in it: what
// no line of a form can hold, and what the form has no input for.
func TestAJobComesThroughTheWizardAsItWas(t *testing.T) {
	b := loggedIn(t)
	page := text(t, b.get("/jobs/edit?job=x"))
	for range len(wizardSteps) - 1 {
		page = text(t, b.post("/jobs/wizard", with(formOn(page), keyGo, goNext)))
	}
	if !strings.Contains(page, "<h2>Summary</h2>") {
		t.Fatalf("all steps lead to:\n%s", page)
	}
	if res := b.post("/jobs/wizard", with(formOn(page), keyGo, goSave)); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("it is answered with %s:\n%s", res.Status, text(t, res))
	}
	want := whole(fakeJob())
	if diff := cmp.Diff(want, b.api.saved, protocmp.Transform()); diff != "" {
		t.Errorf("what was not touched was changed:\n%s", diff)
	}
}

func TestAFormAndAJobAreTheSame(t *testing.T) {
	for _, j := range []*keepwardv1.Job{newJob(), fakeJob()} {
		got, bad := jobOf(j, formOf(j))
		if diff := cmp.Diff(whole(j), got, protocmp.Transform()); diff != "" || len(bad) > 0 {
			t.Errorf("%v, %s", bad, diff)
		}
	}
	j, bad := jobOf(newJob(), url.Values{"priority": {"high"}, "jitter": {"soon"}, "retention.weekly": {"4"}})
	if len(bad) != 2 || bad[0].input != "priority" || bad[1].input != "jitter" || j.GetRetention().GetWeekly() != 4 {
		t.Errorf("what cannot be read: %v, %v", bad, j.GetRetention())
	}
}

func TestTextsThatAreNotSeenStandInQuotes(t *testing.T) {
	for _, text := range []string{"", "/srv/docs", `C:\Users`, "/a b", " /a", "/a\nb", "/\u202eb", `"quoted"`, "/é", "\x1b", "日本"} {
		shown := shownText(text)
		if typedText(shown) != text {
			t.Errorf("%q is shown as %s, which is read as %q", text, shown, typedText(shown))
		}
		if strings.ContainsAny(shown, "\n\u202e\x1b") {
			t.Errorf("%q is shown as it is", text)
		}
	}
	if shownText(`C:\Users`) != `C:\Users` {
		t.Error("a path of Windows is written otherwise")
	}
}

// Faults of a step keep it where it is, say what they are about, and are no reason against going on
// at another one.
func TestAStepWithAFaultStaysAndSaysIt(t *testing.T) {
	b := loggedIn(t)
	files := formOn(text(t, b.get("/jobs/edit?job=x&step=files")))
	files.Set("description", "bad")
	res := b.post("/jobs/wizard", with(files, keyGo, goNext))
	page := text(t, res)
	if res.StatusCode != http.StatusBadRequest || !strings.Contains(page, "<h2>Files</h2>") || !strings.Contains(page, "not absolute") || !strings.Contains(page, "no such path") || !strings.Contains(page, `aria-invalid="true"`) {
		t.Errorf("answered with %s:\n%s", res.Status, page)
	}
	if strings.Contains(page, "no such database") {
		t.Error("it says a fault of another step")
	}
	page = text(t, b.post("/jobs/wizard", with(files, keyGo, goStepAt+stepGuest)))
	if !strings.Contains(page, "no such database") || !strings.Contains(page, `class="bad"`) {
		t.Errorf("the step of applications shows:\n%s", page)
	}
	page = text(t, b.post("/jobs/wizard/check", files))
	if strings.Contains(page, "<html") || !strings.Contains(page, "not absolute") {
		t.Errorf("while it is filled in it says:\n%s", page)
	}
	res = b.post("/jobs/wizard", with(files, keyGo, goSave))
	if page = text(t, res); b.api.saved != nil || res.StatusCode != http.StatusBadRequest || !strings.Contains(page, "It cannot be saved yet") {
		t.Errorf("saved: %v, %s", b.api.saved, res.Status)
	}
	// What cannot be read is said once, and not what the server makes of nothing.
	page = text(t, b.post("/jobs/wizard/check", with(files, keyStep, stepRetention, "retention.weekly", "many")))
	if !strings.Contains(page, "&#34;many&#34; is no whole number") || strings.Contains(page, "of the server") {
		t.Errorf("a number that is none: %s", page)
	}
}

// The first saves; the second is told before anything of it is written, and again if it happens between
// the look and the writing.
func TestASecondChangeIsToldOfTheFirst(t *testing.T) {
	b := loggedIn(t)
	page := text(t, b.get("/jobs/edit?job=x&step=summary"))
	b.api.changed = true
	res := b.post("/jobs/wizard", with(formOn(page), keyGo, goSave, "retention.keep_last", "5"))
	page = text(t, res)
	if res.StatusCode != http.StatusConflict || b.api.saved != nil {
		t.Fatalf("answered with %s, written was %v", res.Status, b.api.saved)
	}
	for _, want := range []string{"changed elsewhere", "of somebody else", "saved is 9; yours is 5"} {
		if !strings.Contains(page, want) {
			t.Errorf("it does not say %q:\n%s", want, page)
		}
	}
	if res = b.post("/jobs/wizard", with(formOn(page), keyGo, goSave)); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("then answered with %s:\n%s", res.Status, text(t, res))
	}
	if s := b.api.saved; s.GetDescription() != "of somebody else" || s.GetRetention().GetKeepLast() != 5 || s.GetRevision() != 2 {
		t.Errorf("written was %v", s)
	}

	page = text(t, b.get("/jobs/edit?job=x&step=summary"))
	b.api.jobGone, b.api.saved = true, nil
	page = text(t, b.post("/jobs/wizard", with(formOn(page), keyGo, goSave)))
	if b.api.saved != nil || !strings.Contains(page, "deleted meanwhile") {
		t.Errorf("a job that is gone: written was %v:\n%s", b.api.saved, page)
	}
}

func TestAFormThatCameInPartWritesNothing(t *testing.T) {
	b := loggedIn(t)
	good := with(formOn(text(t, b.get("/jobs/edit?job=x&step=summary"))), keyGo, goSave)
	for _, name := range []string{keyWhole, keyDraft, keyOf, keyRevision, keyWas} {
		form := with(good)
		form.Del(name)
		if res := b.post("/jobs/wizard", form); res.StatusCode != http.StatusBadRequest || b.api.saved != nil {
			t.Errorf("without %s: %s, written was %v", name, res.Status, b.api.saved)
		}
	}
}

func TestMergeTakesOverWhatWasNotTouched(t *testing.T) {
	was := url.Values{"name": {"docs"}, "schedule": {"daily 22:00"}, "files.include": {"/a\n/b"}, "computers": {"web1", "web2"}}
	form := url.Values{"name": {"docs"}, "schedule": {"daily 04:00"}, "files.include": {"/a\r\n/b"}, "computers": {"web1"}}
	now := url.Values{"name": {"docs"}, "schedule": {"daily 23:00"}, "files.include": {"/c"}, "computers": {"web1", "web2"}, "disabled": {"yes"}}
	got, taken, both := merge(form, was, now)
	want := url.Values{"name": {"docs"}, "schedule": {"daily 04:00"}, "files.include": {"/c"}, "computers": {"web1"}, "disabled": {"yes"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !slices.Equal(taken, []string{"files.include", "disabled"}) || !slices.Equal(both, []string{"schedule"}) {
		t.Errorf("taken over: %v; changed by both: %v", taken, both)
	}
}

func TestRowsOfApplicationsThatAreEmptyLeaveNoGap(t *testing.T) {
	form := url.Values{
		"applications[0].kind": {""}, "applications[0].name": {"gone"}, "applications[1].kind": {"mariadb"}, "applications[1].name": {"shop"}, "applications[2].kind": {""}, "name": {"docs"},
	}
	compact(form)
	want := url.Values{"applications[0].kind": {"mariadb"}, "applications[0].name": {"shop"}, "name": {"docs"}}
	if diff := cmp.Diff(want, form); diff != "" {
		t.Error(diff)
	}
}

func TestALookIsShownAsText(t *testing.T) {
	b := loggedIn(t)
	form := with(formOn(text(t, b.get("/jobs/edit?job=x&step=files"))), keyLook, hostile)
	for _, header := range [][]string{nil, {"HX-Request", "true"}} {
		page := text(t, b.post("/jobs/wizard/look", form, header...))
		if !strings.Contains(page, "3 files, 1.00 KiB") || !strings.Contains(page, "and 3 more") || strings.Contains(page, "<script>alert") || strings.ContainsAny(page, "\u202e\x1b") || strings.Contains(page, "\xff") {
			t.Errorf("%v shows:\n%s", header, page)
		}
	}
	page := text(t, b.post("/jobs/wizard/look", with(form, keyLook, ""), "HX-Request", "true"))
	if !strings.Contains(page, "the job has no computer yet") {
		t.Errorf("without a computer it shows:\n%s", page)
	}
}

func TestSeveralSessionsEachGetTheirAnswer(t *testing.T) {
	b := loggedIn(t)
	res := b.post("/sessions/do", url.Values{"act": {"kill"}, "id": {"7"}})
	if res.StatusCode != http.StatusSeeOther || b.api.killed.GetId() != 7 {
		t.Errorf("answered with %s, ended was %v", res.Status, b.api.killed)
	}
	res = b.post("/sessions/do", url.Values{"act": {"suspend"}, "id": {"7"}})
	if page := text(t, res); res.StatusCode != http.StatusConflict || !strings.Contains(page, "Not all of it could be done") || !strings.Contains(page, "suspend session 7") {
		t.Errorf("refused: %s\n%s", res.Status, page)
	}
	for query, status := range map[string]int{"act=nothing&id=7": http.StatusNotFound, "act=kill&id=x": http.StatusBadRequest, "act=kill&id=8": http.StatusNotFound, "act=kill" + strings.Repeat("&id=7", manyMost+1): http.StatusBadRequest} {
		if res := b.get("/sessions/do?" + query); res.StatusCode != status {
			t.Errorf("%.40s is answered with %s, want %d", query, res.Status, status)
		}
	}
}

func TestACalendarHasTheRunsOfFiveWeeks(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	v := &view{now: time.Date(2026, 10, 22, 12, 0, 0, 0, time.UTC), zone: paris} // a Thursday; the clocks change on Sunday
	var coming []*keepwardv1.NextRun
	for i := range 60 {
		coming = append(coming, &keepwardv1.NextRun{Time: timestamppb.New(time.Date(2026, 10, 22+i, 22, 30, 0, 0, time.UTC))})
	}
	weeks := v.calendar(coming)
	if len(weeks) != calendarWeeks || weeks[0][0].day != "19 Oct" || !weeks[0][3].today || !weeks[0][2].past || weeks[0][3].count() != 0 {
		t.Fatalf("the first week is %+v", weeks[0])
	}
	// 22:30 UTC is half past midnight of the next day in summer, and 23:30 of the same in winter.
	if got := weeks[0][4].runs; !slices.Equal(got, []string{"00:30"}) {
		t.Errorf("Friday has %v", got)
	}
	if got := weeks[0][6].runs; !slices.Equal(got, []string{"00:30", "23:30"}) {
		t.Errorf("Sunday has %v", got)
	}
	if weeks[1][6].day != "1 Nov" || weeks[4][6].count() != 1 {
		t.Errorf("the second and the last week are %+v, %+v", weeks[1], weeks[4])
	}
	if v.calendar(nil) != nil {
		t.Error("a calendar without runs is drawn")
	}
}

func TestADocumentIsShownWithoutWhatTurnsIt(t *testing.T) {
	if got := document([]byte("name: é\\n\u202eb\x1b\n  - x\xff\n")); got != "name: é\\n\\u202eb\\x1b\n  - x\ufffd\n" {
		t.Errorf("shown is %q", got)
	}
}
