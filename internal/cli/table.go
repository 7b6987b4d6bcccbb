package cli

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"keepward/internal/job"
)

// table is rows under a head, padded to columns. Cells are escaped when they are
// added, so nothing that came from a computer reaches the terminal as it is.
type table struct {
	a    *app
	head []string
	// right are the columns of numbers.
	right []bool
	rows  [][]string
}

// newTable begins a table. A column whose title begins with ">" holds numbers; columns
// from the title "|" on are shown in the wide format only.
func (a *app) newTable(titles ...string) *table {
	t := &table{a: a}
	for _, title := range titles {
		if title == "|" {
			if a.format != formatWide {
				break
			}
			continue
		}
		name, right := strings.CutPrefix(title, ">")
		t.head = append(t.head, name)
		t.right = append(t.right, right)
	}
	return t
}

// row adds a row; cells beyond the last column shown are left out.
func (t *table) row(cells ...string) {
	row := make([]string, len(t.head))
	for i := range row {
		row[i] = safe(cells[i])
	}
	t.rows = append(t.rows, row)
}

func (t *table) print() {
	widths := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	t.line(&b, t.head, widths, false)
	for _, row := range t.rows {
		t.line(&b, row, widths, t.a.colors())
	}
	fmt.Fprint(t.a.out, b.String())
}

func (t *table) line(b *strings.Builder, row []string, widths []int, colors bool) {
	var line strings.Builder
	for i, c := range row {
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
		if colors {
			c = colored(c)
		}
		if t.right[i] {
			line.WriteString(pad + c)
		} else {
			line.WriteString(c + pad)
		}
		line.WriteString("  ")
	}
	b.WriteString(strings.TrimRight(line.String(), " "))
	b.WriteByte('\n')
}

// The colours of a result, as terminals name them.
const (
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	red    = "\x1b[31m"
	plainC = "\x1b[0m"
)

// colored colours the words that say how something stands.
func colored(cell string) string {
	color := ""
	switch cell {
	case "online":
		color = green
	case "offline", "warning":
		color = yellow
	case "lost", "error":
		color = red
	default:
		switch job.Status(cell).Result() {
		case job.ResultSuccess:
			color = green
		case job.ResultWarning:
			color = yellow
		case job.ResultFailed:
			color = red
		}
	}
	if color == "" {
		return cell
	}
	return color + cell + plainC
}

// fields prints one thing as lines of name and value. Empty values are left out.
func (a *app) fields(pairs ...string) {
	width := 0
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			width = max(width, len(pairs[i]))
		}
	}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			continue
		}
		value := safe(pairs[i+1])
		if a.colors() {
			value = colored(value)
		}
		fmt.Fprintf(a.out, "%-*s  %s\n", width, pairs[i], value)
	}
}

// section prints the title of a part of a longer answer.
func (a *app) section(title string) { fmt.Fprintf(a.out, "\n%s\n", title) }
