package app

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"keepward/internal/errs"
)

const (
	// aboutFile has what a kind writes of an instance into its point, for who brings it back.
	aboutFile = "about.json"
	// aboutMost bounds it: a point may have been made by somebody who is not to be trusted.
	aboutMost = 1 << 20
	// configDir has copies of the configuration.
	configDir = "config"
)

// WriteAbout describes an instance in the directory more of its point.
func WriteAbout(more string, about any) error {
	b, err := json.MarshalIndent(about, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(more, aboutFile), append(b, '\n'), 0o600)
	}
	if err != nil {
		return errs.New(errs.KindOf(err), "application.failed", "keep what is known of the server: %w", err)
	}
	return nil
}

// ReadAbout reads what a point says of an instance, of which the folder was laid down in dir. It is
// said by the computer that made the point: what names or counts something has to be looked at before
// it is used.
func ReadAbout(dir, kind string, about any) error {
	f, err := os.Open(filepath.Join(dir, "more", aboutFile))
	if err != nil {
		return errs.New(errs.KindOf(err), "application.incomplete", "read what the point says of %s: %w", kind, err).
			WithHint("was the application protected by that backup? See its session's log")
	}
	defer func() { _ = f.Close() }() // only read
	b, err := io.ReadAll(io.LimitReader(f, aboutMost+1))
	if err == nil && len(b) > aboutMost {
		err = errors.New("it is too large")
	}
	if err == nil {
		err = json.Unmarshal(b, about)
	}
	if err != nil {
		return Unbelievable(kind, err)
	}
	return nil
}

// Unbelievable is the error of a point that says of an instance what cannot be.
func Unbelievable(kind string, err error) error {
	return errs.New(errs.Corrupt, "application.incomplete", "read what the point says of %s: %w", kind, err)
}

// Config is where the copies of the configuration lie in a folder that was laid down in dir.
func Config(dir string) string { return filepath.Join(dir, "more", configDir) }

// CopyConfig keeps configuration files, wherever they lie, in the directory more of a point. They are
// for people: nothing is brought back from them. One that cannot be kept is told of.
func CopyConfig(more string, paths []string, failed func(path string, err error)) error {
	to := filepath.Join(more, configDir)
	if err := os.MkdirAll(to, 0o700); err != nil {
		return errs.New(errs.KindOf(err), "application.failed", "keep the configuration: %w", err)
	}
	for _, path := range paths {
		if err := copyFile(path, filepath.Join(to, strings.ReplaceAll(strings.Trim(path, "/"), "/", "_"))); err != nil {
			failed(path, err)
		}
	}
	return nil
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}
