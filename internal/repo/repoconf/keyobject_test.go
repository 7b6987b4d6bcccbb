package repoconf

import (
	"bytes"
	"testing"
	"time"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

var (
	testID     = [16]byte{1, 2, 3}
	testMaster = seal.Master{Domain: 3, Epoch: 4, Secret: seal.Secret{5}}
	testConfig = Config{ID: testID, Domain: 3, Check: testMaster.Check(testID)}
)

const goodPassphrase = "correct horse battery"

// cheap makes passphrases quick to try in tests.
func cheap(t testing.TB) {
	t.Helper()
	was := usualCost
	usualCost = argonCost{time: 1, memory: 64, threads: 1}
	t.Cleanup(func() { usualCost = was })
}

func wrapped(t testing.TB, w Wrapping) KeyObject {
	t.Helper()
	k, err := Wrap(testID, testMaster, w)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestEachKeyObjectIsOpenedByItsOwnSecretOnly(t *testing.T) {
	cheap(t)
	one, two := NewRecovery(testID), NewRecovery(testID)
	created := time.Unix(1_700_000_000, 5)
	keys := []KeyObject{
		{Name: "1", Content: []byte("damaged")},
		wrapped(t, Wrapping{Recovery: one, Label: "in the safe", Created: created}),
		wrapped(t, Wrapping{Passphrase: goodPassphrase, Created: created}),
	}
	for _, tt := range []struct {
		name string
		u    Unlock
		code string
	}{
		{"recovery key", Unlock{RecoveryKey: one.Text()}, ""},
		{"passphrase", Unlock{Passphrase: goodPassphrase}, ""},
		{"another recovery key", Unlock{RecoveryKey: two.Text()}, "recovery.key-wrong"},
		{"another passphrase", Unlock{Passphrase: "incorrect horse battery"}, "recovery.key-wrong"},
		{"another repository's", Unlock{RecoveryKey: NewRecovery([16]byte{9}).Text()}, "recovery.key-wrong"},
		{"nothing", Unlock{}, "recovery.text"},
	} {
		m, _, err := tt.u.Open(testConfig, keys)
		if errs.CodeOf(err) != tt.code || err == nil && m != testMaster {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	info, err := ParseKeyObject(keys[1].Content)
	if err != nil || info.Label != "in the safe" || !info.Created.Equal(created) || info.Form != FormRecovery {
		t.Errorf("got %+v, %v", info, err)
	}
	if _, _, err := (Unlock{Passphrase: goodPassphrase}).Open(testConfig, keys[1:2]); errs.CodeOf(err) != "key.missing" {
		t.Errorf("a passphrase where there is none for: %v", err)
	}
}

func TestWeakPassphrasesAndBadLabelsAreRefused(t *testing.T) {
	for _, w := range []Wrapping{
		{Passphrase: "short"},
		{Passphrase: "thirteen char"},
		{Label: "two\nlines"},
		{Label: string(bytes.Repeat([]byte("x"), MaxLabel+1))},
		{Label: "\xff"},
	} {
		if _, err := Wrap(testID, testMaster, w); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%+v: %v", w, err)
		}
	}
}

func TestEpochObjectsAreReadBackAndNothingElse(t *testing.T) {
	b := EncodeEpoch(testID, 7)
	if e, err := ParseEpoch(b, testID); err != nil || e != 7 {
		t.Fatal(e, err)
	}
	if _, err := ParseEpoch(b, [16]byte{9}); errs.CodeOf(err) != "epoch.place" {
		t.Error(err)
	}
	for i := range b {
		c := bytes.Clone(b)
		c[i] ^= 1
		if _, err := ParseEpoch(c, testID); err == nil {
			t.Errorf("byte %d is not noticed", i)
		}
	}
}

func FuzzParseKeyObject(f *testing.F) {
	cheap(f)
	k := NewRecovery(testID)
	f.Add(wrapped(f, Wrapping{Recovery: k, Label: "x"}).Content)
	f.Add(wrapped(f, Wrapping{Passphrase: goodPassphrase}).Content)
	f.Fuzz(func(t *testing.T, b []byte) {
		info, err := ParseKeyObject(b)
		if err == nil && (info.argon.memory > argonMemoryMost || info.argon.time > argonTimeMost) {
			t.Fatal("it asks for more than it may")
		}
		if m, err := OpenKeyObject(b, k); err == nil && m != testMaster {
			t.Fatal("opened to another master")
		}
	})
}

func FuzzParseEpoch(f *testing.F) {
	f.Add(EncodeEpoch(testID, 7))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := ParseEpoch(b, testID); err == nil && !bytes.Equal(EncodeEpoch(testID, e), b) {
			t.Fatal("two different objects read the same")
		}
	})
}
