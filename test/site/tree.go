package site

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// CopyReal copies real directories below dst, each under its own name, until about
// limit bytes of each are taken. It takes whole subdirectories in the order of
// their names, so that what it copies is the same on the same machine.
func CopyReal(dst string, limit int64, dirs ...string) error {
	for _, dir := range dirs {
		to := filepath.Join(dst, dir)
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		left := limit
		for _, e := range entries {
			from := filepath.Join(dir, e.Name())
			n, err := Size(from)
			if err != nil {
				return err
			}
			if n > left {
				continue
			}
			left -= n
			if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
				return fmt.Errorf("copy %s: %w: %s", from, err, out)
			}
		}
	}
	return nil
}

// Size is the bytes of all regular files below dir.
func Size(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}

// Files are the regular files below dir, without hard links, in byte order.
func Files(dir string) (files []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && Links(path) == 1 {
			files = append(files, path)
		}
		return err
	})
	return files, err
}

// Changes is what Mutate did, by full path.
type Changes struct {
	Changed, Deleted, Renamed, Added []string
	// Bytes of the files that must be read to see the changes: changed, new and renamed ones.
	Bytes int64
}

// Mutate changes a share of the files below dir (at least one), deletes and renames
// a fifth as many, and adds some. Equal seeds do the same to equal trees.
func Mutate(dir string, share float64, seed uint64) (Changes, error) {
	files, err := Files(dir)
	if err != nil {
		return Changes{}, err
	}
	r := rand.New(rand.NewPCG(seed, 0))
	r.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
	n := max(1, int(float64(len(files))*share))
	few := max(1, n/5)
	if len(files) < n+2*few {
		return Changes{}, fmt.Errorf("%s has %d files, too few to change", dir, len(files))
	}
	var c Changes
	c.Changed, c.Deleted = files[:n], files[n:n+few]
	var errs []error
	for _, f := range c.Changed {
		errs = append(errs, rewrite(f, r))
	}
	for _, f := range c.Deleted {
		errs = append(errs, os.Remove(f))
	}
	for _, f := range files[n+few : n+2*few] {
		c.Renamed = append(c.Renamed, f+".renamed")
		errs = append(errs, os.Rename(f, f+".renamed"))
	}
	for i := range few {
		f := filepath.Join(filepath.Dir(files[i]), fmt.Sprintf("added-%d-%d", seed, i))
		c.Added = append(c.Added, f)
		errs = append(errs, os.WriteFile(f, Noise(r, 4096), 0o640))
	}
	for _, list := range [][]string{c.Changed, c.Renamed, c.Added} {
		for _, f := range list {
			info, err := os.Lstat(f)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			c.Bytes += info.Size()
		}
	}
	return c, errors.Join(errs...)
}

// rewrite overwrites a piece in the middle of a file, or appends to a short one. It
// keeps mode and owner.
func rewrite(path string, r *rand.Rand) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	_, err = f.WriteAt(Noise(r, 100), info.Size()/2)
	return err
}

// Noise is bytes that do not compress.
func Noise(r *rand.Rand, n int) []byte {
	b := make([]byte, 0, n+8)
	for len(b) < n {
		v := r.Uint64()
		b = append(b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24), byte(v>>32), byte(v>>40), byte(v>>48), byte(v>>56))
	}
	return b[:n]
}

// RandomTree writes files below dir that together have about bytes: small ones by
// the hundred in a directory, and a few large ones. Equal seeds write equal trees.
func RandomTree(dir string, files int, bytes int64, seed uint64) error {
	r := rand.New(rand.NewPCG(seed, 1))
	large := 4
	each := bytes / 2 / int64(large)
	small := bytes / 2 / int64(max(1, files))
	for i := range files {
		sub := filepath.Join(dir, fmt.Sprintf("d%03d", i/100))
		if i%100 == 0 {
			if err := os.MkdirAll(sub, 0o755); err != nil {
				return err
			}
		}
		n := int(small/2 + r.Int64N(max(1, small)))
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("f%05d", i)), Noise(r, n), 0o644); err != nil {
			return err
		}
	}
	for i := range large {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("large%d", i)), Noise(r, int(each)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// RsyncDiff is what rsync says differs between two trees, in content (checksums),
// metadata, links, ACLs and xattrs; empty if nothing does.
func RsyncDiff(a, b string, excludes ...string) (string, error) {
	args := []string{"-aHAXnic", "--delete", "--numeric-ids"}
	for _, e := range excludes {
		args = append(args, "--exclude", e)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("rsync", append(args, a+"/", b+"/")...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("rsync %s %s: %w: %s", a, b, err, stderr.Bytes())
	}
	return strings.TrimSpace(stdout.String()), nil
}

// Links is the number of names of a file; 0 if it is gone.
func Links(path string) uint64 {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return 0
	}
	return uint64(st.Nlink)
}
