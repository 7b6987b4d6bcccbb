package audit

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
)

// chained puts numbers and hashes into rows, as who appends them does.
func chained(rows ...Row) []Row {
	var head Head
	for i := range rows {
		r := &rows[i]
		r.Number, r.Previous = head.Number+1, head.Hash
		r.Hash = r.Sum()
		head = HeadOf(*r)
	}
	return rows
}

func example() []Row {
	return chained(
		Row{Time: 1, Kind: KindCall, User: "ann", Address: "192.0.2.1", Call: "AccessService/Login", Outcome: "access.login", Times: 1},
		Row{Time: 2, Kind: KindBegin, User: "ann", Token: "4f2a91", Role: "admin", Address: "192.0.2.1", Call: "JobService/DeleteJob", Named: []Named{{"name", "docs"}}, Times: 1},
		Row{Time: 3, Kind: KindCall, User: "\x1b[31m\u202e\x00", Call: "AccessService/Login", Outcome: Done, Times: 7},
		Row{Time: 4, Kind: KindEnd, Ends: 2, User: "ann", Token: "4f2a91", Role: "admin", Address: "192.0.2.1", Call: "JobService/DeleteJob", Outcome: Done, Times: 1},
	)
}

func check(c *Chain, rows []Row) error {
	for _, r := range rows {
		if err := c.Next(r); err != nil {
			return err
		}
	}
	return c.End()
}

func TestAChainAsItWasWrittenIsWhole(t *testing.T) {
	rows := example()
	c := Chain{Known: HeadOf(rows[2])}
	if err := check(&c, rows); err != nil {
		t.Fatal(err)
	}
	if c.Head() != HeadOf(rows[3]) || c.Open() != 0 {
		t.Errorf("head %s, %d open", c.Head(), c.Open())
	}
	c = Chain{}
	if err := check(&c, rows[:2]); err != nil || c.Open() != 1 {
		t.Errorf("a call that goes on: %v, %d open", err, c.Open())
	}
}

// TestEveryAlterationIsFound changes each field of each row, and the rows' order and number.
func TestEveryAlterationIsFound(t *testing.T) {
	for what, alter := range map[string]func(r *Row){
		"number": func(r *Row) { r.Number += 2 }, "time": func(r *Row) { r.Time++ }, "kind": func(r *Row) { r.Kind = "x" },
		"ends": func(r *Row) { r.Ends += 5 }, "user": func(r *Row) { r.User += "x" }, "token": func(r *Row) { r.Token += "x" },
		"role": func(r *Row) { r.Role += "x" }, "address": func(r *Row) { r.Address += "x" }, "call": func(r *Row) { r.Call += "x" },
		"named": func(r *Row) { r.Named = append(slices.Clone(r.Named), Named{"a", "b"}) }, "outcome": func(r *Row) { r.Outcome += "x" },
		"times": func(r *Row) { r.Times++ }, "previous": func(r *Row) { r.Previous[5] ^= 1 }, "hash": func(r *Row) { r.Hash[5] ^= 1 },
		// What is moved from one field to the next leaves the bytes as they are, but not their lengths.
		"border": func(r *Row) { r.User, r.Token = r.User+"4", strings.TrimPrefix(r.Token, "4") },
	} {
		for i := range example() {
			rows := example()
			alter(&rows[i])
			c := Chain{}
			err := check(&c, rows)
			if errs.CodeOf(err) != CodeBroken {
				t.Errorf("%s of row %d: %v", what, i+1, err)
			}
			if c.Head().Number != uint64(i) {
				t.Errorf("%s of row %d: found behind row %d", what, i+1, c.Head().Number)
			}
		}
	}
	for i := range 3 {
		rows := example()
		rows[i], rows[i+1] = rows[i+1], rows[i]
		if err := check(&Chain{}, rows); errs.CodeOf(err) != CodeBroken {
			t.Errorf("rows %d and %d in the other order: %v", i+1, i+2, err)
		}
		if err := check(&Chain{}, slices.Delete(example(), i, i+1)); errs.CodeOf(err) != CodeBroken {
			t.Errorf("without row %d: %v", i+1, err)
		}
	}
}

func TestAChainThatWasCutOrMadeAnewIsFoundByItsHead(t *testing.T) {
	rows := example()
	noted := HeadOf(rows[3])
	if err := check(&Chain{Known: noted}, rows[:3]); errs.CodeOf(err) != CodeCut {
		t.Errorf("cut: %v", err)
	}
	if err := check(&Chain{Known: noted}, nil); errs.CodeOf(err) != CodeCut {
		t.Errorf("empty: %v", err)
	}
	forged := example()
	forged[1].Named = []Named{{"name", "another"}}
	chained(forged...)
	if err := check(&Chain{}, forged); err != nil {
		t.Fatalf("a chain that was made anew is whole in itself: %v", err)
	}
	if err := check(&Chain{Known: noted}, forged); errs.CodeOf(err) != CodeBroken {
		t.Errorf("made anew: %v", err)
	}
}

// TestTheEncodingStaysAsItIs holds the hash to one that was computed by the page
// docs/formats/audit.md: logs of years hang on it.
func TestTheEncodingStaysAsItIs(t *testing.T) {
	r := Row{
		Number: 2, Time: 1700000000000000001, Kind: KindBegin, User: "ann", Token: "4f2a91", Role: "admin", Address: "192.0.2.1",
		Call: "JobService/DeleteJob", Named: []Named{{"name", "docs"}}, Times: 1, Previous: Hash{0: 1, 31: 2},
	}
	sum := r.Sum()
	if got := hex.EncodeToString(sum[:]); got != goldenSum {
		t.Errorf("the hash is %s, want %s", got, goldenSum)
	}
}

// goldenSum was computed by another program.
const goldenSum = "e19ddf09066250bded528f3e520638a5c416eb4028ab8264fa077f4bf7219b20"

func TestWhatACallNamedComesBack(t *testing.T) {
	for _, named := range [][]Named{nil, {{"name", "docs"}}, {{"path", "/a\x00\n\xff"}, {"", ""}, {"to", strings.Repeat("x", 300)}}} {
		got, err := DecodeNamed(EncodeNamed(named))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(named, got); d != "" {
			t.Error(d)
		}
	}
	whole := EncodeNamed([]Named{{"name", "docs"}})
	for n := range len(whole) {
		if _, err := DecodeNamed(whole[:n]); n > 0 && errs.CodeOf(err) != CodeBroken {
			t.Errorf("the first %d bytes: %v", n, err)
		}
	}
}

func TestHeadsAreReadAsTheyAreWritten(t *testing.T) {
	for _, h := range []Head{{}, HeadOf(example()[3])} {
		got, err := ParseHead(h.String())
		if err != nil || got != h {
			t.Errorf("%s: %s, %v", h, got, err)
		}
	}
	for _, s := range []string{"", "4", "4:", ":", "x:00", "0:" + strings.Repeat("0", 64), "4:" + strings.Repeat("0", 62), "-4:" + strings.Repeat("0", 64), "4:" + strings.Repeat("g", 64)} {
		if _, err := ParseHead(s); errs.CodeOf(err) != "audit.head" {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func FuzzNamedNeverPanics(f *testing.F) {
	f.Add(EncodeNamed([]Named{{"name", "docs"}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		named, err := DecodeNamed(b)
		if err == nil && string(EncodeNamed(named)) != string(b) {
			t.Errorf("%x came back as %x", b, EncodeNamed(named))
		}
	})
}
