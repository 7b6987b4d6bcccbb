package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// notes are files that say what the shadow copies are called: each has the name of one. What they say
// may be out of date: Windows is asked.
type notes struct{ dir string }

// note is what is noted of a shadow copy.
type note struct {
	id     VSSID
	volume string // its name
}

const noteSuffix = ".shadow"

func (d notes) file(n Name) string { return filepath.Join(d.dir, n.String()+noteSuffix) }

// write notes a shadow copy. It is not synced: after a loss of power there are no shadow copies.
func (d notes) write(n Name, of note) error {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(d.file(n), []byte(of.id.String()+"\n"+of.volume+"\n"), 0o600)
}

// read answers what is noted; false: nothing that can be read.
func (d notes) read(n Name) (note, bool) {
	b, err := os.ReadFile(d.file(n))
	if err != nil {
		return note{}, false
	}
	id, volume, _ := strings.Cut(string(b), "\n")
	volume, whole := strings.CutSuffix(volume, "\n")
	of := note{volume: volume}
	var ok bool
	of.id, ok = parseVSSID(id)
	return of, ok && whole
}

func (d notes) drop(n Name) error {
	if err := os.Remove(d.file(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the note of a shadow copy: %w", err)
	}
	return nil
}

// list are the notes of an owner. One that was cut off in the middle is removed: nobody knows any more
// what it was about.
func (d notes) list(owner string) (map[Name]note, error) {
	files, err := os.ReadDir(d.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the notes of shadow copies: %w", err)
	}
	out := map[Name]note{}
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), noteSuffix)
		if !ok {
			continue
		}
		n, ok := ParseName(name)
		if !ok || n.Owner != owner {
			continue
		}
		if of, ok := d.read(n); ok {
			out[n] = of
		} else if err := d.drop(n); err != nil {
			return nil, err
		}
	}
	return out, nil
}
