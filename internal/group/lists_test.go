package group

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
)

func TestListsThatAreRead(t *testing.T) {
	for _, c := range []struct{ file, content, want string }{
		{"a.csv", "web1\nweb2\n", "web1 web2"},
		{"a.csv", "\xef\xbb\xbfName,owner\r\nweb2,eve\r\n# later: web3\r\nweb1,adam\r\nweb1,adam\r\n", "web1 web2"},
		{"a.csv", "owner, name\n\"Smith, John\", web1", "web1"},
		{"a.csv", "name\n", ""},
		{"a.YAML", "[web1, web2]", "web1 web2"},
		{"a.yml", "# the lab\ncomputers:\n  - name: web1\n    room: 7\n  - web2\n  - 0815\n", "0815 web1 web2"},
		{"a.yml", "[]", ""},
	} {
		got, err := ParseFile(c.file, []byte(c.content))
		if d := cmp.Diff(c.want, strings.Join(got, " ")); d != "" || err != nil {
			t.Errorf("%s %q: %s (%v)", c.file, c.content, d, err)
		}
	}
}

func TestBrokenListsAreRefusedAsAWhole(t *testing.T) {
	const secret = "root:$6$salt"
	for _, c := range []struct{ file, content string }{
		{"a.csv", ""},
		{"a.csv", "# nobody yet\n"},
		{"a.csv", "owner;name\nadam;web1\n"},
		{"a.csv", "web1\n\"web2"},
		{"a.csv", "web1\nweb 2\n"},
		{"a.csv", "owner,name\nadam,web1\neve\n"},
		{"a.csv", secret},
		{"a.csv", "web1\x00"},
		{"a.csv", strings.Repeat("w", 64)},
		{"a.yaml", ""},
		{"a.yaml", "web1"},
		{"a.yaml", "computers: web1"},
		{"a.yaml", "hosts: [web1]"},
		{"a.yaml", "- web1\n-\n"},
		{"a.yaml", "- {host: web1}"},
		{"a.yaml", "- [web1]"},
		{"a.yaml", "[web1"},
		{"a.yaml", "[web1]\n---\n[web2]"},
		{"a.yaml", "- " + secret},
		{"a.txt", "web1"},
	} {
		got, err := ParseFile(c.file, []byte(c.content))
		if got != nil || errs.CodeOf(err) != "group.file" || errs.HintOf(err) == "" {
			t.Errorf("%s %q: %v, %v", c.file, c.content, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "salt") {
			t.Errorf("the error quotes the file: %v", err)
		}
	}
	if _, err := ParseFile("a.csv", []byte(strings.Repeat("web1\n", namesMost+1))); err == nil {
		t.Error("a list without bounds was read")
	}
}

func TestCloudLists(t *testing.T) {
	for content, want := range map[string]string{
		`["vm2", "vm1", "vm1"]`: "vm1 vm2",
		` {"computers": [{"name": "vm1", "ip": "192.0.2.1"}, "vm2"], "next": null} `: "vm1 vm2",
		`[]`:                 "",
		`{"computers": []}`:  "",
		"[\"vm1\"]\n\n":      "vm1",
		`[{"name": "vm-1"}]`: "vm-1",
	} {
		got, err := ParseCloud([]byte(content))
		if strings.Join(got, " ") != want || err != nil || got == nil {
			t.Errorf("%s: %v, %v", content, got, err)
		}
	}
	for _, content := range []string{
		"", "junk", "null", "{}", `"vm1"`, `["vm1"`, `["vm1"] trailing`, `["vm1", null]`, `["vm1", {}]`, `[["vm1"]]`, `["vm 1"]`, `[1]`, `{"computers": null}`,
		`{"computers": "vm1"}`, `[{"name": null}]`, "\x00\xff", "<html>", `["` + strings.Repeat("v", 64) + `"]`, `["vm1"]` + strings.Repeat(" ", cloudMost),
	} {
		if got, err := ParseCloud([]byte(content)); got != nil || errs.CodeOf(err) != "group.cloud" {
			t.Errorf("%.40s: %v, %v", content, got, err)
		}
	}
}

func FuzzLists(f *testing.F) {
	f.Add("name\nweb1\n")
	f.Add(`{"computers": [{"name": "vm1"}]}`)
	f.Add("- web1\n- &a [*a]\n")
	f.Fuzz(func(t *testing.T, content string) {
		for _, read := range []func() ([]string, error){
			func() ([]string, error) { return ParseFile("a.csv", []byte(content)) },
			func() ([]string, error) { return ParseFile("a.yaml", []byte(content)) },
			func() ([]string, error) { return ParseCloud([]byte(content)) },
		} {
			list, err := read()
			if (list == nil) == (err == nil) {
				t.Fatalf("%v, %v", list, err)
			}
			for _, name := range list {
				if checkName(name, 0) != nil {
					t.Fatalf("%q is no name", name)
				}
			}
		}
	})
}
