package wire

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

func TestKeysSurviveTheOrder(t *testing.T) {
	m := seal.Master{Domain: 2, Epoch: 3, Secret: seal.Secret{7}}
	want := m.TaskKeys([16]byte{1}, "web1")
	got, err := KeysFromProto(KeysToProto(want))
	if err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(want, got) {
		t.Error("the keys differ") // never print them
	}
}

func TestCutKeysAreRefused(t *testing.T) {
	p := KeysToProto(seal.Master{}.TaskKeys([16]byte{1}, "web1"))
	p.IdKey = p.IdKey[:31]
	if _, err := KeysFromProto(p); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a cut key was taken: %v", err)
	}
	p = KeysToProto(seal.Master{}.TaskKeys([16]byte{1}, "web1"))
	delete(p.Epochs, 0)
	if _, err := KeysFromProto(p); errs.KindOf(err) != errs.Invalid {
		t.Errorf("keys without their epoch were taken: %v", err)
	}
}
