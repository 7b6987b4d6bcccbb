package report

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	imagedraw "image/draw"
	"image/png"
	"sync"
	"time"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/notify"
	"keepward/internal/words"
)

// The measures of the picture, in dots; it is shown at half of them, so that it is sharp where screens are fine.
const (
	fine      = 2
	nameWidth = 200 * fine
	box       = 14 * fine
	step      = 17 * fine
	edge      = 6 * fine
	headRow   = 18 * fine
	keyRow    = 26 * fine
	keyStep   = 112 * fine
	textSize  = 11 * fine
	markEvery = 7 // days between two that are named
	nameBytes = 64
)

var (
	ground = color.RGBA{0xff, 0xff, 0xff, 0xff}
	ink    = color.RGBA{0x1d, 0x24, 0x28, 0xff}
	quiet  = color.RGBA{0x5a, 0x65, 0x6c, 0xff}
	rim    = color.RGBA{0xc4, 0xcc, 0xd1, 0xff}
	// colors are those of the results, in their order. No two differ by color alone.
	colors = []color.RGBA{{0x2e, 0x9e, 0x5b, 0xff}, {0xe0, 0xa0, 0x20, 0xff}, {0xe0, 0xa0, 0x20, 0xff}, {0xc0, 0x39, 0x2b, 0xff}, ground}
)

type picture struct {
	png           []byte
	width, height int // as it is shown
}

// face is the font, read once. Who draws has it alone: a face is for one at a time.
var face = sync.OnceValues(func() (font.Face, error) {
	f, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return nil, err
	}
	return opentype.NewFace(f, &opentype.FaceOptions{Size: textSize, DPI: 72, Hinting: font.HintingFull})
})

var drawing sync.Mutex

// draw draws the days of computers: a row for each, a box for each day.
func draw(m *keepwardv1.ListProtectionDaysResponse) (picture, error) {
	drawing.Lock()
	defer drawing.Unlock()
	letters, err := face()
	if err != nil {
		return picture{}, fmt.Errorf("draw the days of computers: %w", err)
	}
	days := 0
	for _, c := range m.GetComputers() {
		days = max(days, len(c.GetResults()))
	}
	width := max(nameWidth+days*step+edge, edge+len(words.DayResults)*keyStep)
	height := headRow + len(m.GetComputers())*step + keyRow
	c := &canvas{RGBA: image.NewRGBA(image.Rect(0, 0, width, height)), face: letters}
	c.fill(c.Bounds(), ground)
	last, err := time.Parse(time.DateOnly, m.GetLast())
	if err != nil {
		return picture{}, fmt.Errorf("draw the days of computers: %w", err)
	}
	for back := 0; back < days; back += markEvery {
		text := last.AddDate(0, 0, -back).Format("2 Jan")
		// It stands over its day, and ends where that does: today is at the edge.
		x := nameWidth + (days-1-back)*step + box - font.MeasureString(c.face, text).Ceil()
		c.text(max(x, nameWidth-step), headRow-edge, text, quiet, step*markEvery)
	}
	for row, one := range m.GetComputers() {
		y := headRow + row*step
		c.text(edge, y+box-box/4, notify.Cut(words.Safe(one.GetComputer()), nameBytes), ink, nameWidth-2*edge)
		from := days - len(one.GetResults())
		for i, word := range one.GetResults() {
			c.result(nameWidth+(from+i)*step, y, word)
		}
	}
	y := headRow + len(m.GetComputers())*step + (keyRow-box)/2
	for i, r := range words.DayResults {
		c.result(edge+i*keyStep, y, r.Name)
		c.text(edge+i*keyStep+step, y+box-box/4, r.Label, quiet, keyStep-step)
	}
	var out bytes.Buffer
	if err := png.Encode(&out, c); err != nil {
		return picture{}, fmt.Errorf("draw the days of computers: %w", err)
	}
	return picture{out.Bytes(), width / fine, height / fine}, nil
}

// canvas is what is drawn on.
type canvas struct {
	*image.RGBA
	face font.Face
}

func (c *canvas) fill(r image.Rectangle, with color.Color) {
	imagedraw.Draw(c, r, image.NewUniform(with), image.Point{}, imagedraw.Src)
}

// text writes from x on, above the line y, as much as has room.
func (c *canvas) text(x, y int, s string, with color.Color, room int) {
	runes := []rune(s)
	for len(runes) > 1 && font.MeasureString(c.face, string(runes)).Ceil() > room {
		runes = append(runes[:len(runes)-2], '…')
	}
	d := font.Drawer{Dst: c, Src: image.NewUniform(with), Face: c.face, Dot: fixed.P(x, y)}
	d.DrawString(string(runes))
}

// result draws a day. What failed is crossed out, what is not all there is half full, what is not there is empty.
func (c *canvas) result(x, y int, word string) {
	at := len(words.DayResults) - 1
	for i, r := range words.DayResults {
		if r.Name == word {
			at = i
		}
	}
	whole := image.Rect(x, y, x+box, y+box)
	inner := whole.Inset(fine)
	switch words.DayResults[at].Name {
	case "":
		c.fill(whole, rim)
		c.fill(inner, ground)
	case "partial":
		c.fill(whole, colors[at])
		c.fill(image.Rect(inner.Min.X, inner.Min.Y, inner.Max.X, y+box/2), ground)
	case "failed":
		c.fill(whole, colors[at])
		for i := 2 * fine; i < box-2*fine; i++ {
			c.fill(image.Rect(x+i, y+i, x+i+fine, y+i+fine), ground)
			c.fill(image.Rect(x+box-i-fine, y+i, x+box-i, y+i+fine), ground)
		}
	case "warning":
		c.fill(whole, colors[at])
		c.fill(image.Rect(x+box/2-fine/2, y+3*fine, x+box/2+fine/2, y+box-3*fine), ground)
	default:
		c.fill(whole, colors[at])
	}
}
