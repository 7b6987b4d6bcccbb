package server

import (
	"bytes"
	"context"
	"database/sql"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/catalog"
)

var rewrite = flag.Bool("update", false, "rewrite docs/reference/roles.md")

// hour is for how long the logins of tests are trusted.
func hour(context.Context) (time.Duration, error) { return time.Hour, nil }

// openCatalog is an empty catalog.
func openCatalog(t *testing.T) *catalog.DB {
	t.Helper()
	db, err := catalog.Open(t.Context(), filepath.Join(t.TempDir(), "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// TestEachRoleMayCallWhatTheTableSaysAndNothingElse walks every call with a login of every role, with
// an API token of every role that an administrator made, and with none.
func TestEachRoleMayCallWhatTheTableSaysAndNothingElse(t *testing.T) {
	db := openCatalog(t)
	now := time.Now()
	type shown struct{ user, token string }
	may := map[shown][2]access{{}: {}, {user: "nobody"}: {}} // within which roles user and token are
	err := db.Write(t.Context(), func(tx *sql.Tx) error {
		add := func(user, token access, userRole, tokenRole string) error {
			name := userRole + "." + tokenRole
			id, err := catalog.AddUser(t.Context(), tx, catalog.User{Name: name, Role: userRole, Password: "x", Created: now})
			if err != nil {
				return err
			}
			may[shown{userRole, tokenRole}] = [2]access{user, token}
			return catalog.AddAPIToken(t.Context(), tx, name, catalog.APIToken{UserID: id, Role: tokenRole, Created: now, Confirmed: now})
		}
		for _, u := range roles {
			if err := add(u.within, users, u.name, ""); err != nil {
				return err
			}
			for _, k := range roles {
				if err := add(u.within, k.within, u.name, k.name); err != nil {
					return err
				}
			}
		}
		return add(0, users, "of-a-later-version", "")
	})
	if err != nil {
		t.Fatal(err)
	}
	reached := false
	door := newGuard(db, slog.New(slog.DiscardHandler), hour).door(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	for method, rule := range methods {
		for who, within := range may {
			r := httptest.NewRequest(http.MethodPost, method, nil)
			r.Header.Set("Content-Type", "application/proto")
			if who.user != "" {
				r.Header.Set("Authorization", "Bearer "+who.user+"."+who.token)
			}
			reached = false
			door.ServeHTTP(httptest.NewRecorder(), r)
			// A call that a role may is one that all roles may that are above it.
			want := rule.may == open || rule.may != node && rule.may&within[0] != 0 && rule.may&within[1] != 0
			if reached != want {
				t.Errorf("%s as %q with a token of %q: let in %v, want %v", method, who.user, who.token, reached, want)
			}
		}
	}
	for _, method := range []string{"/", "", "/keepward.v1.AgentService/RunTask", "/keepward.v1.AccessService/Nothing"} {
		r := httptest.NewRequest(http.MethodPost, "/"+strings.TrimPrefix(method, "/"), nil)
		r.Header.Set("Authorization", "Bearer "+roleAdmin+".")
		reached = false
		if door.ServeHTTP(httptest.NewRecorder(), r); reached {
			t.Errorf("%s has no row and was let in", method)
		}
	}
}

// TestARoleMayWhatThoseWithinItMay: else a role could give a token that may more than itself.
func TestARoleMayWhatThoseWithinItMay(t *testing.T) {
	for method, rule := range methods {
		for _, r := range roles {
			if rule.may&r.within != 0 && rule.may&r.bit == 0 {
				t.Errorf("%s: %s may not, but a role within it may", method, r.name)
			}
		}
	}
}

// looks are the beginnings of the names of calls that only look.
var looks = []string{"Get", "List", "Watch", "ReadLog", "ReadAudit", "Preview", "Export"}

func TestOnlyCallsThatLookAreSilent(t *testing.T) {
	for method, rule := range methods {
		name := method[strings.LastIndexByte(method, '/')+1:]
		look := slices.ContainsFunc(looks, func(s string) bool { return strings.HasPrefix(name, s) })
		if rule.may&users != 0 && (rule.audit == silent) != look && name != "GetPointKeys" && name != "ExportRecoveryKey" {
			t.Errorf("%s: audited %d, and by its name it looks only: %v", method, rule.audit, look)
		}
		if (rule.audit == itself) != (rule.may == open && !look) {
			t.Errorf("%s: audited %d, access %d: a stranger must not be able to fill the log, and a user's call is written down before", method, rule.audit, rule.may)
		}
	}
}

func TestAViewerChangesNothingButItsOwn(t *testing.T) {
	own := map[string]bool{
		keepwardv1connect.UserServiceSetPasswordProcedure: true, keepwardv1connect.APITokenServiceCreateAPITokenProcedure: true,
		keepwardv1connect.APITokenServiceRevokeAPITokenProcedure: true, keepwardv1connect.OneTimeCodeServiceEnrolOneTimeCodesProcedure: true,
		keepwardv1connect.OneTimeCodeServiceConfirmOneTimeCodesProcedure: true, keepwardv1connect.OneTimeCodeServiceRenewRecoveryCodesProcedure: true,
		keepwardv1connect.OneTimeCodeServiceRemoveOneTimeCodesProcedure: true,
		keepwardv1connect.PasskeyServiceBeginPasskeyProcedure:           true, keepwardv1connect.PasskeyServiceAddPasskeyProcedure: true,
		keepwardv1connect.PasskeyServiceRemovePasskeyProcedure: true,
		keepwardv1connect.SignOnServiceConnectSignOnProcedure:  true, keepwardv1connect.SignOnServiceDisconnectSignOnProcedure: true,
	}
	own[keepwardv1connect.AccessServiceConfirmLoginProcedure] = true
	for method, rule := range methods {
		if rule.may&viewer != 0 && rule.audit != silent && !own[method] {
			t.Errorf("%s: a viewer may", method)
		}
	}
}

// TestEachCallSaysWhetherItIsHarmful: a new one must be thought about. What only looks is not, but for what
// opens repositories; and who has no login has nothing to confirm.
func TestEachCallSaysWhetherItIsHarmful(t *testing.T) {
	for method, rule := range methods {
		name := method[strings.LastIndexByte(method, '/')+1:]
		look := slices.ContainsFunc(looks, func(s string) bool { return strings.HasPrefix(name, s) })
		switch {
		case rule.harm != harmless && rule.harm != harmful:
			t.Errorf("%s does not say whether it is harmful", method)
		case rule.harm == harmful && (rule.may&users == 0 || look && name != "ExportRecoveryKey"):
			t.Errorf("%s is no call that could harm", method)
		case rule.harm == harmless && strings.HasPrefix(name, "Delete") && !slices.Contains([]string{"DeleteWindow", "DeleteTrafficRule", "DeleteNotifyTarget", "DeleteNotifyRule", "DeleteReport"}, name):
			t.Errorf("%s takes something away and asks for no proof", method)
		}
	}
}

// TestDocumentationPrintsTheRoles holds docs/reference/roles.md to the table: go test
// ./internal/server -run Documentation -update writes it anew.
func TestDocumentationPrintsTheRoles(t *testing.T) {
	const path = "../../docs/reference/roles.md"
	want := roleReference()
	if *rewrite {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("roles.md differs from the table; run this test with -update:\n%s", d)
	}
}

func roleReference() []byte {
	var b bytes.Buffer
	b.WriteString("# Roles\n\nPrinted from the table of calls by a test in `internal/server`; do not edit by hand. What is not listed is refused to all. What it\n" +
		"means is in [operator/access.md](../operator/access.md).\n\n| role | |\n|---|---|\n")
	for _, r := range roles {
		fmt.Fprintf(&b, "| `%s` | %s |\n", r.name, r.words)
	}
	b.WriteString("\n*Anybody* brings a proof in the call itself: a password, a join token. *Nodes* call over their links, by their certificates. In the\n" +
		"audit log: **each** before it begins and with its outcome; **folded** the same, for the same caller and thing once in ten minutes; **itself**\n" +
		"in one with its change; of the others only refusals. *Limited* is what the call is to users and tokens that are limited to the computers of groups.\n" +
		"*Harmful* calls are refused to a login whose user has not shown the password within the time that the setting `confirm_logins` gives.\n\n" +
		"*Second person* says when another administrator must approve a call, while the setting `second_person` is on.\n\n" +
		"| call | viewer | operator | restore-operator | admin | audit log | limited | harmful | second person |\n|---|---|---|---|---|---|---|---|---|\n")
	kept := map[audited]string{silent: "", each: "each", folded: "folded", itself: "itself"}
	scoped := map[scope]string{site: "refused", ofCaller: "yes", listed: "what is within", ofComputer: "its computers", ofJob: "its jobs", ofSession: "its sessions", ofPoint: "its points"}
	for _, method := range slices.Sorted(maps.Keys(methods)) {
		rule := methods[method]
		fmt.Fprintf(&b, "| `%s` |", callName(method))
		switch {
		case rule.may == open:
			b.WriteString(" anybody | anybody | anybody | anybody |")
		case rule.may == node:
			b.WriteString(" nodes | nodes | nodes | nodes |")
		default:
			for _, r := range roles {
				b.WriteString(map[bool]string{true: " yes |", false: " |"}[rule.may&r.bit != 0])
			}
		}
		limited := scoped[rule.scope]
		if rule.may&users == 0 {
			limited = ""
		}
		fmt.Fprintf(&b, " %s | %s | %s | %s |\n", kept[rule.audit], limited, map[harm]string{harmful: "yes"}[rule.harm], seconds[method].when)
	}
	return b.Bytes()
}
