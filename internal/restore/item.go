//go:build unix

package restore

import "keepward/internal/repo/fileindex"

// item is an entry that is not a directory, on its way to the target. It holds its directory.
type item struct {
	attrs
	dir   *dir
	name  string
	act   action
	there *present
	inode *inode // nil: it has one name
}

func (it *item) path() []byte { return []byte("/" + it.dir.child(it.name)) }

func (it *item) bytes() int64 {
	if it.typ == fileindex.File {
		return it.size
	}
	return 0
}

type outcome int

const (
	outNew outcome = iota
	outChanged
	outSkipped
)

// count counts an entry that was dealt with.
func (r *run) count(o outcome, bytes int64) {
	switch o {
	case outNew:
		r.c.NewFiles.Add(1)
	case outChanged:
		r.c.ChangedFiles.Add(1)
	case outSkipped:
		r.c.SkippedFiles.Add(1)
		r.c.SkippedBytes.Add(bytes)
	}
	r.c.DoneFiles.Add(1)
	r.c.DoneBytes.Add(bytes)
}

// countDir counts a directory that was dealt with.
func (r *run) countDir(o outcome) {
	r.count(o, 0)
	r.c.DoneDirs.Add(1)
	if o == outSkipped {
		r.c.SkippedDirs.Add(1)
	}
}

// failedDir is failed for a directory.
func (r *run) failedDir(path []byte, err error) {
	r.c.DoneDirs.Add(1)
	r.failed(path, 0, err)
}

// failed reports and counts an entry that could not be restored. When the error would meet
// every other file too, the restore ends.
func (r *run) failed(path []byte, bytes int64, err error) {
	r.report.fail(path, err)
	r.c.DoneFiles.Add(1)
	r.c.DoneBytes.Add(bytes)
	if fatalWrite(err) {
		r.stop(err)
	}
}

// done ends an item: its content and metadata are right.
func (it *item) done(changed bool) {
	o := outSkipped
	switch {
	case it.there == nil:
		o = outNew
		it.dir.r.report.does("created", it.path)
	case changed:
		o = outChanged
		it.dir.r.report.does("changed", it.path)
	}
	it.dir.r.count(o, it.bytes())
	if it.inode != nil {
		it.inode.ready(it)
	}
	it.dir.release()
}

func (it *item) fail(err error) {
	it.dir.r.failed(it.path(), it.bytes(), err)
	if it.inode != nil {
		it.inode.lost(err)
	}
	it.dir.release()
}

// drop ends an item of a restore that was stopped: it is neither done nor failed.
func (it *item) drop() {
	if it.inode != nil {
		it.inode.abandon()
	}
	it.dir.release()
}
