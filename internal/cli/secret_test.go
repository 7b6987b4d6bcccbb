package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keepward/internal/errs"
	"keepward/internal/repo/repoconf"
)

// Whatever form a recovery key was written in, it is read back as it is.
func TestARecoveryKeyIsReadInEveryFormItIsWritten(t *testing.T) {
	key := repoconf.NewRecovery([16]byte{1})
	sealed, err := sealAge(key.Text(), "open sesame")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, text, typed string }{
		{"plain", key.Text(), ""},
		{"sheet", sheet("main", key.Text()), ""},
		{"age", sealed, "open sesame\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			a := &app{in: strings.NewReader(tt.typed), errOut: &bytes.Buffer{}}
			u, err := a.unlock(secretFlags{key: file})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := repoconf.ParseRecovery(u.RecoveryKey); err != nil || got != key {
				t.Errorf("read back: %v", err)
			}
			a.in = strings.NewReader(tt.text)
			if tt.typed == "" {
				if u, err = a.unlock(secretFlags{key: "-"}); err != nil || strings.TrimSpace(u.RecoveryKey) != strings.TrimSpace(tt.text) {
					t.Errorf("from standard input: %v", err)
				}
			}
		})
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(sealed), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &app{in: strings.NewReader("another word\n"), errOut: &bytes.Buffer{}}
	if _, err := a.unlock(secretFlags{key: file}); errs.CodeOf(err) != "recovery.age" {
		t.Errorf("with another passphrase: %v", err)
	}
}

func TestSecretFlagsAreChecked(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range []secretFlags{{}, {key: "a", passphraseFile: "b"}, {passphraseFile: empty}} {
		a := &app{in: strings.NewReader("")}
		if _, err := a.unlock(f); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%+v: %v", f, err)
		}
	}
	a := &app{in: strings.NewReader("correct horse battery\nmore")}
	if u, err := a.unlock(secretFlags{passphraseFile: "-"}); err != nil || u.Passphrase != "correct horse battery" {
		t.Errorf("%+v, %v", u, err)
	}
}
