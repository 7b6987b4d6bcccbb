// Command keepward is the one binary of Keepward: the backup server, the transport
// service, the data mover, the agent and the command line.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata" // schedules name time zones, also where the system has none

	"keepward/internal/cli"
)

// version is set by the linker, as it is or as {keepward:VERSION}: in that form it can be read from
// the program of another platform, too.
var version string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt ends it at once
	code := cli.Main(ctx, cli.Process{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Env: os.Getenv, Version: versionText(), Now: time.Now, Local: time.Local,
	})
	stop()
	os.Exit(code)
}

// versionText is the linker's, else what the build knows of its source.
func versionText() string {
	if version != "" {
		return strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(version, "{"), "keepward:"), "}")
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
