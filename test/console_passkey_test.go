package test

import (
	"net"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// A passkey is made on the account page, lets its user in without the password, and does not once it is
// removed. The device is Chromium's own virtual one.
func TestAPasskeyInARealBrowser(t *testing.T) {
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
	_, port, err := net.SplitHostPort(f.Addr)
	if err != nil {
		t.Fatal(err)
	}
	origin := "https://localhost:" + port // an address has no passkeys
	f.do("setting", "set", "console_url", origin)

	b := newBrowser(t, origin)
	b.size(1280, "light")
	b.do(chromedp.Navigate("about:blank"))
	if _, err := chromedp.Call(b.ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	device, err := chromedp.Call(b.ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}})
	if err != nil {
		t.Fatal(err)
	}

	b.open("/account")
	b.do(chromedp.SendKeys(chromedp.CSS("#password"), m[1]+"\r"))
	b.at("/account")
	b.says("h1", "Your account")
	b.shoot("account")
	b.accessible(string(axe), "account")
	b.do(chromedp.SendKeys(chromedp.CSS("#passkey-name"), "laptop"), chromedp.SendKeys(chromedp.CSS("#passkey-password"), "wrong\r"))
	b.says("[role=alert]", "the current password is wrong")
	b.forget() // that the page's script was refused is an error to the browser
	b.until("empty password", `(document.querySelector("#passkey-password").value = "", true)`)
	b.do(chromedp.SendKeys(chromedp.CSS("#passkey-password"), m[1]+"\r"))
	b.says("td", "laptop")

	logout := func() {
		t.Helper()
		b.click("form.out button")
		b.says("h1", "Log in")
	}
	logout()
	b.accessible(string(axe), "login with passkeys")
	b.shoot("login-passkey")
	b.open("/jobs")
	b.at("/login?next=%2Fjobs")
	b.click("form[data-passkey] button")
	b.at("/jobs")
	b.says("h1", "Jobs")
	if rows := f.do("audit", "list", "--call", "LoginByPasskey").Stdout; !strings.Contains(rows, "passkey") {
		t.Error("the audit log has no login by a passkey")
	}

	// Somebody else's finger opens nothing.
	logout()
	verified := func(is bool) {
		t.Helper()
		if _, err := chromedp.Call(b.ctx, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: device.AuthenticatorID, IsUserVerified: is}); err != nil {
			t.Fatal(err)
		}
	}
	verified(false)
	b.click("form[data-passkey] button")
	b.says("form[data-passkey] [role=alert]", "It was given up")
	verified(true)
	b.click("form[data-passkey] button")
	b.at("/")

	b.open("/account")
	b.click(`a[href^="/do/remove-passkey"]`)
	b.says(".comes", "Nobody logs in with it any more")
	b.click("button.main")
	b.at("/account")
	logout()
	b.click("form[data-passkey] button")
	b.says(".notice", "it is not known here")
	b.forget()

	// At another address the page says where passkeys work.
	b.do(chromedp.Navigate("https://" + f.Addr + "/login"))
	b.says("[data-passkey-elsewhere]", "Passkeys work at "+origin)
	b.noTrouble()
}
