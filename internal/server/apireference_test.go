package server

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "keepward/api/keepward/v1"
	"keepward/internal/schema"
)

const apiPages = "../../docs/reference/api"

// meant says what fields mean that mean the same wherever they are.
var meant = map[protoreflect.Name]string{
	"name": "Its name.", "id": "Its number or id.", "computer": "By name.", "job": "By name.", "repository": "By name.", "session": "Its number.",
	"user": "By name.", "computers": "By name.", "groups": "By name.", "jobs": "By name.", "description": "In words.", "task": "By id; empty: all of them.",
	"limit": "At most so many; 0: a default.", "warnings": "What is allowed and hardly meant.", "reason": "In words.", "point": "As in GetPoint.", "points": "The restore points.",
	"password": "In clear.", "secret": "In clear.", "passphrase": "In clear.", "recovery_key": "In its printed form.", "role": "Of docs/reference/roles.md.",
	"epoch": "Its number.", "tags": "Labels.", "path": "Raw bytes: base64 in JSON.", "paths": "Raw bytes: base64 in JSON.", "ttl": "How long it counts.",
	"created": "When it was made.", "type": "Of docs/reference/jobs.md.",
}

// apiAreas are the areas of docs/errors.md whose codes a service answers, besides those that every call may.
var apiAreas = map[string][]string{
	"APITokenService":      {"api-token", "user"},
	"AccessService":        {"access", "join-token"},
	"ApprovalService":      {"approval"},
	"AuditService":         {"audit"},
	"ComputerService":      {"computer"},
	"ConfigService":        {"config"},
	"ConnectionService":    {"connection", "pair"},
	"ContentService":       {"content", "point"},
	"CredentialService":    {"credential"},
	"EnrolService":         {"join"},
	"GroupService":         {"group", "computer"},
	"JobPreviewService":    {"job"},
	"JobService":           {"job", "retention"},
	"NotifyService":        {"notify", "notification-target", "notification-rule", "report"},
	"PasskeyService":       {"code", "passkey", "user"},
	"SignOnService":        {"code", "sign-on", "user"},
	"OneTimeCodeService":   {"code"},
	"PointService":         {"point", "browse", "find", "diff"},
	"ProtectionService":    {"group", "computer"},
	"QueueService":         {"window", "activity", "limit", "priority"},
	"RepositoryService":    {"repository", "key", "epoch"},
	"RestoreService":       {"restore", "point"},
	"SessionDetailService": {"session"},
	"SessionService":       {"session"},
	"SettingsService":      {"setting"},
	"StatusService":        {"computer", "status"},
	"TrafficService":       {"traffic", "traffic-rule"},
	"UpdateService":        {"update", "package", "rollout"},
	"UserService":          {"user"},
}

// publicServices are those that clients call, by name.
func publicServices() (all []protoreflect.ServiceDescriptor) {
	protoregistry.GlobalFiles.RangeFilesByPackage("keepward.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			if s := f.Services().Get(i); len(publicCalls(s)) > 0 {
				all = append(all, s)
			}
		}
		return true
	})
	slices.SortFunc(all, func(a, b protoreflect.ServiceDescriptor) int {
		return strings.Compare(string(a.Name()), string(b.Name()))
	})
	return all
}

// publicCalls are those of a service that clients may make, in its order.
func publicCalls(s protoreflect.ServiceDescriptor) (calls []protoreflect.MethodDescriptor) {
	for i := range s.Methods().Len() {
		if m := s.Methods().Get(i); methods[procedureOf(m)].may&(users|open) != 0 {
			calls = append(calls, m)
		}
	}
	return calls
}

func procedureOf(m protoreflect.MethodDescriptor) string {
	return fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name())
}

// apiWords are the comments of the schema.
func apiWords(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("../../api/keepward/v1/*.proto")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files of the schema: %v", err)
	}
	words := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		of, err := schema.Comments(text)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		maps.Copy(words, of)
	}
	return words
}

// fieldWords are what is said of the fields of a message, and what is said of it besides.
func fieldWords(words map[string]string, m protoreflect.MessageDescriptor) (rest string, of map[string]string) {
	var names []string
	for i := range m.Fields().Len() {
		names = append(names, string(m.Fields().Get(i).Name()))
	}
	rest, of = schema.Explain(words[string(m.FullName())], names)
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		own := words[string(f.FullName())]
		of[string(f.Name())] = strings.TrimSpace(own + " " + of[string(f.Name())])
		if of[string(f.Name())] == "" && f.Message() == nil && !strings.Contains(rest, string(f.Name())) {
			of[string(f.Name())] = meant[f.Name()]
		}
	}
	return rest, of
}

