package restore

import (
	"testing"

	"keepward/internal/repo/fileindex"
)

func TestPolicyDecides(t *testing.T) {
	old, now := fileindex.Time{Sec: 100}, fileindex.Time{Sec: 100, Nsec: 1}
	file := func(size int64, at fileindex.Time) *present {
		return &present{typ: fileindex.File, size: size, mtime: at, links: 1}
	}
	linked := file(5, now)
	linked.links = 2
	want := attrs{typ: fileindex.File, size: 5, mtime: now, links: 1}
	device := attrs{typ: fileindex.Char, rdev: 7, mtime: now, links: 1}
	for _, c := range []struct {
		name                            string
		a                               attrs
		there                           *present
		always, different, newer, never action
	}{
		{"nothing there", want, nil, create, create, create, create},
		{"the same", want, file(5, now), replace, metadata, leave, leave},
		{"older there", want, file(5, old), replace, compare, compare, leave},
		{"newer there", attrs{typ: fileindex.File, size: 5, mtime: old, links: 1}, file(5, now), replace, compare, leave, leave},
		{"another size", want, file(6, now), replace, replace, leave, leave},
		{"another size, older", want, file(6, old), replace, replace, replace, leave},
		{"a directory there", want, &present{typ: fileindex.Dir, mtime: old}, replace, replace, replace, leave},
		{"a symlink there", want, &present{typ: fileindex.Symlink, mtime: old}, replace, replace, replace, leave},
		{"a name of an inode that lies elsewhere too", want, linked, replace, replace, leave, leave},
		{"a directory where one belongs", attrs{typ: fileindex.Dir, mtime: now}, &present{typ: fileindex.Dir, mtime: old, links: 9}, metadata, metadata, metadata, leave},
		{"the same device", device, &present{typ: fileindex.Char, rdev: 7, mtime: old, links: 1}, replace, metadata, metadata, leave},
		{"another device", device, &present{typ: fileindex.Char, rdev: 8, mtime: old, links: 1}, replace, replace, replace, leave},
		{"a symlink where one belongs", attrs{typ: fileindex.Symlink, mtime: now, links: 1}, &present{typ: fileindex.Symlink, mtime: old, links: 1}, replace, compare, compare, leave},
	} {
		for policy, want := range map[Overwrite]action{Always: c.always, Different: c.different, Newer: c.newer, Never: c.never} {
			if got := decide(policy, &c.a, c.there); got != want {
				t.Errorf("%s, %s: action %d, want %d", c.name, policy, got, want)
			}
		}
	}
}

// What an earlier attempt did is neither done again nor, where it may not have reached the
// disk, believed.
func TestEarlierAttemptsAreTakenIntoAccount(t *testing.T) {
	at := fileindex.Time{Sec: 1_700_000_000}
	hour := func(n int64) fileindex.Time { return fileindex.Time{Sec: at.Sec + 3600*n} }
	a := attrs{typ: fileindex.File, size: 7, mtime: at, links: 1}
	resumed := Earlier{Began: hour(10).Time()}
	crashed := Earlier{Began: hour(10).Time(), DoubtFrom: hour(10).Time(), DoubtTo: hour(12).Time()}
	for _, c := range []struct {
		name    string
		earlier Earlier
		policy  Overwrite
		changed fileindex.Time
		size    int64
		want    action
	}{
		{"the first attempt", Earlier{}, Always, hour(11), 7, replace},
		{"written by this restore", resumed, Always, hour(11), 7, metadata},
		{"written before it", resumed, Always, hour(9), 7, replace},
		{"half written", resumed, Always, hour(11), 6, replace},
		{"written before the crash", crashed, Always, hour(11), 7, replace},
		{"written after the crash", crashed, Always, hour(13), 7, metadata},
		{"right", resumed, Different, hour(11), 7, metadata},
		{"in doubt", crashed, Different, hour(11), 7, compare},
		{"older than the restore that crashed", crashed, Different, hour(9), 7, metadata},
		{"in doubt and left", crashed, Never, hour(11), 7, leave},
		{"in doubt and as old", crashed, Newer, hour(11), 7, compare},
	} {
		there := present{typ: fileindex.File, size: c.size, mtime: at, links: 1, ctime: c.changed}
		got := c.earlier.correct(decide(c.policy, &a, &there), c.policy, &a, &there)
		if got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
