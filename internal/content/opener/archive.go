package opener

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/content"
	"keepward/internal/errs"
	"keepward/internal/mount"
	"keepward/internal/repo/fileindex"
)

// leftOutName is the list at the end of an archive of what is not in it. It stands beside the one topmost
// folder.
const leftOutName = "keepward-left-out.txt"

// leftOutMost bounds that list; it says how many more there were.
const leftOutMost = 10_000

// packer writes the entries of one format.
type packer interface {
	folder(name string, e *fileindex.Entry) error
	link(name string, e *fileindex.Entry) error
	// file begins a file whose content is written then.
	file(name string, e *fileindex.Entry) (io.Writer, error)
	// refuses says why a name cannot stand in the format; empty: it can.
	refuses(name string) string
	Close() error
}

// formats are those of archives.
var formats = map[string]func(io.Writer) packer{
	"tar": func(w io.Writer) packer { return tarPacker{tar.NewWriter(w)} },
	"zip": newZip,
}

// archive is a folder with all below it. It is made while it is read.
type archive struct {
	r    *io.PipeReader
	at   int64
	work sync.WaitGroup
}

func openArchive(ctx context.Context, r *mount.Reader, o *keepwardv1.ContentOrder) (reading, error) {
	format := formats[o.GetFormat()]
	if format == nil {
		return nil, errs.New(errs.Invalid, "content.format", "pack %q: the format %q is unknown", o.GetPath(), o.GetFormat())
	}
	e, lost, err := r.Lookup(ctx, o.GetPath())
	if err != nil {
		return nil, err
	}
	if lost {
		return nil, errLost(o.GetPath())
	}
	top := path.Base(string(e.Path))
	if len(e.Path) == 0 {
		top = rootName(o.GetRootName())
	}
	in, out := io.Pipe()
	a := &archive{r: in}
	a.work.Go(func() {
		b := &builder{ctx: ctx, r: r, p: format(out), root: bytes.Clone(e.Path), top: top}
		_ = out.CloseWithError(b.run()) // it returns no error
	})
	return a, nil
}

// rootName is the name of a computer as the name of a folder.
func rootName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune(`/\:`, r) {
			return '_'
		}
		return r
	}, name)
	if name == "" || name == "." || name == ".." {
		return "computer"
	}
	return name
}

func (a *archive) info() *keepwardv1.ContentInfo {
	return &keepwardv1.ContentInfo{Type: "dir", Size: -1}
}

func (a *archive) read(_ context.Context, buf []byte, offset int64) (int, error) {
	if offset != a.at {
		return 0, errs.New(errs.Invalid, "content.archive-offset", "read an archive from %d on: it is read from its beginning to its end, and stands at %d", offset, a.at)
	}
	n, err := io.ReadFull(a.r, buf)
	a.at += int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}

func (a *archive) close() {
	_ = a.r.Close() // it returns no error
	a.work.Wait()
}

// builder walks through a folder and packs what is in it.
type builder struct {
	ctx  context.Context
	r    *mount.Reader
	p    packer
	root []byte
	top  string

	folders [][]byte // that the walk is in, from the root on
	left    []string // out, and why
	more    int
	buf     []byte
}

func (b *builder) run() error {
	b.buf = make([]byte, content.PieceMost)
	if err := b.r.Walk(b.ctx, b.root, b.entry); err != nil {
		return err
	}
	if err := b.list(); err != nil {
		return err
	}
	return b.p.Close()
}

func (b *builder) leave(name string, why string) {
	if len(b.left) == leftOutMost {
		b.more++
		return
	}
	b.left = append(b.left, strconv.Quote(name)+": "+why)
}

// name is that of an entry in the archive, always below the topmost folder.
func (b *builder) name(e *fileindex.Entry) string {
	rest := bytes.TrimPrefix(e.Path[len(b.root):], []byte("/"))
	if len(rest) == 0 {
		return b.top
	}
	return b.top + "/" + string(rest)
}

// entry packs one entry. A file that cannot be read from its beginning is left out; where one breaks in its
// middle the archive ends, because it has said how long the file is.
func (b *builder) entry(e *fileindex.Entry, lost bool) error {
	name := b.name(e)
	if why := b.trick(name, e); why != "" {
		b.leave(name, why)
		return nil
	}
	switch {
	case lost:
		b.leave(name, "it could not be read when it was backed up")
		return nil
	case e.Type == fileindex.Dir:
		b.folders = append(b.folders, bytes.Clone(e.Path))
		return b.p.folder(name, e)
	case e.Type == fileindex.Symlink:
		return b.p.link(name, e)
	case e.Type == fileindex.File:
		return b.file(name, e)
	}
	// Who unpacks a download has no use for a device, and a device is a way into the kernel.
	b.leave(name, "it is of the type "+e.Type.String())
	return nil
}

