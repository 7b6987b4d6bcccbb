package track

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/changes"
	"keepward/internal/snapshot"
	"keepward/internal/source"
)

// fixed is a tracker's moment that tells what it is told to, of which the token is its name.
type fixed struct {
	name string
	tell []changes.Change
	err  error
}

func (f fixed) Since(_ context.Context, parent []byte, view changes.View) (*changes.Set, error) {
	if f.err != nil {
		return nil, f.err
	}
	if string(parent) != f.name {
		return changes.Doubt(changes.OtherTracker), nil
	}
	return changes.NewSet(view, f.tell)
}

func (f fixed) Token(context.Context, changes.View) ([]byte, error) { return []byte(f.name), nil }

// moment is one of a computer with mounts, of which some have trackers, by their place.
func moment(include []string, mounts []string, trackers map[string]changes.Moment) *Moment {
	m := &Moment{t: &Trackers{cfg: Config{Log: slog.New(slog.DiscardHandler)}}, r: Request{Include: include}}
	for _, at := range mounts {
		v := snapshot.Volume{Mount: at, Type: "x"}
		m.r.Mounts = append(m.r.Mounts, v)
		u := unit{Unit: Unit{At: at, Volume: v, Kind: snapshot.None, Root: at, Whole: true}}
		if u.moment = trackers[at]; u.moment == nil {
			u.why = changes.Unproved
		}
		m.units = append(m.units, u)
	}
	return m
}

func lines(t *testing.T, c source.Changed) (out []string) {
	t.Helper()
	for {
		ch, err := c.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		line := "/" + string(ch.Path)
		if ch.Subtree {
			line += " all"
		}
		if ch.Listing {
			line += " listing"
		}
		out = append(out, line)
	}
}

