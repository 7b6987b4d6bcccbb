//go:build linux

package restore

import (
	"testing"

	"keepward/internal/treegen"
)

func TestEveryKindOfFileComesBack(t *testing.T) {
	needRoot(t)
	src, to := tempDir(t), tempDir(t)
	missing, err := treegen.Zoo(src)
	if err != nil {
		t.Fatal(err)
	}
	if len(missing) > 0 {
		t.Logf("this file system has no %v", missing)
	}
	s := newStore()
	name := s.backup(t, src)
	var l log
	c := restoreOK(t, s.options(name, src, to, &l))
	if c.Errors+c.Warnings != 0 {
		t.Errorf("errors %d, warnings %d: %v", c.Errors, c.Warnings, l.events)
	}
	if c.DoneFiles != c.TotalFiles || c.DoneBytes != c.TotalBytes {
		t.Errorf("done %d of %d entries, %d of %d bytes", c.DoneFiles, c.TotalFiles, c.DoneBytes, c.TotalBytes)
	}
	same(t, src, to)

	dirs := c.DoneDirs
	t.Run("a second run finds everything right", func(t *testing.T) {
		var l log
		c := restoreOK(t, s.options(name, src, to, &l))
		if c.NewFiles+c.ChangedFiles+c.Errors+c.Warnings != 0 || c.SkippedFiles != c.TotalFiles || c.SkippedDirs != dirs || dirs == 0 {
			t.Errorf("%+v, %v", c, l.events)
		}
		same(t, src, to)
	})
	t.Run("always writes everything again", func(t *testing.T) {
		var l log
		o := s.options(name, src, to, &l)
		o.Overwrite = Always
		c := restoreOK(t, o)
		if c.Errors+c.Warnings != 0 || c.ChangedFiles == 0 {
			t.Errorf("%+v, %v", c, l.events)
		}
		same(t, src, to)
	})
}
