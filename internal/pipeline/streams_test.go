package pipeline

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
	"keepward/internal/source"
)

// fakeOutput gives bytes, and then says how it ended.
type fakeOutput struct {
	io.Reader
	end   error
	ended *int
}

func (o fakeOutput) End() error { *o.ended++; return o.end }

// given is a stream that gives these bytes.
func given(name string, content io.Reader, end error) (Stream, *int) {
	ended := new(int)
	return Stream{Name: name, Open: func(context.Context) (Output, error) { return fakeOutput{content, end, ended}, nil }}, ended
}

func (s *site) stream(list ...Stream) { s.opts.Streams, s.opts.StreamsAt = list, "~commands" }

var errBroke = errs.New(errs.Invalid, "command-source.failed", "it broke")

func TestStreamsAreFilesOfThePoint(t *testing.T) {
	s := newSite(t)
	s.write("a", []byte("a file"))
	for name, size := range map[string]int{"empty": 0, "small": 10, "step": readStep, "large": 3*maxBuffer + 77} {
		content := make([]byte, size)
		_, _ = rand.NewChaCha8([32]byte{byte(size)}).Read(content)
		copy(content[size/2:], make([]byte, min(size/4, 1<<20))) // and zeros within
		// Single bytes at first, as a slow program gives them.
		one, ended := given(name, io.MultiReader(iotestOneByte{bytes.NewReader(content[:min(size, 1000)])}, bytes.NewReader(content[min(size, 1000):])), nil)
		s.stream(one)
		_, res := s.backup("")
		tree := s.tree(res)
		e := tree["/~commands/"+name]
		if e == nil || e.Type != fileindex.File || e.Size != int64(size) || *ended != 1 {
			t.Fatalf("%s: %v, ended %d times", name, e, *ended)
		}
		if got := s.content(e); !bytes.Equal(got, content) {
			t.Errorf("%s: the content differs", name)
		}
		if d := tree["/~commands"]; d == nil || d.Type != fileindex.Dir {
			t.Errorf("%s: the folder is %v", name, d)
		}
		s.same(res)
		if len(s.events) > 0 {
			t.Errorf("%s: %v", name, s.codes())
		}
	}
}

// iotestOneByte reads one byte at a time.
type iotestOneByte struct{ from io.Reader }

func (o iotestOneByte) Read(p []byte) (int, error) { return o.from.Read(p[:min(len(p), 1)]) }

func TestAStreamThatDidNotChangeIsStoredOnce(t *testing.T) {
	s := newSite(t)
	content := make([]byte, 20<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content)
	run := func(parent string, more string) string {
		one, _ := given("dump", io.MultiReader(strings.NewReader(more), bytes.NewReader(content)), nil)
		s.stream(one)
		name, _ := s.backup(parent)
		return name
	}
	first := run("", "")
	all := s.count.sentBytes.Load()
	run(first, "a line more")
	if again := s.count.sentBytes.Load(); again > all/4 {
		t.Errorf("%d bytes were sent, and of nearly the same %d again", all, again)
	}
}

