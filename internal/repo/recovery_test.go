package repo

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"keepward/internal/errs"
	"keepward/internal/repo/repoconf"
	"keepward/internal/repo/seal"
	"keepward/internal/storage"
	"keepward/internal/storage/vfs/memfs"
)

func TestARecoveryKeySurvivesBeingTyped(t *testing.T) {
	k := NewRecovery([16]byte{0xde, 0xad, 0xbe, 0xef})
	text := k.Text()
	if n := len(strings.Fields(strings.ReplaceAll(text, "-", " "))); n != 8 {
		t.Fatalf("%d groups: %q", n, text)
	}
	variants := map[string]string{
		"as printed":       text,
		"lower case":       strings.ToLower(text),
		"without hyphens":  strings.ReplaceAll(text, "-", ""),
		"with spaces":      strings.ReplaceAll(text, "-", " "),
		"with a comment":   "# repository main\n" + text,
		"digits for O, I":  strings.NewReplacer("O", "0", "I", "1", "B", "8").Replace(text),
		"with line breaks": strings.ReplaceAll(text, "-", "\r\n"),
	}
	for name, v := range variants {
		if got, err := ParseRecovery(v); err != nil || got != k {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s := fmt.Sprintf("%v %+v %#v %s", k, k, k, k); strings.Contains(s, "[") || strings.Contains(s, text[:8]) {
		t.Errorf("the key printed itself: %s", s)
	}
}

func TestEveryTypoInARecoveryKeyIsNoticed(t *testing.T) {
	text := strings.Join(strings.Fields(strings.ReplaceAll(NewRecovery([16]byte{1}).Text(), "-", " ")), "")
	for i := range text {
		for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567!") {
			if c == text[i] {
				continue
			}
			typo := text[:i] + string(c) + text[i+1:]
			if _, err := ParseRecovery(typo); errs.KindOf(err) != errs.Invalid || errs.HintOf(err) == "" {
				t.Fatalf("letter %d as %c: %v", i, c, err)
			}
		}
		if _, err := ParseRecovery(text[:i] + text[i+1:]); errs.CodeOf(err) != "recovery.text" {
			t.Fatalf("without letter %d: %v", i, err)
		}
	}
}

func TestAWrongRecoveryKeyIsSaidAtOnce(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	r := open(t, disk(t, s))
	if m, err := r.UnwrapMaster(ctx, Unlock{RecoveryKey: s.rec.Text()}); err != nil || m != s.master {
		t.Fatalf("the right key: %v", err)
	}
	for name, k := range map[string]Recovery{
		"of another repository": {Repository: [4]byte{1}, Secret: s.rec.Secret},
		"with another secret":   {Repository: s.rec.Repository, Secret: seal.Secret{8}},
	} {
		_, err := r.UnwrapMaster(ctx, Unlock{RecoveryKey: k.Text()})
		if errs.KindOf(err) != errs.Denied || errs.CodeOf(err) != "recovery.key-wrong" || errs.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestASecondKeyObjectServesWhenTheFirstIsDamaged(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m := disk(t, s)
	k, err := WrapMaster(s.id, s.rec, s.master)
	must(t, err)
	must(t, storage.NewDir(m, "/r").Put(ctx, "keys/2", k.Content))
	must(t, m.Flip("/r/keys/1", 40, 2))
	if got, err := open(t, m).UnwrapMaster(ctx, Unlock{RecoveryKey: s.rec.Text()}); err != nil || got != s.master {
		t.Fatal(err)
	}
}

func TestEveryFlippedBitOfSmallObjectsIsNoticed(t *testing.T) {
	s := newSite()
	key, err := WrapMaster(s.id, s.rec, s.master)
	must(t, err)
	for _, o := range []struct {
		name    string
		content []byte
		check   func([]byte) error
	}{
		{"configuration", s.config().Encode(), func(b []byte) error { _, damage, err := ParseConfig(b); return firstErr(err, damage) }},
		{"key", key.Content, func(b []byte) error { _, err := repoconf.ParseKeyObject(b); return err }},
		{"owner", Owner{Term: 7, Server: []byte("abc")}.encode(), func(b []byte) error { _, err := parseOwner(b); return err }},
	} {
		if err := o.check(o.content); err != nil {
			t.Fatalf("%s: %v", o.name, err)
		}
		for i := range o.content {
			for bit := range 8 {
				b := bytes.Clone(o.content)
				b[i] ^= 1 << bit
				if o.check(b) == nil {
					t.Fatalf("%s: byte %d bit %d is not noticed", o.name, i, bit)
				}
			}
		}
		if o.check(o.content[:len(o.content)-1]) == nil {
			t.Fatalf("%s: cut short and not noticed", o.name)
		}
	}
}

// One damaged copy of the configuration does not keep a repository from being used.
func TestOneCopyOfTheConfigurationIsEnough(t *testing.T) {
	s := newSite()
	for _, at := range []int{40, repoconf.SecondCopy + 40} {
		m := disk(t, s)
		must(t, m.Flip("/r/"+configName, at, 1))
		r := open(t, m)
		if r.Config() != s.config() || len(r.Conditions()) != 1 || r.Conditions()[0].Code != "configuration.damaged" {
			t.Fatalf("byte %d: %+v, %+v", at, r.Config(), r.Conditions())
		}
	}
}

// Both copies damaged, or all gone: it is said what is lost and what to do, by who opens the
// repository, and by a check that had opened it before.
func TestALostConfigurationIsNamedWithWhatToDo(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	for _, test := range []struct {
		name string
		lose func(m *memfs.FS)
		kind errs.Kind
		code string
	}{
		{"both copies", func(m *memfs.FS) {
			must(t, m.Flip("/r/"+configName, 40, 1))
			must(t, m.Flip("/r/"+configName, repoconf.SecondCopy+40, 1))
		}, errs.Corrupt, "configuration.lost"},
		{"gone", func(m *memfs.FS) { must(t, m.Remove("/r/"+configName)) }, errs.NotFound, "repository.not-found"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := disk(t, s)
			r := open(t, m)
			test.lose(m)
			_, err := Open(ctx, storage.NewDir(m, "/r"))
			wantKind(t, "open", err, test.kind, test.code)
			if !strings.Contains(err.Error(), configName) || !strings.Contains(errs.HintOf(err), configName) {
				t.Fatalf("%v; %s", err, errs.HintOf(err))
			}
			report, err := r.Check(ctx, CheckOptions{})
			if err != nil || report.Clean() || len(report.Findings) != 1 || report.Findings[0].Code != "configuration.lost" || report.Findings[0].Name != configName {
				t.Fatalf("%+v, %v", report.Findings, err)
			}
		})
	}
}

func TestUnknownFeaturesAreRefusedAsTheyAsk(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	for _, test := range []struct {
		name        string
		change      func(*Config)
		open, write string // codes
	}{
		{"incompatible", func(c *Config) { c.Incompatible = 4 }, "repository.too-new", ""},
		{"read-only compatible", func(c *Config) { c.ReadCompatible = 4 }, "", "repository.read-only"},
		{"compatible", func(c *Config) { c.Compatible = 4 }, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, err := storage.OpenDir(t.TempDir())
			must(t, err)
			c := s.config()
			test.change(&c)
			must(t, d.Put(ctx, configName, c.Encode()))
			r, err := Open(ctx, d)
			if errs.CodeOf(err) != test.open {
				t.Fatalf("open: %v", err)
			}
			if err != nil {
				return
			}
			defer r.Close() //nolint:errcheck // the test is over
			if _, err := r.NewWriter(context.Background(), WriterOptions{Attempt: attemptNumber(1)}); errs.CodeOf(err) != test.write {
				t.Fatalf("write: %v", err)
			}
		})
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add(newSite().config().Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		c, damage, err := ParseConfig(b)
		if err == nil && damage == nil && !bytes.Equal(c.Encode(), b) {
			t.Fatal("two different configurations read the same")
		}
	})
}

func FuzzKeyObject(f *testing.F) {
	s := newSite()
	k, err := WrapMaster(s.id, s.rec, s.master)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(k.Content)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := OpenKeyObject(b, s.rec)
		if err == nil && m != s.master {
			t.Fatal("opened to another master")
		}
	})
}

