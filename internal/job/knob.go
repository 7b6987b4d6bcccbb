package job

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Bounds are what a setting may be turned to. A number is counted, or is a time.
type Bounds struct {
	Least, Most int64
	// Choices are the words of a setting that is a word.
	Choices []string
	// Form is how a setting is written that is a text of its own form; nil: it is another one.
	Form *Form
}

// Form is how a text has to be written.
type Form struct {
	Check func(text string) error
	Text  string // it in words, after "it is"
}

var (
	networksForm   = Form{func(text string) error { _, err := Networks(text); return err }, "none, or networks such as 10.0.0.0/8,fd00::/8"}
	consoleURLForm = Form{func(text string) error { _, err := ConsoleURL(text); return err }, "none, or an address such as https://backup.example.com:7480"}
)

func counts(least, most int64) Bounds        { return Bounds{Least: least, Most: most} }
func times(least, most time.Duration) Bounds { return Bounds{Least: int64(least), Most: int64(most)} }
func words(choices ...string) Bounds         { return Bounds{Choices: choices} }

const month = 31 * 24 * time.Hour

// knobBounds are the bounds of the settings that have narrower ones than their kind.
var knobBounds = map[string]Bounds{
	"attempts":                     counts(1, 1000),
	"attempts_restore":             counts(1, 1000),
	"restart_interval":             times(time.Second, month),
	"total_running_time":           times(time.Minute, 365*24*time.Hour),
	"total_running_time_end":       words("kill", "commit"),
	"client_tasks":                 counts(1, 1000),
	"leaving_limit":                times(10*time.Second, 24*time.Hour),
	"reservation_cleanup_interval": times(time.Minute, 365*24*time.Hour),
	"snapshot_retries":             counts(0, 100),
	"snapshot_kept":                times(0, month),
	"compare_every":                counts(0, 10_000),
	"tracking_kept":                times(0, 12*month),
	"claim_after":                  times(0, month), // 0: never
	"preemptions_in_row":           counts(0, 1000), // 0: nobody is protected
	"protected_running":            times(0, 24*time.Hour),
	"priority_precedence":          words(string(ClientFirst), string(AgentFirst)),
	"session_retries":              counts(0, 1000),
	"session_retry_after":          times(0, month),
	"unprotected_days":             counts(1, 10_000),
	"agent_updates_at_once":        counts(1, 10_000),
	"agent_trial":                  times(time.Second, time.Hour),
	"duplicates":                   words(DuplicatePolicies...),
	"preferred_networks":           {Form: &networksForm},
	"console_url":                  {Form: &consoleURLForm},
	"confirm_logins":               times(5*time.Minute, month),
	"approval_wait":                times(10*time.Minute, month),
	"data_connections":             counts(1, MostDataConnections),
}

// The bounds of all others.
const (
	countMost = 1_000_000
	timeMost  = 100 * 365 * 24 * time.Hour
)

// elsewhere are the settings that are not turned for the whole server: where they stand.
var elsewhere = map[string]string{
	"repository_streams": "repository edit", "mount_path_writers": "repository edit", "undelete_grace": "repository edit",
	"unprotected_after": "repository edit", "maintenance": "repository edit", "recompress": "repository edit", "proof_days": "repository edit",
	"foreign_proof": "repository edit", "parity": "repository edit",
	"missed": "job edit", "jitter": "job edit", "on_battery": "job edit", "on_metered": "job edit",
	"heartbeat":       "server --heartbeat",   // its start: what runs goes by the one that it began with
	"heartbeats_lost": "", "proof_budget": "", // not to be changed yet
}

// Named finds a setting; the zero row and false where there is none.
func Named(name string) (Setting, bool) {
	i := slices.IndexFunc(Settings, func(s Setting) bool { return s.Name == name })
	if i < 0 {
		return Setting{}, false
	}
	return Settings[i], true
}

// Turned says whether an administrator turns the setting for the whole server.
func (s Setting) Turned() bool {
	_, other := elsewhere[s.Name]
	return s.Implemented && !other
}

// Where is the command by which a setting is changed that is not turned for the whole server;
// empty: none.
func (s Setting) Where() string { return elsewhere[s.Name] }

// Bounds are what the setting may be turned to.
func (s Setting) Bounds() Bounds {
	if b, ok := knobBounds[s.Name]; ok {
		return b
	}
	if _, isTime := s.Default.(time.Duration); isTime {
		return times(0, timeMost)
	}
	return counts(0, countMost)
}

// Networks reads a list of networks in CIDR notation, separated by commas or spaces. none, or
// nothing, is no network.
func Networks(text string) ([]netip.Prefix, error) {
	if text == NotSet {
		return nil, nil
	}
	var out []netip.Prefix
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		n, err := netip.ParsePrefix(word)
		if err != nil {
			return nil, err
		}
		out = append(out, n.Masked())
	}
	return out, nil
}

// ConsoleURL reads the address under which browsers reach the console: its origin, without a
// path, in small letters and without the port that https has anyway, as browsers write it
// (RFC 6454, section 6.2). none is the empty one.
func ConsoleURL(text string) (origin string, err error) {
	if text == NotSet {
		return "", nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", err
	}
	bad := u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#") || u.Path != "" && u.Path != "/"
	if bad {
		return "", fmt.Errorf("%q is not https://HOST or https://HOST:PORT", text)
	}
	return "https://" + strings.TrimSuffix(strings.ToLower(u.Host), ":443"), nil
}

// Allows says whether a value is of the setting's kind and within its bounds.
func (s Setting) Allows(value any) bool {
	b := s.Bounds()
	switch v := value.(type) {
	case int:
		_, kind := s.Default.(int)
		return kind && int64(v) >= b.Least && int64(v) <= b.Most
	case time.Duration:
		_, kind := s.Default.(time.Duration)
		return kind && int64(v) >= b.Least && int64(v) <= b.Most
	case bool:
		_, kind := s.Default.(bool)
		return kind
	case string:
		_, kind := s.Default.(string)
		if b.Form != nil {
			return kind && b.Form.Check(v) == nil
		}
		return kind && (len(b.Choices) == 0 || slices.Contains(b.Choices, v))
	}
	return false
}
