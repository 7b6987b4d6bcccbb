package qrcode

import (
	"fmt"
	"image"
	"image/color"
	"regexp"
	"strings"
	"testing"

	"github.com/makiuchi-d/gozxing"
	reader "github.com/makiuchi-d/gozxing/qrcode"
)

const secret = "otpauth://totp/Keepward%20backup.example.org:ann?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Keepward"

// photo is a picture of modules, as a camera would have it.
func photo(size int, dark func(x, y int) bool) image.Image {
	const scale = 5
	m := image.NewGray(image.Rect(0, 0, size*scale, size*scale))
	for y := range size * scale {
		for x := range size * scale {
			m.SetGray(x, y, color.Gray{Y: 255})
			if dark(x/scale, y/scale) {
				m.SetGray(x, y, color.Gray{Y: 0})
			}
		}
	}
	return m
}

func read(t *testing.T, m image.Image) string {
	t.Helper()
	bits, err := gozxing.NewBinaryBitmapFromImage(m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := reader.NewQRCodeReader().Decode(bits, nil)
	if err != nil {
		t.Fatalf("it cannot be read: %v", err)
	}
	return got.GetText()
}

func TestACameraReadsWhatWasDrawn(t *testing.T) {
	for _, text := range []string{secret, "a", strings.Repeat("long ", 200)} {
		c, err := New(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, photo(c.Size(), c.Dark)); got != text {
			t.Errorf("%q is read as %q", text, got)
		}
	}
	if _, err := New(strings.Repeat("x", 4000)); err == nil {
		t.Error("more than a code has room for is drawn")
	}
}

// The picture of a page and that of a terminal have the same modules.
func TestAllPicturesAreTheSame(t *testing.T) {
	c, err := New(secret)
	if err != nil {
		t.Fatal(err)
	}
	page := map[image.Point]bool{}
	left := regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-(\d+)z`).ReplaceAllStringFunc(c.Path(), func(s string) string {
		var x, y, n, back int
		if _, err := fmt.Sscanf(s, "M%d %dh%dv1h-%dz", &x, &y, &n, &back); err != nil || n != back {
			t.Errorf("%s is no box (%v)", s, err)
		}
		for i := range n {
			page[image.Pt(x+i, y)] = true
		}
		return ""
	})
	if left != "" {
		t.Errorf("the path has %q besides", left)
	}
	terminal := map[image.Point]bool{}
	for row, line := range c.Lines() {
		line = strings.TrimSuffix(strings.TrimPrefix(line, "\x1b[30;107m"), "\x1b[0m")
		for x, r := range []rune(line) {
			terminal[image.Pt(x, 2*row)] = r == '█' || r == '▀'
			terminal[image.Pt(x, 2*row+1)] = r == '█' || r == '▄'
		}
	}
	for y := range c.Size() {
		for x := range c.Size() {
			if p := image.Pt(x, y); page[p] != c.Dark(x, y) || terminal[p] != c.Dark(x, y) {
				t.Fatalf("module %v is dark: %v; on the page %v, on a terminal %v", p, c.Dark(x, y), page[p], terminal[p])
			}
			if edge := x < quiet || y < quiet || x >= c.Size()-quiet || y >= c.Size()-quiet; edge && c.Dark(x, y) {
				t.Fatalf("there is something at %d, %d, where nothing may be", x, y)
			}
		}
	}
	if got := read(t, photo(c.Size(), func(x, y int) bool { return terminal[image.Pt(x, y)] })); got != secret {
		t.Errorf("on a terminal it is read as %q", got)
	}
}
