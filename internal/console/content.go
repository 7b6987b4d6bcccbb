package console

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

const (
	// contentPolicy is that of content, which somebody else has written: whatever it is, it runs nothing,
	// loads nothing and is no page of this site.
	contentPolicy = "sandbox; default-src 'none'; frame-ancestors 'none'"
	// contentPiece is how much is asked for at once.
	contentPiece = 512 << 10
	// contentIdle is how long a browser may take nothing of what it has asked for.
	contentIdle = 2 * time.Minute
	// nameMost is what file systems take for a name.
	nameMost = 255
)

// Records is where sealed records of one point come from, for who opens its content.
type Records interface {
	Records(ctx context.Context, ids [][]byte, each func(*keepwardv1.ReadRecordsResponse) error) error
}

// Contents opens content of points. The console does not: it passes on what is opened.
type Contents interface {
	Open(ctx context.Context, order *keepwardv1.ContentOrder, from Records) (Reading, error)
}

// Reading is content that is open. It belongs to one goroutine.
type Reading interface {
	Info() *keepwardv1.ContentInfo
	// Read answers up to n bytes from an offset on, fewer only at the end. An archive is read on and on.
	Read(offset int64, n int) ([]byte, error)
	Close() error
}

// records are those of a point, for the user of a context.
type records struct {
	c     *client
	point string
}

func (r records) Records(ctx context.Context, ids [][]byte, each func(*keepwardv1.ReadRecordsResponse) error) error {
	return receive(ctx, r.c.points.ReadRecords, &keepwardv1.ReadRecordsRequest{Point: r.point, Ids: ids}, each)
}

// opened is content with what was asked for.
type opened struct {
	Reading
	point *keepwardv1.Point
	path  string
}

// name is what the content is called where it is saved.
func (o *opened) name() string {
	name := o.path[strings.LastIndexByte(o.path, '/')+1:]
	if name == "" {
		return o.point.GetComputer()
	}
	return name
}

// open opens what a request names. The API is told which and what for before there is anything to read.
func (c *console) open(r *http.Request, kind string) (*opened, error) {
	q := r.URL.Query()
	if c.contents == nil {
		return nil, errs.New(errs.Unavailable, "content.none", "open content: this server has no program that opens it")
	}
	path := strings.TrimRight(q.Get("path"), "/")
	m, err := call(r.Context(), c.client.content.OpenContent, &keepwardv1.OpenContentRequest{Point: word(q, "point"), Path: []byte("/" + strings.TrimLeft(path, "/")), Kind: kind})
	if err != nil {
		return nil, err
	}
	order := &keepwardv1.ContentOrder{
		Point: m.GetPoint().GetId(), Repository: m.GetPoint().GetRepository(), Keys: m.GetKeys(), Path: []byte(strings.Trim(path, "/")), RootName: m.GetPoint().GetComputer(),
	}
	if kind == "tar" || kind == "zip" {
		order.Format = kind
	}
	it, err := c.contents.Open(r.Context(), order, records{c.client, order.GetPoint()})
	if err != nil {
		return nil, err
	}
	return &opened{it, m.GetPoint(), path}, nil
}

// contentHeaders are those of content, in place of those of pages.
func contentHeaders(h http.Header, kind string) {
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("Content-Type", kind)
}

// download sends a file, or the part of it that a browser still lacks.
func (c *console) download(w http.ResponseWriter, r *http.Request, _ *view) error {
	o, err := c.open(r, "download")
	if err != nil {
		return err
	}
	defer func() { _ = o.Close() }()
	body := &body{Reading: o, size: o.Info().GetSize()}
	// What cannot be read at all is a page that says why, and not a download that breaks.
	if r.Header.Get("Range") == "" {
		if err := body.fill(); err != nil {
			return err
		}
	}
	contentHeaders(w.Header(), "application/octet-stream")
	w.Header().Set("Content-Disposition", disposition(o.name()))
	// A point never changes, so its name and the path stand for the content.
	w.Header().Set("ETag", tag(o.point.GetId(), o.path))
	out := c.patient(w)
	defer out.rest()
	http.ServeContent(out, r, "", o.Info().GetMtime().AsTime(), body)
	if body.failed != nil {
		c.broken(r, body.failed)
	}
	return nil
}

