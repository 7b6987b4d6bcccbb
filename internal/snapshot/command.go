package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// Run runs a program and answers what it printed; its error has what it complained of.
type Run func(ctx context.Context, name string, args ...string) (string, error)

// killWait bounds how long a program that was told to end may hold its pipes.
const killWait = 5 * time.Second

// RunCommand runs a program of this system.
func RunCommand(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = killWait
	cmd.Env = append(cmd.Environ(), "LC_ALL=C") // what it says is read
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	if errors.Is(err, exec.ErrNotFound) {
		return "", err
	}
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return out.String(), nil
}
