// Package qrcode draws texts that a telephone reads with its camera, as ISO/IEC 18004 has them.
package qrcode

import (
	"fmt"
	"strings"

	"rsc.io/qr"
)

// quiet is how many light modules are around a code.
const quiet = 4

// Code is one drawn text.
type Code struct{ code *qr.Code }

// New draws a text of at most some 2 000 bytes. A quarter of what is drawn may be unreadable.
func New(text string) (Code, error) {
	c, err := qr.Encode(text, qr.Q)
	if err != nil {
		return Code{}, fmt.Errorf("draw a QR code of %d bytes: %w", len(text), err)
	}
	return Code{c}, nil
}

// Size is how many modules a side has, with the light ones around.
func (c Code) Size() int { return c.code.Size + 2*quiet }

// Dark tells whether a module is dark; outside all are light.
func (c Code) Dark(x, y int) bool { return c.code.Black(x-quiet, y-quiet) }

// Path is the dark modules as the path of an SVG whose unit is a module.
func (c Code) Path() string {
	var b strings.Builder
	for y := range c.Size() {
		for x := 0; x < c.Size(); x++ {
			from := x
			for c.Dark(x, y) {
				x++
			}
			if x > from {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", from, y, x-from, x-from)
			}
		}
	}
	return b.String()
}

// Lines is the code for a terminal that shows colours: two modules in a character, dark on white whatever the
// terminal's own colours are.
func (c Code) Lines() (out []string) {
	for y := 0; y < c.Size(); y += 2 {
		var b strings.Builder
		b.WriteString("\x1b[30;107m")
		for x := range c.Size() {
			switch up, down := c.Dark(x, y), c.Dark(x, y+1); {
			case up && down:
				b.WriteString("█")
			case up:
				b.WriteString("▀")
			case down:
				b.WriteString("▄")
			default:
				b.WriteString(" ")
			}
		}
		b.WriteString("\x1b[0m")
		out = append(out, b.String())
	}
	return out
}
