package standing

import (
	"testing"

	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

func TestOnlyTheOtherHalfOpens(t *testing.T) {
	half, other := NewHalf(), NewHalf()
	keys := &keepwardv1.RepositoryKeys{IdKey: []byte("secret"), Domain: 3}
	sealed, err := Seal(half, Keys, "a1", keys)
	if err != nil {
		t.Fatal(err)
	}
	got := &keepwardv1.RepositoryKeys{}
	if err := Open(half, sealed, Keys, "a1", got); err != nil || !proto.Equal(got, keys) {
		t.Errorf("opened %v, %v", got, err)
	}
	for name, try := range map[string]func() error{
		"another half":    func() error { return Open(other, sealed, Keys, "a1", got) },
		"another attempt": func() error { return Open(half, sealed, Keys, "a2", got) },
		"something else":  func() error { return Open(half, sealed, Start, "a1", got) },
		"cut off":         func() error { return Open(half, sealed[:5], Keys, "a1", got) },
		"changed": func() error {
			bad := append([]byte{}, sealed...)
			bad[len(bad)-1] ^= 1
			return Open(half, bad, Keys, "a1", got)
		},
		"a short half": func() error { return Open(half[:5], sealed, Keys, "a1", got) },
	} {
		if err := try(); errs.KindOf(err) != errs.Denied {
			t.Errorf("%s: %v", name, err)
		}
	}
}