// archive sends a folder with all below it.
func (c *console) archive(w http.ResponseWriter, r *http.Request, _ *view) error {
	format := r.URL.Query().Get("format")
	kind := map[string]string{"tar": "application/x-tar", "zip": "application/zip"}[format]
	if kind == "" {
		return errs.New(errs.Invalid, "content.format", "pack a folder: the format %q is unknown", format).WithHint("use tar or zip")
	}
	o, err := c.open(r, format)
	if err != nil {
		return err
	}
	defer func() { _ = o.Close() }()
	piece, err := o.Read(0, contentPiece)
	if err != nil {
		return err
	}
	contentHeaders(w.Header(), kind)
	w.Header().Set("Content-Disposition", disposition(cut(o.name(), nameMost-len(format)-1)+"."+format))
	if r.Method == http.MethodHead {
		return nil
	}
	out := c.patient(w)
	defer out.rest()
	for at := int64(0); ; {
		if _, err := out.Write(piece); err != nil {
			return quiet(r.Context(), nil) // who has gone need not know
		}
		if at += int64(len(piece)); len(piece) < contentPiece {
			return nil
		}
		if piece, err = o.Read(at, contentPiece); err != nil {
			c.broken(r, err)
		}
	}
}

// broken ends an answer that has begun in a way that no browser takes for its end.
func (c *console) broken(r *http.Request, err error) {
	if r.Context().Err() == nil {
		c.log.Warn("content broke off", "path", r.URL.Path, "point", r.URL.Query().Get("point"), "error", err)
	}
	panic(http.ErrAbortHandler)
}

func tag(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d %s", len(p), p)
	}
	return `"` + hex.EncodeToString(h.Sum(nil)[:16]) + `"`
}

// body is a Reading as something to seek in.
type body struct {
	Reading
	size, at int64
	piece    []byte // that begins at from
	from     int64
	failed   error
}

func (b *body) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.at
	case io.SeekEnd:
		offset += b.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning")
	}
	b.at = offset
	return offset, nil
}

func (b *body) Read(p []byte) (int, error) {
	if b.at >= b.size {
		return 0, io.EOF
	}
	if err := b.fill(); err != nil {
		return 0, err
	}
	n := copy(p, b.piece[b.at-b.from:])
	b.at += int64(n)
	return n, nil
}

// fill has the piece hold what is read next.
func (b *body) fill() error {
	if b.at >= b.size || b.at >= b.from && b.at < b.from+int64(len(b.piece)) {
		return nil
	}
	piece, err := b.Reading.Read(b.at, contentPiece)
	if err == nil && len(piece) == 0 {
		err = errs.New(errs.Corrupt, "entry.extent", "read content: it ends at %d of %d bytes", b.at, b.size)
	}
	if err != nil {
		b.failed = err
		return err
	}
	b.piece, b.from = piece, b.at
	return nil
}

// patient waits for a browser that takes what it is sent, however long that takes; for one that takes
// nothing it does not.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (c *console) patient(w http.ResponseWriter) *patient {
	return &patient{w, http.NewResponseController(w)}
}

func (p *patient) Write(b []byte) (int, error) {
	_ = p.control.SetWriteDeadline(time.Now().Add(contentIdle)) // where there is none, nobody can wait shorter
	return p.ResponseWriter.Write(b)
}

// rest lets the connection wait again for as long as others let it.
func (p *patient) rest() { _ = p.control.SetWriteDeadline(time.Time{}) }

// disposition says to save content, under a name that is one and leads nowhere.
func disposition(name string) string {
	name = fileName(name)
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || strings.ContainsRune(`"\%`, r) {
			return '_'
		}
		return r
	}, name)
	return fmt.Sprintf(`attachment; filename="%s"; filename*=UTF-8''%s`, plain, strings.ReplaceAll(url.QueryEscape(name), "+", "%20"))
}

// fileName makes a name out of one that may be anything: without marks that hide what it is, and no path.
func fileName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || strings.ContainsRune(`/\:*?"<>|`, r) || !unicode.IsGraphic(r) {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, "_"))
	name = strings.TrimSpace(cut(name, nameMost))
	if strings.Trim(name, ".") == "" {
		return "_"
	}
	return name
}

// cut shortens a name to so many bytes, and leaves its ending.
func cut(name string, most int) string {
	if len(name) <= most {
		return name
	}
	ending := ""
	if i := strings.LastIndexByte(name, '.'); i > 0 && len(name)-i <= 16 {
		name, ending = name[:i], name[i:]
	}
	return strings.ToValidUTF8(name[:most-len(ending)], "") + ending
}

// pictures are what is shown as a picture, by what their content begins with. None of them can hold a
// program.
var pictures = map[string]bool{"image/png": true, "image/jpeg": true, "image/gif": true, "image/webp": true, "image/bmp": true}

// kindOf is what content is by its beginning, whatever its name says.
func kindOf(head []byte) string {
	kind, _, err := mime.ParseMediaType(http.DetectContentType(head))
	if err != nil {
		return ""
	}
	return kind
}
