package server

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/script"
)

// scriptFolder is the only folder whose files run as scripts on the server: who may edit a job must
// not be able to run just anything on it.
type scriptFolder string

// run runs a script of a job from the folder.
func (f scriptFolder) run(ctx context.Context, s *keepwardv1.Script, variables map[string]string) *keepwardv1.ScriptEnd {
	path, err := f.find(s.GetPath())
	if err != nil {
		return script.Failed(err, "server")
	}
	return script.Execute(ctx, path, s, variables, "server")
}

// find is where a script lies. A link that leads out of the folder is not followed.
func (f scriptFolder) find(name string) (string, error) {
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return "", hinted(errs.New(errs.Denied, "script.not-allowed", "run script %s: it is not below %s, the only folder whose scripts run on the server", name, string(f)))
	}
	dir, err := filepath.EvalSymlinks(string(f))
	if err != nil {
		return "", f.missing(name, err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", f.missing(name, err)
	}
	path, err := filepath.EvalSymlinks(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		return "", f.missing(name, err)
	}
	if !strings.HasPrefix(path, dir+string(os.PathSeparator)) {
		return "", hinted(errs.New(errs.Denied, "script.not-allowed", "run script %s: it leads out of %s, the only folder whose scripts run on the server", name, string(f)))
	}
	return path, nil
}

func hinted(err *errs.Error) error {
	return err.WithHint("put the script itself there; the folder is chosen with --script-dir")
}

func (f scriptFolder) missing(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return hinted(errs.New(errs.Invalid, "script.missing", "run script %s: there is no such file below %s", name, string(f)))
	}
	return errs.New(errs.Invalid, "script.missing", "run script %s: %w", name, err)
}