// What trackers do not tell is compared: volumes without one, what lies above the include paths,
// and what was mounted then or is now and was or is not otherwise.
func TestWhatIsNotToldIsCompared(t *testing.T) {
	srv := fixed{"srv", []changes.Change{{Path: []byte("a/b"), What: changes.Content}, {Path: []byte("new"), What: changes.Replaced}, {Path: []byte(""), What: changes.Listing}}, nil}
	root := fixed{"root", []changes.Change{{Path: []byte("etc/x"), What: changes.Metadata}}, nil}
	for _, tc := range []struct {
		name              string
		include           []string
		then, now         []string
		trackers, earlier map[string]changes.Moment // earlier nil: as now
		want              []string                  // nil: all is compared
	}{
		{
			"one volume",
			[]string{"/srv/data"},
			[]string{"/", "/srv"},
			[]string{"/", "/srv"},
			map[string]changes.Moment{"/srv": srv},
			nil,
			[]string{"/", "/srv listing", "/srv/a/b", "/srv/new all"},
		},
		{
			"two",
			[]string{"/"},
			[]string{"/", "/srv"},
			[]string{"/", "/srv"},
			map[string]changes.Moment{"/": root, "/srv": srv},
			nil,
			[]string{"/etc/x", "/srv listing", "/srv/a/b", "/srv/new all"},
		},
		{
			"one within without",
			[]string{"/"},
			[]string{"/", "/mnt", "/srv"},
			[]string{"/", "/mnt", "/srv"},
			map[string]changes.Moment{"/": root, "/srv": srv},
			nil,
			[]string{"/etc/x", "/mnt all", "/srv listing", "/srv/a/b", "/srv/new all"},
		},
		{
			"one came",
			[]string{"/"},
			[]string{"/"},
			[]string{"/", "/srv"},
			map[string]changes.Moment{"/": root, "/srv": srv},
			map[string]changes.Moment{"/": root},
			[]string{"/etc/x", "/srv all"},
		},
		{
			"one went",
			[]string{"/"},
			[]string{"/", "/srv"},
			[]string{"/"},
			map[string]changes.Moment{"/": root},
			map[string]changes.Moment{"/": root, "/srv": srv},
			[]string{"/etc/x", "/srv all"},
		},
		{
			"one went that nobody watched",
			[]string{"/"},
			[]string{"/", "/mnt"},
			[]string{"/"},
			map[string]changes.Moment{"/": root},
			nil,
			[]string{"/etc/x", "/mnt all"},
		},
		{
			"an include without",
			[]string{"/data", "/srv"},
			[]string{"/", "/srv"},
			[]string{"/", "/srv"},
			map[string]changes.Moment{"/srv": srv},
			nil,
			[]string{"/", "/data all", "/srv listing", "/srv/a/b", "/srv/new all"},
		},
		{"another was there", []string{"/srv"}, []string{"/", "/srv"}, []string{"/", "/srv"}, map[string]changes.Moment{"/srv": srv}, map[string]changes.Moment{"/srv": fixed{name: "old"}}, nil},
		{"it fails", []string{"/srv"}, []string{"/", "/srv"}, []string{"/", "/srv"}, map[string]changes.Moment{"/srv": fixed{"srv", nil, io.ErrUnexpectedEOF}}, nil, nil},
		{"none", []string{"/"}, []string{"/"}, []string{"/"}, nil, map[string]changes.Moment{"/": root}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			earlier := tc.earlier
			if earlier == nil {
				earlier = tc.trackers
			}
			token, err := moment(tc.include, tc.then, earlier).Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			c, err := moment(tc.include, tc.now, tc.trackers).Since(t.Context(), Parent{Token: token})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if len(c.Uses) != len(tc.now) {
				t.Errorf("%d of %d volumes are told of", len(c.Uses), len(tc.now))
			}
			if c.Changed == nil {
				if tc.want != nil {
					t.Errorf("all is compared: %+v", c.Uses)
				}
				return
			}
			if d := cmp.Diff(tc.want, lines(t, c.Changed)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// A symlink above an include path that leads elsewhere makes all of it another tree.
func TestAnotherPlaceIsCompared(t *testing.T) {
	srv := map[string]changes.Moment{"/srv": fixed{name: "srv"}}
	token, err := moment([]string{"/srv/a"}, []string{"/", "/srv"}, srv).Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := moment([]string{"/srv/b"}, []string{"/", "/srv"}, srv).Since(t.Context(), Parent{Token: token})
	if err != nil || c.Changed != nil || c.Uses[1].Reason != changes.OptionsChanged {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestWhatWasMissedIsFound(t *testing.T) {
	told := []source.Change{{Path: []byte("a")}, {Path: []byte("b"), Subtree: true}, {Path: []byte("d/e"), Listing: true}}
	differing := func(fn func([]byte) error) error {
		for _, p := range []string{"", "a", "a/x", "b", "b/x/y", "bb", "d", "d/e", "z"} {
			if err := fn([]byte(p)); err != nil {
				return err
			}
		}
		return nil
	}
	var missed []string
	if err := Missed(&merged{rows: []*row{ofList(told)}}, differing, func(p []byte) { missed = append(missed, string(p)) }); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"", "a/x", "bb", "d", "z"}, missed); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// Every so many backups one is due that compares everything; the count outlives the process.
func TestFullComparisonsAreDue(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
	var got []string
	for range 7 {
		tr := Open(cfg)
		due := tr.Due("k", 3)
		tr.mu.Lock()
		tr.ran("k", due)
		tr.mu.Unlock()
		got = append(got, fmt.Sprint(due))
		if tr.Due("k", 0) || tr.Due("other", 2) {
			t.Error("one is due that is not")
		}
		tr.Close()
	}
	if d := cmp.Diff([]string{"false", "false", "true", "false", "false", "true", "false"}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func FuzzToken(f *testing.F) {
	good := (&token{Include: [][]byte{[]byte("/a")}, Volumes: []volume{{At: []byte("/"), Token: []byte("t")}, {At: []byte("/srv")}}}).encode()
	f.Add(good)
	f.Add([]byte(`{"v":1}`))
	f.Add([]byte(`{"v":1,"volumes":[{"at":"L3Nydg==","token":"!"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		tok, why := parseToken(b)
		if (tok == nil) != (why != "") {
			t.Fatalf("%v and %q", tok, why)
		}
		if tok == nil {
			return
		}
		again, why := parseToken(tok.encode())
		if why != "" || cmp.Diff(tok, again) != "" {
			t.Errorf("it is another after writing it: %q %s", why, cmp.Diff(tok, again))
		}
	})
}

// What several rows say of one path is all true.
func TestRowsAreMerged(t *testing.T) {
	at := func(path string, listing, subtree, unsure bool) source.Change {
		return source.Change{Path: []byte(path), Listing: listing, Subtree: subtree, Unsure: unsure}
	}
	m := &merged{rows: []*row{
		ofList([]source.Change{at("a", true, false, false), at("a/b", false, false, false), at("c", false, false, false)}),
		ofList([]source.Change{at("a", false, true, false), at("a-b", false, false, true)}),
		ofList([]source.Change{at("a", false, false, true), at("c", true, true, true)}),
	}}
	var got []source.Change
	for {
		c, err := m.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, c)
	}
	want := []source.Change{at("a", true, true, true), at("a/b", false, false, false), at("a-b", false, false, true), at("c", true, true, true)}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
