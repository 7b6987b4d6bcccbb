package update

import "testing"

func TestVersionsAreCompared(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"v1.2.3", "v1.2.4", true},
		{"v1.2.4", "v1.2.3", false},
		{"v1.2.3", "v1.2.3", false},
		{"v1.9.0", "v1.10.0", true},
		{"1.2.3", "v2.0.0", true},
		{"v1.2.3-rc.1", "v1.2.3", true},
		{"v1.2.3", "v1.2.3-rc.1", false},
		{"v1.2.3-rc.2", "v1.2.3-rc.10", true},
		{"v1.2.3-1", "v1.2.3-rc", true},
		{"v1.2.3-rc", "v1.2.3-rc.1", true},
		{"v0.0.0-20261101120000-abcdef012345", "v0.0.0-20261122120000-0123456789ab", true},
		{"v1.2.3+dirty", "v1.2.3", false},
		{"", "v1.2.3", false},
		{"(devel)", "v1.2.3", false},
		{"v1.2.3", "(devel)", false},
		{"v1.2", "v1.2.3", false},
	} {
		if got := Older(c.a, c.b); got != c.want {
			t.Errorf("%q is older than %q: %v", c.a, c.b, got)
		}
	}
}
