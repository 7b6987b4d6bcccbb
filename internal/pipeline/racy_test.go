package pipeline

import (
	"testing"
	"time"

	"keepward/internal/repo/fileindex"
	"keepward/internal/source"
)

func TestRacyCountsFromTheClocksGrain(t *testing.T) {
	seen := time.Unix(1000, 500_000_000)
	at := func(before time.Duration) fileindex.Time {
		c := seen.Add(-before)
		return fileindex.Time{Sec: c.Unix(), Nsec: uint32(c.Nanosecond())}
	}
	for name, tc := range map[string]struct {
		st   source.Stat
		want bool
	}{
		"old":                    {source.Stat{CTime: at(time.Second - 1), MTime: at(time.Hour)}, false},
		"within the grain":       {source.Stat{CTime: at(clockGrain / 2), MTime: at(time.Hour)}, true},
		"in the future":          {source.Stat{CTime: at(-time.Hour)}, true},
		"mtime set ahead":        {source.Stat{CTime: at(time.Minute + 1), MTime: at(-time.Hour)}, false},
		"whole seconds, old":     {source.Stat{CTime: fileindex.Time{Sec: 997}}, false},
		"whole seconds, young":   {source.Stat{CTime: fileindex.Time{Sec: 999}}, true},
		"no ctime, mtime young":  {source.Stat{MTime: at(1)}, true},
		"no ctime, mtime behind": {source.Stat{MTime: at(time.Second + 1)}, false},
	} {
		if got := racy(&tc.st, seen) != 0; got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
