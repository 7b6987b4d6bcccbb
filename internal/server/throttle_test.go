package server

import (
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
)

type handClock struct{ at time.Time }

func (c *handClock) now() time.Time       { return c.at }
func (c *handClock) pass(d time.Duration) { c.at = c.at.Add(d) }

func handThrottle() (*throttle, *handClock) {
	c := &handClock{time.Unix(0, 0)}
	return newThrottle(c.now), c
}

func refused(t *testing.T, err error) string {
	t.Helper()
	if errs.CodeOf(err) != "access.throttled" || errs.KindOf(err) != errs.Denied {
		t.Fatalf("answered %v", err)
	}
	return err.Error()
}

func TestWrongPasswordsMakeEachNextTryWaitLonger(t *testing.T) {
	th, clock := handThrottle()
	try := func() error { return th.try("ann", "192.0.2.1:5000") }
	for i := range freeTriesOfUser {
		if err := try(); err != nil {
			t.Fatalf("try %d: %v", i, err)
		}
	}
	for _, wait := range []int{1, 2, 4, 8, 16, 32, 60, 60} {
		if text := refused(t, try()); !strings.HasSuffix(text, fmt.Sprintf("try again in %d s", wait)) {
			t.Fatalf("%s, want %d s", text, wait)
		}
		clock.pass(time.Duration(wait)*time.Second - time.Millisecond)
		refused(t, try()) // to knock meanwhile neither helps nor harms
		clock.pass(time.Millisecond)
		if err := try(); err != nil {
			t.Fatalf("after %d s: %v", wait, err)
		}
	}
	refused(t, th.try("ann", "198.51.100.7:1")) // wherever it comes from
	if err := th.try("bob", "198.51.100.7:1"); err != nil {
		t.Errorf("another user from elsewhere: %v", err)
	}
	clock.pass(triesForgotten + time.Second)
	if err := try(); err != nil {
		t.Errorf("after a quiet time: %v", err)
	}
}

func TestARightPasswordClearsTheUser(t *testing.T) {
	th, _ := handThrottle()
	for range 10 * freeTriesOfAddress {
		if err := th.try("ann", "192.0.2.1:5000"); err != nil {
			t.Fatal(err)
		}
		th.right("ann", "192.0.2.1:5000")
	}
}

func TestAnAddressIsCountedOverAllUsers(t *testing.T) {
	th, _ := handThrottle()
	for i := range freeTriesOfAddress {
		if err := th.try(fmt.Sprint("user", i), fmt.Sprintf("[2001:db8::%x]:%d", i+1, 1000+i)); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, th.try("ann", "[2001:db8::ffff]:1")) // the same network
	if err := th.try("ann", "[2001:db8:1::1]:1"); err != nil {
		t.Errorf("another network: %v", err)
	}
}

func TestWhoKnowsOnePasswordStillWaitsForGuessingAnother(t *testing.T) {
	th, _ := handThrottle()
	for i := range freeTriesOfAddress - 1 {
		if err := th.try(fmt.Sprint("user", i), "192.0.2.1:1"); err != nil {
			t.Fatal(err)
		}
		if err := th.try("ann", "192.0.2.1:1"); err != nil {
			t.Fatal(err)
		}
		th.right("ann", "192.0.2.1:1")
	}
	if err := th.try("one", "192.0.2.1:1"); err != nil {
		t.Fatal(err)
	}
	refused(t, th.try("two", "192.0.2.1:1"))
}

func TestTheThrottleKeepsABoundedMemory(t *testing.T) {
	th, clock := handThrottle()
	for i := range triesKept + 50 {
		_ = th.try(fmt.Sprint("made up ", i), fmt.Sprintf("10.%d.%d.1:1", i>>8, i&255))
		clock.pass(time.Millisecond)
	}
	if n := len(th.tries); n > triesKept {
		t.Errorf("%d are kept, want %d at most", n, triesKept)
	}
}

func TestAddressesAreTakenAsTheyCome(t *testing.T) {
	for peer, want := range map[string]string{
		"192.0.2.1:80": "peer 192.0.2.1/32", "[::ffff:192.0.2.1]:80": "peer 192.0.2.1/32",
		"[2001:db8:0:1:2:3:4:5]:80": "peer 2001:db8:0:1::/64", "[fe80::1%eth0]:80": "peer fe80::/64", "@": "peer @", "": "peer ",
	} {
		if got := addressKey(peer); got != want {
			t.Errorf("%s: %s, want %s", peer, got, want)
		}
	}
}

func TestALoginThatMustWaitIsNotLookedAt(t *testing.T) {
	db, err := catalog.Open(t.Context(), filepath.Join(t.TempDir(), "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	err = db.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := catalog.AddUser(t.Context(), tx, catalog.User{Name: "ann", Role: "admin", Password: catalog.HashPassword("right"), Created: time.Unix(1, 0)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s := newAccessService(&server{db: db, log: slog.New(slog.DiscardHandler)})
	th, clock := handThrottle()
	s.throttle = th
	login := func(password, code string) {
		t.Helper()
		if _, err := s.login(t.Context(), &keepwardv1.LoginRequest{User: "ann", Password: password}, "192.0.2.1:1"); errs.CodeOf(err) != code {
			t.Errorf("login with %q: %v, want %q", password, err, code)
		}
	}
	for range freeTriesOfUser - 1 { // to look at a password is dear
		if err := th.try("ann", "192.0.2.1:1"); err != nil {
			t.Fatal(err)
		}
	}
	login("wrong", "access.login")
	login("right", "access.throttled")
	clock.pass(time.Second)
	login("right", "")
	login("wrong", "access.login")
}
