package test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The units are well-formed: systemd itself says so, where it is installed.
func TestSystemdUnitsVerify(t *testing.T) {
	needPrograms(t, "systemd-analyze")
	units, err := filepath.Glob("../packaging/systemd/*.service")
	if err != nil || len(units) != 3 {
		t.Fatalf("units: %v, %v", units, err)
	}
	for _, unit := range units {
		t.Run(filepath.Base(unit), func(t *testing.T) {
			// It wants the program to exist where the unit says.
			text, err := os.ReadFile(unit)
			if err != nil {
				t.Fatal(err)
			}
			copied := filepath.Join(t.TempDir(), filepath.Base(unit))
			text = []byte(strings.ReplaceAll(string(text), "/usr/bin/keepward", binary))
			if err := os.WriteFile(copied, text, 0o644); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("systemd-analyze", "verify", "--man=no", copied).CombinedOutput()
			if err != nil || strings.Contains(string(out), filepath.Base(unit)) {
				t.Errorf("systemd-analyze verify: %v\n%s", err, out)
			}
		})
	}
}

// Every flag in a unit is one that the role has.
func TestSystemdUnitsCallWhatExists(t *testing.T) {
	units, err := filepath.Glob("../packaging/systemd/*.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, unit := range units {
		f, err := os.Open(unit)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			command, ok := strings.CutPrefix(lines.Text(), "ExecStart=/usr/bin/keepward ")
			if !ok {
				continue
			}
			words := strings.Fields(command)
			help, err := exec.Command(binary, words[0], "--help").CombinedOutput()
			if err != nil {
				t.Errorf("%s: keepward %s --help: %v", unit, words[0], err)
			}
			for _, w := range words[1:] {
				if strings.HasPrefix(w, "--") && !strings.Contains(string(help), w) {
					t.Errorf("%s: keepward %s has no %s", unit, words[0], w)
				}
			}
		}
	}
}
