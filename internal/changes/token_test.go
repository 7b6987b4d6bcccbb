package changes

import (
	"bytes"
	"testing"
)

func TestTokensComeBack(t *testing.T) {
	b := btrfsToken{filesystem: id{1}, subvolume: id{2}, snapshot: id{3}, transid: 4}
	j := journalToken{journal: id{5}, boot: id{6}, position: 7, mark: id{8}}
	if got, why := parseBtrfsToken(b.encode()); got != b || why != "" {
		t.Errorf("%+v, %s", got, why)
	}
	if got, why := parseJournalToken(j.encode()); got != j || why != "" {
		t.Errorf("%+v, %s", got, why)
	}
	if _, why := parseBtrfsToken(j.encode()); why != OtherTracker {
		t.Error(why)
	}
	if uuid, ok := TokenSnapshot(b.encode()); !ok || uuid != (id{3}) {
		t.Error(uuid, ok)
	}
	if _, ok := TokenSnapshot(j.encode()); ok {
		t.Error("a journal has no snapshot")
	}
}

func TestTokensThatCannotBeUsed(t *testing.T) {
	good := (&btrfsToken{}).encode()
	flip := bytes.Clone(good)
	flip[9] ^= 4
	later := bytes.Clone(good[:len(good)-4])
	later[0]++
	kind := bytes.Clone(good[:len(good)-4])
	kind[1] = 9
	for name, x := range map[string]struct {
		token []byte
		why   Reason
	}{
		"none":          {nil, TokenMissing},
		"short":         {good[:5], TokenUnreadable},
		"cut off":       {good[:len(good)-1], TokenUnreadable},
		"longer":        {append(bytes.Clone(good), 0), TokenUnreadable},
		"a flipped bit": {flip, TokenUnreadable},
		"later version": {sealToken(later), TokenUnreadable},
		"unknown kind":  {sealToken(kind), TokenUnreadable},
	} {
		if _, why := parseBtrfsToken(x.token); why != x.why {
			t.Errorf("%s: %q", name, why)
		}
		if _, why := parseJournalToken(x.token); why != x.why {
			t.Errorf("%s: %q", name, why)
		}
	}
}

func FuzzToken(f *testing.F) {
	f.Add((&btrfsToken{transid: 3}).encode())
	f.Add((&journalToken{position: 3}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if x, why := parseBtrfsToken(b); why == "" && !bytes.Equal(x.encode(), b) {
			t.Fatal("btrfs")
		}
		if x, why := parseJournalToken(b); why == "" && !bytes.Equal(x.encode(), b) {
			t.Fatal("journal")
		}
	})
}
