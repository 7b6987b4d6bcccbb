package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestARestoreTakesItsChoiceFromLists(t *testing.T) {
	f := newFake(t)
	paths := func() string {
		var list []string
		for _, p := range f.restore.GetPaths() {
			list = append(list, string(p))
		}
		return f.restore.GetComputer() + " " + f.restore.GetPoint() + " " + strings.Join(list, "|")
	}
	for content, want := range map[string]string{
		"/a\n/b b\n\n":             "/a|/b b",
		"/a":                       "/a",
		"/a\nb\x00/c\x00":          "/a\nb|/c",
		"\x00/only-this\n\x00\x00": "/only-this\n",
	} {
		f.do(t, "restore", "files", "--computer", "web1", "--point", "abcd", "--to", "/t", "--paths-from", write(t, content)).want(t, 0)
		if got := paths(); got != "web1 abcd "+want {
			t.Errorf("%q: %q is restored", content, got)
		}
	}
	found := func(lines ...string) string { return write(t, `{"found":[`+strings.Join(lines, ",")+`]}`) }
	line := func(computer, point, path string) string {
		return fmt.Sprintf(`{"computer":%q,"point":%q,"entry":{"path":%q}}`, computer, point, path)
	}
	a, b := "L2E=", "L2I=" // /a and /b
	f.do(t, "restore", "files", "--to", "/t", "--from-find", found(line("web1", "abcd", a), line("web1", "abcd", b))).want(t, 0)
	if got := paths(); got != "web1 abcd /a|/b" {
		t.Errorf("%q is restored", got)
	}
	f.do(t, "restore", "files", "--to", "/t", "--point", "ef01", "--from-find", found(line("web1", "abcd", a), line("web1", "abce", a))).want(t, 0)
	if got := paths(); got != "web1 ef01 /a" {
		t.Errorf("%q is restored", got)
	}
	for name, c := range map[string]struct {
		args []string
		say  string
	}{
		"two versions":       {[]string{"--from-find", found(line("web1", "abcd", a), line("web1", "abce", a))}, "two versions of /a"},
		"two computers":      {[]string{"--from-find", found(line("web1", "abcd", a), line("web2", "abce", b))}, "web2"},
		"another computer":   {[]string{"--computer", "web2", "--from-find", found(line("web1", "abcd", a))}, "not of web2"},
		"nothing found":      {[]string{"--from-find", found()}, "nothing was found"},
		"something else":     {[]string{"--from-find", write(t, "name size")}, "point find -o json"},
		"no such file":       {[]string{"--from-find", "/nowhere"}, "/nowhere"},
		"paths as well":      {[]string{"--path", "/x", "--from-find", found(line("web1", "abcd", a))}, "leave --path"},
		"no paths":           {[]string{"--computer", "web1", "--point", "abcd", "--paths-from", write(t, "\n")}, "no paths"},
		"half a rename":      {[]string{"--computer", "web1", "--point", "abcd", "--map", "/a"}, "FROM=TO"},
		"a relative rename":  {[]string{"--computer", "web1", "--point", "abcd", "--map", "/a=b"}, "full names"},
		"half an owner":      {[]string{"--computer", "web1", "--point", "abcd", "--owner-map", "ann"}, "OLD:NEW"},
		"a bad owner file":   {[]string{"--computer", "web1", "--point", "abcd", "--owner-map-file", write(t, "user a b\nann bob\n")}, "line 2"},
		"strip and a rename": {[]string{"--computer", "web1", "--point", "abcd", "--strip", "--map", "/a=/b"}, "--strip"},
	} {
		if r := f.do(t, append([]string{"restore", "files", "--to", "/t"}, c.args...)...); r.code != 2 || !strings.Contains(r.err, c.say) {
			t.Errorf("%s: exit %d, %s", name, r.code, r.err)
		}
	}
	f.do(t, "restore", "files", "--computer", "web1", "--point", "abcd", "--to", "/t", "--map", "/a=/b", "--owner-map", "ann:bob", "--group-map", "7:8",
		"--owner-map-file", write(t, "# who\nuser 1000 1001\n\ngroup staff users # all\n")).want(t, 0)
	if got := fmt.Sprint(f.restore.GetRenames(), f.restore.GetOwners()); strings.Count(got, "from:") != 5 || !strings.Contains(got, `"staff"`) {
		t.Errorf("the rules are %s", got)
	}
}
