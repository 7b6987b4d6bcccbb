package source

import (
	"context"
	"errors"
	"io"
	"testing"
)

func BenchmarkWalk(b *testing.B) {
	files := 0
	for b.Loop() {
		w, err := NewWalker(Selection{Include: []string{"/usr"}}, func(Problem) {})
		if err != nil {
			b.Fatal(err)
		}
		files = 0
		for {
			_, err := w.Next(context.Background())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			files++
		}
		w.Close()
	}
	b.ReportMetric(float64(files)*float64(b.N)/b.Elapsed().Seconds(), "files/s")
	b.ReportMetric(float64(files), "files")
}
