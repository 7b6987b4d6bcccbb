package vfs

import (
	"os"
	"time"
)

// OS is the real file system. Everything is made for its owner alone.
type OS struct{}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// Create implements FS.
func (OS) Create(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Open implements FS.
func (OS) Open(name string) (File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Link implements FS.
func (OS) Link(old, new string) error { return os.Link(old, new) }

// Remove implements FS.
func (OS) Remove(name string) error { return os.Remove(name) }

// Mkdir implements FS.
func (OS) Mkdir(name string) error { return os.Mkdir(name, 0o700) }

// ReadDir implements FS.
func (OS) ReadDir(name string) ([]Entry, error) {
	des, err := os.ReadDir(name)
	if err != nil {
		return nil, err
	}
	out := make([]Entry, 0, len(des))
	for _, de := range des {
		e := Entry{Name: de.Name(), Dir: de.IsDir()}
		if !e.Dir {
			st, err := de.Info()
			if os.IsNotExist(err) {
				continue // removed while listing
			}
			if err != nil {
				return nil, err
			}
			e.Size = st.Size()
		}
		out = append(out, e)
	}
	return out, nil
}

// Stat implements FS.
func (OS) Stat(name string) (Entry, error) {
	st, err := os.Stat(name)
	if err != nil {
		return Entry{}, err
	}
	return Entry{Name: st.Name(), Dir: st.IsDir(), Size: st.Size()}, nil
}

// Written implements Timed.
func (OS) Written(name string) (time.Time, error) {
	st, err := os.Lstat(name)
	if err != nil {
		return time.Time{}, err
	}
	return st.ModTime(), nil
}
