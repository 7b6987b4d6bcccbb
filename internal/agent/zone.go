package agent

import (
	"os"
	"strings"
	"time"
)

// zoneOf is the time zone of this computer's clock: its name where that can be told, else how far
// it is off UTC now.
func zoneOf(now time.Time) string { return zoneFrom(os.Getenv("TZ"), os.Readlink, now) }

// localtime is what the clock of a Unix goes by: a link into the zone database, as a rule.
const localtime = "/etc/localtime"

func zoneFrom(env string, readlink func(string) (string, error), now time.Time) string {
	if name := strings.TrimPrefix(env, ":"); isZone(name) {
		return name
	}
	if target, err := readlink(localtime); err == nil && env == "" {
		if _, name, ok := strings.Cut(target, "zoneinfo/"); ok && isZone(name) {
			return name
		}
	}
	return now.Format("-07:00")
}

func isZone(name string) bool {
	if name == "" || name == "Local" {
		return false
	}
	_, err := time.LoadLocation(name)
	return err == nil
}
