package test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"keepward/test/formatreader"
	"keepward/test/site"
)

// A reader that knows nothing but the pages of the format and the recovery key brings back
// what was backed up, whatever the sizes of files and however they were packed. It finds the
// chunks through the index, and without it.
func TestThePagesOfTheFormatAreEnoughToReadIt(t *testing.T) {
	needPrograms(t, "diff")
	f := newFleet(t, "web1")
	dir := tempDir(t)
	src := filepath.Join(dir, "src")
	f.must(site.RandomTree(src, 1500, 8<<20, 1))
	r := rand.New(rand.NewPCG(1, 1))
	for name, size := range map[string]int{"empty": 0, "one": 1, "300k": 300 << 10, "large": 9 << 20, "linked": 1 << 10, "linked large": 2 << 20} {
		f.must(os.WriteFile(filepath.Join(src, name), site.Noise(r, size), 0o600))
	}
	for name, lines := range map[string]int{"text": 2000, "large text": 40_000} {
		f.must(os.WriteFile(filepath.Join(src, name), bytes.Repeat([]byte("a line\n"), lines), 0o600))
	}
	f.must(os.Link(filepath.Join(src, "linked"), filepath.Join(src, "other name")))
	f.must(os.Link(filepath.Join(src, "linked large"), filepath.Join(src, "other large name")))
	f.must(os.Symlink("linked", filepath.Join(src, "symlink")))
	f.must(os.MkdirAll(filepath.Join(src, "empty dir"), 0o700))
	// More than 16 extents, and a hole at the end.
	sparse, err := os.Create(filepath.Join(src, "sparse"))
	f.must(err)
	for i := range int64(40) {
		_, err := sparse.WriteAt(site.Noise(r, 8<<10), i<<20)
		f.must(err)
	}
	f.must(sparse.Truncate(131 << 20)) // a signature of two levels
	_, err = sparse.WriteAt(site.Noise(r, 5000), 131<<20)
	f.must(err)

	f.createJob("docs", "web1", []string{src}, "--compression", "fast")
	f.run("docs")
	first := filepath.Join(dir, "first")
	f.must(exec.Command("cp", "-a", src, first).Run())
	// Rewritten in place: its blocks lie in bundles, the rest in parts of chunks.
	for range 20 {
		_, err := sparse.WriteAt(site.Noise(r, 3000), r.Int64N(45<<20))
		f.must(err)
	}
	f.must(sparse.Close())
	f.run("docs")
	second := filepath.Join(dir, "second")
	f.must(exec.Command("cp", "-a", src, second).Run())
	f.must(os.WriteFile(filepath.Join(src, "linked"), site.Noise(r, 5000), 0o600))
	f.must(os.Remove(filepath.Join(src, "300k")))
	f.createJob("small", "web1", []string{src}, "--compression", "high")
	f.run("small")

	key, err := os.ReadFile(f.key)
	f.must(err)
	reader, err := formatreader.Open(f.repo, string(key))
	f.must(err)
	points, err := reader.Points()
	f.must(err)
	if len(points) != 3 {
		t.Fatalf("points: %+v", points)
	}
	slices.SortFunc(points, func(a, b formatreader.Point) int { return a.Time.Compare(b.Time) })
	want := []string{first, second, src}
	for _, how := range []string{"by the index", "without the index"} {
		if how != "by the index" {
			f.must(reader.WithoutIndex())
		}
		for i, p := range points {
			if p.Computer != "web1" || p.Job != []string{"docs", "docs", "small"}[i] {
				t.Fatalf("point %+v", p)
			}
			to := tempDir(t)
			f.must(reader.Restore(p, to))
			if out, err := exec.Command("diff", "-r", "--no-dereference", want[i], below(to, src)).CombinedOutput(); err != nil {
				t.Errorf("point of job %s, %s: %v\n%s", p.Job, how, err, firstLines(string(out)))
			}
		}
	}
}

// The same of a checkpoint that was made in the middle of a file.
func TestThePagesOfTheFormatTellTheGoldenCheckpoint(t *testing.T) {
	testdata := filepath.Join("..", "internal", "repo", "testdata")
	key, err := os.ReadFile(filepath.Join(testdata, "recovery-key.txt"))
	must(t, err)
	reader, err := formatreader.Open(filepath.Join(testdata, "golden-v1-ahead"), string(key))
	must(t, err)
	all, err := reader.Checkpoints()
	if err != nil || len(all) != 1 {
		t.Fatalf("checkpoints %+v, %v", all, err)
	}
	to := t.TempDir()
	begun, err := reader.RestoreAhead(all[0], to)
	must(t, err)
	if len(begun) != 1 {
		t.Fatalf("the beginnings of %v", begun)
	}
	files, err := site.Files(to)
	must(t, err)
	if len(files) != 3 { // a whole one, the beginning, and the same under its inode
		t.Errorf("files %v", files)
	}
	part, err := os.ReadFile(filepath.Join(to, begun[0]))
	must(t, err)
	whole, err := os.ReadFile(filepath.Join(to, "5-7"))
	must(t, err)
	if len(part) == 0 || len(part) >= len(whole) || !bytes.HasPrefix(whole, part) {
		t.Errorf("%d bytes are no beginning of %d", len(part), len(whole))
	}
}

// The format of the golden repository is that of the pages.
func TestThePagesOfTheFormatTellTheGoldenRepository(t *testing.T) {
	testdata := filepath.Join("..", "internal", "repo", "testdata")
	key, err := os.ReadFile(filepath.Join(testdata, "recovery-key.txt"))
	if err != nil {
		t.Fatal(err)
	}
	reader, err := formatreader.Open(filepath.Join(testdata, "golden-v1"), string(key))
	if err != nil {
		t.Fatal(err)
	}
	points, err := reader.Points()
	if err != nil || len(points) != 3 {
		t.Fatalf("points %+v, %v", points, err)
	}
	for _, p := range points {
		to := t.TempDir()
		if err := reader.Restore(p, to); err != nil {
			t.Errorf("point %s: %v", p.Attempt, err)
		}
		if files, err := site.Files(to); err != nil || len(files) == 0 {
			t.Errorf("point %s holds the files %v, %v", p.Attempt, files, err)
		}
	}
}