func TestAStreamThatFailsIsInNoPoint(t *testing.T) {
	broken := func() Stream {
		s, _ := given("b", bytes.NewReader(bytes.Repeat([]byte("half "), 1<<20)), errBroke)
		return s
	}
	s := newSite(t)
	s.write("a", []byte("a file"))
	s.stream(broken())
	if _, _, err := s.run(""); errs.CodeOf(err) != "command-source.failed" {
		t.Errorf("ended with %v", err)
	}
	one := broken()
	one.Optional = true
	good, _ := given("c", strings.NewReader("whole"), nil)
	late := Stream{Name: "a", Optional: true, Open: func(context.Context) (Output, error) { return nil, errBroke }}
	s.stream(good, one, late)
	_, res := s.backup("")
	tree := s.tree(res)
	if tree["/~commands/b"] != nil || tree["/~commands/a"] != nil || tree["/~commands/c"] == nil || res.Body.Errors != 2 {
		t.Errorf("%d errors, there are %v", res.Body.Errors, slices.Collect(mapKeys(tree)))
	}
	want := []string{"error command-source.failed /~commands/a", "error command-source.failed /~commands/b"}
	if d := cmp.Diff(want, s.codes()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func mapKeys(m map[string]*fileindex.Entry) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// hangingOutput gives nothing until its context ends.
type hangingOutput struct{ ctx context.Context }

func (o hangingOutput) Read([]byte) (int, error) { <-o.ctx.Done(); return 0, io.EOF }
func (o hangingOutput) End() error               { return errBroke }

func TestAStreamThatHangsEndsWithTheBackup(t *testing.T) {
	s := newSite(t)
	begun := make(chan struct{})
	s.stream(Stream{Name: "hangs", Open: func(ctx context.Context) (Output, error) { close(begun); return hangingOutput{ctx}, nil }})
	ctx, stop := context.WithCancelCause(t.Context())
	go func() { <-begun; stop(errs.New(errs.Cancelled, "attempt.stopped", "stopped: killed by ann")) }()
	s.opts.Attempt[0] = 1
	s.store.attempt = s.opts.Attempt
	if _, err := Run(ctx, s.store, s.opts); errs.CodeOf(err) != "attempt.stopped" {
		t.Errorf("ended with %v", err)
	}
}

// brokenStore fails to take chunks once told.
type brokenStore struct {
	*memStore
	broken chan struct{}
}

var errGone = errors.New("the mover is gone")

func (b brokenStore) Have(ctx context.Context, hs []seal.H) ([]bool, error) {
	select {
	case <-b.broken:
		return nil, errGone
	default:
		return b.memStore.Have(ctx, hs)
	}
}

func TestAStreamThatHangsEndsWithTheStore(t *testing.T) {
	s := newSite(t)
	gone := brokenStore{s.store, make(chan struct{})}
	content := make([]byte, 40<<20)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(content)
	s.stream(Stream{Name: "hangs", Open: func(ctx context.Context) (Output, error) {
		close(gone.broken)
		return fakeOutput{io.MultiReader(bytes.NewReader(content), hangingOutput{ctx}), errBroke, new(int)}, nil
	}})
	if _, _, err := s.runOn(gone, ""); !errors.Is(err, errGone) {
		t.Errorf("ended with %v", err)
	}
}

func TestAStreamIsLeftOutOfWhatIsEndedEarly(t *testing.T) {
	s := newSite(t)
	s.write("a", []byte("a file"))
	enough := make(chan struct{})
	s.opts.Enough = enough
	s.stream(Stream{Name: "hangs", Open: func(ctx context.Context) (Output, error) { close(enough); return hangingOutput{ctx}, nil }})
	_, res := s.backup("")
	if tree := s.tree(res); !res.Partial || tree["a"] == nil || tree["/~commands/hangs"] != nil {
		t.Errorf("partial %v, with %v", res.Partial, slices.Collect(mapKeys(tree)))
	}
}

func TestABackupOfStreamsAlone(t *testing.T) {
	s := newSite(t)
	s.opts.Selection = source.Selection{Nothing: true}
	one, _ := given("dump", strings.NewReader("all of it"), nil)
	s.stream(one)
	_, res := s.backup("")
	var names []string
	for name := range s.tree(res) {
		names = append(names, name)
	}
	slices.Sort(names)
	if d := cmp.Diff([]string{"/", "/~commands", "/~commands/dump"}, names); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if len(s.events) > 0 {
		t.Errorf("said %v", s.codes())
	}
}

// noChanges has a walk keep everything, as one of a tracker that saw nothing.
type noChanges struct{}

func (noChanges) Next() (source.Change, error) { return source.Change{}, io.EOF }

func TestStreamsBesideWhatIsKept(t *testing.T) {
	s := newSite(t)
	s.age()
	s.write("a", []byte("a file"))
	s.opts.Tracker = func(context.Context) ([]byte, error) { return []byte("token"), nil }
	s.opts.Changed = func(context.Context, *Before) (source.Changed, error) { return noChanges{}, nil }
	run := func(parent string, streams ...string) (string, Result) {
		var list []Stream
		for _, name := range streams {
			one, _ := given(name, strings.NewReader(parent+name), nil)
			list = append(list, one)
		}
		s.stream(list...)
		return s.backup(parent)
	}
	parent, _ := run("", "x", "y")
	for range 2 {
		name, res := run(parent, "x", "y")
		if !res.Narrowed {
			t.Fatal("everything was looked at")
		}
		tree := s.tree(res)
		for _, one := range []string{"x", "y"} {
			if e := tree["/~commands/"+one]; e == nil || string(s.content(e)) != parent+one {
				t.Errorf("%s is %v", one, e)
			}
		}
		s.same(res)
		if tree["a"] == nil {
			t.Error("what did not change is not there")
		}
		parent = name
	}
	// With other streams all is looked at, and what is no more is gone.
	parent, res := run(parent, "y")
	if tree := s.tree(res); res.Narrowed || tree["/~commands/x"] != nil || tree["/~commands/y"] == nil {
		t.Errorf("narrowed %v: %v", res.Narrowed, slices.Collect(mapKeys(tree)))
	}
	_, res = run(parent)
	if tree := s.tree(res); res.Narrowed || tree["/~commands"] != nil {
		t.Errorf("narrowed %v: %v", res.Narrowed, slices.Collect(mapKeys(tree)))
	}
}

func TestWhatStandsAtTheFoldersPlaceIsLeftOut(t *testing.T) {
	const key = "~commands"
	for _, c := range []struct {
		from, to string // of what is kept; "": to the end
		want     [][2]string
	}{
		{"\x01", "b", [][2]string{{"\x01", "b"}}},
		{"\x01", "~commands", [][2]string{{"\x01", "~commands"}}},
		{"\x01", "~commands\x00a", [][2]string{{"\x01", "~commands"}}},
		{"\x01", "", [][2]string{{"\x01", "~commands"}, {"~commands\x01", ""}}},
		{"~commands", "~commands\x01", nil},
		{"~commands\x00a", "~z", [][2]string{{"~commands\x01", "~z"}}},
		{"~d", "~z", [][2]string{{"~d", "~z"}}},
	} {
		r := fileindex.Range{From: []byte(c.from)}
		if c.to != "" {
			r.To = []byte(c.to)
		}
		var got [][2]string
		for _, p := range without(r, []byte(key)) {
			got = append(got, [2]string{string(p.From), string(p.To)})
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%q to %q (-want +got):\n%s", c.from, c.to, d)
		}
	}
}