// trick says what is wrong with a name that would lead who unpacks it elsewhere; empty: nothing.
func (b *builder) trick(name string, e *fileindex.Entry) string {
	if strings.ContainsRune(name, 0) {
		return "its name holds a zero byte"
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." {
			return "its name is a path that leads elsewhere"
		}
	}
	if why := b.p.refuses(name); why != "" {
		return why
	}
	// What lies in a folder must come behind it: below a link it would be written to where that leads.
	for len(b.folders) > 0 && !inside(b.folders[len(b.folders)-1], e.Path) {
		b.folders = b.folders[:len(b.folders)-1]
	}
	if len(e.Path) == len(b.root) {
		return ""
	}
	parent, _, _ := cutLast(e.Path)
	if len(b.folders) == 0 || !bytes.Equal(b.folders[len(b.folders)-1], parent) {
		return "the folder that it lies in is not in the archive"
	}
	return ""
}

func inside(dir, p []byte) bool {
	return len(dir) == 0 && len(p) > 0 || len(p) > len(dir) && bytes.HasPrefix(p, dir) && p[len(dir)] == '/'
}

func cutLast(p []byte) (parent, name []byte, nested bool) {
	if i := bytes.LastIndexByte(p, '/'); i >= 0 {
		return p[:i], p[i+1:], true
	}
	return nil, p, false
}

func (b *builder) file(name string, e *fileindex.Entry) error {
	c, err := b.r.Open(e)
	if err != nil {
		b.leave(name, err.Error())
		return nil
	}
	defer c.Close()
	n, err := c.Read(b.ctx, b.buf, 0)
	if b.ctx.Err() != nil {
		return b.ctx.Err()
	}
	if err != nil {
		b.leave(name, err.Error())
		return nil
	}
	w, err := b.p.file(name, e)
	for at := int64(0); err == nil; {
		if _, err = w.Write(b.buf[:n]); err != nil {
			break
		}
		if at += int64(n); at >= e.Size {
			return nil
		}
		if n, err = c.Read(b.ctx, b.buf, at); err == nil && n == 0 {
			err = errs.New(errs.Corrupt, "entry.extent", "it ends at %d of %d bytes", at, e.Size)
		}
	}
	return fmt.Errorf("pack %s: %w", strconv.Quote(name), err)
}

// list packs the list of what was left out, where anything was.
func (b *builder) list() error {
	if len(b.left) == 0 {
		return nil
	}
	text := "Left out of this archive:\n\n" + strings.Join(b.left, "\n") + "\n"
	if b.more > 0 {
		text += fmt.Sprintf("and %d more\n", b.more)
	}
	w, err := b.p.file(leftOutName, &fileindex.Entry{Type: fileindex.File, Mode: 0o644, Size: int64(len(text)), MTime: fileindex.Time{Sec: time.Now().Unix()}})
	if err == nil {
		_, err = io.WriteString(w, text)
	}
	return err
}

// tarPacker writes a tar archive, of the POSIX kind.
type tarPacker struct{ *tar.Writer }

func (t tarPacker) header(kind byte, name string, e *fileindex.Entry) *tar.Header {
	h := &tar.Header{
		Typeflag: kind, Name: name, Mode: int64(e.Mode), Uid: int(e.UID), Gid: int(e.GID), Uname: string(e.User), Gname: string(e.Group),
		ModTime: timeOf(e.MTime), Format: tar.FormatPAX,
	}
	if !utf8.ValidString(name) || !utf8.ValidString(string(e.Target)) {
		h.Format = tar.FormatGNU // its names are bytes; those of the other are text
		h.ModTime = h.ModTime.Truncate(time.Second)
	}
	return h
}

func (tarPacker) refuses(string) string { return "" }

func (t tarPacker) folder(name string, e *fileindex.Entry) error {
	return t.WriteHeader(t.header(tar.TypeDir, name+"/", e))
}

func (t tarPacker) link(name string, e *fileindex.Entry) error {
	h := t.header(tar.TypeSymlink, name, e)
	h.Linkname = string(e.Target)
	return t.WriteHeader(h)
}

func (t tarPacker) file(name string, e *fileindex.Entry) (io.Writer, error) {
	h := t.header(tar.TypeReg, name, e)
	h.Size = e.Size
	return t.Writer, t.WriteHeader(h)
}

// zipPacker writes a zip archive.
type zipPacker struct{ *zip.Writer }

func newZip(w io.Writer) packer {
	z := zip.NewWriter(w)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
	return zipPacker{z}
}

func (z zipPacker) begin(name string, mode fs.FileMode, method uint16, e *fileindex.Entry) (io.Writer, error) {
	h := &zip.FileHeader{Name: name, Method: method, Modified: timeOf(e.MTime)}
	h.SetMode(mode | fs.FileMode(e.Mode&0o777))
	return z.CreateHeader(h)
}

func (zipPacker) refuses(name string) string {
	switch {
	case strings.Contains(name, `\`):
		return "its name holds a backslash, which programs that unpack zip take for a folder; tar has it"
	case len(name) > 0xffff-1:
		return "its name is too long for zip; tar has it"
	}
	return ""
}

func (z zipPacker) folder(name string, e *fileindex.Entry) error {
	_, err := z.begin(name+"/", fs.ModeDir, zip.Store, e)
	return err
}

func (z zipPacker) link(name string, e *fileindex.Entry) error {
	w, err := z.begin(name, fs.ModeSymlink, zip.Store, e)
	if err == nil {
		_, err = w.Write(e.Target)
	}
	return err
}

func (z zipPacker) file(name string, e *fileindex.Entry) (io.Writer, error) {
	return z.begin(name, 0, zip.Deflate, e)
}
