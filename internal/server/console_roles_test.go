package server

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	v1 "keepward/api/keepward/v1/keepwardv1connect"
)

// offered are the ways that pages offer, by how they begin, and the call that each ends in.
var offered = []struct{ way, procedure string }{
	{"act=suspend", v1.SessionServiceSuspendSessionProcedure},
	{"act=resume", v1.SessionServiceResumeSessionProcedure},
	{"act=priority", v1.SessionServiceSetSessionPriorityProcedure},
	{"act=commit", v1.SessionServiceKillSessionProcedure},
	{"act=kill", v1.SessionServiceKillSessionProcedure},
	{"act=retry", v1.SessionServiceRetrySessionProcedure},
	{"/sessions/1/retry", v1.SessionServiceRetrySessionProcedure},
	{"/jobs/run?", v1.JobServiceRunJobProcedure},
	{"/jobs/new", v1.JobServiceCreateJobProcedure},
	{"/jobs/edit?", v1.JobServiceUpdateJobProcedure},
	{"/jobs/clone?", v1.JobServiceCreateJobProcedure},
	{"/jobs/do/disable?", v1.JobServiceUpdateJobProcedure},
	{"/jobs/do/delete?", v1.JobServiceDeleteJobProcedure},
	{"/restore", v1.PointServiceBrowseProcedure},
}

var (
	wayOf   = regexp.MustCompile(`href="([^"]*)"`)
	buttons = regexp.MustCompile(`<button type="submit" name="(act)" value="([a-z]+)"`)
)

// What the table of roles refuses is offered on no page of sessions, jobs and points, and what it allows is.
func TestPagesOfferEachRoleWhatItMay(t *testing.T) {
	s := divided(t)
	for _, r := range roles {
		name := "u-" + r.name
		must(s.users(s.token).CreateUser(t.Context(), connect.NewRequest(&keepwardv1.CreateUserRequest{Name: name, Role: r.name, Password: goodPassword})))(t)
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		browser := &http.Client{Transport: s.client.Transport, Jar: jar}
		show := func(res *http.Response, err error) string {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			page, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != http.StatusOK {
				t.Fatalf("%s: %s: %s, %v\n%s", r.name, res.Request.URL, res.Status, err, page)
			}
			return string(page)
		}
		show(browser.PostForm(s.url()+"/login", url.Values{"user": {name}, "password": {goodPassword}}))
		var ways []string
		for _, path := range []string{"/", "/sessions", "/sessions/1", "/jobs", "/jobs/show?job=webjob", "/points/show?point=" + pointInside} {
			page := show(browser.Get(s.url() + path))
			for _, m := range wayOf.FindAllStringSubmatch(page, -1) {
				ways = append(ways, html.UnescapeString(m[1]))
			}
			for _, m := range buttons.FindAllStringSubmatch(page, -1) {
				ways = append(ways, m[1]+"="+m[2])
			}
		}
		for _, o := range offered {
			is := slices.ContainsFunc(ways, func(way string) bool { return strings.HasPrefix(way, o.way) })
			if may := roleMay(r.name, o.procedure); is != may {
				t.Errorf("%s is offered %s: %v; may it: %v", r.name, o.way, is, may)
			}
		}
	}
}
