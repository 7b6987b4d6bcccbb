package repo

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"keepward/internal/errs"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
	"keepward/internal/repo/proof"
	"keepward/internal/repo/repoconf"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/spill"
)

// CheckOptions say how far a check goes.
type CheckOptions struct {
	// ReadData reads packs as a whole, those with the oldest proofs first, and with keys opens
	// what points need and compares its content with its hash. Without it the structure is
	// looked at: every header and directory, and that all that points need is there.
	ReadData bool
	// Repair publishes rebuilt index segments, marks damaged chunks, so that the next backup
	// that holds them stores them again, mends what parity can make good, and records proofs. It
	// needs Attempt, the check's own.
	Repair  bool
	Attempt point.Attempt
	// Term is the order's, for the open marker of a check that mends.
	Term uint64
	// Keys, IssueKey and ComputersKey open chunks, and name the files that need a damaged one.
	// Without all three only checksums are compared, and only points are named.
	Keys         *seal.Keys
	IssueKey     *seal.Secret
	ComputersKey *seal.ComputersKey
	// Progress, if set, is told the bytes read so far and in all, from several goroutines.
	Progress func(done, total int64)

	// Time is that of proofs: the server's, of the order. Zero: none are recorded.
	Time time.Time
	// What follows says which packs are read; zero values leave none out.
	Since     time.Time     // not those proved then or later
	OlderThan time.Duration // only those whose proof is older, by Time
	Sample    float64       // so much of all bytes
	ProofDays int           // as much as keeps everything proved within so many days
	// Budget ends the reading at the next pack, but not before the first. Trees are read in any case.
	Budget time.Duration
	Rate   int64 // bytes per second; 0: no bound
	// Readers is how many packs are read at once; 0: the default.
	Readers int
	// Scratch is a folder for what memory does not hold of large repositories.
	Scratch string

	arrival       bool          // of one attempt's packs, before its point is there
	scratchMemory int           // bytes sorted at once; 0: the default
	publishEvery  time.Duration // 0: the default
}

// Report is what a check saw.
type Report struct {
	Packs, Chunks, Points, Segments, BytesRead int64
	// ProvedChunks were opened, and the ProvedBytes of their content match their hashes.
	ProvedChunks, ProvedBytes int64
	// ProvedPacks were read whole; LeftPacks were chosen and not reached within the budget.
	ProvedPacks, LeftPacks, LeftBytes int64
	Findings                          []Finding
	// MoreFindings are beyond those that are listed.
	MoreFindings int64
}

