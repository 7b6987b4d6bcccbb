package cli

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "rewrite docs/reference/cli.md")

// TestDocumentationPrintsEveryCommand holds docs/reference/cli.md to the commands: go test
// ./internal/cli -run Documentation -update writes it anew.
func TestDocumentationPrintsEveryCommand(t *testing.T) {
	const path = "../../docs/reference/cli.md"
	want := commandReference()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("cli.md differs from the commands; run this test with -update (-commands +page):\n%s", d)
	}
}

func commandReference() []byte {
	var b bytes.Buffer
	b.WriteString("# Every command\n\nPrinted from the commands by a test in `internal/cli`; do not edit by hand. What all commands have in common,\n" +
		"output and exit statuses among it, is in [the guide](../user/cli.md).\n")
	root := Command()
	b.WriteString("\n## Flags of all commands\n\n")
	flagBlock(&b, root.PersistentFlags().FlagUsages())
	section(&b, root)
	return b.Bytes()
}

func section(b *bytes.Buffer, parent *cobra.Command) {
	for _, c := range parent.Commands() {
		if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		level := strings.Repeat("#", 1+strings.Count(c.CommandPath(), " "))
		fmt.Fprintf(b, "\n%s %s\n\n%s.\n", level, c.CommandPath(), strings.TrimSuffix(c.Short, "."))
		if c.Long != "" {
			fmt.Fprintf(b, "\n%s\n", c.Long)
		}
		if c.HasSubCommands() && c.Example == "" { // a noun: it does nothing by itself
			section(b, c)
			continue
		}
		fmt.Fprintf(b, "\n```\n%s\n```\n", c.UseLine())
		if flags := c.NonInheritedFlags(); flags.HasFlags() {
			b.WriteString("\n")
			flagBlock(b, flags.FlagUsages())
		}
		fmt.Fprintf(b, "\n```\n%s\n```\n", strings.ReplaceAll(strings.TrimPrefix(c.Example, "  "), "\n  ", "\n"))
		section(b, c)
	}
}

// flagBlock is the flags as --help prints them.
func flagBlock(b *bytes.Buffer, usages string) {
	fmt.Fprintf(b, "```\n%s```\n", usages)
}
