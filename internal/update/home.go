package update

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"keepward/internal/durable"
)

// home is where the program lies that the agent is started from.
type home struct {
	path string
	seen os.FileInfo // as it was when this process began
}

// openHome finds the program of this process. It is called early: what lies under its name later
// may be another one.
func openHome() (home, error) {
	path, err := os.Executable()
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return home{}, fmt.Errorf("find this program: %w", err)
	}
	seen, err := os.Stat(path)
	return home{path, seen}, err
}

// staged is where a new version lies until it has proved itself, previous where the last one is
// kept. Both are beside the program, so that they take its place by their name alone.
func (h home) staged() string   { return h.beside("new") }
func (h home) previous() string { return h.beside("previous") }

func (h home) beside(what string) string {
	ext := ""
	if runtime.GOOS == "windows" {
		ext = filepath.Ext(h.path)
	}
	return strings.TrimSuffix(h.path, ext) + "." + what + ext
}

// packageTrees are directories whose files belong to the packages of the system, by the rules for
// file hierarchies.
var packageTrees = []string{"/usr", "/bin", "/sbin", "/lib", "/lib64", "/nix", "/gnu", "/snap", "/app", "/ostree", "/sysroot"}

// managed says why the program is not to be replaced by an agent; empty: it may be.
func (h home) managed() string {
	if runtime.GOOS != "windows" && !within(h.path, "/usr/local") {
		for _, tree := range packageTrees {
			if within(h.path, tree) {
				return fmt.Sprintf("managed by the package, not updated by itself: %s lies where the packages of the system put their files", h.path)
			}
		}
	}
	f, err := os.CreateTemp(filepath.Dir(h.path), ".keepward-*")
	if err != nil {
		return fmt.Sprintf("managed by the package, not updated by itself: nothing can be written beside %s: %v", h.path, err)
	}
	_ = errors.Join(f.Close(), os.Remove(f.Name()))
	return ""
}

func within(path, dir string) bool { return strings.HasPrefix(path, dir+"/") }

// replaced tells whether somebody else has put another file in the place of the program.
func (h home) replaced() bool {
	now, err := os.Stat(h.path)
	return err != nil || !os.SameFile(now, h.seen) || now.Size() != h.seen.Size()
}

// digest is that of a file; empty: there is none.
func digest(path string) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), errors.Join(err, f.Close())
}

// stage copies a program beside this one, durably, and proves while it does that it is the one
// that is wanted.
func (h home) stage(from string, p Package) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(h.staged(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o700)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(h.staged())
		}
	}()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, sum), io.LimitReader(in, p.Size+1))
	if err = errors.Join(err, out.Chmod(h.seen.Mode().Perm()), out.Sync(), out.Close()); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); n != p.Size || got != p.SHA256 {
		return wrongDigest(p, n, got)
	}
	return durable.SyncDir(filepath.Dir(h.path))
}

// facts are what lies there now.
func (h home) facts(running string) (f Facts, err error) {
	f.Running = running
	if f.Installed, err = digest(h.path); err != nil {
		return f, err
	}
	f.Staged, err = digest(h.staged())
	return f, err
}