// Finding is one object that is not as it must be.
type Finding struct {
	Object   string // pack, chunk, segment, point, checkpoint, configuration, key, owner or file
	Name     string // within the repository; of a chunk, its pack
	Chunk    string // id in hex, where one is meant
	Code     string
	Text     string
	Repaired string // what was done about it, or why nothing is lost; empty: neither
	// Owner is the computer that stored what is not good, or its pseudonym in hex where no
	// point tells its name; empty: nobody, or not known.
	Owner string
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

const (
	// maxAffected bounds the list of files of one finding; the rest is counted.
	maxAffected = 1000
	// maxFindings bounds the list of findings: a disk that is gone is not told chunk by chunk.
	maxFindings = 10000
)

// Clean tells whether everything can be restored.
func (r Report) Clean() bool {
	for _, f := range r.Findings {
		if f.Repaired == "" {
			return false
		}
	}
	return r.MoreFindings == 0
}

// checker is one run of Check.
type checker struct {
	r    *Repository
	opts CheckOptions
	read atomic.Int64

	provedChunks, provedBytes atomic.Int64

	done  atomic.Int64 // bytes of packs that were looked at
	total int64

	there  map[pack.Key]int64 // packs that were listed, and their sizes
	known  proof.Set
	chosen []chosenPack // in the order in which they are read
	needed *spill.Sorter

	refreshed time.Time
	seen      chunkSet                  // metadata that was followed
	contested map[contested]bool        // the same, where it depends on who asks
	lostIDs   map[seal.ID]bool          // metadata that cannot be read, or something below it
	gonePacks map[pack.Key]bool         // reported
	left      map[pack.Key]bool         // went away while the check ran; guarded by mu
	named     map[packKey]bool          // packs that the index told of when they were listed
	untold    map[pack.Key][]pack.Entry // records that the index leaves out; guarded by mu
	sealed    map[point.Attempt]bool    // points that do not open
	names     map[[16]byte]string       // computers by their pseudonyms

	publishing sync.Mutex
	numbers    struct{ segment, proof uint32 } // guarded by publishing

	mu      sync.Mutex // guards what follows while packs are read in parallel
	report  Report
	chunks  map[seal.ID]int    // position among the findings
	bad     map[place]bool     // places found damaged now
	hashes  map[seal.ID]seal.H // of chunks that are not good at a place
	badRows []badRow
	marked  int // of badRows, are published
	proofs  []proof.Entry
	due     time.Time // of the next publication
	amiss   bool      // something that a point needs may be lost
	mended  map[seal.ID]bool
	lifted  map[place]bool // marked as damaged, and good
}

type badRow struct {
	pack  pack.Key
	entry pack.Entry
	mark  bool // to store the chunk again helps
}

// Check looks at every object. It answers an error only if it could not go on; what it found
// is in the report.
func (r *Repository) Check(ctx context.Context, o CheckOptions) (Report, error) {
	if o.Repair && o.Attempt == (point.Attempt{}) {
		return Report{}, errs.New(errs.Internal, "", "check repository: a check that repairs needs an attempt")
	}
	if r.cfg.Writable() != nil {
		o.Repair = false // a newer Keepward's: looking at it is allowed
	}
	c := r.newChecker(o)
	defer c.needed.Close()
	if err := r.Refresh(ctx); err != nil {
		return c.report, err
	}
	looks := []func(context.Context) error{c.configuration, c.keys, c.owners, c.segments, c.listPacks, c.listNamed}
	if o.ReadData {
		looks = append(looks, c.walk, c.data)
	} else {
		looks = append(looks, c.structure)
	}
	looks = append(looks, c.truth, c.publish, c.lift, c.mend, c.copies, c.points, c.checkpoints, c.reconcile)
	for _, look := range looks {
		if err := look(ctx); err != nil {
			return c.report, err
		}
	}
	c.nameOwners()
	c.sum()
	return c.report, nil
}

func (r *Repository) newChecker(o CheckOptions) *checker {
	c := &checker{
		r: r, opts: o, chunks: map[seal.ID]int{}, bad: map[place]bool{}, gonePacks: map[pack.Key]bool{},
		left: map[pack.Key]bool{}, untold: map[pack.Key][]pack.Entry{},
		seen: chunkSet{}, contested: map[contested]bool{}, lostIDs: map[seal.ID]bool{},
		sealed: map[point.Attempt]bool{}, names: map[[16]byte]string{},
		hashes: map[seal.ID]seal.H{}, mended: map[seal.ID]bool{}, lifted: map[place]bool{},
	}
	if c.opts.publishEvery == 0 {
		c.opts.publishEvery = publishEvery
	}
	c.due = time.Now().Add(c.opts.publishEvery)
	c.needed = spill.New(o.Scratch, neededSize, o.scratchMemory)
	return c
}

// sum puts what was counted into the report.
func (c *checker) sum() {
	c.report.BytesRead = c.read.Load()
	c.report.ProvedChunks, c.report.ProvedBytes = c.provedChunks.Load(), c.provedBytes.Load()
}

func (c *checker) advance(n int64) {
	if done := c.done.Add(n); c.opts.Progress != nil {
		c.opts.Progress(done, c.total)
	}
}

func (c *checker) find(f Finding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(f)
}

// add answers the position of a finding, or -1 if there are too many; c.mu is held.
func (c *checker) add(f Finding) int {
	if len(c.report.Findings) >= maxFindings {
		c.report.MoreFindings++
		return -1
	}
	c.report.Findings = append(c.report.Findings, f)
	return len(c.report.Findings) - 1
}

// chunk is the finding of a chunk, made now if need be; -1: one too many.
func (c *checker) chunk(id seal.ID, name, code, text string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, ok := c.chunks[id]
	if !ok {
		i = c.add(Finding{Object: "chunk", Name: name, Chunk: id.String(), Code: code, Text: text})
		c.chunks[id] = i
	}
	return i
}

func (c *checker) affect(finding int, files int64, f AffectedFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if finding < 0 {
		return
	}
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
		if !ours(info.Name) {
			continue // named with the strangers
		}
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
		id, err := repoconf.ParseKeyObject(b)
		if err == nil && id.Repository != c.r.cfg.ID {
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
