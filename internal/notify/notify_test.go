package notify

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestEveryFieldOfTemplatesIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/operator/notifications.md")
	if err != nil {
		t.Fatal(err)
	}
	fields := reflect.TypeFor[Fields]()
	if fields.NumField() != len(FieldMeanings) {
		t.Errorf("%d fields have %d meanings", fields.NumField(), len(FieldMeanings))
	}
	for _, f := range FieldMeanings {
		if _, ok := fields.FieldByName(f.Field); !ok {
			t.Errorf("there is no field %s", f.Field)
		}
		if !strings.Contains(string(page), fmt.Sprintf("| `%s` | %s |", f.Field, f.Meaning)) {
			t.Errorf("docs/operator/notifications.md does not say that %s is %s", f.Field, f.Meaning)
		}
		if err := CheckTemplates("{{."+f.Field+"}}", "{{if ."+f.Field+"}}{{."+f.Field+"}}{{end}}"); err != nil {
			t.Errorf("%s: %v", f.Field, err)
		}
	}
}

func TestHostileNamesAreTextInSubjectAndBody(t *testing.T) {
	e := Event{
		ID: "1", Kind: SessionFailed, Severity: Error, Time: time.Unix(0, 0), Title: "t",
		Job: "a\r\nBcc: x@y.z\u202egnp", Computers: []string{"\x1b]0;x\a", "b\xff\xfe", "{{.Text}}<script>"},
	}
	m := NewMessage(e, "{{.Job}}\n{{.Computers}}", "{{.Job}} {{.Computers}}", time.UTC)
	for _, text := range []string{m.Subject, m.Body} {
		if strings.ContainsAny(text, "\r\n\x1b\a\u202e") || strings.Contains(text, "\xff") {
			t.Errorf("%q", text)
		}
		if !strings.Contains(text, `a\r\nBcc: x@y.z\u202egnp`) || !strings.Contains(text, `b\xff\xfe`) || !strings.Contains(text, "{{.Text}}<script>") {
			t.Errorf("%q lacks a name", text)
		}
	}
	if m := NewMessage(Event{Title: strings.Repeat("ä", 1000)}, "", "", time.UTC); len(m.Subject) > subjectMost || !strings.HasSuffix(m.Subject, "ä…") {
		t.Errorf("a long subject is %q", m.Subject)
	}
}

func TestPausesGrowAndEnd(t *testing.T) {
	last := time.Duration(0)
	for tries := 1; tries < 100; tries++ {
		d, again := Pause(tries, 0, 0.999999)
		if !again || d < last || d > longestPause {
			t.Errorf("after %d tries: %s, %v", tries, d, again)
		}
		if low, _ := Pause(tries, 0, 0); low < d/2-time.Second || low >= d {
			t.Errorf("after %d tries at the least %s of %s", tries, low, d)
		}
		last = d
	}
	if _, again := Pause(1, giveUpAfter, 0); again {
		t.Error("it is tried for ever")
	}
}
