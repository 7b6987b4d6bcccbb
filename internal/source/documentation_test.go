package source

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the table in docs/user/filters.md")

const (
	page      = "../../docs/user/filters.md"
	tableHead = "| system | left out | what it is |\n|---|---|---|\n"
)

// automaticTable is Automatic as the page has it: rows of the same systems and meaning together.
func automaticTable() string {
	titles := map[string]string{linux: "Linux", freebsd: "FreeBSD", darwin: "macOS", windows: "Windows"}
	type group struct{ systems, what string }
	var order []group
	paths := map[group][]string{}
	for _, r := range Automatic {
		var systems []string
		for _, s := range r.Systems {
			systems = append(systems, titles[s])
		}
		g := group{strings.Join(systems, ", "), r.What}
		if !slices.Contains(order, g) {
			order = append(order, g)
		}
		paths[g] = append(paths[g], "`"+r.Path+"`")
	}
	var b strings.Builder
	b.WriteString(tableHead)
	for _, g := range order {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", g.systems, strings.Join(paths[g], ", "), g.what)
	}
	return b.String()
}

// TestTheAutomaticTableIsInTheDocumentation holds the page to the program: go test ./internal/source
// -run Documentation -update writes it anew.
func TestTheAutomaticTableIsInTheDocumentation(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	from := bytes.Index(text, []byte(tableHead))
	if from < 0 {
		t.Fatalf("%s has no table of what is left out by itself", page)
	}
	to := from + bytes.Index(text[from:], []byte("\n\n")) + 1
	want := automaticTable()
	if *update {
		out := slices.Concat(text[:from], []byte(want), text[to:])
		if err := os.WriteFile(page, out, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got := string(text[from:to]); got != want {
		t.Errorf("the table in %s is not that of the program:\n%s", page, want)
	}
}
