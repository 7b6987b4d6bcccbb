//go:build unix

package cli_test

import (
	"bytes"
	"context"
	"encoding/base32"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"keepward/internal/cli"
	"keepward/internal/totp"
)

// TestMain makes this test binary the keepward of the scripts: a process of its own
// each time, as cmd/keepward makes it.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"keepward": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			os.Exit(cli.Main(ctx, cli.Process{
				Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
				Env: os.Getenv, Version: "script", Now: time.Now, Local: time.Local,
			}))
		},
	})
}

// TestScripts runs testdata/script/*.txtar against real roles. $ADDR is a free address,
// $HOST the name under which dev runs its agent.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			host, err := os.Hostname()
			if err != nil {
				return err
			}
			e.Setenv("ADDR", l.Addr().String())
			e.Setenv("HOST", strings.ToLower(host))
			e.Setenv("NO_COLOR", "1")
			return l.Close()
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"until": until, "status": status, "totp": code},
	})
}

// untilWithin bounds the start of a site, which takes about a second.
const untilWithin = time.Minute

// until runs a command again and again until it succeeds.
func until(ts *testscript.TestScript, neg bool, args []string) {
	for end := time.Now().Add(untilWithin); ; time.Sleep(50 * time.Millisecond) {
		err := ts.Exec(args[0], args[1:]...)
		if (err == nil) != neg {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s: %v", strings.Join(args, " "), err)
		}
	}
}

// code writes the one-time code of a secret in a file into another: "now" that of now, "next" the one
// behind it, which counts already.
func code(ts *testscript.TestScript, _ bool, args []string) {
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.TrimSpace(ts.ReadFile(args[1])))
	ts.Check(err)
	step := totp.StepAt(time.Now())
	if args[0] == "next" {
		step++
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(totp.Code(secret, step)+"\n"), 0o600))
}

// status runs a command that must end with an exit status, and keeps what it printed
// in the files stdout and stderr.
func status(ts *testscript.TestScript, _ bool, args []string) {
	path, err := exec.LookPath(args[1])
	if err != nil {
		path = args[1]
	}
	cmd := exec.Command(path, args[2:]...)
	cmd.Dir = ts.Getenv("WORK")
	cmd.Env = append(os.Environ(), "KEEPWARD_CONFIG="+ts.Getenv("KEEPWARD_CONFIG"), "HOME="+ts.Getenv("WORK"))
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	_ = cmd.Run() // its status is looked at
	ts.Check(os.WriteFile(ts.MkAbs("stdout"), out.Bytes(), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("stderr"), errOut.Bytes(), 0o600))
	if got := cmd.ProcessState.String(); got != "exit status "+args[0] {
		ts.Fatalf("%s: %s, want exit status %s\n%s%s", strings.Join(args[1:], " "), got, args[0], out.Bytes(), errOut.Bytes())
	}
}
