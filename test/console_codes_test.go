package test

import (
	"encoding/base32"
	"fmt"
	"image"
	"image/color"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"keepward/internal/totp"
)

// photographed is what a telephone reads of the QR code on a page.
func (b *browser) photographed() string {
	b.t.Helper()
	type drawn struct{ Size, Path string }
	d, err := eval[drawn](b, `({Size: document.querySelector(".code-picture svg").getAttribute("viewBox").split(" ")[2], Path: document.querySelector(".code-picture path").getAttribute("d")})`)
	must(b.t, err)
	const scale = 4
	var size int
	_, err = fmt.Sscan(d.Size, &size)
	must(b.t, err)
	m := image.NewGray(image.Rect(0, 0, size*scale, size*scale))
	for i := range m.Pix {
		m.Pix[i] = 255
	}
	for _, box := range regexp.MustCompile(`M(\d+) (\d+)h(\d+)`).FindAllString(d.Path, -1) {
		var x, y, n int
		_, err := fmt.Sscanf(box, "M%d %dh%d", &x, &y, &n)
		must(b.t, err)
		for py := y * scale; py < (y+1)*scale; py++ {
			for px := x * scale; px < (x+n)*scale; px++ {
				m.SetGray(px, py, color.Gray{})
			}
		}
	}
	bits, err := gozxing.NewBinaryBitmapFromImage(m)
	must(b.t, err)
	got, err := qrcode.NewQRCodeReader().Decode(bits, nil)
	must(b.t, err)
	return got.GetText()
}

// Somebody sets up one-time codes with the camera of a telephone, logs in with them, and with a recovery code.
func TestOneTimeCodesAreSetUpInTheConsole(t *testing.T) {
	needPrograms(t, "chromium")
	axe, err := os.ReadFile("testdata/axe/axe.min.js")
	must(t, err)
	f := newServer(t)
	m := printedPassword.FindStringSubmatch(f.Server.Log())
	if m == nil {
		t.Fatalf("the server printed no password:\n%s", f.Server.Tail(20))
	}
	b := f.loggedInAt("/account")
	b.says(".facts", "not set up")
	b.click(`a[href^="/do/enrol-codes"]`)
	b.fill("[name=password]", "wrong")
	b.click("form.deed button.main")
	b.says("[role=alert]", "is wrong")
	b.forget() // a refusal is an error to the browser
	b.fill("[name=password]", m[1])
	b.click("form.deed button.main")
	b.says(".notice", "shown once")
	b.look(string(axe), "codes-secret")
	u, err := url.Parse(b.photographed())
	must(t, err)
	if u.Scheme != "otpauth" || !strings.Contains(b.text(), u.Query().Get("secret")) {
		t.Fatalf("the telephone reads %s", u)
	}
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(u.Query().Get("secret"))
	must(t, err)
	step := int64(0)
	shows := func() string { // each code counts once
		for totp.StepAt(time.Now()) <= step {
			time.Sleep(100 * time.Millisecond)
		}
		step = totp.StepAt(time.Now())
		return totp.Code(secret, step)
	}
	b.click("a.button.main")
	b.at("/do/confirm-codes")
	b.fill("[name=code]", "000000")
	b.click("form.deed button.main")
	b.says("[role=alert]", "code")
	b.forget()
	b.fill("[name=code]", shows())
	b.click("form.deed button.main")
	b.says(".notice", "shown once")
	recovery, err := eval[string](b, `document.querySelector("#secret").innerText`)
	must(t, err)
	codes := strings.Fields(recovery)
	if len(codes) < 8 {
		t.Fatalf("the recovery codes are %q", recovery)
	}
	b.look(string(axe), "codes-recovery")
	b.click("a.button.main")
	b.at("/account")
	b.says(".facts", "asked for at the login")

	b.click(".out button")
	b.says("main", "You are logged out")
	b.do(chromedp.SendKeys(chromedp.CSS("#password"), m[1]+"\r"))
	b.says("[role=alert]", "code")
	b.forget()
	b.open("/login")
	b.fill("#code", codes[0])
	b.do(chromedp.SendKeys(chromedp.CSS("#password"), m[1]+"\r"))
	b.at("/")
	b.open("/account")
	b.says(".facts", fmt.Sprintf("%d recovery codes left", len(codes)-1))
	b.press("/do/remove-codes", "[name=code]", codes[1])
	b.at("/account")
	b.says(".facts", "not set up")
	b.noTrouble()
}
