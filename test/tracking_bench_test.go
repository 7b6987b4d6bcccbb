package test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkTracked is a backup of n tiny files of which k have changed, with real processes, from
// the start of the session to its end by the server's clock: the median of the runs as s/backup.
// KEEPWARD_BENCH_FILES says how many files, such as "100000,1000000"; 100 000 without it.
//
//	KEEPWARD_BIN=bin/keepward go test ./test -run xxx -bench Tracked -benchtime 5x
func BenchmarkTracked(b *testing.B) {
	counts := os.Getenv("KEEPWARD_BENCH_FILES")
	if counts == "" {
		counts = "100000"
	}
	for _, kind := range []string{"btrfs", "ext4"} {
		for text := range strings.SplitSeq(counts, ",") {
			n, err := strconv.Atoi(text)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("%s/%d", kind, n), func(b *testing.B) { benchmarkTracked(b, kind, n) })
		}
	}
}

func benchmarkTracked(b *testing.B, kind string, n int) {
	needRoot(b)
	needPrograms(b, "mkfs."+kind, "mount", "umount", "losetup")
	dir := tempDir(b)
	image, disk := filepath.Join(dir, "disk.img"), filepath.Join(dir, "disk")
	src := filepath.Join(disk, "data")
	for _, err := range []error{os.WriteFile(image, nil, 0o600), os.Truncate(image, 1<<30+int64(n)*10<<10), os.Mkdir(disk, 0o755)} {
		if err != nil {
			b.Fatal(err)
		}
	}
	options := []string{"-q"}
	if kind == "ext4" {
		options = append(options, "-N", strconv.Itoa(2*n))
	}
	command(b, "mkfs."+kind, append(options, image)...)
	command(b, "mount", "-o", "loop", image, disk)
	b.Cleanup(func() { command(b, "umount", "-l", disk) })
	file := func(i int) string {
		return filepath.Join(src, fmt.Sprintf("d%04d", i/10_000), fmt.Sprintf("e%02d", i/100%100), fmt.Sprintf("f%02d", i%100))
	}
	for i := range n {
		if i%100 == 0 {
			if err := os.MkdirAll(filepath.Dir(file(i)), 0o755); err != nil {
				b.Fatal(err)
			}
		}
		if err := os.WriteFile(file(i), fmt.Appendf(nil, "%d\n", i), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	command(b, "sync")
	f := newFleet(b)
	f.AgentArgs = []string{"--trust-hidden"}
	f.addAgent("web1")
	f.createJob("docs", "web1", []string{src})
	f.run("docs")
	f.run("docs") // what was young is looked at once more
	measure := func(name string, k int) {
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				for range k {
					if err := os.WriteFile(file(rand.IntN(n)), fmt.Append(nil, rand.Uint64()), 0o644); err != nil {
						b.Fatal(err)
					}
				}
				s := f.run("docs")
				took = append(took, s.Ended.AsTime().Sub(s.Started.AsTime()))
			}
			slices.Sort(took)
			b.ReportMetric(took[len(took)/2].Seconds(), "s/backup")
		})
	}
	for _, k := range []int{0, 100, 1000, 10_000} {
		measure(fmt.Sprint(k), k)
	}
	f.do("job", "edit", "docs", "--no-tracking")
	measure("0-untracked", 0)
}
