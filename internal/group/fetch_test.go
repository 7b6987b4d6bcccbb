package group

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keepward/internal/errs"
)

func TestAListIsFetchedWithinBounds(t *testing.T) {
	over := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/good", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`["vm1"]`)) })
	mux.HandleFunc("/junk", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`<html>log in</html>`)) })
	mux.HandleFunc("/error", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, `["vm1"]`, http.StatusBadGateway) })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/good", http.StatusFound) })
	mux.HandleFunc("/round", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/round", http.StatusFound) })
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write([]byte(strings.Repeat(" ", 1<<16))); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/hangs", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-over:
		case <-r.Context().Done():
		}
	})
	at := httptest.NewServer(mux)
	defer at.Close()
	defer close(over)
	for _, path := range []string{"/good", "/moved"} {
		if got, err := Fetch(t.Context(), at.URL+path, 0); err != nil || len(got) != 1 || got[0] != "vm1" {
			t.Errorf("%s: %v, %v", path, got, err)
		}
	}
	for _, path := range []string{"/junk", "/error", "/round", "/file", "/endless", "/gone"} {
		if got, err := Fetch(t.Context(), at.URL+path+"?key=hush", 0); errs.CodeOf(err) != "group.cloud" || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v, %v", path, got, err)
		}
	}
	if got, err := Fetch(t.Context(), at.URL+"/hangs", time.Millisecond); errs.CodeOf(err) != "group.cloud" {
		t.Errorf("of one that hangs: %v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Fetch(ctx, at.URL+"/hangs", 0); err == nil {
		t.Error("a session that was ended went on")
	}
}

func TestNoRedirectionLeadsAwayFromHTTPS(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`["vm1"]`)) }))
	defer plain.Close()
	secure := httptest.NewTLSServer(http.RedirectHandler(plain.URL, http.StatusFound))
	defer secure.Close()
	// Nobody has vouched for its certificate.
	if _, err := Fetch(t.Context(), secure.URL, 0); errs.CodeOf(err) != "group.cloud" || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%v", err)
	}
	via, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, secure.URL, http.NoBody)
	to, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, plain.URL, http.NoBody)
	if followed(to, []*http.Request{via}) == nil {
		t.Error("a redirection from https to http was followed")
	}
	if err := followed(via, []*http.Request{to}); err != nil {
		t.Errorf("from http to https: %v", err)
	}
}

func TestURLsThatAreTaken(t *testing.T) {
	for text, good := range map[string]bool{
		"https://inv.example.com/vms?zone=a": true, "http://10.0.0.7:8080/": true,
		"ftp://x/": false, "file:///etc/passwd": false, "inv.example.com": false, "https://": false, "https://me:secret@x/": false, "://": false, "": false,
	} {
		if err := CheckURL(text); (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestAFileIsReadWhenItHasChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "g.csv")
	put := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("web1\n")
	names, state, err := ReadFile(path, "")
	if err != nil || len(names) != 1 || state == "" {
		t.Fatal(names, state, err)
	}
	if names, again, err := ReadFile(path, state); names != nil || again != state || err != nil {
		t.Errorf("unchanged: %v, %s, %v", names, again, err)
	}
	put("web1\nweb2\n")
	if names, _, err := ReadFile(path, state); len(names) != 2 || err != nil {
		t.Errorf("changed: %v, %v", names, err)
	}
	for _, bad := range []string{filepath.Dir(path), path + ".gone", "/dev/zero"} {
		if _, _, err := ReadFile(bad, ""); errs.CodeOf(err) != "group.file" {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if err := os.Truncate(path, fileMost+1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ReadFile(path, ""); errs.CodeOf(err) != "group.file" {
		t.Errorf("of one that is too large: %v", err)
	}
}
