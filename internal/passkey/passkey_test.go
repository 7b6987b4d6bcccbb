package passkey

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"keepward/internal/errs"
	"keepward/internal/passkey/passkeytest"
)

const origin = "https://backup.example.com:7480"

// ceremony is one with a clock of its own.
type ceremony struct {
	*Ceremonies
	t   *testing.T
	now time.Time
	ann User
}

func newCeremony(t *testing.T) *ceremony {
	c := &ceremony{t: t, now: time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC), ann: User{Handle: []byte("handle of ann"), Name: "ann"}}
	c.Ceremonies = New(func() time.Time { return c.now })
	return c
}

func (c *ceremony) options() []byte {
	c.t.Helper()
	options, until, err := c.Creation(origin, c.ann)
	if err != nil || !until.Equal(c.now.Add(Within)) {
		c.t.Fatalf("until %s, %v", until, err)
	}
	return options
}

func (c *ceremony) request() []byte {
	c.t.Helper()
	options, err := c.Request(origin)
	if err != nil {
		c.t.Fatal(err)
	}
	return options
}

// made has ann have a passkey.
func (c *ceremony) made() *passkeytest.Key {
	c.t.Helper()
	device, response := passkeytest.Make(c.t, c.options(), origin)
	kept, err := c.Created(origin, c.ann, response)
	if err != nil {
		c.t.Fatal(err)
	}
	c.ann.Keys = append(c.ann.Keys, kept)
	return device
}

// check answers whether an answer lets ann in; the key is kept as it is then.
func (c *ceremony) check(at string, response []byte) error {
	a, err := c.Answered(at, response)
	if err != nil {
		return err
	}
	used, err := a.Check(func(credential []byte) (User, error) {
		for _, k := range c.ann.Keys {
			if bytes.Equal(k.Credential, credential) {
				return c.ann, nil
			}
		}
		return User{}, errs.New(errs.Denied, "access.passkey", "not known")
	})
	if err == nil {
		c.ann.Keys[0] = used
	}
	return err
}

func TestAPasskeyLetsItsUserIn(t *testing.T) {
	c := newCeremony(t)
	device := c.made()
	for range 2 {
		if err := c.check(origin, device.Answer(t, c.request())); err != nil {
			t.Fatal(err)
		}
	}
	if bytes.Contains(c.ann.Keys[0].Record, []byte("clientDataJSON\":\"e")) || len(c.ann.Keys[0].Record) > 1000 {
		t.Errorf("the record keeps what nobody reads: %s", c.ann.Keys[0].Record)
	}
	var o struct {
		ExcludeCredentials []struct{ ID string }
	}
	if err := json.Unmarshal(c.options(), &o); err != nil || len(o.ExcludeCredentials) != 1 {
		t.Errorf("a device may make a second one: %v, %v", o, err)
	}
}

