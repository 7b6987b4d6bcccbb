package guest

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// archive is a cpio archive in the form that the kernel unpacks: magic "070701", thirteen numbers
// of eight digits, name and content, each filled up to four bytes.
type archive struct {
	bytes.Buffer
	have map[string]bool
}

const (
	modeDir  = 0o040755
	modeFile = 0o100755
	modeLink = 0o120777
	modeChar = 0o020600
)

func (a *archive) add(name string, mode int, data []byte, major, minor int) {
	name = strings.TrimPrefix(name, "/")
	if a.have[name] {
		return
	}
	if dir := filepath.Dir(name); dir != "." {
		a.add(dir, modeDir, nil, 0, 0)
	}
	a.have[name] = true
	fmt.Fprintf(a, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		len(a.have), mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name)+1, 0)
	a.WriteString(name + "\x00")
	a.fill()
	a.Write(data)
	a.fill()
}

func (a *archive) fill() {
	for a.Len()%4 != 0 {
		a.WriteByte(0)
	}
}

// image is the file system that the machine starts with.
func (g Guest) image() ([]byte, error) {
	a := &archive{have: map[string]bool{}}
	for _, d := range []string{"dev", "proc", "sys", "tmp", "run", "etc"} {
		a.add(d, modeDir, nil, 0, 0)
	}
	a.add("dev/console", modeChar, nil, 5, 1)
	if err := a.file("/init", g.Init); err != nil {
		return nil, err
	}
	for _, p := range g.Programs {
		path, err := exec.LookPath(p)
		if err != nil {
			return nil, err
		}
		if err := a.program("/bin/"+p, path); err != nil {
			return nil, err
		}
	}
	for name, to := range g.Links {
		a.add("/bin/"+name, modeLink, []byte(to), 0, 0)
	}
	for name, text := range g.Files {
		a.add(name, modeFile, []byte(text), 0, 0)
	}
	if err := g.modules(a); err != nil {
		return nil, err
	}
	a.add("TRAILER!!!", 0, nil, 0, 0)
	return a.Bytes(), nil
}

func (a *archive) file(name, path string) error {
	b, err := os.ReadFile(path)
	if err == nil {
		a.add(name, modeFile, b, 0, 0)
	}
	return err
}

// libraries is where programs of Debian and of most others find theirs.
var libraries = []string{"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"}

// program adds a program, its loader and the libraries of both.
func (a *archive) program(name, path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	if err := a.file(name, path); err != nil {
		return err
	}
	if s := f.Section(".interp"); s != nil {
		b, err := s.Data()
		if err != nil {
			return err
		}
		loader := string(bytes.TrimRight(b, "\x00"))
		if err := a.file(loader, loader); err != nil {
			return err
		}
	}
	needed, err := f.ImportedLibraries()
	if err != nil {
		return err
	}
	for _, lib := range needed {
		if a.have["lib/x86_64-linux-gnu/"+lib] {
			continue
		}
		i := slices.IndexFunc(libraries, func(dir string) bool { _, err := os.Stat(filepath.Join(dir, lib)); return err == nil })
		if i < 0 {
			return fmt.Errorf("%s needs %s, which is nowhere", path, lib)
		}
		if err := a.program("/lib/x86_64-linux-gnu/"+lib, filepath.Join(libraries[i], lib)); err != nil {
			return err
		}
	}
	return nil
}

// modules adds the modules in the order in which they can be loaded, which is in /modules/order.
func (g Guest) modules(a *archive) error {
	paths := map[string]string{}
	err := filepath.WalkDir(filepath.Join(g.Kernel, "lib", "modules"), func(path string, _ fs.DirEntry, err error) error {
		if name, ok := strings.CutSuffix(filepath.Base(path), ".ko"); ok {
			paths[strings.ReplaceAll(name, "-", "_")] = path
		}
		return err
	})
	if err != nil {
		return err
	}
	var order []string
	var load func(name string) error
	load = func(name string) error {
		name = strings.ReplaceAll(name, "-", "_")
		if name == "" || slices.Contains(order, name) {
			return nil
		}
		path, ok := paths[name]
		if !ok {
			return fmt.Errorf("the kernel has no module %s", name)
		}
		needs, err := depends(path)
		for _, d := range needs {
			if err == nil {
				err = load(d)
			}
		}
		if err == nil {
			err = a.file("/modules/"+name+".ko", path)
		}
		order = append(order, name)
		return err
	}
	for _, m := range g.Modules {
		if err := load(m); err != nil {
			return err
		}
	}
	a.add("/modules/order", modeFile, []byte(strings.Join(order, "\n")), 0, 0)
	return nil
}

// depends are the modules that one needs.
func depends(path string) ([]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	s := f.Section(".modinfo")
	if s == nil {
		return nil, fmt.Errorf("%s is no module", path)
	}
	info, err := s.Data()
	if err != nil {
		return nil, err
	}
	for kv := range strings.SplitSeq(string(info), "\x00") {
		if list, ok := strings.CutPrefix(kv, "depends="); ok {
			return strings.Split(list, ","), nil
		}
	}
	return nil, nil
}
