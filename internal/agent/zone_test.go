package agent

import (
	"errors"
	"testing"
	"time"
	_ "time/tzdata" // the zones of this test, also where the system has none
)

func TestZoneOfAComputer(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.FixedZone("", 2*3600))
	for _, tt := range []struct{ what, env, link, want string }{
		{"the link", "", "/usr/share/zoneinfo/Europe/Paris", "Europe/Paris"},
		{"a relative link", "", "../usr/share/zoneinfo/Asia/Tokyo", "Asia/Tokyo"},
		{"the link of a Mac", "", "/var/db/timezone/zoneinfo/America/New_York", "America/New_York"},
		{"the environment first", "Asia/Tokyo", "/usr/share/zoneinfo/Europe/Paris", "Asia/Tokyo"},
		{"the environment with a colon", ":Asia/Tokyo", "", "Asia/Tokyo"},
		{"an environment that is no name", "CET-1CEST", "/usr/share/zoneinfo/Europe/Paris", "+02:00"},
		{"a link that is no name", "", "/usr/share/zoneinfo/Mars/Olympus", "+02:00"},
		{"a link elsewhere", "", "/etc/zone", "+02:00"},
		{"no link", "", "", "+02:00"},
		{"no such word", "Local", "", "+02:00"},
	} {
		got := zoneFrom(tt.env, func(name string) (string, error) {
			if tt.link == "" || name != localtime {
				return "", errors.New("no link")
			}
			return tt.link, nil
		}, now)
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.what, got, tt.want)
		}
	}
}
