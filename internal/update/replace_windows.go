package update

import (
	"errors"
	"os"
	"os/exec"
)

// replace gives what is staged the place of the program, and keeps that as the previous one. A
// program that runs can be renamed here, not overwritten: between the two renames none lies under
// the name.
func (h home) replace() error {
	if err := os.Remove(h.previous()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(h.path, h.previous()); err != nil {
		return err
	}
	if err := os.Rename(h.staged(), h.path); err != nil {
		return errors.Join(err, os.Rename(h.previous(), h.path))
	}
	return nil
}

// restart runs the program under its name, and ends with it: a process cannot become another here,
// and who started this one waits for it.
func (h home) restart(arguments, env []string) error {
	cmd := exec.Command(h.path, arguments...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err // it did not start
	}
	os.Exit(cmd.ProcessState.ExitCode())
	return nil
}