// TestEveryCallAndItsMessagesAreExplained: what clients ask and are answered, field by field. A field that
// is a message of ours is explained by that.
func TestEveryCallAndItsMessagesAreExplained(t *testing.T) {
	words := apiWords(t)
	seen := map[protoreflect.FullName]bool{}
	for _, s := range publicServices() {
		if len(apiAreas[string(s.Name())]) == 0 {
			t.Errorf("%s: apiAreas does not say which errors its calls answer", s.Name())
		}
		for _, call := range publicCalls(s) {
			if words[string(call.FullName())] == "" {
				t.Errorf("%s has no comment", call.FullName())
			}
			for _, m := range []protoreflect.MessageDescriptor{call.Input(), call.Output()} {
				if seen[m.FullName()] {
					continue
				}
				seen[m.FullName()] = true
				rest, of := fieldWords(words, m)
				for i := range m.Fields().Len() {
					f := m.Fields().Get(i)
					if of[string(f.Name())] == "" && f.Message() == nil && !strings.Contains(rest, string(f.Name())) {
						t.Errorf("%s has no comment, nor is it explained by that of %s", f.FullName(), m.Name())
					}
				}
			}
		}
	}
	if len(seen) < 150 {
		t.Errorf("only %d messages were looked at", len(seen))
	}
}

