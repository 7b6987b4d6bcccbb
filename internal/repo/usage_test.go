package repo

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/repo/pack"
	"keepward/internal/repo/proof"
	"keepward/internal/storage"
)

func TestUsageTellsWhoseTheBytesAreAndWhenTheyWereProved(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m := disk(t, s)
	r := open(t, m)
	for _, b := range historyBackups(s)[:2] { // web1 and db1
		_, err := b.run(ctx, r)
		must(t, err)
	}
	var total int64
	var keys []pack.Key
	must(t, storage.NewDir(m, "/r").List(ctx, packsDir, func(i storage.Info) error {
		k, err := ParsePackName(i.Name)
		total += i.Size
		keys = append(keys, k)
		return err
	}))
	now := time.Unix(1_800_000_000, 0)
	_, err := r.putProofs(ctx, attemptNumber(80), 1, []proof.Entry{
		{Pack: keys[0], Level: proof.Sums, Time: now.Add(-time.Hour)},
		{Pack: keys[1], Level: proof.Content, Time: now.Add(-20 * 24 * time.Hour)},
		{Pack: keys[2], Level: proof.Seen, Time: now},
	})
	must(t, err)
	u, err := r.Usage(ctx, now)
	must(t, err)
	var bytes, packs int64
	for _, name := range []string{"web1", "db1"} {
		o := u.Owners[s.master.ComputersKey().Owner(name)]
		if o.Packs == 0 || o.DataBytes == 0 || o.MetadataBytes == 0 {
			t.Errorf("%s: %+v", name, o)
		}
		bytes += o.DataBytes + o.MetadataBytes
		packs += o.Packs
	}
	if bytes != total || packs != int64(len(keys)) || len(u.Owners) != 2 {
		t.Errorf("%d bytes in %d packs of %d; there are %d in %d", bytes, packs, len(u.Owners), total, len(keys))
	}
	var counts []int64
	for _, a := range u.Ages {
		counts = append(counts, a.Packs)
	}
	if diff := cmp.Diff([]int64{1, 0, 1, 0, 0, int64(len(keys)) - 2}, counts); diff != "" {
		t.Error(diff)
	}
	if u.Segments != 2 || u.Rows == 0 || u.SegmentBytes == 0 || u.SmallPacks != int64(len(keys)) {
		t.Errorf("%+v", u)
	}
}
