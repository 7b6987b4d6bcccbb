package server

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
)

// One port serves both, and who has logged in to the console may there what he may by the API.
func TestTheConsoleIsServedBesideTheAPI(t *testing.T) {
	s := start(t, t.TempDir())
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
		if err != nil {
			t.Fatal(err)
		}
		return string(page)
	}
	if page := show(browser.Get(s.url() + "/")); !strings.Contains(page, `type="password"`) {
		t.Fatalf("a stranger sees:\n%s", page)
	}
	page := show(browser.PostForm(s.url()+"/login", url.Values{"user": {"admin"}, "password": {"wrong"}}))
	if !strings.Contains(page, "user or password is wrong") || !strings.Contains(s.log.String(), "login refused") || strings.Contains(s.log.String(), "peer=\"\"") {
		t.Errorf("a wrong password is answered with:\n%s\nand logged as:\n%s", page, s.log.String())
	}
	page = show(browser.PostForm(s.url()+"/login", url.Values{"user": {"admin"}, "password": {s.password()}}))
	if !strings.Contains(page, "Nothing needs attention") {
		t.Errorf("after the login it shows:\n%s", page)
	}
	for _, path := range []string{"/sessions", "/jobs", "/computers", "/repositories", "/points"} {
		if page := show(browser.Get(s.url() + path)); !strings.Contains(page, `class="empty"`) {
			t.Errorf("%s of a new server shows:\n%s", path, page)
		}
	}
	// The API is not behind the login of the console, nor does it take its cookie.
	res, err := browser.Post(s.url()+"/keepward.v1.StatusService/GetStatus", "application/json", strings.NewReader("{}"))
	if page := show(res, err); res.StatusCode != http.StatusForbidden || !strings.Contains(page, "a token is needed") {
		t.Errorf("a call with the cookie alone is answered with %s:\n%s", res.Status, page)
	}
}
