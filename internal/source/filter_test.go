package source

import (
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
)

// decided says for each path what a filter for a system does with it: "" taken, else the rule. The
// directories above are taken to be taken; named are include paths.
func decided(t *testing.T, s Selection, system string, named []string, paths ...string) map[string]string {
	t.Helper()
	f, err := newFilter(&s, system, func() []string { return nil })
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, p := range paths {
		path, dir := strings.CutSuffix(p, "/")
		at := nameStart([]byte(path))
		in := path[:max(at-1, 0)]
		place := f.In([]byte(in[nameStart([]byte(in)):]), func() []byte { return []byte(in) }, slices.Contains(named, in))
		r := f.Rule(f.Leaves(&place, []byte(path[at:]), dir))
		out[p] = strings.TrimSpace(string(r.Kind) + " " + r.Text)
	}
	return out
}

func TestMasksTakeOnlyFilesThatMatch(t *testing.T) {
	for name, c := range map[string]struct {
		only, exclude []string
		want          map[string]string
	}{
		"by name": {
			only: []string{"*.docx", "*.pdf"},
			want: map[string]string{"srv/a.docx": "", "srv/deep/er/b.pdf": "", "srv/c.txt": "only *.docx *.pdf", "srv/dir/": "", "srv/dir.docx/": ""},
		},
		"by path": {
			only: []string{"/srv/docs/**", "reports/*.xml"},
			want: map[string]string{"srv/docs/a": "", "srv/docs/b/c": "", "srv/other": "only /srv/docs/** reports/*.xml", "x/reports/a.xml": "", "x/reports/b/a.xml": "only /srv/docs/** reports/*.xml"},
		},
		"the last that matches decides": {
			only: []string{"*.docx", "!~*", "~keep.docx"},
			want: map[string]string{"a.docx": "", "~a.docx": "only *.docx !~* ~keep.docx", "~keep.docx": ""},
		},
		"an exclude pattern wins": {
			only: []string{"*.docx"}, exclude: []string{"old", "!b.docx"},
			want: map[string]string{"old/": "exclude old", "a.docx": "", "b.txt": "only *.docx", "old": "exclude old"},
		},
		"none": {only: []string{"", "# nothing"}, want: map[string]string{"any": ""}},
	} {
		s := Selection{Only: c.only, Exclude: c.exclude, IncludeTemporary: true}
		var paths []string
		for p := range c.want {
			paths = append(paths, p)
		}
		if d := cmp.Diff(c.want, decided(t, s, linux, nil, paths...)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

func TestMasksThatMeanNothingAreRefused(t *testing.T) {
	for text, masks := range map[string][]string{
		"it names directories; reports/** is all that is in them": {"*.pdf", "reports/"},
		"all of them begin with !":                                {"!*.tmp"},
		"a [ has no ]":                                            {"[a"},
		"it names nothing":                                        {"/"},
	} {
		_, err := NewMasks(masks)
		if errs.CodeOf(err) != "only.pattern" || !strings.Contains(err.Error(), text) || errs.HintOf(err) == "" {
			t.Errorf("masks %q: %v (hint %q)", masks, err, errs.HintOf(err))
		}
	}
}

func TestWhatIsLeftOutByItself(t *testing.T) {
	paths := map[string]string{
		"tmp/": "", "tmp/x": "automatic /tmp/", "tmp/dir/": "automatic /tmp/", "srv/tmp/x": "", "var/tmp/x": "automatic /var/tmp/",
		"home/ada/.cache/": "", "home/ada/.cache/thumbnails/": "automatic /home/*/.cache/", "home/ada/work/.cache/x": "",
		"mnt/usb/.Trash-1000/files/": "automatic **/.Trash-[0-9]*/", "mnt/usb/.Trash-can/files/": "",
		"var/cache/apt/archives/a.deb": "automatic /var/cache/apt/archives/", "var/cache/debconf/config.dat": "",
		"swapfile": "automatic /swapfile", "srv/swapfile": "", "swapfiles": "", "var/lib/keepward/agent/": "", "var/lib/keepward/agent/key": "automatic /var/lib/keepward/agent/",
		"srv/a[b]/x": "automatic /srv/a\\[b]/", "srv/ab/x": "",
	}
	s := Selection{Own: []string{"/var/lib/keepward/agent", "/srv/a[b]"}}
	var list []string
	for p := range paths {
		list = append(list, p)
	}
	if d := cmp.Diff(paths, decided(t, s, linux, nil, list...)); d != "" {
		t.Errorf("on Linux (-want +got):\n%s", d)
	}
	// An include path is taken with all that is in it.
	got := decided(t, s, linux, []string{"tmp", "home/ada/.cache"}, "tmp/x", "home/ada/.cache/x", "home/bob/.cache/x")
	if d := cmp.Diff(map[string]string{"tmp/x": "", "home/ada/.cache/x": "", "home/bob/.cache/x": "automatic /home/*/.cache/"}, got); d != "" {
		t.Errorf("include paths (-want +got):\n%s", d)
	}
	// The job's own patterns come behind, and can take something back.
	s.Exclude = []string{"*.log", "!/tmp/keep"}
	got = decided(t, s, linux, nil, "tmp/keep", "tmp/a.log", "tmp/other")
	if d := cmp.Diff(map[string]string{"tmp/keep": "", "tmp/a.log": "exclude *.log", "tmp/other": "automatic /tmp/"}, got); d != "" {
		t.Errorf("with patterns (-want +got):\n%s", d)
	}
	s.IncludeTemporary = true
	if got = decided(t, s, linux, nil, "tmp/other", "swapfile"); got["tmp/other"]+got["swapfile"] != "" {
		t.Errorf("switched off: %v", got)
	}
	// Upper and lower case are the same on Windows.
	want := map[string]string{
		"C:/Pagefile.SYS": "automatic /*:/pagefile.sys", "D:/$RECYCLE.BIN/x/": "automatic /*:/$Recycle.Bin/", "C:/tmp/x": "",
		"C:/Users/Ada/AppData/Local/TEMP/x": "automatic /*:/Users/*/AppData/Local/Temp/", "C:/Users/Ada/AppData/Local/Temp/": "", "C:/data/pagefile.sys": "",
	}
	list = nil
	for p := range want {
		list = append(list, p)
	}
	if d := cmp.Diff(want, decided(t, Selection{}, windows, nil, list...)); d != "" {
		t.Errorf("on Windows (-want +got):\n%s", d)
	}
}

func TestActiveSwapIsLeftOut(t *testing.T) {
	f, err := newFilter(&Selection{}, linux, func() []string { return []string{"/srv/my swap", "/swapfile"} })
	if err != nil {
		t.Fatal(err)
	}
	p := f.In([]byte("srv"), func() []byte { return []byte("srv") }, false)
	if r := f.Rule(f.Leaves(&p, []byte("my swap"), false)); r.What != whatActiveSwap || r.Text != "/srv/my swap" {
		t.Errorf("rule %+v", r)
	}
	if n := len(f.Automatic()); n != len(onSystem(linux))+1 {
		t.Errorf("%d rules: one that is in the table stands there once", n)
	}
}

func onSystem(system string) (rows []AutomaticRow) {
	for _, r := range Automatic {
		if r.on(system) {
			rows = append(rows, r)
		}
	}
	return rows
}

// Every row must be one that a filter finds: all that is in the directory, which itself stays.
func TestEveryAutomaticRowWorks(t *testing.T) {
	example := strings.NewReplacer("**/", "mnt/", "[0-9]*", "1000", "*:", "C:", "*", "any")
	for _, r := range Automatic {
		for _, system := range r.Systems {
			path := strings.TrimPrefix(example.Replace(r.Path), "/")
			ask := []string{path}
			if strings.HasSuffix(path, "/") {
				ask = []string{path + "file", path + "dir/"}
			}
			for p, rule := range decided(t, Selection{}, system, nil, ask...) {
				if rule != "automatic "+r.Path {
					t.Errorf("%s: %s is left out by %q", system, p, rule)
				}
			}
			if got := decided(t, Selection{}, system, nil, path)[path]; strings.HasSuffix(path, "/") && got != "" {
				t.Errorf("%s: the directory %s itself is left out by %s", system, path, got)
			}
		}
	}
	if len(onSystem(runtime.GOOS)) == 0 {
		t.Error("this system has no rows")
	}
}

// FuzzMasks: no mask makes the filter panic, and one that it takes decides the same for a file in
// whatever way it is asked.
func FuzzMasks(f *testing.F) {
	f.Add("*.docx", "!~*", "srv/docs/a.docx")
	f.Add("/srv/**/[!x-z]*", `\!a`, "srv/\xff/b")
	f.Add("**", "dir/", "a")
	f.Fuzz(func(t *testing.T, one, two, path string) {
		s := Selection{Only: []string{one, two}, IncludeTemporary: true}
		fl, err := newFilter(&s, linux, func() []string { return nil })
		if err != nil {
			if errs.CodeOf(err) != "only.pattern" || errs.KindOf(err) != errs.Invalid {
				t.Fatalf("masks %q: %v", s.Only, err)
			}
			return
		}
		if path == "" || strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/") || strings.Contains(path, "//") {
			return // no path of an item
		}
		at := nameStart([]byte(path))
		dir := path[:max(at-1, 0)]
		p := fl.In([]byte(dir[nameStart([]byte(dir)):]), func() []byte { return []byte(dir) }, false)
		if id := fl.Leaves(&p, []byte(path[at:]), true); id != 0 {
			t.Errorf("masks %q leave out a directory", s.Only)
		}
		taken := fl.Leaves(&p, []byte(path[at:]), false) == 0
		if want := fl.masks == nil || fl.masks.Matches([]byte(path), false); taken != want {
			t.Errorf("masks %q, path %q: taken %v, want %v", s.Only, path, taken, want)
		}
	})
}
