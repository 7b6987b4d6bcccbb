//go:build linux

// Command treecmp compares two trees and prints one line for each difference.
//
//	treecmp [options] LEFT RIGHT
//
// It ends with 0 if they are the same, 1 if they differ, 2 if they cannot be compared.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"

	"keepward/internal/treecmp"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

type list []string

func (l *list) String() string     { return fmt.Sprint(*l) }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func run(args []string, stdout, stderr io.Writer) int {
	var o treecmp.Options
	f := flag.NewFlagSet("treecmp", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Var((*list)(&o.Ignore), "ignore", "glob on base names to leave out; may be repeated")
	f.Var((*list)(&o.IgnoreXattr), "ignore-xattr", "glob on extended attributes to leave out; may be repeated")
	f.BoolVar(&o.IgnoreFlags, "ignore-flags", false, "do not compare file flags")
	f.BoolVar(&o.IgnoreHoles, "ignore-holes", false, "do not compare where files are allocated")
	f.BoolVar(&o.IgnoreOwner, "ignore-owner", false, "do not compare owner and group")
	f.BoolVar(&o.IgnoreTimes, "ignore-times", false, "do not compare mtimes")
	f.BoolVar(&o.IgnoreRoot, "ignore-root", false, "do not compare the metadata of the two roots themselves")
	if err := f.Parse(args); err != nil {
		return 2
	}
	if f.NArg() != 2 {
		fmt.Fprintln(stderr, "treecmp: two directories are needed")
		return 2
	}
	out := bufio.NewWriter(stdout)
	res, err := treecmp.Each(f.Arg(0), f.Arg(1), o, func(line string) { fmt.Fprintln(out, line) })
	if ferr := out.Flush(); err == nil {
		err = ferr
	}
	if err != nil {
		fmt.Fprintln(stderr, "treecmp:", err)
		return 2
	}
	fmt.Fprintf(stderr, "treecmp: %d entries, %d bytes compared, %d differences\n", res.Entries, res.Bytes, res.Differences)
	if res.Differences > 0 {
		return 1
	}
	return 0
}
