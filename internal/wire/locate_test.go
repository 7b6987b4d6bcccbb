package wire

import (
	"context"
	"slices"
	"testing"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

type places struct{ memory }

func (*places) Locate(_ context.Context, ids []seal.ID) (sizes, packs []uint32, err error) {
	for _, id := range ids {
		sizes, packs = append(sizes, uint32(id[0])), append(packs, uint32(id[1]))
	}
	return sizes, packs, nil
}

func TestLocateAnswersEveryID(t *testing.T) {
	c := newSite(t, &places{}, nil).dial(nil)
	ids := make([]seal.ID, 2*maxGet+7)
	var wantSizes, wantPacks []uint32
	for i := range ids {
		ids[i] = seal.ID{byte(i), byte(i / 256)}
		wantSizes, wantPacks = append(wantSizes, uint32(byte(i))), append(wantPacks, uint32(i/256))
	}
	sizes, packs, err := c.Locate(t.Context(), ids)
	if err != nil || !slices.Equal(sizes, wantSizes) || !slices.Equal(packs, wantPacks) {
		t.Errorf("%v: %v, %v", err, sizes, packs)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestLocateIsRefusedWhereNothingIsRead(t *testing.T) {
	c := newSite(t, &memory{}, nil).dial(nil)
	if _, _, err := c.Locate(t.Context(), make([]seal.ID, 1)); errs.KindOf(err) != errs.Denied {
		t.Errorf("a backup's mover answers %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
