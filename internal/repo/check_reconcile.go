package repo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"keepward/internal/errs"
	"keepward/internal/repo/ledger"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
	"keepward/internal/storage"
)

// harmless is said of what is only named: nobody removes it, and nobody misses it.
const harmless = "nothing is lost by it, and it is left alone"

// codePackGone is the code of an index segment that tells of packs that are not there.
const codePackGone = "segment.pack-gone"

// reconcile names what index and directory do not agree on, and no point needs: packs that
// nobody knows, rows without a pack, and files that are not the repository's. What a point needs
// is found where points are followed.
func (c *checker) reconcile(ctx context.Context) error {
	for _, look := range []func(context.Context) error{c.unknownPacks, c.rowsWithoutPack, c.strangers} {
		if err := look(ctx); err != nil {
			return err
		}
	}
	return nil
}

// unknownPacks names packs that no segment names and whose attempt neither works nor is settled.
// Those of attempts that were cut off are left to the sweep.
func (c *checker) unknownPacks(ctx context.Context) error {
	known := c.r.indexed()
	for _, k := range slices.SortedFunc(maps.Keys(c.there), pack.Key.Compare) {
		if known[packKey{k.Attempt, k.Class, k.Number}] {
			continue
		}
		// In this order: a marker goes only when the attempt is settled.
		open, err := storage.Exists(ctx, c.r.b, attemptName(k.Attempt))
		if err != nil {
			return err
		}
		settled, err := c.r.Settled(ctx, k.Attempt)
		if err != nil {
			return err
		}
		if open || settled {
			continue
		}
		c.find(Finding{
			Object: "pack", Name: nameOf(k), Code: "pack.unknown", Repaired: harmless,
			Text: "no index segment, restore point or attempt at work knows it: it may be another repository's",
		})
	}
	return nil
}

// rowsWithoutPack names packs that the index tells of and that are not there, unless a sweep has
// taken them: their rows go when segments are merged.
func (c *checker) rowsWithoutPack(ctx context.Context) error {
	gone := map[pack.Key]string{}
	for _, s := range c.r.snapshot() {
		for _, p := range s.seg.Packs {
			k := pack.Key{Attempt: p.Attempt, Class: p.Class, Number: p.Number}
			if _, there := c.there[k]; !there && !c.left[k] {
				gone[k] = s.name
			}
		}
	}
	for k := range gone { // some may be newer than the listing
		there, err := storage.Exists(ctx, c.r.b, nameOf(k))
		if err != nil {
			return err
		}
		if there {
			delete(gone, k)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	swept, all, err := c.swept(ctx)
	if err != nil || !all {
		return err
	}
	for _, k := range slices.SortedFunc(maps.Keys(gone), pack.Key.Compare) {
		if !swept[k] && !c.gonePacks[k] {
			c.find(Finding{
				Object: "segment", Name: gone[k], Code: codePackGone, Repaired: harmless,
				Text: fmt.Sprintf("it tells of pack %s, which is not there and which no sweep has taken", nameOf(k)),
			})
		}
	}
	return nil
}

// swept are the packs that sweeps were to take, and whether the lists of all sweeps are kept.
func (c *checker) swept(ctx context.Context) (packs map[pack.Key]bool, all bool, err error) {
	generations, err := c.r.Generations(ctx)
	if err != nil || len(generations) > 0 && generations[0] != 1 {
		return nil, false, err
	}
	packs = map[pack.Key]bool{}
	for _, g := range generations {
		l, err := c.r.PackList(ctx, ledger.Condemned, g)
		switch errs.KindOf(err) {
		case "":
		case errs.NotFound, errs.Corrupt:
			return nil, false, nil
		default:
			return nil, false, err
		}
		for _, k := range l.Packs {
			packs[k] = true
		}
	}
	return packs, true, nil
}

// strangers names files in the repository's directory that are not its own.
func (c *checker) strangers(ctx context.Context) error {
	err := c.r.b.List(ctx, "", func(info storage.Info) error {
		if !ours(info.Name) {
			c.find(Finding{
				Object: "file", Name: info.Name, Code: "file.stranger", Repaired: harmless,
				Text: "it is no object of a repository",
			})
		}
		return ctx.Err()
	})
	if errs.KindOf(err) == errs.Denied { // a folder that is somebody else's, as lost+found
		c.find(Finding{Object: "file", Name: "", Code: "file.stranger", Repaired: harmless, Text: err.Error()})
		return nil
	}
	return err
}

// ours tells whether an object has a name of the format. Names of packs are looked at where
// packs are listed.
func ours(name string) bool {
	dir, rest, _ := strings.Cut(name, "/")
	number := func(digits int) bool {
		_, err := strconv.ParseUint(rest, 10, 64)
		return err == nil && (digits == 0 || len(rest) == digits)
	}
	attempt := func() bool { _, err := point.ParseAttempt(rest); return err == nil }
	numbered := func() bool { _, _, err := parseNumbered(name); return err == nil && !strings.Contains(rest, "/") }
	switch dir {
	case configName:
		return rest == ""
	case packsDir, tmpDir:
		return rest != ""
	case parityDir:
		_, err := parseParityName(name)
		return err == nil
	case keysDir:
		return number(0)
	case epochsDir:
		return number(5)
	case ownerDir, condemnedDir, sparedDir, sweptDir:
		return number(20)
	case pointsDir, attemptsDir, deletedDir, heldDir:
		return attempt()
	case checkpointDir, proofsDir:
		return numbered()
	case indexDir:
		a, n, err := parseNumbered(name)
		return err == nil && segmentName(a, n) == name
	}
	return false
}
