package test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"keepward/internal/signon/signontest"
)

// Somebody logs in with the password, connects the account with a person at a provider, and logs in through
// the provider from then on; another person there is let in nowhere.
func TestSingleSignOnInARealBrowser(t *testing.T) {
	needPrograms(t, "chromium")
	axe, err := os.ReadFile("testdata/axe/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	f := newServer(t)
	m := printedPassword.FindStringSubmatch(f.Server.Log())
	if m == nil {
		t.Fatalf("the server printed no password:\n%s", f.Server.Tail(20))
	}
	p := signontest.New(t)
	dir := tempDir(t)
	secret, ca := filepath.Join(dir, "secret"), filepath.Join(dir, "ca.pem")
	f.must(os.WriteFile(secret, []byte(p.Secret+"\n"), 0o600))
	f.must(os.WriteFile(ca, []byte(p.CA()), 0o600))
	f.do("setting", "set", "console_url", "https://"+f.Addr)
	f.do("sign-on", "set", "--issuer", p.URL, "--client-id", p.ClientID, "--name", "Example Ltd", "--secret-file", secret, "--ca-file", ca)
	f.do("sign-on", "test")

	b := newBrowser(t, "https://"+f.Addr)
	b.size(1280, "light")
	byProvider := func() {
		t.Helper()
		b.says("a.button", "Log in with Example Ltd")
		b.click(`a[href^="/login/sign-on"]`)
	}
	b.open("/account")
	byProvider()
	b.says(".notice", "is connected with no account here")
	b.forget() // that it was refused is an error to the browser
	b.accessible(string(axe), "login with a provider")
	b.shoot("login-sign-on")

	b.open("/account")
	b.do(chromedp.SendKeys(chromedp.CSS("#password"), m[1]+"\r"))
	b.at("/account")
	b.do(chromedp.SendKeys(chromedp.CSS("#sign-on-password"), m[1]+"\r"))
	b.until("the way back from the provider", `location.pathname === "/account" && document.querySelector('a[href^="/do/disconnect-sign-on"]')`)
	b.says("td", "ann@example.com")
	b.accessible(string(axe), "account that is connected")
	b.shoot("account-sign-on")
	b.open("/users")
	b.says("dd", p.URL)
	b.shoot("users-sign-on")

	b.click("form.out button")
	b.says("h1", "Log in")
	b.open("/jobs")
	b.at("/login?next=%2Fjobs")
	byProvider()
	b.at("/jobs")
	b.says("h1", "Jobs")

	b.click("form.out button")
	p.Tell(func(p *signontest.Provider) { p.Subject = "somebody else" })
	byProvider()
	b.says(".notice", "is connected with no account here")
	b.forget()
	p.Tell(func(p *signontest.Provider) { p.Subject, p.Lie.Algorithm = "4711", "other" })
	byProvider()
	b.says(".notice", "it was not taken")
	b.forget()
	b.noTrouble()
}
