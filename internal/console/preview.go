package console

import (
	"bytes"
	"net/http"
	"strings"
	"unicode/utf8"

	"keepward/internal/errs"
	"keepward/internal/words"
)

const (
	// previewText is how much of a text is shown: a few screens, and a page that is still small.
	previewText = 64 << 10
	// previewPicture bounds pictures: the browser unpacks them.
	previewPicture = 16 << 20
	// sniffed is what tells one type from another.
	sniffed = 512
)

// preview is what a page shows of a file.
type preview struct {
	file    *opened
	size    string
	picture bool
	lines   []string // of a text
	cut     bool     // there is more of it
	none    string   // why nothing is shown
}

func (c *console) preview(w http.ResponseWriter, r *http.Request, v *view) error {
	o, err := c.open(r, "preview")
	if err != nil {
		return err
	}
	defer func() { _ = o.Close() }()
	head, err := o.Read(0, previewText)
	if err != nil {
		return err
	}
	p := preview{file: o, size: words.Size(o.Info().GetSize())}
	switch {
	case len(head) == 0:
		p.none = "The file is empty."
	case pictures[kindOf(head[:min(len(head), sniffed)])]:
		p.picture = o.Info().GetSize() <= previewPicture
		if !p.picture {
			p.none = "The picture is too large to show. Download it."
		}
	case bytes.IndexByte(head, 0) >= 0:
		p.none = "This is no text and no picture that can be shown. Download it."
	default:
		p.cut = int64(len(head)) < o.Info().GetSize()
		p.lines = linesOf(head, p.cut)
	}
	v.title, v.at = "Preview of "+words.Safe(o.name()), "restore"
	c.show(w, r, http.StatusOK, previewPage(v, p))
	return nil
}

// linesOf are the lines of a text, with what is no text written out. One that was cut ends in the middle of
// a character, maybe.
func linesOf(text []byte, cut bool) []string {
	if cut {
		for i := 1; i < utf8.UTFMax && i < len(text); i++ {
			if last := text[len(text)-i:]; utf8.RuneStart(last[0]) {
				if !utf8.FullRune(last) {
					text = text[:len(text)-i]
				}
				break
			}
		}
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	var lines []string
	for line := range bytes.Lines(text) {
		parts := strings.Split(strings.TrimRight(string(line), "\r\n"), "\t")
		for i := range parts {
			parts[i] = words.Safe(parts[i])
		}
		lines = append(lines, strings.Join(parts, "\t"))
	}
	return lines
}

// picture sends a picture for a preview. What it is says its content, not its name, and nothing but a
// picture is sent.
func (c *console) picture(w http.ResponseWriter, r *http.Request, _ *view) error {
	o, err := c.open(r, "preview")
	if err != nil {
		return err
	}
	defer func() { _ = o.Close() }()
	body := &body{Reading: o, size: o.Info().GetSize()}
	if err := body.fill(); err != nil {
		return err
	}
	kind := kindOf(body.piece[:min(len(body.piece), sniffed)])
	if !pictures[kind] || body.size > previewPicture {
		return errs.New(errs.Invalid, "content.no-picture", "show %q: it is no picture that can be shown", o.path)
	}
	contentHeaders(w.Header(), kind)
	out := c.patient(w)
	defer out.rest()
	http.ServeContent(out, r, "", o.Info().GetMtime().AsTime(), body)
	if body.failed != nil {
		c.broken(r, body.failed)
	}
	return nil
}
