package update

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"keepward/internal/durable"
	"keepward/internal/errs"
)

const (
	partSuffix = ".part"
	// spare is what a disk must have left beside a package.
	spare = 16 << 20
)

// Source answers up to some bytes of a package from an offset on; none: it ends there.
type Source func(ctx context.Context, sha256 string, offset int64) ([]byte, error)

func wrongDigest(p Package, size int64, sum string) error {
	return errs.New(errs.Corrupt, "update.digest", "check package %s: %d bytes with the digest %s came, and not %d with %s", p.Version, size, sum, p.Size, p.SHA256).
		WithHint("look at the server's copy with: keepward agent-package list; import it again if it is damaged")
}

// room fails where a file system has not the room for something.
func room(free func(dir string) (int64, error), dir string, bytes int64) error {
	have, err := free(dir)
	if err != nil {
		return errs.New(errs.KindOf(err), "update.room", "look for room in %s: %w", dir, err)
	}
	if have < bytes+spare {
		return errs.New(errs.NoSpace, "update.room", "look for room in %s: %d bytes are needed and %d are free", dir, bytes+spare, have).
			WithHint("make room, and order the update again")
	}
	return nil
}

// fetch brings a package into dir and answers its path. What is there of it from before is gone on
// with; never more than its size is taken. told is called as bytes come.
func fetch(ctx context.Context, dir string, p Package, free func(dir string) (int64, error), from Source, told func(have int64)) (string, error) {
	path := filepath.Join(dir, p.SHA256+partSuffix)
	if err := forgetOthers(dir, p.SHA256+partSuffix); err != nil {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", fmt.Errorf("keep package: %w", err)
	}
	sum := sha256.New()
	have, err := io.Copy(sum, f)
	if err == nil && have > p.Size { // it cannot be the beginning of what is wanted
		sum.Reset()
		have = 0
		err = errors.Join(f.Truncate(0), seekStart(f))
	}
	if err == nil {
		err = room(free, dir, p.Size-have)
	}
	for err == nil && have < p.Size {
		told(have)
		var b []byte
		if b, err = from(ctx, p.SHA256, have); err != nil {
			break
		}
		if len(b) == 0 {
			err = errs.New(errs.Corrupt, "update.truncated", "fetch package %s: it ends after %d of %d bytes", p.Version, have, p.Size)
			break
		}
		if int64(len(b)) > p.Size-have {
			err = errs.New(errs.Corrupt, "update.oversize", "fetch package %s: more came than its %d bytes", p.Version, p.Size)
			break
		}
		if _, err = f.Write(b); err == nil {
			_, _ = sum.Write(b) // documented never to fail
			have += int64(len(b))
		}
	}
	err = errors.Join(err, f.Close())
	if err != nil {
		return "", err
	}
	told(have)
	if got := hex.EncodeToString(sum.Sum(nil)); got != p.SHA256 {
		_ = os.Remove(path) // what is wrong in it cannot be told
		return "", wrongDigest(p, have, got)
	}
	return path, nil
}

func seekStart(f *os.File) error {
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// forgetOthers removes what is there of packages but one.
func forgetOthers(dir, keep string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keep package: %w", err)
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("keep package: %w", err)
	}
	for _, e := range list {
		if name := e.Name(); strings.HasSuffix(name, partSuffix) && name != keep {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return fmt.Errorf("keep package: %w", err)
			}
		}
	}
	return nil
}

// stateFile keeps a State.
const stateFile = "state.json"

func writeState(dir string, content []byte) error {
	if err := durable.WriteFile(filepath.Join(dir, stateFile), content, 0o600); err != nil {
		return errs.New(errs.KindOf(err), "update.state", "keep how an update stands: %w", err)
	}
	return nil
}
