package repotest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// Backup is one attempt of a computer.
type Backup struct {
	Site     *Site
	Computer string
	Attempt  point.Attempt
	Files    map[string]string // content by path
	// ChunkSize is where files are cut; zero: 1000 bytes, so that small tests have files of
	// several chunks.
	ChunkSize int
	// Spoil, if set, answers what is sealed in the place of a chunk's content: a computer with
	// bad memory.
	Spoil func(fileindex.Chunk) []byte
	// Bundle is how many files share a bundle; zero: none does.
	Bundle int
	// Parent, if set, is the backup whose extents files keep that did not change; it was stored.
	Parent *Backup
	// Level is how chunks are compressed; zero: fast.
	Level seal.Compression

	// Ahead is how many files, the last ones, a checkpoint has behind its path tree. Of the very
	// last one it has the beginning, and all of it under an inode (InodeAhead).
	Ahead int

	extents map[string][]fileindex.Extent // of what was stored, by path
}

// Cut is content in pieces of size bytes.
func Cut(content string, size int) []string {
	var out []string
	for part := range slices.Chunk([]byte(content), size) {
		out = append(out, string(part))
	}
	return out
}

// Saver seals chunks and puts them.
type Saver struct {
	Writer Writer
	Sealer *seal.Sealer
	Spoil  func(fileindex.Chunk) []byte
}

// Save implements fileindex.Saver.
func (v *Saver) Save(_ context.Context, c fileindex.Chunk) error {
	if v.Spoil != nil {
		c.Content = v.Spoil(c)
	}
	refs := make([]seal.ID, len(c.Refs))
	for i, h := range c.Refs {
		refs[i] = h.ID()
	}
	rec, err := v.Sealer.Seal(nil, c.Kind, c.H, refs, c.Content)
	if err == nil {
		_, err = v.Writer.Put(rec)
	}
	return err
}

// Store puts files and their index and answers the draft of a point of them.
func (b *Backup) Store(ctx context.Context, w Writer, files map[string]string) (point.Draft, error) {
	keys := b.Site.Keys(b.Computer)
	hasher := keys.NewHasher()
	sealer, err := seal.NewSealer(keys, cmp.Or(b.Level, seal.CompressFast))
	if err != nil {
		return point.Draft{}, err
	}
	v := &Saver{w, sealer, b.Spoil}
	if err := b.contents(ctx, v, hasher, files); err != nil {
		return point.Draft{}, err
	}
	paths := sortedPaths(files)
	ready := max(0, len(paths)-b.Ahead)
	root := fileindex.Root{Include: []string{"/"}}
	if root.Paths, err = b.tree(ctx, v, hasher, files, paths[:ready]); err != nil {
		return point.Draft{}, err
	}
	if root.Ahead, err = b.tree(ctx, v, hasher, files, paths[ready:]); err != nil {
		return point.Draft{}, err
	}
	if b.Ahead > 0 {
		if root.AheadInodes, err = b.inode(ctx, v, hasher, files, paths[len(paths)-1]); err != nil {
			return point.Draft{}, err
		}
	}
	h, err := root.Save(ctx, hasher, v)
	if err != nil {
		return point.Draft{}, err
	}
	body, err := point.SealBody(keys.ComputerKey, b.Site.ID, b.Attempt, point.Body{Root: h, Files: int64(len(files))})
	return point.Draft{Type: point.Complete, RootID: h.ID(), Body: body}, err
}

// tree stores a tree of some of the files.
func (b *Backup) tree(ctx context.Context, v *Saver, hasher *seal.Hasher, files map[string]string, paths []string) (fileindex.Tree, error) {
	tree := fileindex.NewBuilder(seal.KindNode, hasher, v)
	for _, path := range paths {
		e := b.entry(files, path)
		if all := sortedPaths(files); b.Ahead > 0 && path == all[len(all)-1] {
			e.State, e.Extents = fileindex.Incomplete, e.Extents[:1]
		}
		if err := tree.Add(ctx, &e); err != nil {
			return fileindex.Tree{}, err
		}
	}
	return tree.Finish(ctx)
}

func (b *Backup) entry(files map[string]string, path string) fileindex.Entry {
	return fileindex.Entry{Path: []byte(path), Type: fileindex.File, Mode: 0o644, Size: int64(len(files[path])), Extents: b.extents[path]}
}

// InodeAhead is the name that RestoreFrom gives to what a checkpoint has under an inode.
const InodeAhead = "inode 7 of device 5"

// inode stores a tree of one file.
func (b *Backup) inode(ctx context.Context, v *Saver, hasher *seal.Hasher, files map[string]string, path string) (fileindex.Tree, error) {
	tree := fileindex.NewBuilder(seal.KindInode, hasher, v)
	e := b.entry(files, path)
	e.Path, e.Inode, e.Device = nil, 7, 5
	if err := tree.AddKeyed(ctx, fileindex.InodeKey(e.Device, e.Inode), &e); err != nil {
		return fileindex.Tree{}, err
	}
	return tree.Finish(ctx)
}

// unlessHeld stores a chunk that the repository does not hold.
func (v *Saver) unlessHeld(ctx context.Context, kind seal.Kind, h seal.H, content []byte) error {
	have, err := v.Writer.Have(ctx, []seal.H{h})
	if err != nil || have[0] {
		return err
	}
	return v.Save(ctx, fileindex.Chunk{Kind: kind, H: h, Content: content})
}

func sortedPaths(files map[string]string) []string {
	paths := slices.Collect(maps.Keys(files))
	slices.SortFunc(paths, func(x, y string) int { return fileindex.ComparePaths([]byte(x), []byte(y)) })
	return paths
}

// Issue is what the server would add to the point.
func (b *Backup) Issue() ([]byte, error) {
	return point.SealIssue(b.Site.Master.IssueKey(), b.Site.ID, b.Attempt, point.Issue{Computer: b.Computer, Job: "job", Time: time.Unix(1_700_000_100, 0)})
}

// Run stores all files and commits.
func (b *Backup) Run(ctx context.Context, w Writer) error {
	d, err := b.Store(ctx, w, b.Files)
	if err != nil {
		return err
	}
	issue, err := b.Issue()
	if err != nil {
		return err
	}
	return w.Commit(ctx, d, issue)
}
