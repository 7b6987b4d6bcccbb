package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/treecmp"
	"keepward/internal/treegen"
	"keepward/test/site"
)

// mostOfOne limits what is taken of each real directory, so that the demo takes
// minutes on a machine with much in /usr.
const mostOfOne = 500 << 20

type demo struct {
	dir, src string
	zoo      string // one of every kind of file
	count    int
	bytes    int64
	site     *site.Site
	before   string // the state at the first backup
	changes  treegen.Mutation
	points   []*keepwardv1.Point
	rows     []row
}

// row is a line of the table at the end.
type row struct {
	what   string
	took   time.Duration
	note   string
	moved  int64 // bytes, for the rate
	stored int64
}

// realDirs are Go's own tree, if go is there, and parts of /usr.
func realDirs() []string {
	dirs := []string{"/usr/share", "/usr/lib"}
	if out, err := exec.Command("go", "env", "GOROOT").Output(); err == nil {
		dirs = append([]string{strings.TrimSpace(string(out))}, dirs...)
	}
	return dirs
}

func (d *demo) title(format string, args ...any) { fmt.Printf("\n== "+format+"\n", args...) }
func (d *demo) say(format string, args ...any)   { fmt.Printf(format+"\n", args...) }

// do shows a command, runs it and shows what it says.
func (d *demo) do(args ...string) (site.Result, time.Duration, error) {
	fmt.Printf("$ keepward %s\n", strings.Join(args, " "))
	began := time.Now()
	r, err := d.site.Do(args...)
	took := time.Since(began)
	fmt.Print(shortened(r.Stdout))
	return r, took, err
}

// shortened keeps a long listing readable.
func shortened(s string) string {
	const most = 12
	lines := strings.SplitAfter(s, "\n")
	if len(lines) <= most+1 {
		return s
	}
	return strings.Join(lines[:most], "") + fmt.Sprintf("… %d lines more\n", len(lines)-1-most)
}

