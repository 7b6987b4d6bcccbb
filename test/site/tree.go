package site

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// CopyFile copies a program or another small file.
func CopyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
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

// Files are the regular files below dir, in byte order.
func Files(dir string) (files []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	return files, err
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
