package repo

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"keepward/internal/errs"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
	"keepward/internal/repo/repoconf"
	"keepward/internal/repo/seal"
	"keepward/internal/storage"
)

// CheckOptions say how far a check goes.
type CheckOptions struct {
	// ReadData reads every byte of every pack, and with keys opens what points need and
	// compares its content with its hash; without it headers, directories and lengths.
	ReadData bool
	// Repair publishes rebuilt index segments and marks damaged chunks, so that the next backup
	// that holds them stores them again. It needs Attempt, the check's own.
	Repair  bool
	Attempt point.Attempt
	// Keys, IssueKey and ComputersKey open chunks, and name the files that need a damaged one.
	// Without all three only checksums are compared, and only points are named.
	Keys         *seal.Keys
	IssueKey     *seal.Secret
	ComputersKey *seal.ComputersKey
	// Progress, if set, is told the bytes read so far and in all, from several goroutines.
	Progress func(done, total int64)
}

// Report is what a check saw.
type Report struct {
	Packs, Chunks, Points, Segments, BytesRead int64
	// ProvedChunks were opened, and the ProvedBytes of their content match their hashes.
	ProvedChunks, ProvedBytes int64
	Findings                  []Finding
}

// Finding is one object that is not as it must be.
type Finding struct {
	Object   string // pack, chunk, segment, point, checkpoint, configuration, key or owner
	Name     string // within the repository; of a chunk, its pack
	Chunk    string // id in hex, where one is meant
	Code     string
	Text     string
	Repaired string // what was done about it, or why nothing is lost; empty: neither
	// Affected are the first of the files that cannot be restored; AffectedTotal counts all.
	Affected      []AffectedFile
	AffectedTotal int64
}

// AffectedFile is a file that needs what was found damaged. An empty path with a computer is
// the whole point; without a computer the keys to say more were not there.
type AffectedFile struct {
	Point    point.Attempt
	Computer string
	Path     []byte
}

// maxAffected bounds the list of files of one finding; the rest is counted.
const maxAffected = 1000

// Clean tells whether everything can be restored.
func (r Report) Clean() bool {
	for _, f := range r.Findings {
		if f.Repaired == "" {
			return false
		}
	}
	return true
}

// checker is one run of Check.
type checker struct {
	r    *Repository
	opts CheckOptions
	read atomic.Int64

	provedChunks, provedBytes atomic.Int64
	opened                    chunkSet // by the content walk

	done  atomic.Int64 // bytes of packs that were looked at
	total int64

	mu      sync.Mutex // guards what follows while packs are read in parallel
	report  Report
	chunks  map[seal.ID]int // position among the findings
	bad     map[place]bool  // places found damaged now
	badRows []badRow
	clean   map[seal.ID]bool       // metadata chunks, and lost ones: all below them can be read
	sealed  map[point.Attempt]bool // points that do not open
}

type badRow struct {
	pack  packKey
	entry pack.Entry
	mark  bool // to store the chunk again helps
}

// Check looks at every object. It answers an error only if it could not go on; what it found
// is in the report.
func (r *Repository) Check(ctx context.Context, o CheckOptions) (Report, error) {
	if o.Repair && o.Attempt == (point.Attempt{}) {
		return Report{}, errs.New(errs.Internal, "", "check repository: a check that repairs needs an attempt")
	}
	c := &checker{
		r: r, opts: o, opened: chunkSet{}, chunks: map[seal.ID]int{}, bad: map[place]bool{},
		clean: map[seal.ID]bool{}, sealed: map[point.Attempt]bool{},
	}
	if err := r.Refresh(ctx); err != nil {
		return c.report, err
	}
	for _, step := range []func(context.Context) error{
		c.configuration, c.keys, c.owners, c.segments, c.content, c.packs, c.mark, c.points, c.checkpoints,
	} {
		if err := step(ctx); err != nil {
			return c.report, err
		}
	}
	c.report.BytesRead = c.read.Load()
	c.report.ProvedChunks, c.report.ProvedBytes = c.provedChunks.Load(), c.provedBytes.Load()
	return c.report, nil
}

// expect says how much there is to look at, for the progress.
func (c *checker) expect(packs []storage.Info) {
	c.total = 0
	for _, info := range packs {
		c.total += info.Size
	}
}

func (c *checker) advance(n int64) {
	if done := c.done.Add(n); c.opts.Progress != nil {
		c.opts.Progress(done, c.total)
	}
}

func (c *checker) find(f Finding) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Findings = append(c.report.Findings, f)
	return len(c.report.Findings) - 1
}

// chunk is the finding of a chunk, made now if need be.
func (c *checker) chunk(id seal.ID, name, code, text string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, ok := c.chunks[id]
	if !ok {
		i = len(c.report.Findings)
		c.chunks[id] = i
		c.report.Findings = append(c.report.Findings, Finding{Object: "chunk", Name: name, Chunk: id.String(), Code: code, Text: text})
	}
	return i
}

func (c *checker) affect(finding int, files int64, f AffectedFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &c.report.Findings[finding]
	p.AffectedTotal += files
	if len(p.Affected) < maxAffected {
		p.Affected = append(p.Affected, f)
	}
}

func (c *checker) configuration(ctx context.Context) error {
	raw, err := c.r.b.Get(ctx, configName, repoconf.Size)
	var damage error
	if err == nil {
		_, damage, err = ParseConfig(raw)
	}
	switch errs.KindOf(err) {
	case "":
	case errs.Corrupt, errs.NotFound:
		lost := configLost(c.r.b, err)
		c.find(Finding{Object: "configuration", Name: configName, Code: errs.CodeOf(lost), Text: fmt.Sprintf("%v; %s", lost, errs.HintOf(lost))})
	default:
		return err
	}
	if damage != nil {
		c.find(Finding{
			Object: "configuration", Name: configName, Code: "configuration.damaged", Text: damage.Error(),
			Repaired: "nothing is lost: the other of its two copies is used",
		})
	}
	return nil
}

// small checks the small objects of a folder with parse.
func (c *checker) small(ctx context.Context, dir, object, lost string, limit int64, parse func([]byte) error) error {
	infos, err := c.r.list(ctx, dir)
	if err != nil {
		return err
	}
	for _, info := range infos {
		content, err := c.r.b.Get(ctx, info.Name, limit)
		if err == nil {
			err = parse(content)
		}
		switch errs.KindOf(err) {
		case "", errs.NotFound: // good, or removed since it was listed
		case errs.Corrupt:
			c.find(Finding{Object: object, Name: info.Name, Code: object + ".damaged", Text: fmt.Sprintf("%v; %s", err, lost)})
		default:
			return err
		}
	}
	return nil
}

func (c *checker) keys(ctx context.Context) error {
	return c.small(ctx, keysDir, "key", "the recovery key cannot open the repository with it; the server still holds the keys", repoconf.KeyObjectSize, func(b []byte) error {
		id, err := repoconf.CheckKeyObject(b)
		if err == nil && id != c.r.cfg.ID {
			err = errs.New(errs.Corrupt, "key.repository", "read key object: it is of another repository")
		}
		return err
	})
}

func (c *checker) owners(ctx context.Context) error {
	return c.small(ctx, ownerDir, "owner", "who owns the repository cannot be told from it; no data is lost", maxOwner, func(b []byte) error {
		_, err := parseOwner(b)
		return err
	})
}