func TestWhatIsNoAnswerToTheQuestionIsRefused(t *testing.T) {
	for name, answer := range map[string]func(c *ceremony, device *passkeytest.Key) []byte{
		"of another site": func(c *ceremony, device *passkeytest.Key) []byte {
			device.Origin = "https://backup.example.org:7480"
			return device.Answer(t, c.request())
		},
		"of another port": func(c *ceremony, device *passkeytest.Key) []byte {
			device.Origin = "https://backup.example.com"
			return device.Answer(t, c.request())
		},
		"for another name": func(c *ceremony, device *passkeytest.Key) []byte {
			device.RPID = "example.org"
			return device.Answer(t, c.request())
		},
		"of somebody who was not verified": func(c *ceremony, device *passkeytest.Key) []byte {
			device.Unsaid = true
			return device.Answer(t, c.request())
		},
		"with the handle of another user": func(c *ceremony, device *passkeytest.Key) []byte {
			device.Handle = []byte("handle of ben")
			return device.Answer(t, c.request())
		},
		"without a handle": func(c *ceremony, device *passkeytest.Key) []byte {
			device.Handle = nil
			return device.Answer(t, c.request())
		},
		"too late": func(c *ceremony, device *passkeytest.Key) []byte {
			options := c.request()
			c.now = c.now.Add(Within)
			return device.Answer(t, options)
		},
		"to a question of another server": func(c *ceremony, device *passkeytest.Key) []byte {
			options, err := New(time.Now).Request(origin)
			if err != nil {
				t.Fatal(err)
			}
			return device.Answer(t, options)
		},
		"to the question for a new one": func(c *ceremony, device *passkeytest.Key) []byte { return device.Answer(t, c.options()) },
		"of a key that is not known": func(c *ceremony, _ *passkeytest.Key) []byte {
			other, _ := passkeytest.Make(t, c.options(), origin)
			return other.Answer(t, c.request())
		},
		"of a key that says it is another": func(c *ceremony, device *passkeytest.Key) []byte {
			other, _ := passkeytest.Make(t, c.options(), origin)
			other.ID = device.ID
			return other.Answer(t, c.request())
		},
		"no JSON": func(*ceremony, *passkeytest.Key) []byte { return []byte("{") },
		"nothing": func(*ceremony, *passkeytest.Key) []byte { return nil },
		"not whole": func(*ceremony, *passkeytest.Key) []byte {
			return []byte(`{"id":"YQ","rawId":"YQ","type":"public-key"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCeremony(t)
			if err := c.check(origin, answer(c, c.made())); errs.CodeOf(err) != "access.passkey" {
				t.Errorf("it was taken: %v", err)
			}
		})
	}
}

func TestAnAnswerCountsOnce(t *testing.T) {
	c := newCeremony(t)
	device := c.made()
	answer := device.Answer(t, c.request())
	if err := c.check(origin, answer); err != nil {
		t.Fatal(err)
	}
	if err := c.check(origin, answer); errs.CodeOf(err) != "access.passkey" {
		t.Errorf("shown again: %v", err)
	}
	// One that failed is used up as well.
	options := c.request()
	device.Unsaid = true
	wrong := c.check(origin, device.Answer(t, options))
	device.Unsaid = false
	if again := c.check(origin, device.Answer(t, options)); wrong == nil || errs.CodeOf(again) != "access.passkey" {
		t.Errorf("first %v, then %v", wrong, again)
	}
	// What has ended need not be remembered.
	c.now = c.now.Add(2 * Within)
	if err := c.check(origin, device.Answer(t, c.request())); err != nil || c.shown.Len() != 1 {
		t.Errorf("%d challenges are remembered (%v)", c.shown.Len(), err)
	}
}

func TestAPasskeyThatCountsBackwardsIsRefused(t *testing.T) {
	c := newCeremony(t)
	device := c.made()
	device.Count = 7
	if err := c.check(origin, device.Answer(t, c.request())); err != nil {
		t.Fatal(err)
	}
	for _, count := range []uint32{6, 8} {
		device.Count = count - 1
		if err := c.check(origin, device.Answer(t, c.request())); errs.CodeOf(err) != "access.passkey-copied" {
			t.Errorf("behind 8 it counts %d: %v", count, err)
		}
	}
	if err := c.check(origin, device.Answer(t, c.request())); err != nil {
		t.Errorf("9: %v", err)
	}
}

func TestWhatIsNoNewPasskeyIsRefused(t *testing.T) {
	for name, answer := range map[string]func(c *ceremony) []byte{
		"for another user": func(c *ceremony) []byte {
			options, _, err := c.Creation(origin, User{Handle: []byte("handle of ben"), Name: "ben"})
			if err != nil {
				t.Fatal(err)
			}
			_, response := passkeytest.Make(t, options, origin)
			return response
		},
		"of another site": func(c *ceremony) []byte {
			_, response := passkeytest.Make(t, c.options(), "https://backup.example.org:7480")
			return response
		},
		"too late": func(c *ceremony) []byte {
			_, response := passkeytest.Make(t, c.options(), origin)
			c.now = c.now.Add(Within)
			return response
		},
		"twice": func(c *ceremony) []byte {
			_, response := passkeytest.Make(t, c.options(), origin)
			if _, err := c.Created(origin, c.ann, response); err != nil {
				t.Fatal(err)
			}
			return response
		},
		"an answer to a request": func(c *ceremony) []byte { return c.made().Answer(t, c.request()) },
		"no JSON":                func(*ceremony) []byte { return []byte("[]") },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCeremony(t)
			response := answer(c)
			if _, err := c.Created(origin, c.ann, response); errs.CodeOf(err) != "access.passkey" {
				t.Errorf("it was taken: %v", err)
			}
		})
	}
}

func TestPasskeysNeedAName(t *testing.T) {
	c := newCeremony(t)
	for _, at := range []string{"", "https://192.0.2.1:7480", "https://[2001:db8::1]"} {
		_, err := c.Request(at)
		_, _, made := c.Creation(at, c.ann)
		_, checked := c.Answered(at, nil)
		if err := errors.Join(err, made, checked); Usable(at) == nil || err == nil || errs.CodeOf(made) != "passkey.no-origin" || errs.CodeOf(checked) != "passkey.no-origin" {
			t.Errorf("at %q: %v", at, err)
		}
	}
}

func TestADamagedRecordIsSaidToBe(t *testing.T) {
	c := newCeremony(t)
	device := c.made()
	c.ann.Keys[0].Record = []byte(`{"id":"YQ=="}`)
	if err := c.check(origin, device.Answer(t, c.request())); errs.CodeOf(err) != "passkey.record" {
		t.Errorf("%v", err)
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"id":"YQ","rawId":"YQ","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"","signature":"","userHandle":""}}`))
	c := New(time.Now)
	u := User{Handle: []byte("handle"), Name: "ann"}
	f.Fuzz(func(t *testing.T, response []byte) {
		if a, err := c.Answered(origin, response); err == nil {
			if _, err := a.Check(func([]byte) (User, error) { return u, nil }); err == nil {
				t.Error("it was taken")
			}
		}
		if _, err := c.Created(origin, u, response); err == nil {
			t.Error("it was taken as a new one")
		}
	})
}