func (d *demo) enrol(bin string) error {
	d.title("A server, a transport service and an agent: three processes, joined by one-time tokens")
	began := time.Now()
	s, err := site.Start(bin, filepath.Join(d.dir, "site"))
	if err != nil {
		return err
	}
	d.site = s
	if _, err := s.AddTransport("store1"); err != nil {
		return err
	}
	if _, err := s.AddAgent("web1"); err != nil {
		return err
	}
	d.rows = append(d.rows, row{what: "enrolment", took: time.Since(began), note: "server, transport and agent started and joined"})
	repository := filepath.Join(d.dir, "repository")
	for _, args := range [][]string{
		{"computer", "list"},
		{"repository", "create", "main", "--transport", "store1", "--path", repository},
		{"repository", "recovery-key", "main", "--out", d.keyFile()},
		{"job", "create", "docs", "--computer", "web1", "--include", d.src, "--include", d.zoo, "--exclude", excluded, "--repository", "main"},
	} {
		if _, _, err := d.do(args...); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) keyFile() string { return filepath.Join(d.dir, "main.key") }

func (d *demo) full() error {
	d.title("Full backup")
	return d.backup("full backup")
}

func (d *demo) backup(what string) error {
	_, took, err := d.do("job", "run", "docs", "--wait")
	if err != nil {
		return err
	}
	s, err := d.site.LastSession("docs")
	if err != nil {
		return err
	}
	c := s.GetProgress().GetCounters()
	d.rows = append(d.rows, row{
		what: what, took: took, moved: c.ReadBytes, stored: c.StoredBytes,
		note: fmt.Sprintf("%d files read, %d taken over", c.ReadFiles, c.ReusedFiles),
	})
	return nil
}

func (d *demo) change() error {
	d.title("1 %% of the files change, some are deleted, renamed, added")
	d.before = filepath.Join(d.dir, "before")
	if out, err := exec.Command("cp", "-a", d.src, d.before).CombinedOutput(); err != nil {
		return fmt.Errorf("copy %s: %w: %s", d.src, err, out)
	}
	c, err := treegen.Mutate(d.src, 0.01, 1)
	d.changes = c
	d.say("%d changed, %d deleted, %d renamed, %d added", len(c.Changed), len(c.Deleted), len(c.Renamed), len(c.Added))
	return err
}

func (d *demo) incremental() error {
	d.title("Incremental backup")
	if err := d.backup("incremental"); err != nil {
		return err
	}
	if err := d.backup("nothing changed"); err != nil {
		return err
	}
	points, err := d.site.Points("web1")
	if err == nil && len(points) != 3 {
		err = fmt.Errorf("%d restore points after three backups", len(points))
	}
	d.points = points
	return err
}

func (d *demo) look() error {
	d.title("Browse, and the difference of two points")
	newest, first := d.points[0].Id, d.points[2].Id
	_, took, err := d.do("point", "browse", newest, filepath.Join(d.src, "copy0", "usr/share"))
	if err != nil {
		return err
	}
	d.rows = append(d.rows, row{what: "browse a directory", took: took})
	r, took, err := d.do("point", "diff", first, newest)
	if err != nil {
		return err
	}
	for _, f := range d.changes.Changed {
		if !strings.HasSuffix(f, ".pyc") && !strings.Contains(r.Stdout, filepath.Join(d.src, f)) {
			return fmt.Errorf("the difference does not show %s", f)
		}
	}
	d.rows = append(d.rows, row{what: "difference of two points", took: took, note: fmt.Sprintf("%d entries", strings.Count(r.Stdout, "\n"))})
	return nil
}

func (d *demo) restore() error {
	d.title("Restore the newest and the first point, and compare bit for bit and metadata for metadata")
	for _, p := range []struct{ what, point, want string }{
		{"restore the newest", "latest", d.src},
		{"restore the first", d.points[2].Id, d.before},
	} {
		to := filepath.Join(d.dir, "restored")
		_, took, err := d.do("restore", "files", "--computer", "web1", "--point", p.point, "--to", to, "--wait")
		if err != nil {
			return err
		}
		d.rows = append(d.rows, row{what: p.what, took: took, moved: d.bytes, note: "equal"})
		if err := d.compare(p.want, to); err != nil {
			return err
		}
		if err := treegen.Remove(to); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) extract() error {
	d.title("Everything stopped: restore from the bare repository with the recovery key")
	if err := d.site.Close(); err != nil {
		return err
	}
	to := filepath.Join(d.dir, "extracted")
	_, took, err := d.do("extract", "--repository", filepath.Join(d.dir, "repository"), "--recovery-key", d.keyFile(), "--point", "latest", "--to", to)
	if err != nil {
		return err
	}
	d.rows = append(d.rows, row{what: "extract without a server", took: took, moved: d.bytes, note: "equal"})
	return d.compare(d.src, to)
}

// compare fails unless a restore in dir is what want and the zoo are, apart from what the
// job excludes.
func (d *demo) compare(want, dir string) error {
	var sum treecmp.Result
	for from, to := range map[string]string{want: filepath.Join(dir, d.src), d.zoo: filepath.Join(dir, d.zoo)} {
		res, err := treecmp.Each(from, to, treecmp.Options{Ignore: []string{excluded}, IgnoreOwner: os.Geteuid() != 0}, func(line string) {
			if sum.Differences++; sum.Differences <= 10 {
				d.say("differs: %s", line)
			}
		})
		if err != nil {
			return err
		}
		sum.Entries += res.Entries
		sum.Bytes += res.Bytes
	}
	if sum.Differences > 0 {
		return fmt.Errorf("%d differences between the source and what was restored to %s", sum.Differences, dir)
	}
	d.say("compared %d entries, %d MiB: no difference", sum.Entries, sum.Bytes>>20)
	return nil
}

// excluded is what the job leaves out.
const excluded = "*.pyc"

func (d *demo) table() {
	d.title("What happened: %d files, %d MiB", d.count, d.bytes>>20)
	fmt.Printf("%-26s %9s %10s %11s  %s\n", "step", "time", "rate", "stored", "")
	for _, r := range d.rows {
		rate, stored := "", ""
		if r.moved > 0 {
			rate = fmt.Sprintf("%.0f MiB/s", float64(r.moved)/(1<<20)/r.took.Seconds())
		}
		if r.stored > 0 {
			stored = fmt.Sprintf("%.1f MiB", float64(r.stored)/(1<<20))
		}
		fmt.Printf("%-26s %7.2f s %10s %11s  %s\n", r.what, r.took.Seconds(), rate, stored, r.note)
	}
}
