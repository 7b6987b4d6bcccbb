package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
)

// fake is a provider that fails as often as it is told, and remembers what it has taken.
type fake struct {
	fits  func(v Volume) error
	fails int
	err   error
	tries []time.Time
	have  []string
}

func (f *fake) Kind() Kind { return "fake" }

func (f *fake) Fits(_ context.Context, v Volume) error {
	if f.fits == nil {
		return nil
	}
	return f.fits(v)
}

func (f *fake) Create(ctx context.Context, v Volume, n Name, _ func(string) bool) (*Snapshot, error) {
	f.tries = append(f.tries, time.Now())
	if f.fails--; f.fails >= 0 {
		return nil, f.err
	}
	f.have = append(f.have, v.Mount+" "+n.String())
	return &Snapshot{Kind: f.Kind(), Volume: v, Name: n, Taken: time.Now(), Parts: []Part{{At: v.Mount, ID: "1"}}}, nil
}

func (f *fake) Open(context.Context, *Snapshot) (string, func(), error) { return "/", func() {}, nil }

func (f *fake) Remove(_ context.Context, v Volume, n Name) error {
	f.have = slices.DeleteFunc(f.have, func(s string) bool { return s == v.Mount+" "+n.String() })
	return nil
}

func (f *fake) List(_ context.Context, v Volume, owner string) (out []Name, err error) {
	for _, s := range f.have {
		mount, name, _ := strings.Cut(s, " ")
		if n, ok := ParseName(name); ok && n.Owner == owner && mount == v.Mount {
			out = append(out, n)
		}
	}
	return out, nil
}

func vol(id, parent int, mount, typ string) Volume {
	return Volume{ID: id, Parent: parent, Mount: mount, Type: typ, Source: fmt.Sprint("dev", id)}
}

func taker(p Provider, mounts ...Volume) *Taker {
	t := NewTaker("/own")
	t.Providers = []Provider{p, NewNone()}
	t.Volumes = func() ([]Volume, error) { return mounts, nil }
	return t
}

// take plans and takes.
func (t *Taker) take(ctx context.Context, r Request) (*Set, error) {
	p, err := t.Plan(r)
	if err != nil {
		return nil, err
	}
	return t.Take(ctx, p)
}

const us = "00000000000000aa"

func request(retried *[]string, include ...string) Request {
	return Request{
		Name: Name{Owner: us, ID: "1"}, Include: include, Wanted: func(string) bool { return true }, Retries: 3,
		Retry: func(v Volume, n int, err error) { *retried = append(*retried, fmt.Sprint(v.Mount, " ", n, " ", err)) },
	}
}

// A snapshot that failed is tried again three times, each time a little later.
func TestSnapshotsAreTriedAgain(t *testing.T) {
	for fails := range 5 {
		synctest.Test(t, func(t *testing.T) {
			f := &fake{fails: fails, err: errs.New(errs.Busy, "", "no luck")}
			var retried []string
			begin := time.Now()
			set, err := taker(f, vol(1, 0, "/", "x")).take(t.Context(), request(&retried, "/srv"))
			after := []time.Duration{0, 1, 3, 7}
			for i, at := range f.tries {
				if at.Sub(begin) != after[i]*time.Second {
					t.Errorf("%d failures: try %d came after %s", fails, i+1, at.Sub(begin))
				}
			}
			if len(retried) != min(fails, 3) {
				t.Errorf("%d failures: retried %v", fails, retried)
			}
			if fails < 4 {
				if err != nil || len(set.Snapshots) != 1 || set.Choices[0].Kind != "fake" {
					t.Errorf("%d failures: %+v, %v", fails, set, err)
				}
				return
			}
			if errs.CodeOf(err) != "snapshot.failed" || errs.KindOf(err) != errs.Busy || !strings.Contains(err.Error(), "no luck, tried 4 times") || len(f.have) > 0 {
				t.Errorf("%d failures: %v, there is %v", fails, err, f.have)
			}
		})
	}
}

// Where one volume fails in the end, those taken before are given back.
func TestAllOrNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		f.fits = func(v Volume) error {
			if v.Mount == "/srv" {
				return errors.New("broken")
			}
			return nil
		}
		var retried []string
		_, err := taker(f, vol(1, 0, "/", "x"), vol(2, 1, "/srv", "x")).take(t.Context(), request(&retried, "/"))
		if err == nil || len(f.tries) != 1 || len(f.have) != 0 {
			t.Errorf("error %v, there is %v", err, f.have)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Second, errors.New("too long"))
		defer cancel()
		begin := time.Now()
		if _, err = taker(f, vol(2, 0, "/srv", "x")).take(ctx, request(&retried, "/srv")); err == nil || err.Error() != "too long" || time.Since(begin) != 2*time.Second {
			t.Errorf("its time ended: %v after %s", err, time.Since(begin))
		}
	})
}

func TestEachVolumeGetsWhatFits(t *testing.T) {
	f := &fake{fits: func(v Volume) error {
		switch v.Type {
		case "good":
			return nil
		case "full":
			return unfit("there is no room")
		}
		return &Unfit{Why: "not mine", Other: true}
	}}
	mounts := []Volume{
		vol(1, 0, "/", "ext4"), vol(2, 1, "/srv", "good"), vol(3, 2, "/srv/in", "full"), vol(4, 2, "/srv/proc", "proc"),
		vol(5, 1, "/home", "good"), vol(6, 2, "/srv/no", "good"), vol(7, 1, "/elsewhere", "good"),
		vol(8, 1, "/own/keepward-x", "good"),
	}
	var retried []string
	r := request(&retried, "/srv/x", "/srv", "/home/u/docs", "/etc", "/own")
	r.Wanted = func(p string) bool { return p != "/srv/no" }
	set, err := taker(f, mounts...).take(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range set.Choices {
		got = append(got, fmt.Sprintf("%s %s %s", c.Volume.Mount, c.Kind, strings.Join(c.Why, "; ")))
	}
	want := []string{
		"/ none ext4 has no snapshots of its own", "/srv fake ", "/srv/in none full has no snapshots of its own; fake: there is no room", "/home fake ",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	got = nil
	for _, v := range set.Beside {
		got = append(got, v.Mount)
	}
	if d := cmp.Diff([]string{"/srv/in", "/srv/proc", "/srv/no"}, got); d != "" {
		t.Errorf("beside (-want +got):\n%s", d)
	}
}

// A sweep removes what nobody knows, and leaves what is kept, what is in use and what is not ours.
func TestSweep(t *testing.T) {
	f := &fake{}
	name := func(owner, kept, id string) string { return "/ " + Name{Owner: owner, Kept: kept, ID: id}.String() }
	f.have = []string{name(us, "", "1"), name(us, "", "2"), name(us, "3", ""), name(us, "5", ""), name("00000000000000bb", "", "4"), "/ theirs"}
	tk := taker(f, vol(1, 0, "/", "x"))
	got := tk.Sweep(t.Context(), us, func(n Name) bool { return n.ID == "2" || n.Kept == "3" }, func(err error) { t.Error(err) })
	if d := cmp.Diff([]string{"fake of /", "fake of /"}, got); d != "" {
		t.Errorf("removed (-want +got):\n%s", d)
	}
	want := []string{name(us, "", "2"), name(us, "3", ""), name("00000000000000bb", "", "4"), "/ theirs"}
	if d := cmp.Diff(want, f.have); d != "" {
		t.Errorf("left (-want +got):\n%s", d)
	}
}