func FuzzParseOwner(f *testing.F) {
	f.Add(Owner{Term: 7, Server: []byte("abc")}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := parseOwner(b)
		if err == nil && !bytes.Equal(o.encode(), b) {
			t.Fatal("two different owners read the same")
		}
	})
}

func FuzzParseRecovery(f *testing.F) {
	f.Add(newSite().rec.Text())
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ParseRecovery(text)
		if err != nil {
			return
		}
		if again, err := ParseRecovery(k.Text()); err != nil || again != k {
			t.Fatalf("%v", err)
		}
	})
}

func FuzzNames(f *testing.F) {
	f.Add(packName(attemptNumber(1), 1, 1))
	f.Add(segmentName(attemptNumber(1), 1))
	f.Fuzz(func(t *testing.T, name string) {
		if a, c, n, err := parsePackName(name); err == nil && packName(a, c, n) != name {
			t.Fatalf("%q reads as %q", name, packName(a, c, n))
		}
		_, _, _ = parseNumbered(name)
	})
}

// A flipped bit in the owner object must not stop all work: its name tells the term.
func TestADamagedOwnerStillTellsItsTerm(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m := disk(t, s)
	must(t, m.Flip("/r/"+ownerName(1), 20, 2))
	r := open(t, m)
	o, err := r.Owner(ctx)
	if err != nil || o.Term != 1 || len(o.Server) > 0 {
		t.Errorf("got %+v, %v", o, err)
	}
	if c := r.Conditions(); len(c) != 1 || c[0].Code != "owner.damaged" {
		t.Errorf("conditions %+v", c)
	}
	if o, err := r.Claim(ctx, Owner{Term: 2, Server: []byte("new")}); err != nil || o.Term != 2 || string(o.Server) != "new" {
		t.Errorf("claimed: %+v, %v", o, err)
	}
}
