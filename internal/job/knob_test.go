package job_test

import (
	"testing"
	"time"

	"keepward/internal/job"
)

func TestDefaultsAreWithinTheirBounds(t *testing.T) {
	for _, s := range job.Settings {
		if s.Turned() && !s.Allows(s.Default) {
			t.Errorf("%s may not be %v, its default; bounds %+v", s.Name, s.Default, s.Bounds())
		}
	}
}

func TestSettingsTakeWhatIsOfTheirKindAndWithinTheirBounds(t *testing.T) {
	for _, c := range []struct {
		name  string
		value any
		want  bool
	}{
		{"attempts", 1, true},
		{"attempts", 0, false},
		{"attempts", 1001, false},
		{"attempts", time.Second, false},
		{"claim_after", time.Duration(0), true},
		{"claim_after", -time.Second, false},
		{"claim_after", 40 * 24 * time.Hour, false},
		{"claim_after", 5, false},
		{"restores_preempt_backups", true, true},
		{"restores_preempt_backups", "on", false},
		{"priority_precedence", "agent", true},
		{"priority_precedence", "computer", false},
		{"priority_precedence", true, false},
		{"preferred_networks", "10.0.0.0/8,fd00::/8", true},
		{"preferred_networks", "10.0.0.0", false},
		{"console_url", "none", true},
		{"console_url", "", false},
		{"console_url", "https://backup.example.com:7480", true},
		{"console_url", "http://backup.example.com", false},
		{"console_url", "https://backup.example.com/console", false},
		{"console_url", "https://ann:secret@backup.example.com", false},
		{"console_url", "https://backup.example.com/?next=1", false},
		{"console_url", "https://backup.example.com#here", false},
		{"console_url", "https://", false},
		{"console_url", "backup.example.com", false},
		{"console_url", true, false},
	} {
		s, ok := job.Named(c.name)
		if !ok {
			t.Fatalf("there is no setting %s", c.name)
		}
		if got := s.Allows(c.value); got != c.want {
			t.Errorf("%s takes %v: %v", c.name, c.value, got)
		}
	}
}

func TestSettingsOfOtherThingsAreNotTurnedForTheWholeServer(t *testing.T) {
	for name, where := range map[string]string{"repository_streams": "repository edit", "missed": "job edit", "heartbeat": "server --heartbeat", "heartbeats_lost": ""} {
		s, _ := job.Named(name)
		if s.Turned() || s.Where() != where {
			t.Errorf("%s is turned: %v, and stands at %q", name, s.Turned(), s.Where())
		}
	}
	if _, ok := job.Named("claim_aftre"); ok {
		t.Error("a name that is none is found")
	}
	s, _ := job.Named("claim_after")
	if !s.Turned() {
		t.Error("claim_after is not turned")
	}
}

func TestTheAddressOfTheConsoleIsWrittenAsBrowsersWriteIt(t *testing.T) {
	for text, want := range map[string]string{
		"none": "", "https://Backup.Example.com/": "https://backup.example.com", "https://backup.example.com:443": "https://backup.example.com",
		"https://backup.example.com:7480": "https://backup.example.com:7480", "https://[FD00::1]:7480": "https://[fd00::1]:7480",
	} {
		if got, err := job.ConsoleURL(text); got != want || err != nil {
			t.Errorf("%s is %q, %v; want %q", text, got, err, want)
		}
	}
}
