package agent

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keepward/internal/errs"
)

// commands is an agent that keeps commands within its process.
func commands(t *testing.T) *agent {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	a := &agent{ctx: ctx}
	t.Cleanup(func() { cancel(); a.work.Wait() })
	return a
}

func TestWhatACommandPrintsIsRead(t *testing.T) {
	a := commands(t)
	c, err := a.startCommand(t.Context(), "command x", commandOrder{
		Path: shell(t, `head -c 3000000 /dev/zero; echo "$KEEPWARD_COMMAND $1" >&2; exit $2`).GetPath(), Arguments: []string{"given", "0"},
		Variables: map[string]string{"KEEPWARD_COMMAND": "x"}, Limit: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil || len(got) != 3000000 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	end, short, err := c.ended(c.eof)
	if err != nil || short || end.GetFailure() != nil || strings.Join(end.GetOutput(), "|") != "x given" {
		t.Errorf("ended with %v, %v", end, err)
	}
}

func TestHowACommandFailed(t *testing.T) {
	for name, c := range map[string]struct {
		text, code, say string
		limit           time.Duration
	}{
		"exit":    {text: "echo half; echo why >&2; exit 3", code: "command-source.failed", say: "command x: run script PATH: exit status 3: why"},
		"signal":  {text: "kill -9 $$", code: "command-source.failed", say: "signal: killed"},
		"limit":   {text: "echo half; sleep 1000", limit: 50 * time.Millisecond, code: "command-source.time-limit", say: "longer than 50ms"},
		"missing": {code: "command-source.failed", say: "no such file"},
	} {
		a := commands(t)
		path := filepath.Join(t.TempDir(), "nothing")
		if c.text != "" {
			path = shell(t, c.text).GetPath()
		}
		if c.limit == 0 {
			c.limit = time.Minute
		}
		o, err := a.startCommand(t.Context(), "command x", commandOrder{Path: path, Limit: c.limit})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, o)
		end, _, err := o.ended(o.eof)
		if err != nil {
			t.Fatal(err)
		}
		err = commandFailure(areaSource, o.what, end)
		if errs.CodeOf(err) != c.code || !strings.Contains(err.Error(), strings.ReplaceAll(c.say, "PATH", path)) {
			t.Errorf("%s: %v (%s)", name, err, errs.CodeOf(err))
		}
	}
}

// took is a command that writes what it reads to a file, and marks its end by another one.
func took(t *testing.T, more string) (path, got, end string) {
	t.Helper()
	dir := t.TempDir()
	got, end = filepath.Join(dir, "got"), filepath.Join(dir, "end")
	return shell(t, "cat >"+got+"; echo end >"+end+"\n"+more).GetPath(), got, end
}

func TestACommandGetsAllOrSeesNoEnd(t *testing.T) {
	content := bytes.Repeat([]byte("line\n"), 1<<18)
	for _, whole := range []bool{true, false} {
		a := commands(t)
		path, got, end := took(t, "")
		c, err := a.startCommand(t.Context(), "command x", commandOrder{Path: path, Limit: time.Minute, Input: true})
		if err != nil {
			t.Fatal(err)
		}
		for rest := content; len(rest) > 0; rest = rest[min(len(rest), 100001):] {
			if _, err := c.Write(rest[:min(len(rest), 100001)]); err != nil {
				t.Fatal(err)
			}
		}
		if whole {
			if err := c.closeInput(); err != nil {
				t.Fatal(err)
			}
		}
		said, short, err := c.ended(whole)
		if err != nil {
			t.Fatal(err)
		}
		_, seen := os.Stat(end)
		if whole {
			text, err := os.ReadFile(got)
			if short || said.GetFailure() != nil || seen != nil || err != nil || !bytes.Equal(text, content) {
				t.Errorf("it got %d bytes, %v; %v", len(text), said, err)
			}
			continue
		}
		if code := errs.CodeOf(commandFailure(areaTarget, "x", said)); code != "command-target.stopped" || seen == nil {
			t.Errorf("a part was taken for all: %v", said)
		}
	}
}

func TestACommandThatTakesNoMoreIsShort(t *testing.T) {
	a := commands(t)
	c, err := a.startCommand(t.Context(), "command x", commandOrder{Path: shell(t, "head -c 10 >/dev/null").GetPath(), Limit: time.Minute, Input: true})
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = c.Write(make([]byte, 1<<20))
	}
	if end, short, err := c.ended(true); !short || end.GetFailure() != nil || err != nil {
		t.Errorf("short %v, %v, %v", short, end, err)
	}
}

func TestACommandEndsWithItsContext(t *testing.T) {
	a := commands(t)
	ctx, stop := context.WithCancel(t.Context())
	begun := filepath.Join(t.TempDir(), "begun")
	c, err := a.startCommand(ctx, "command x", commandOrder{Path: shell(t, "echo x >"+begun+"; echo half; sleep 1000").GetPath(), Limit: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	stop()
	_, _ = io.Copy(io.Discard, c)
	end, _, err := c.ended(true)
	if err != nil || errs.CodeOf(commandFailure(areaSource, "x", end)) != "command-source.stopped" {
		t.Errorf("ended with %v, %v", end, err)
	}
}
