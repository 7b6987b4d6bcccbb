package cli

import (
	"bytes"
	"log/slog"
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
	if _, err := a.unlock(secretFlags{key: file, passphraseFile: "-"}); errs.CodeOf(err) != "recovery.age" {
		t.Errorf("with another passphrase: %v", err)
	}
}

func TestSecretFlagsAreChecked(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	key := repoconf.NewRecovery([16]byte{1})
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte(key.Text()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range []secretFlags{{}, {key: plain, passphraseFile: "-"}, {key: "-", passphraseFile: "-"}, {passphraseFile: empty}} {
		a := &app{in: strings.NewReader("word\n")}
		if _, err := a.unlock(f); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%+v: %v", f, err)
		}
	}
	a := &app{in: strings.NewReader("correct horse battery\nmore")}
	if u, err := a.unlock(secretFlags{passphraseFile: "-"}); err != nil || u.Passphrase != "correct horse battery" {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestTheJoinTokenComesFromAFileOrStandardInput(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "token")
	if err := os.WriteFile(file, []byte(" kw1.a.b \n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	for _, tt := range []struct {
		node node
		want string
	}{
		{node{join: "kw1.x.y"}, "kw1.x.y"},
		{node{joinFile: file}, "kw1.a.b"},
		{node{joinFile: "-"}, "kw1.c.d"},
		{node{joinFile: filepath.Join(dir, "spent")}, ""}, // one that has joined does without
		{node{}, ""},
	} {
		a := &app{in: strings.NewReader("kw1.c.d\r\n"), errOut: &bytes.Buffer{}}
		if got, err := a.joinToken(&tt.node, log); err != nil || got != tt.want {
			t.Errorf("%+v: %q, %v", tt.node, got, err)
		}
	}
	a := &app{in: strings.NewReader(""), errOut: &bytes.Buffer{}}
	if _, err := a.joinToken(&node{joinFile: dir}, log); err == nil {
		t.Error("a directory is taken as a token")
	}
	if _, err := a.joinToken(&node{joinFile: "-"}, log); err == nil {
		t.Error("nothing is taken as a token")
	}
}
