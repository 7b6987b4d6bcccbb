//go:build unix

package restore

import (
	"errors"

	"golang.org/x/sys/unix"

	"keepward/internal/repo/fileindex"
)

// special restores what has no content of its own: symbolic links, devices, FIFOs, sockets.
func (it *item) special() {
	if it.act == compare && it.typ == fileindex.Symlink {
		if target, err := readlinkAt(it.dir.fd, it.name); err == nil && target == it.target {
			it.metadataOnly()
			return
		}
	}
	name := it.name
	if !it.inPlace() {
		name = tempName(it.name)
	}
	err := it.makeSpecial(name)
	if errors.Is(err, unix.EEXIST) && name != it.name {
		if err = clearTemp(it.dir.fd, name); err == nil {
			err = it.makeSpecial(name)
		}
	}
	if errors.Is(err, unix.EPERM) && !it.dir.r.isRoot {
		it.dir.r.report.lose("restore.device", "special file", it.path(), err)
		it.there = &present{} // it is not new: it is left out
		it.done(false)
		return
	}
	if err == nil {
		if err = it.dressSpecial(name); err == nil && name != it.name {
			err = putInPlace(it, name)
		}
		if err != nil {
			_ = clearTemp(it.dir.fd, name)
		}
	}
	if err != nil {
		it.fail(wrap("make "+it.typ.String(), err))
		return
	}
	it.done(true)
}

func (it *item) makeSpecial(name string) error {
	if it.typ == fileindex.Symlink {
		return retry(func() error { return unix.Symlinkat(it.target, it.dir.fd, name) })
	}
	return mknodAt(it.dir.fd, name, &it.attrs)
}

func (it *item) dressSpecial(name string) error {
	was := it.freshState()
	if it.typ == fileindex.Symlink {
		return it.setMeta(handle{fd: -1, dir: it.dir.fd, name: name}, was)
	}
	fd, err := openMeta(it.dir.fd, name)
	if err != nil {
		return err
	}
	defer func() { _ = closeFD(fd) }()
	return it.setMeta(handle{fd: fd, special: true, dir: it.dir.fd, name: name}, was)
}
