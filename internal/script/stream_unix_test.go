//go:build unix

package script

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
)

// streamed runs a script between two files.
func streamed(t *testing.T, text, input string, more func(*Command)) (string, Result, error) {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.WriteFile(in, []byte(input), 0o600); err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(in)
	if err != nil {
		t.Fatal(err)
	}
	to, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	c := Command{Path: program(t, text), Stdin: from, Stdout: to, All: true}
	if more != nil {
		more(&c)
	}
	r, err := Run(t.Context(), c)
	got, rerr := os.ReadFile(out)
	if rerr != nil {
		t.Fatal(rerr)
	}
	return string(got), r, err
}

func TestStandardOutputIsApartFromWhatIsLogged(t *testing.T) {
	out, r, err := streamed(t, "cat; echo said >&2", "given", nil)
	if err != nil || out != "given" {
		t.Errorf("printed %q, %v", out, err)
	}
	if d := cmp.Diff([]string{"said"}, r.Output); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if _, _, err := streamed(t, "cat; exit 4", "given", nil); errs.CodeOf(err) != "script.failed" || !strings.Contains(err.Error(), "exit status 4") {
		t.Errorf("ended with %v", err)
	}
}

func TestWhatIsLeftBehindEndsWithTheCommand(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	begun := time.Now()
	out, r, err := streamed(t, "sleep 1000 & echo $! >"+pid+"; echo printed; echo said >&2", "", func(c *Command) { c.Grace = time.Hour })
	if err != nil || out != "printed\n" || len(r.Output) != 1 {
		t.Errorf("printed %q, said %q, %v", out, r.Output, err)
	}
	gone(t, pid)
	if took := time.Since(begun); took > time.Minute {
		t.Errorf("it was waited for: %s", took) // it holds the output
	}
}

func TestWhoWritesToACommandThatEndedIsToldSo(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := Run(t.Context(), Command{Path: program(t, "true"), Stdin: r, All: true}); err != nil {
		t.Error(err)
	}
	if _, err := io.WriteString(w, "more"); err == nil {
		t.Error("what nobody reads was taken")
	}
}

func TestAllOfACommandThatIsStoppedEnds(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	for name, text := range hangs(pid) {
		ctx, stop := context.WithCancel(t.Context())
		go func() { filled(pid); stop() }()
		_, err := Run(ctx, Command{Path: program(t, text), All: true, Grace: 200 * time.Millisecond})
		if errs.CodeOf(err) != "script.stopped" {
			t.Errorf("%s: ended with %v", name, err)
		}
		gone(t, pid)
		if err := os.Remove(pid); err != nil {
			t.Fatal(err)
		}
	}
}
