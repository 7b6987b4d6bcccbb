package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// page asks for a page of the server's port.
func (s *testServer) page(path, token string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url()+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func TestMetricsAreForUsersHealthIsForEverybody(t *testing.T) {
	s := start(t, t.TempDir())
	for _, token := range []string{"", "kwt1.x"} {
		if code, text := s.page(pageMetrics, token); code != http.StatusForbidden && code != http.StatusUnauthorized || strings.Contains(text, "keepward_") {
			t.Errorf("with token %q: %d %s", token, code, text)
		}
	}
	if code, text := s.page(pageMetrics, s.token); code != http.StatusOK || !strings.Contains(text, "\nkeepward_ready 1\n") {
		t.Errorf("%d %s", code, text)
	}
	for _, page := range []string{pageHealth, pageReady} {
		if code, text := s.page(page, ""); code != http.StatusOK || text != "ok\n" {
			t.Errorf("%s: %d %q", page, code, text)
		}
	}
}

func TestEveryPageHasItsRowAndNoCallHasOne(t *testing.T) {
	for page := range pages {
		if methods[page].may != 0 {
			t.Errorf("%s is a call and a page", page)
		}
	}
	if pages[pageMetrics] != users || len(pages) != 3 {
		t.Errorf("pages: %v", pages)
	}
}

func TestWhyItIsNotReadyIsSaidWithoutSecrets(t *testing.T) {
	err := fmt.Errorf("%w: %w", noCatalog, errors.New("open /secret/path"))
	for accept, want := range map[string]string{"": "the catalog does not answer\n", "application/json": `{"status":"the catalog does not answer"}` + "\n"} {
		req, w := httptest.NewRequest(http.MethodGet, pageReady, nil), httptest.NewRecorder()
		req.Header.Set("Accept", accept)
		sayState(w, req, err)
		if w.Code != http.StatusServiceUnavailable || w.Body.String() != want {
			t.Errorf("Accept %q: %d %q", accept, w.Code, w.Body)
		}
		if accept != "" && !json.Valid(w.Body.Bytes()) {
			t.Errorf("not JSON: %s", w.Body)
		}
	}
}

func TestACatalogThatIsClosedIsNotReady(t *testing.T) {
	s, err := openDataDir(t.Context(), filepath.Join(t.TempDir(), "d"), "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	srv := newServer(Config{Version: "test", Logger: slog.New(slog.DiscardHandler), Heartbeat: time.Minute}, s)
	m := &monitor{srv, time.Now()}
	if err := m.Ready(t.Context()); !errors.Is(err, starting) {
		t.Errorf("before the manager runs: %v", err)
	}
	if f, err := m.Facts(t.Context()); err != nil || len(f.Certificates) != 2 {
		t.Errorf("facts of an empty server: %v %v", f, err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Facts(t.Context()); err == nil {
		t.Error("facts of a closed catalog")
	}
}
