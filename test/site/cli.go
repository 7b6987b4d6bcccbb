package site

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// commandWithin bounds one command; those that wait for a session are the longest.
const commandWithin = 20 * time.Minute

// Result is what a command left.
type Result struct {
	Args   []string
	Stdout string
	Stderr string
	Code   int
}

func (r Result) String() string {
	return fmt.Sprintf("keepward %s: exit %d\n%s%s", strings.Join(r.Args, " "), r.Code, r.Stdout, r.Stderr)
}

// CLI runs a command to its end. An error means that it could not be run at all; its
// own failures are in the Result.
func (s *Site) CLI(args ...string) (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandWithin)
	defer cancel()
	cmd := s.Command(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	r := Result{Args: args, Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode()}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = nil
	}
	return r, err
}

// Do runs a command that must succeed.
func (s *Site) Do(args ...string) (Result, error) {
	r, err := s.CLI(args...)
	if err == nil && r.Code != 0 {
		err = errors.New(r.String())
	}
	return r, err
}

// JSON runs a command that must succeed with -o json and decodes its one object.
func (s *Site) JSON(v any, args ...string) error {
	r, err := s.Do(append(args, "-o", "json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(r.Stdout), v); err != nil {
		return fmt.Errorf("keepward %s -o json: %w\n%s", strings.Join(args, " "), err, r.Stdout)
	}
	return nil
}
