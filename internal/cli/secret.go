package cli

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"keepward/internal/errs"
	"keepward/internal/repo/repoconf"
)

// maxSecret bounds a file with a secret.
const maxSecret = 64 << 10

// secretFlags are what opens a repository without its server.
type secretFlags struct{ key, passphraseFile string }

func (s *secretFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.key, "recovery-key", "", "file with the recovery key, also as an age file; - is standard input")
	f.StringVar(&s.passphraseFile, "passphrase-file", "", "file with a passphrase of the repository, in place of the recovery key, or with that of an age file; - is standard input")
}

// unlock reads the secret that the flags name. An age file asks for the passphrase it was made
// with.
func (a *app) unlock(s secretFlags) (u repoconf.Unlock, err error) {
	switch {
	case s.key == "-" && s.passphraseFile == "-":
		return u, usage("--recovery-key and --passphrase-file cannot both be standard input")
	case s.key == "" && s.passphraseFile != "":
		u.Passphrase, err = a.readPassphrase(s.passphraseFile)
		return u, err
	case s.key == "":
		return u, usage("--recovery-key FILE is needed, or --passphrase-file FILE")
	}
	text, err := a.readSecret(s.key)
	if err != nil {
		return u, err
	}
	switch {
	case isAge(text):
		if text, err = a.openAge(text, s); err != nil {
			return u, err
		}
	case s.passphraseFile != "":
		return u, usage("give either --recovery-key or --passphrase-file: %s is no age file, which a passphrase would open", s.key)
	}
	u.RecoveryKey = string(text)
	return u, nil
}

// readSecret reads a small file; - is standard input.
func (a *app) readSecret(path string) ([]byte, error) {
	r := a.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, errs.New(errs.KindOf(err), "recovery.file", "read the secret: %w", err)
		}
		defer func() { _ = f.Close() }() // only read
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, maxSecret))
	if err != nil {
		return nil, errs.New(errs.KindOf(err), "recovery.file", "read the secret: %w", err)
	}
	return b, nil
}

func isAge(b []byte) bool {
	return bytes.HasPrefix(b, []byte("age-encryption.org/")) || bytes.HasPrefix(bytes.TrimSpace(b), []byte(armor.Header))
}

// readPassphrase reads one from a file; - is standard input.
func (a *app) readPassphrase(path string) (string, error) {
	text, err := a.readSecret(path)
	if err != nil {
		return "", err
	}
	if p := firstLine(string(text)); p != "" {
		return p, nil
	}
	return "", usage("no passphrase: %s is empty", path)
}

// openAge opens an age file that was made with a passphrase.
func (a *app) openAge(b []byte, s secretFlags) ([]byte, error) {
	name := s.key
	passphrase, err := a.passphraseOf(s)
	if err != nil {
		return nil, err
	}
	identity, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, usage("passphrase of %s: %w", name, err)
	}
	var r io.Reader = bytes.NewReader(b)
	if bytes.HasPrefix(bytes.TrimSpace(b), []byte(armor.Header)) {
		r = armor.NewReader(bytes.NewReader(bytes.TrimSpace(b)))
	}
	plain, err := age.Decrypt(r, identity)
	if err != nil {
		return nil, errs.New(errs.Denied, "recovery.age", "open %s: %w", name, err).
			WithHint("a file made for a recipient is opened with: age -d -i IDENTITY %s | keepward … --recovery-key -", name)
	}
	return io.ReadAll(io.LimitReader(plain, maxSecret))
}

// passphraseOf is the passphrase of an age file, read or asked for.
func (a *app) passphraseOf(s secretFlags) (string, error) {
	if s.passphraseFile != "" {
		return a.readPassphrase(s.passphraseFile)
	}
	return a.askSecret("Passphrase of " + s.key + ": ")
}

// sealAge makes an armoured age file that a passphrase opens.
func sealAge(text, passphrase string) (string, error) {
	recipient, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return "", usage("passphrase: %w", err)
	}
	var out bytes.Buffer
	plate := armor.NewWriter(&out)
	w, err := age.Encrypt(plate, recipient)
	if err == nil {
		_, err = io.WriteString(w, text+"\n")
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = plate.Close()
	}
	if err != nil {
		return "", fmt.Errorf("make the age file: %w", err)
	}
	return out.String(), nil
}

// askSecret reads a secret unseen from the terminal, or a line of a pipe.
func (a *app) askSecret(prompt string) (string, error) {
	if tty, ok := terminal(a.in); ok {
		fmt.Fprint(a.errOut, safe(prompt))
		text, err := term.ReadPassword(int(tty.Fd()))
		fmt.Fprintln(a.errOut)
		return string(text), err
	}
	line, err := bufio.NewReader(a.in).ReadString('\n')
	if err != nil && (err != io.EOF || line == "") {
		return "", usage("nothing to read: standard input is empty")
	}
	return firstLine(line), nil
}

// newPassphrase reads a new one from a file, or asks for it twice.
func (a *app) newPassphrase(file string) (string, error) {
	if file != "" {
		return a.readPassphrase(file)
	}
	one, err := a.askSecret("New passphrase: ")
	if err != nil {
		return "", err
	}
	if _, ok := terminal(a.in); !ok {
		return one, nil
	}
	two, err := a.askSecret("Once more: ")
	if err == nil && one != two {
		err = usage("the two passphrases differ")
	}
	return one, err
}

// sheet is what is printed and put into a safe: the key with what it is for and how to use it.
func sheet(repository, key string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# KEEPWARD RECOVERY KEY\n#\n# repository: %s\n#\n", safe(repository))
	b.WriteString("# Whoever has this key and the repository's files can read all that is in them.\n" +
		"# Keep it where neither the backup server nor the repository is.\n#\n")
	for line := range strings.Lines(strings.TrimSpace(key)) {
		b.WriteString("    " + strings.TrimSpace(line) + "\n")
	}
	b.WriteString("#\n# 64 letters and digits. O and 0, I and 1, B and 8 are taken for each other; spaces and\n" +
		"# hyphens do not count; the last letters tell whether one was mistyped. This file can be\n" +
		"# given to Keepward as it is.\n#\n" +
		"# Files back without any server:\n" +
		"#   keepward extract --repository DIR --recovery-key THIS-FILE --list\n" +
		"#   keepward extract --repository DIR --recovery-key THIS-FILE --computer NAME --point latest --to DIR\n" +
		"# A new server:\n" +
		"#   keepward repository attach NAME --transport T --path DIR --recovery-key THIS-FILE --take-over\n")
	return b.String()
}
