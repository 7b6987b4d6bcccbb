package test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"keepward/internal/catalog"
)

// TestAnOldLoginIsAskedForThePasswordInABrowserAndByAScript has two logins that are older than the hour for
// which they are trusted: each may look, and changes nothing before the password was shown again.
func TestAnOldLoginIsAskedForThePasswordInABrowserAndByAScript(t *testing.T) {
	needPrograms(t, "chromium")
	axe, err := os.ReadFile("testdata/axe/axe.min.js")
	must(t, err)
	f := newServer(t)
	m := printedPassword.FindStringSubmatch(f.Server.Log())
	if m == nil {
		t.Fatalf("the server printed no password:\n%s", f.Server.Tail(20))
	}
	password := filepath.Join(f.Dir, "password")
	must(t, os.WriteFile(password, []byte(m[1]+"\n"), 0o600))
	wrong := filepath.Join(f.Dir, "wrong")
	must(t, os.WriteFile(wrong, []byte("wrong\n"), 0o600))
	config := filepath.Join(f.Dir, "of-the-script.yaml")
	f.do("--config", config, "login", f.Addr, "--password-file", password, "--ca", filepath.Join(f.Server.DataDir, "ca.crt"))
	age := func() {
		t.Helper()
		db, err := catalog.Open(t.Context(), filepath.Join(f.Server.DataDir, "catalog.db"))
		must(t, err)
		must(t, db.Write(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.ExecContext(t.Context(), `UPDATE api_tokens SET confirmed = ?`, time.Now().Add(-61*time.Minute).UnixNano())
			return err
		}))
		must(t, db.Close())
	}

	script := func(args ...string) []string { return append([]string{"--config", config}, args...) }
	age()
	f.do(script("user", "list")...)
	newUser := script("user", "create", "ann", "--role", "viewer", "--password-file", password)
	f.fails(5, []string{"has not shown the password within the last 1h", "keepward login confirm"}, newUser...)
	f.fails(5, []string{"the current password is wrong"}, script("login", "confirm", "--password-file", wrong)...)
	f.fails(5, []string{"has not shown the password"}, newUser...)
	if r := f.do(script("login", "confirm", "--password-file", password)...); !strings.Contains(r.Stderr, "trusted with what cannot be undone until") {
		t.Errorf("it says %s", r)
	}
	f.do(newUser...)
	f.do("user", "create", "bea", "--role", "viewer", "--password-file", password) // of the server's host

	b := newBrowser(t, "https://"+f.Addr)
	b.size(1280, "light")
	b.open("/users")
	b.do(chromedp.SendKeys(chromedp.CSS("#password"), m[1]+"\r"))
	b.at("/users")
	age()
	b.open("/do/edit-user?of=ann")
	b.until("another role", `(document.querySelector("[name=role][value=operator], select[name=role]").tagName === "SELECT" ? document.querySelector("select[name=role]").value = "operator" : document.querySelector("[name=role][value=operator]").checked = true, true)`)
	b.click("button.main")
	b.says("[role=alert]", "confirm that it is you")
	b.forget() // a refusal is an error to the browser
	b.accessible(string(axe), "unconfirmed")
	b.shoot("unconfirmed")

	other := b.tab()
	other.open("/do/confirm-login")
	other.accessible(string(axe), "confirm-login")
	other.shoot("confirm-login")
	other.fill("[name=password]", "wrong")
	other.click("button.main")
	other.says("[role=alert]", "the current password is wrong")
	other.forget()
	other.fill("[name=password]", m[1])
	other.click("button.main")
	other.says(".notice", "Confirmed until")
	other.noTrouble()

	b.click("button.main") // the form is still filled in
	b.at("/users")
	b.noTrouble()
	if list := f.do("user", "list", "-o", "json").Stdout; !strings.Contains(list, `"operator"`) {
		t.Errorf("ann is no operator: %s", list)
	}
	if rows := f.do("audit", "list", "--call", "ConfirmLogin").Stdout; strings.Count(rows, "ConfirmLogin") < 4 || strings.Contains(rows, m[1]) {
		t.Errorf("the audit log has of it: %s", rows)
	}
}
