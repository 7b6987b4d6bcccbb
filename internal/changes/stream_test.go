package changes

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
)

// script writes a send stream.
type script struct{ b []byte }

func newScript() *script {
	s := &script{b: append([]byte(streamMagic), 1, 0, 0, 0)}
	return s.cmd(cmdSnapshot, attrPath, "snap", attrUUID, strings.Repeat("u", 16), attrTransid, uint64(9), attrCloneUUID, strings.Repeat("c", 16), attrCloneTrans, uint64(7))
}

// cmd adds a command of attributes, each a number and a string or uint64.
func (s *script) cmd(c command, attrs ...any) *script {
	var d []byte
	for i := 0; i < len(attrs); i += 2 {
		v, ok := attrs[i+1].(string)
		if n, number := attrs[i+1].(uint64); number && !ok {
			v = string(binary.LittleEndian.AppendUint64(nil, n))
		}
		d = binary.LittleEndian.AppendUint16(d, uint16(attrs[i].(int)))
		d = append(binary.LittleEndian.AppendUint16(d, uint16(len(v))), v...)
	}
	var h [10]byte
	binary.LittleEndian.PutUint32(h[:], uint32(len(d)))
	binary.LittleEndian.PutUint16(h[4:], uint16(c))
	binary.LittleEndian.PutUint32(h[6:], streamSum(h, d))
	s.b = append(append(s.b, h[:]...), d...)
	return s
}

func (s *script) end() []byte { return s.cmd(cmdEnd).b }

func replayed(b []byte, most int) (*replay, error) {
	r := newReplay(most)
	err := readStream(bytes.NewReader(b), func(s *sent) error {
		if s.cmd != cmdSnapshot {
			r.apply(s)
		}
		return nil
	})
	return r, err
}

// found is what a replay names, by path.
func (r *replay) found() map[string]What {
	m := map[string]What{}
	_ = r.each(func(path []byte, _ *rnode, what What) error { m[string(path)] = what; return nil })
	return m
}

