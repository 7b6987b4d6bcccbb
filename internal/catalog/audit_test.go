package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/audit"
)

// chainOf checks the whole log.
func chainOf(t *testing.T, db *DB) audit.Head {
	t.Helper()
	var c audit.Chain
	for {
		rows, err := AuditRows(t.Context(), db.Read(), c.Head().Number, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) == 0 {
			break
		}
		for _, r := range rows {
			if err := c.Next(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	head, err := AuditHead(t.Context(), db.Read())
	if err != nil || head != c.Head() {
		t.Errorf("head %s, the chain ends with %s (%v)", head, c.Head(), err)
	}
	return head
}

// TestWhateverIsWrittenIsReadAsItWas: else a stranger could break the chain by a name.
func TestWhateverIsWrittenIsReadAsItWas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	db, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	rows := []audit.Row{
		{Time: -1, Kind: audit.KindCall, Outcome: "access.login", Times: 1},
		{Time: 2, Kind: audit.KindCall, User: "a\x00b\x1b[31m\u202e\xff'; DROP TABLE audit; --", Outcome: "access.login", Times: 9},
		{Time: 3, Kind: audit.KindBegin, User: "ann", Token: "4f2a", Role: "admin", Address: "::1", Call: "JobService/DeleteJob", Named: []audit.Named{{Field: "name", Value: "\x00\xff"}, {Field: "name"}}, Times: 1},
		{Time: 4, Kind: audit.KindEnd, Ends: 3, User: "ann", Outcome: audit.Done, Times: 1},
	}
	for i, r := range rows {
		if rows[i], err = db.Audit(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	before := chainOf(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err = Open(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if after := chainOf(t, db); after != before || after.Number != 4 {
		t.Errorf("head %s, it was %s", after, before)
	}
	got, err := AuditRows(t.Context(), db.Read(), 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(rows, got); d != "" {
		t.Error(d)
	}
}

func TestRowsOfManyAtOnceAreOneChain(t *testing.T) {
	db := openTest(t)
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			_ = db.Write(t.Context(), func(tx *sql.Tx) error {
				if err := AuditWith(t.Context(), tx, audit.Row{Kind: audit.KindCall, User: fmt.Sprint(i), Times: 1}); err != nil {
					return err
				}
				if i%3 == 0 {
					return errors.New("the change fails, and its row with it")
				}
				return nil
			})
		})
	}
	all.Wait()
	if head := chainOf(t, db); head.Number != 26 {
		t.Errorf("%d rows, want those of 26 changes that were made", head.Number)
	}
}

func TestCallsAreListedWithTheirOutcome(t *testing.T) {
	db := openTest(t)
	at := noon.UnixNano()
	for _, r := range []audit.Row{
		{Time: at, Kind: audit.KindBegin, User: "ann", Call: "JobService/DeleteJob", Times: 1},
		{Time: at + 1, Kind: audit.KindCall, User: "ben", Call: "AccessService/Login", Outcome: "access.login", Times: 1},
		{Time: at + 2, Kind: audit.KindBegin, User: "ben", Call: "JobService/RunJob", Times: 1},
		{Time: at + 3, Kind: audit.KindEnd, Ends: 3, User: "ben", Call: "JobService/RunJob", Outcome: audit.Done, Named: []audit.Named{{Field: "session", Value: "7"}}, Times: 1},
	} {
		if _, err := db.Audit(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		f    AuditFilter
		want string
	}{
		{AuditFilter{}, "3:ok+session=7 2:access.login 1:"},
		{AuditFilter{Limit: 1}, "3:ok+session=7"},
		{AuditFilter{Before: 3}, "2:access.login 1:"},
		{AuditFilter{User: "ben"}, "3:ok+session=7 2:access.login"},
		{AuditFilter{User: "be"}, ""},
		{AuditFilter{Call: "jobservice/"}, "3:ok+session=7 1:"},
		{AuditFilter{Since: noon.Add(1)}, "3:ok+session=7 2:access.login"},
		{AuditFilter{Until: noon.Add(2)}, "2:access.login 1:"},
	} {
		if tt.f.Limit == 0 {
			tt.f.Limit = 10
		}
		calls, err := AuditedCalls(t.Context(), db.Read(), tt.f)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range calls {
			text := fmt.Sprintf("%d:%s", c.Number, c.Outcome)
			for _, n := range c.Answered {
				text += "+" + n.Field + "=" + n.Value
			}
			if c.Ended.IsZero() != (c.Outcome == "") {
				t.Errorf("row %d: outcome %q, ended %s", c.Number, c.Outcome, c.Ended)
			}
			got = append(got, text)
		}
		if text := strings.Join(got, " "); text != tt.want {
			t.Errorf("%+v: %s, want %s", tt.f, text, tt.want)
		}
	}
}

func TestTokensKeepWhatTheyAreFor(t *testing.T) {
	db := openTest(t)
	var ann, ben int64
	write(t, db, func(ctx context.Context, tx *sql.Tx) (err error) {
		if ann, err = AddUser(ctx, tx, User{Name: "ann", Role: "operator", Password: "x", Created: noon}); err != nil {
			return err
		}
		ben, err = AddUser(ctx, tx, User{Name: "ben", Role: "viewer", Password: "x", Created: noon})
		return err
	})
	write(t, db, func(ctx context.Context, tx *sql.Tx) error {
		return errors.Join(
			AddAPIToken(ctx, tx, "one", APIToken{UserID: ann, Label: "login", Created: noon, Expires: noon.Add(time.Hour)}),
			AddAPIToken(ctx, tx, "two", APIToken{UserID: ann, Kind: TokenAPI, Label: "ci", Role: "viewer", Address: "192.0.2.1", Created: noon.Add(1)}),
			AddAPIToken(ctx, tx, "three", APIToken{UserID: ben, Created: noon}),
			UseToken(ctx, tx, "two", noon.Add(time.Minute)),
		)
	})
	u, got, ok, err := CallerOf(t.Context(), db.Read(), "two", noon)
	want := APIToken{ID: TokenID("two"), UserID: ann, User: "ann", Kind: TokenAPI, Label: "ci", Role: "viewer", Address: "192.0.2.1", Created: noon.Add(1), Used: noon.Add(time.Minute)}
	if err != nil || !ok || u.Name != "ann" || u.Role != "operator" {
		t.Fatalf("%v, %v, %v", u, ok, err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	count := func(user string, at time.Time) int {
		t.Helper()
		list, err := APITokens(t.Context(), db.Read(), user, at)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	if a, b, c := count("", noon), count("ann", noon), count("ann", noon.Add(time.Hour)); a != 3 || b != 2 || c != 1 {
		t.Errorf("%d of all, %d of ann, %d of ann after an hour", a, b, c)
	}
	write(t, db, func(ctx context.Context, tx *sql.Tx) error {
		n, err := EndLogins(ctx, tx, ann, "")
		if n != 1 {
			t.Errorf("%d logins ended, want 1", n)
		}
		return errors.Join(err, DeleteUser(ctx, tx, ben))
	})
	if a, b := count("", noon), count("ann", noon); a != 1 || b != 1 {
		t.Errorf("%d left of all, %d of ann", a, b)
	}
	write(t, db, func(ctx context.Context, tx *sql.Tx) error { return DeleteAPIToken(ctx, tx, TokenID("two")) })
	if n := count("", noon); n != 0 {
		t.Errorf("%d left", n)
	}
}
