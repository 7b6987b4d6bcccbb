// Command man writes the manual pages of Keepward into a directory, for packages. They
// are made from the same texts as --help.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra/doc"

	"keepward/internal/cli"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run ./internal/cli/man DIR")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root := cli.Command()
	root.DisableAutoGenTag = true // the date would differ at every build
	return doc.GenManTree(root, &doc.GenManHeader{Title: "KEEPWARD", Section: "1", Source: "Keepward"}, dir)
}