// TestDocumentationPrintsTheAPI holds docs/reference/api to the schema and the table of calls: go test
// ./internal/server -run Documentation -update writes it anew.
func TestDocumentationPrintsTheAPI(t *testing.T) {
	want := apiReference(t)
	if *rewrite {
		if err := os.RemoveAll(apiPages); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(apiPages, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range want {
			if err := os.WriteFile(filepath.Join(apiPages, name), text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	there, err := os.ReadDir(apiPages)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range there {
		if want[e.Name()] == nil {
			t.Errorf("%s is of no service; run this test with -update", e.Name())
		}
	}
	for name, text := range want {
		got, err := os.ReadFile(filepath.Join(apiPages, name))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(text), string(got)); d != "" {
			t.Errorf("%s differs from the schema; run this test with -update:\n%s", name, d)
		}
	}
}

// TestAPIErrorsAreOfAreasThatThereAre: a link into docs/errors.md that leads nowhere helps nobody.
func TestAPIErrorsAreOfAreasThatThereAre(t *testing.T) {
	text, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	for service, areas := range apiAreas {
		for _, area := range areas {
			if !bytes.Contains(text, []byte("\n## "+area+"\n")) {
				t.Errorf("%s: docs/errors.md has no area %s", service, area)
			}
		}
	}
}

const apiPreface = "Printed from `api/keepward/v1` and the table of calls by a test in `internal/server`; do not edit by hand."

// apiReference are the pages by their names.
func apiReference(t *testing.T) map[string][]byte {
	words := apiWords(t)
	pages := map[string][]byte{}
	services := publicServices()
	var index bytes.Buffer
	fmt.Fprintf(&index, apiFront, apiPreface)
	shared := map[string]protoreflect.MessageDescriptor{}
	bodies := map[protoreflect.FullName]bool{}
	for _, s := range services {
		for _, call := range publicCalls(s) {
			bodies[call.Input().FullName()], bodies[call.Output().FullName()] = true, true
		}
	}
	for _, s := range services {
		var b bytes.Buffer
		name := string(s.Name())
		fmt.Fprintf(&b, "# %s\n\n%s How to call, and what every call may answer, is in [README.md](README.md).\n", name, apiPreface)
		if text := words[string(s.FullName())]; text != "" {
			fmt.Fprintf(&b, "\n%s\n", text)
		}
		var areas []string
		for _, area := range apiAreas[name] {
			areas = append(areas, fmt.Sprintf("[`%s`](../../errors.md#%s)", area, area))
		}
		fmt.Fprintf(&b, "\nErrors, besides those of every call: the codes of %s.\n", strings.Join(areas, ", "))
		fmt.Fprintf(&index, "\n### [%s](%s.md)\n\n", name, name)
		for _, call := range publicCalls(s) {
			text := words[string(call.FullName())]
			first, _, _ := strings.Cut(text, ". ")
			fmt.Fprintf(&index, "- [`%s`](%s.md#%s): %s\n", call.Name(), name, strings.ToLower(string(call.Name())), strings.TrimSuffix(first, ".")+".")
			printCall(&b, words, call)
			for _, m := range []protoreflect.MessageDescriptor{call.Input(), call.Output()} {
				collectShared(m, bodies, shared)
			}
		}
		pages[name+".md"] = b.Bytes()
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Messages\n\n%s Those that requests and answers are made of.\n", apiPreface)
	for _, name := range slices.Sorted(maps.Keys(shared)) {
		fmt.Fprintf(&b, "\n## %s\n", name)
		printMessage(&b, words, shared[name])
	}
	pages["messages.md"] = b.Bytes()
	pages["README.md"] = index.Bytes()
	return pages
}

// collectShared finds what the fields of a message lead to.
func collectShared(m protoreflect.MessageDescriptor, bodies map[protoreflect.FullName]bool, into map[string]protoreflect.MessageDescriptor) {
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		if f.IsMap() {
			f = f.MapValue()
		}
		of := f.Message()
		if of == nil || of.ParentFile().Package() != "keepward.v1" || into[string(of.Name())] != nil {
			continue
		}
		into[string(of.Name())] = of
		collectShared(of, bodies, into)
	}
}

func printCall(b *bytes.Buffer, words map[string]string, call protoreflect.MethodDescriptor) {
	procedure := procedureOf(call)
	rule := methods[procedure]
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n", call.Name(), words[string(call.FullName())])
	who := "anybody: the call brings its own proof"
	if rule.may != open {
		who = strings.Join(roleNames(rule.may), ", ")
	}
	fmt.Fprintf(b, "- For: %s.\n", who)
	if rule.may != open {
		fmt.Fprintf(b, "- Users and tokens of some computers only: %s.\n", map[scope]string{
			site: "refused", ofCaller: "as for others", listed: "what is within", ofComputer: "its computers", ofJob: "its jobs", ofSession: "its sessions", ofPoint: "its points",
		}[rule.scope])
	}
	if rule.audit != silent {
		b.WriteString("- It is written down in the audit log.\n")
	}
	switch rule := repeatRules[procedure]; {
	case call.IsStreamingServer() || !takesKey(procedure):
	case rule.how == secret:
		fmt.Fprintf(b, "- Takes an [`Idempotency-Key`](README.md#the-same-call-again). Its answer has a secret and is given once; after that: %s.\n", rule.why)
	default:
		b.WriteString("- Takes an [`Idempotency-Key`](README.md#the-same-call-again).\n")
	}
	if call.IsStreamingServer() {
		b.WriteString("- A stream: see [streams](README.md#streams).\n")
	}
	fmt.Fprintf(b, "\n```\n%s\n```\n\nRequest `%s`", curl(call), call.Input().Name())
	printMessage(b, words, call.Input())
	b.WriteString("\nAnswer")
	if call.IsStreamingServer() {
		b.WriteString("s, each")
	}
	fmt.Fprintf(b, " `%s`", call.Output().Name())
	printMessage(b, words, call.Output())
}

// printMessage prints what a message has, behind its name.
func printMessage(b *bytes.Buffer, words map[string]string, m protoreflect.MessageDescriptor) {
	rest, of := fieldWords(words, m)
	if m.Fields().Len() == 0 {
		b.WriteString(": nothing.\n")
		if rest != "" {
			fmt.Fprintf(b, "\n%s\n", cell(rest))
		}
		return
	}
	b.WriteString("\n")
	if rest != "" {
		fmt.Fprintf(b, "\n%s\n", cell(rest))
	}
	b.WriteString("\n| field | type | |\n|---|---|---|\n")
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", f.JSONName(), typeLink(f), cell(of[string(f.Name())]))
	}
}

// cell is text that stands in a table and is not markup.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`, "_", `\_`).Replace(s)
}

// typeLink is the type of a field, with a link to what is ours.
func typeLink(f protoreflect.FieldDescriptor) string {
	text := strings.ReplaceAll(strings.ReplaceAll(schema.Type(f), "keepward.v1.", ""), "google.protobuf.", "")
	of := f
	if f.IsMap() {
		of = f.MapValue()
	}
	if m := of.Message(); m != nil && m.ParentFile().Package() == "keepward.v1" {
		return fmt.Sprintf("[%s](messages.md#%s)", cell(text), strings.ToLower(string(m.Name())))
	}
	return cell(text)
}

// curl is the example of a call. What is secret is no argument.
func curl(call protoreflect.MethodDescriptor) string {
	body := schema.Example(call)
	head := "curl -sS --cacert ca.pem -H @token.header"
	if methods[procedureOf(call)].may == open {
		head = "curl -sS --cacert ca.pem"
	}
	url := "https://backup.example:7480" + procedureOf(call)
	switch {
	case call.IsStreamingServer() || call.IsStreamingClient():
		return fmt.Sprintf("printf '\\0\\0\\0\\%03o\\%03o%%s' '%s' |\n  %s -H 'Content-Type: application/connect+json' \\\n  --data-binary @- %s", len(body)>>8, len(body)&0xff, body, head, url)
	case strings.Contains(body, "…"):
		return fmt.Sprintf("%s -H 'Content-Type: application/json' \\\n  -d @- %s <<'END'\n%s\nEND", head, url, body)
	}
	return fmt.Sprintf("%s -H 'Content-Type: application/json' \\\n  -d '%s' \\\n  %s", head, body, url)
}
