package treegen

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// Mutation is what Mutate did, by paths relative to the tree.
type Mutation struct {
	Changed, Chmodded, Deleted, Added []string
	Renamed                           map[string]string // from, to
	// Bytes is the sum of the sizes of files changed and added.
	Bytes int64
}

// Mutate changes the given share of dir's files (0.01: one per cent), and deletes, renames,
// adds and re-modes a fifth as many each, by seed.
func Mutate(dir string, share float64, seed uint64) (Mutation, error) {
	m := Mutation{Renamed: map[string]string{}}
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return m, fmt.Errorf("list %s: %w", dir, err)
	}
	slices.Sort(files)
	r := source(seed, 77)
	r.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
	next := func(n float64) []string {
		k := min(max(1, int(n)), len(files))
		part := files[:k]
		files = files[k:]
		return part
	}
	total := float64(len(files))
	for _, path := range next(total * share) {
		if err := m.change(r, dir, path); err != nil {
			return m, err
		}
	}
	for _, path := range next(total * share / 5) {
		if err := os.Remove(path); err != nil {
			return m, err
		}
		m.Deleted = append(m.Deleted, relative(dir, path))
	}
	for _, path := range next(total * share / 5) {
		to := path + ".renamed"
		if err := os.Rename(path, to); err != nil {
			return m, err
		}
		m.Renamed[relative(dir, path)] = relative(dir, to)
	}
	for _, path := range next(total * share / 5) {
		if err := m.add(r, dir, path); err != nil {
			return m, err
		}
	}
	for _, path := range next(total * share / 5) {
		st, err := os.Lstat(path)
		if err == nil {
			err = os.Chmod(path, st.Mode().Perm()^0o020)
		}
		if err != nil {
			return m, err
		}
		m.Chmodded = append(m.Chmodded, relative(dir, path))
	}
	return m, nil
}

func relative(dir, path string) string { return path[min(len(dir)+1, len(path)):] }

// change overwrites a piece in the middle, appends, or writes the file anew.
func (m *Mutation) change(r *rand.Rand, dir, path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	size := st.Size()
	switch how := r.IntN(3); {
	case how == 0 && size > 64:
		_, err = f.WriteAt(noise(r, int(min(size/4, 4096))), r.Int64N(size/2))
	case how == 1:
		_, err = f.WriteAt(text(r, nil, 100+r.IntN(4000)), size)
	default:
		if err = f.Truncate(0); err == nil {
			_, err = f.WriteAt(text(r, nil, 1+r.IntN(8000)), 0)
		}
	}
	if err != nil {
		return err
	}
	if st, err = f.Stat(); err != nil {
		return err
	}
	m.Bytes += st.Size()
	m.Changed = append(m.Changed, relative(dir, path))
	return nil
}

func (m *Mutation) add(r *rand.Rand, dir, beside string) error {
	path := beside + ".added"
	b := text(r, nil, 1+r.IntN(20000))
	if err := os.WriteFile(path, b, 0o644); err != nil {
		return err
	}
	m.Bytes += int64(len(b))
	m.Added = append(m.Added, relative(dir, path))
	return nil
}