func TestReplayFollowsRenames(t *testing.T) {
	s := newScript()
	s.cmd(cmdUpdateExtent, attrPath, "a/b/f", attrFileOffset, uint64(4096), attrSize, uint64(100))
	s.cmd(cmdRename, attrPath, "a", attrPathTo, "o257-3-0")
	s.cmd(cmdMkdir, attrPath, "o300-9-0")
	s.cmd(cmdRename, attrPath, "o300-9-0", attrPathTo, "a")
	s.cmd(cmdMkfile, attrPath, "o301-9-0")
	s.cmd(cmdRename, attrPath, "o301-9-0", attrPathTo, "a/new")
	s.cmd(cmdUtimes, attrPath, "a/new")
	s.cmd(cmdRename, attrPath, "o257-3-0", attrPathTo, "z")
	s.cmd(cmdChmod, attrPath, "z/b/g", attrCloneLen, uint64(0))
	s.cmd(cmdRename, attrPath, "back", attrPathTo, "o5-5-0")
	s.cmd(cmdRename, attrPath, "o5-5-0", attrPathTo, "back")
	r, err := replayed(s.end(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	got := r.found()
	want := map[string]What{
		"": Listing | Metadata, "a": everything | Listing | Metadata,
		"z": everything, "z/b/f": Content | Metadata, "z/b/g": Metadata,
	}
	for p, w := range want {
		if got[p] != w {
			t.Errorf("%q: %s, want %s", p, got[p], w)
		}
		delete(got, p)
	}
	if len(got) > 0 {
		t.Errorf("named beside: %v", got)
	}
}

func TestReplayInLittleMemoryNamesWholeDirectories(t *testing.T) {
	s := newScript()
	for i := range 2000 {
		dir := "d" + string(rune('a'+i%10))
		s.cmd(cmdUpdateExtent, attrPath, dir+"/sub/f"+strings.Repeat("x", 1+i/10), attrFileOffset, uint64(0), attrSize, uint64(1))
	}
	r, err := replayed(s.end(), 300)
	if err != nil {
		t.Fatal(err)
	}
	if r.nodes > 300 || !r.links || r.root.whole {
		t.Fatalf("%d nodes, links in doubt %v, root %v", r.nodes, r.links, r.root.whole)
	}
	for p, w := range r.found() {
		if strings.Count(p, "/") < 2 && p != "" && w&Subtree == 0 {
			t.Errorf("%q: %s", p, w)
		}
	}
}

func TestStreamsThatTheKernelDoesNotWriteAreRefused(t *testing.T) {
	good := func() *script { return newScript().cmd(cmdUtimes, attrPath, "") }
	flip := good().end()
	flip[len(flip)-12] ^= 1
	version := good().end()
	version[len(streamMagic)] = 2
	long := good()
	long.b = binary.LittleEndian.AppendUint32(long.b, maxCommand+1)
	for name, b := range map[string][]byte{
		"nothing":            {},
		"other magic":        append([]byte("btrfs-strean\x00"), good().end()[13:]...),
		"other version":      version,
		"a flipped bit":      flip,
		"no end":             good().b,
		"cut off":            good().end()[:len(good().end())-3],
		"behind the end":     append(good().end(), 0),
		"no snapshot first":  (&script{b: append([]byte(streamMagic), 1, 0, 0, 0)}).cmd(cmdUtimes, attrPath, "").end(),
		"two snapshots":      append(newScript().b, newScript().end()[len(streamMagic)+4:]...),
		"full stream":        (&script{b: append([]byte(streamMagic), 1, 0, 0, 0)}).cmd(cmdSubvol, attrPath, "x").end(),
		"unknown command":    good().cmd(99, attrPath, "a").end(),
		"unknown attribute":  good().cmd(cmdUtimes, attrPath, "a", 77, "x").end(),
		"attribute twice":    good().cmd(cmdUtimes, attrPath, "a", attrPath, "a").end(),
		"no path":            good().cmd(cmdUnlink).end(),
		"no target":          good().cmd(cmdRename, attrPath, "a").end(),
		"no extent":          good().cmd(cmdUpdateExtent, attrPath, "a", attrFileOffset, uint64(1)).end(),
		"absolute":           good().cmd(cmdUnlink, attrPath, "/a").end(),
		"up":                 good().cmd(cmdUnlink, attrPath, "a/../b").end(),
		"empty component":    good().cmd(cmdUnlink, attrPath, "a//b").end(),
		"zero byte":          good().cmd(cmdUnlink, attrPath, "a\x00b").end(),
		"long name":          good().cmd(cmdUnlink, attrPath, strings.Repeat("n", 256)).end(),
		"the root removed":   good().cmd(cmdRmdir, attrPath, "").end(),
		"negative offset":    good().cmd(cmdUpdateExtent, attrPath, "a", attrFileOffset, ^uint64(0), attrSize, uint64(1)).end(),
		"number of 4 bytes":  good().cmd(cmdTruncate, attrPath, "a", attrSize, "1234").end(),
		"command of 257 KiB": long.b,
	} {
		if _, err := replayed(b, 100); !errors.Is(err, errStream) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := replayed(good().end(), 100); err != nil {
		t.Errorf("a good one: %v", err)
	}
}

func FuzzSendStream(f *testing.F) {
	f.Add(newScript().end(), uint16(100))
	f.Add(newScript().cmd(cmdRename, attrPath, "a/b", attrPathTo, "c").cmd(cmdLink, attrPath, "x", attrPathLink, "c/d").cmd(cmdUtimes, attrPath, "c").end(), uint16(2))
	f.Add(newScript().cmd(cmdMkdir, attrPath, "d").cmd(cmdMkfile, attrPath, "d/f").cmd(cmdUtimes, attrPath, "d/f").cmd(cmdRename, attrPath, "d", attrPathTo, "d/e").end(), uint16(9))
	f.Fuzz(func(t *testing.T, b []byte, most uint16) {
		fixSums(b)
		r, err := replayed(b, int(most)+1)
		if err != nil {
			return
		}
		if n := r.root.count() - 1; n != r.nodes {
			t.Fatalf("%d nodes counted, %d there", r.nodes, n)
		}
		if r.nodes > int(most)+1 {
			t.Fatalf("%d nodes, %d allowed", r.nodes, most+1)
		}
		_ = r.each(func(path []byte, n *rnode, _ What) error {
			if err := checkPath(path); err != nil {
				t.Fatal(err)
			}
			if !slices.IsSortedFunc(normal(n.extents), func(a, b Extent) int { return int(min(1, max(-1, a.Offset-b.Offset))) }) {
				t.Fatal(n.extents)
			}
			return nil
		})
	})
}

// fixSums puts right checksums into what a fuzzer made, else it would get no further.
func fixSums(b []byte) {
	for i := len(streamMagic) + 4; i+10 <= len(b); {
		n := int(binary.LittleEndian.Uint32(b[i:]))
		if n > len(b)-i-10 {
			return
		}
		binary.LittleEndian.PutUint32(b[i+6:], streamSum([10]byte(b[i:i+10]), b[i+10:i+10+n]))
		i += 10 + n
	}
}
