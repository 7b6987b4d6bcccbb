package source

import "testing"

func TestReach(t *testing.T) {
	dir := tree(t, "srv/a/b/c", "srv/skip/in", "srv/skip/back/x", "other/", "deep/tmp/x")
	s := &Selection{Include: []string{dir + "/srv/", dir + "/srv/skip/back", dir + "/none/x", dir + "/deep"}, Exclude: []string{"skip/", dir + "/deep/**/tmp", "b", "!b"}}
	r, err := s.Reach()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"/": true, dir: true, dir + "/srv": true, dir + "/srv/a": true, dir + "/srv/a/b": true, dir + "/srv/skip": true, dir + "/srv/skip/in": false,
		dir + "/srv/skip/back": true, dir + "/srv/skip/back/x": true, dir + "/other": false, dir + "/srvx": false, dir + "/deep/tmp": false,
		dir + "/deep/tmp/x": false, dir + "/deep/x": true,
	} {
		if got := r.Comes(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
	if len(r.Include) != 3 || !r.Above(dir+"/srv/skip") || r.Above(dir+"/srv/a") {
		t.Errorf("includes %v", r.Include)
	}
	s.Include = []string{"/"}
	if r, err = s.Reach(); err != nil || !r.Comes("/any/where") || r.Comes("/any/skip/x") {
		t.Errorf("of all: %v", err)
	}
}
