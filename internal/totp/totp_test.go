package totp

import (
	"net/url"
	"testing"
	"time"
)

// The secret and times of RFC 6238, appendix B, whose codes have eight digits: these are their last six.
var rfcSecret = []byte("12345678901234567890")

func TestCodesAreThoseOfTheStandard(t *testing.T) {
	for unix, want := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		now := time.Unix(unix, 0)
		if got := Code(rfcSecret, StepAt(now)); got != want {
			t.Errorf("at %d: %s, want %s", unix, got, want)
		}
		if step, ok := Check(rfcSecret, want, now, 0); !ok || step != StepAt(now) {
			t.Errorf("at %d: %s is refused", unix, want)
		}
	}
}

func TestACodeCountsForItsTimeAndOnce(t *testing.T) {
	secret, now := NewSecret(), time.Unix(1_700_000_000, 0)
	at := StepAt(now)
	for off, want := range map[int64]bool{-2: false, -1: true, 0: true, 1: true, 2: false} {
		if _, ok := Check(secret, Code(secret, at+off), now, 0); ok != want {
			t.Errorf("a code %d steps off: %v", off, ok)
		}
	}
	if _, ok := Check(secret, Code(secret, at), now, at); ok {
		t.Error("a code counts a second time")
	}
	if _, ok := Check(secret, Code(secret, at-1), now, at); ok {
		t.Error("an older code counts after a newer one")
	}
	if _, ok := Check(secret, Code(secret, at+1), now, at); !ok {
		t.Error("the code after the last one is refused")
	}
	for _, code := range []string{"", "0", Code(secret, at) + "0", Code(secret, at)[1:], "٠١٢٣٤٥", "\x00\x00\x00\x00\x00\x00"} {
		if _, ok := Check(secret, code, now, 0); ok {
			t.Errorf("%q counts", code)
		}
	}
}

func TestTheURIIsOneOfApps(t *testing.T) {
	u, err := url.Parse(URI("Keepward nas:7480", "ann & ben?", rfcSecret))
	if err != nil {
		t.Fatal(err)
	}
	if u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/Keepward nas:7480:ann & ben?" {
		t.Errorf("got %s", u)
	}
	if q := u.Query(); q.Get("secret") != "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" || q.Get("issuer") != "Keepward nas:7480" {
		t.Errorf("got %s", u.RawQuery)
	}
}
