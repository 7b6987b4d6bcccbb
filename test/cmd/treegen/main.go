//go:build linux

// Command treegen makes trees of files to test and measure with.
//
//	treegen zoo DIR                          every kind of file and nasty name
//	treegen small DIR [-n N]                 N files of 0 to 2 KiB in three levels
//	treegen bench DIR [-n N] [-bytes B] [-from TREE]…   varied copies of real trees
//	treegen mutate DIR [-share 0.01]         change, delete, rename, add; prints JSON
//	treegen image FILE [-bytes B]            a sparse disk image
//	treegen database FILE [-bytes B]         a file of 8 KiB pages
//	treegen rewrite FILE [-share 0.01]       rewrite pages in place
//	treegen remove DIR                       clear away, file flags or not
//
// All take -seed.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"

	"keepward/internal/treegen"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

type list []string

func (l *list) String() string     { return fmt.Sprint(*l) }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func run(args []string, stdout, stderr io.Writer) int {
	if len(args) < 2 {
		fmt.Fprintln(stderr, "treegen: what to make, and where, is needed")
		return 2
	}
	what, path := args[0], args[1]
	var from list
	f := flag.NewFlagSet("treegen "+what, flag.ContinueOnError)
	f.SetOutput(stderr)
	n := f.Int("n", 200_000, "number of files")
	size := f.Int64("bytes", 7<<29, "number of bytes")
	share := f.Float64("share", 0.01, "share to change")
	seed := f.Uint64("seed", 1, "another seed makes another tree")
	f.Var(&from, "from", "tree to copy from; may be repeated (default /usr)")
	if err := f.Parse(args[2:]); err != nil {
		return 2
	}
	if len(from) == 0 {
		from = list{"/usr"}
	}
	out, err := produce(what, path, *n, *size, *share, *seed, from)
	if err != nil {
		fmt.Fprintln(stderr, "treegen:", err)
		return 1
	}
	if out != nil {
		enc := json.NewEncoder(stdout)
		if err := enc.Encode(out); err != nil {
			fmt.Fprintln(stderr, "treegen:", err)
			return 1
		}
	}
	return 0
}

// produce makes one thing and answers what there is to say of it, nil if nothing.
func produce(what, path string, n int, size int64, share float64, seed uint64, from []string) (any, error) {
	switch what {
	case "small", "bench", "zoo":
		if err := os.MkdirAll(path, 0o755); err != nil {
			return nil, err
		}
	}
	switch what {
	case "zoo":
		missing, err := treegen.Zoo(path)
		return map[string][]string{"missing": missing}, err
	case "small":
		return nil, treegen.Small(path, n)
	case "bench":
		return treegen.Bench(path, treegen.BenchOptions{From: from, Files: n, Bytes: size, Seed: seed})
	case "mutate":
		return treegen.Mutate(path, share, seed)
	case "image":
		return nil, treegen.VMImage(path, size, seed)
	case "database":
		return nil, treegen.Database(path, size, seed)
	case "rewrite":
		return nil, treegen.RewritePages(path, share, seed)
	case "remove":
		return nil, treegen.Remove(path)
	}
	return nil, fmt.Errorf("%q is nothing it can make", what)
}
