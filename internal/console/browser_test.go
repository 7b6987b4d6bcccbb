package console

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	keepwardv1 "keepward/api/keepward/v1"
)

// browser is a client of a console that keeps cookies and follows nothing.
type browser struct {
	t   *testing.T
	api *fakeAPI
	url string
	*http.Client
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	api := &fakeAPI{changes: make(chan *keepwardv1.Session)}
	srv := httptest.NewUnstartedServer(New(Config{API: api.handler(), Contents: api, May: fakeMay, Version: "test", Log: slog.New(slog.DiscardHandler)}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := srv.Client()
	c.Jar = jar
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(c.CloseIdleConnections)
	return &browser{t: t, api: api, url: srv.URL, Client: c}
}

// loggedIn is a browser with a token.
func loggedIn(t *testing.T) *browser {
	t.Helper()
	b := newBrowser(t)
	res := b.post("/login", url.Values{"user": {"admin"}, "password": {password}})
	if res.StatusCode != http.StatusSeeOther {
		t.Fatalf("the login is answered with %s", res.Status)
	}
	return b
}

// ask sends a request as a browser does that stands on a page of this console.
func (b *browser) ask(method, path string, form url.Values, header ...string) *http.Response {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := b.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func (b *browser) get(path string, header ...string) *http.Response {
	b.t.Helper()
	return b.ask(http.MethodGet, path, nil, header...)
}

func (b *browser) post(path string, form url.Values, header ...string) *http.Response {
	b.t.Helper()
	return b.ask(http.MethodPost, path, form, header...)
}

func text(t *testing.T, res *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// must takes the answer out of what may not fail.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
