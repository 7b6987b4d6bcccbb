// Command brokenagent is a version of the agent that is broken on purpose. What follows the mark at
// its end says which it is and what is wrong with it: "exits", or "hangs".
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
)

func main() { os.Exit(run()) }

func run() int {
	path, err := os.Executable()
	if err != nil {
		return 1
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return 1
	}
	// In two parts, so that the mark stands in the program only where it was put.
	end := b[bytes.LastIndex(b, append([]byte("\nbroken-"), "agent "...))+1:]
	words := bytes.Fields(end)
	if len(words) != 3 {
		return 1
	}
	version, how := string(words[1]), string(words[2])
	if slices.Equal(os.Args[1:], []string{"agent-self-check"}) {
		fmt.Printf("%s %s/%s\n", version, runtime.GOOS, runtime.GOARCH)
		return 0
	}
	fmt.Fprintln(os.Stderr, "broken on purpose:", how)
	if how == "hangs" {
		_, _ = io.Copy(io.Discard, os.Stdin) // until the version before it has had enough
	}
	return 3
}
