package cli

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/audit"
	"keepward/internal/errs"
)

func (a *app) auditCommand() *cobra.Command {
	cmd := a.noun("audit", "Who called what: the audit log", "Every call that changes something or reads backup data is a row of the audit log, and every refused one. Each row has the\nhash of the one before, so that none can be altered or taken out without a trace. It is for administrators.")
	cmd.AddCommand(a.auditList(), a.auditVerify(), a.auditExport())
	return cmd
}

func (a *app) auditList() *cobra.Command {
	req := &keepwardv1.ListAuditRequest{}
	var since, until string
	cmd := &cobra.Command{
		Use: "list", Short: "List calls, the newest first",
		Long:    "Lists calls with what became of them. A call without an outcome goes on, or the server died before it knew.",
		Example: "  keepward audit list\n  keepward audit list --user ann --since -7d --call Restore -o wide",
		Args:    exactly(),
	}
	f := cmd.Flags()
	f.StringVar(&req.User, "user", "", "only calls of this user")
	f.StringVar(&req.Call, "call", "", "only calls whose name has this in it, such as Login or JobService/")
	f.StringVar(&since, "since", "", "only calls at or after this time")
	f.StringVar(&until, "until", "", "only calls before this time")
	f.Int32Var(&req.Limit, "limit", 50, "at most so many, up to 1000")
	f.Uint64Var(&req.Before, "before", 0, "only calls of a lower number: the next page")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, _ []string) (err error) {
		if req.Since, err = a.sinceTime(since); err != nil {
			return err
		}
		if until != "" {
			t, err := parseTime(until, a.now(), a.local)
			if err != nil {
				return err
			}
			req.Until = timestamppb.New(t)
		}
		m, err := call(ctx, c.audit.ListAudit, req)
		if err != nil {
			return err
		}
		for _, k := range m.GetCalls() {
			k.UserText = safe(string(k.GetUser()))
			showNamed(k.GetNamed())
			showNamed(k.GetAnswered())
		}
		return a.print(m, func() { a.auditTable(m.GetCalls()) })
	})
	return cmd
}

func showNamed(named []*keepwardv1.AuditNamed) {
	for _, n := range named {
		n.ValueText = safe(string(n.GetValue()))
	}
}

func (a *app) auditTable(calls []*keepwardv1.AuditedCall) {
	t := a.newTable(">NUMBER", "TIME", "USER", "CALL", "OUTCOME", "NAMED", "|", "ROLE", "TOKEN", "ADDRESS", ">TIMES", "ENDED")
	for _, c := range calls {
		outcome := c.GetOutcome()
		if outcome == "" {
			outcome = "unknown"
		}
		named := namedText(c.GetNamed())
		if answered := namedText(c.GetAnswered()); answered != "" {
			named = strings.TrimSpace(named + " -> " + answered)
		}
		t.row(fmt.Sprint(c.GetNumber()), a.stamp(c.GetTime()), string(c.GetUser()), c.GetCall(), outcome, named,
			c.GetRole(), c.GetToken(), c.GetAddress(), fmt.Sprint(c.GetTimes()), a.stamp(c.GetEnded()))
	}
	t.print()
}

// namedText is what a call named on one line. A value that could be taken for several is quoted.
func namedText(named []*keepwardv1.AuditNamed) string {
	parts := make([]string, len(named))
	for i, n := range named {
		value := string(n.GetValue())
		if value == "" || strings.ContainsAny(value, ` ,="`) {
			value = `"` + strings.ReplaceAll(value, `"`, `""`) + `"`
		}
		parts[i] = n.GetField() + "=" + value
	}
	return strings.Join(parts, ", ")
}

func (a *app) auditExport() *cobra.Command {
	return &cobra.Command{
		Use: "export", Short: "Write all rows of the audit log as JSON lines",
		Long:    "Writes every row as it is chained, the oldest first, one object of JSON on each line. 'keepward audit verify --file' checks it\nwithout a server; docs/formats/audit.md says how to check it without Keepward.",
		Example: "  keepward audit export > audit.jsonl", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			if a.format == formatYAML {
				return usage("audit export writes JSON lines; it has no -o yaml")
			}
			return auditPages(ctx, c, func(m *keepwardv1.AuditRow) error {
				showNamed(m.GetNamed())
				return a.printLine(m)
			})
		}),
	}
}

// auditPages reads the whole log, page by page.
func auditPages(ctx context.Context, c *client, each func(*keepwardv1.AuditRow) error) error {
	for after := uint64(0); ; {
		m, err := call(ctx, c.audit.ReadAudit, &keepwardv1.ReadAuditRequest{After: after})
		if err != nil || len(m.GetRows()) == 0 {
			return err
		}
		for _, r := range m.GetRows() {
			if err := each(r); err != nil {
				return err
			}
			after = r.GetNumber()
		}
	}
}

func (a *app) auditVerify() *cobra.Command {
	var file, head string
	cmd := &cobra.Command{
		Use: "verify", Short: "Check that no row was altered, added or taken out",
		Long: `Walks the chain from the first row to the last, names the first row that is not as it was written, and prints the head: the number and
hash of the last row. What was cut off at the end cannot be seen from the rows that are left: note the head where nobody with the server's
disk can change it, and give it next time with --head.`,
		Example: "  keepward audit verify\n  keepward audit verify --head 4711:9f2c…\n  keepward audit verify --file audit.jsonl",
		Args:    exactly(),
	}
	cmd.Flags().StringVar(&file, "file", "", "check what 'keepward audit export' wrote, without a server; - is standard input")
	cmd.Flags().StringVar(&head, "head", "", "a head that was noted before: its row must be there, as it was")
	withClient := a.withClient(func(ctx context.Context, c *client, _ []string) error {
		return a.verifyAudit(head, func(each func(*keepwardv1.AuditRow) error) error { return auditPages(ctx, c, each) })
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if file == "" {
			return withClient(cmd, args)
		}
		return a.verifyAudit(head, func(each func(*keepwardv1.AuditRow) error) error { return a.auditFile(file, each) })
	}
	return cmd
}

// verifyAudit checks the rows that read hands over.
func (a *app) verifyAudit(known string, read func(each func(*keepwardv1.AuditRow) error) error) error {
	var chain audit.Chain
	if known != "" {
		head, err := audit.ParseHead(known)
		if err != nil {
			return err
		}
		chain.Known = head
	}
	err := read(func(m *keepwardv1.AuditRow) error { return chain.Next(auditRow(m)) })
	if err == nil {
		err = chain.End()
	}
	if err != nil {
		if errs.KindOf(err) == errs.Corrupt {
			a.remark("rows 1 to %d are as they were written; head %s", chain.Head().Number, chain.Head())
		}
		return err
	}
	if a.format.machine() {
		return a.printValue(struct {
			Rows       uint64 `json:"rows"`
			Head       string `json:"head"`
			Unfinished int    `json:"unfinished"`
		}{chain.Head().Number, chain.Head().String(), chain.Open()})
	}
	a.fields("rows", count(int64(chain.Head().Number)), "head", chain.Head().String(), "calls without an end", count(int64(chain.Open())))
	a.remark("the audit log is whole. Note the head: with --head it tells next time whether rows are missing at the end")
	return nil
}

// auditRow is a row as it is checked.
func auditRow(m *keepwardv1.AuditRow) audit.Row {
	r := audit.Row{
		Number: m.GetNumber(), Time: m.GetTime().AsTime().UnixNano(), Kind: m.GetKind(), Ends: m.GetEnds(), User: string(m.GetUser()), Token: m.GetToken(),
		Role: m.GetRole(), Address: m.GetAddress(), Call: m.GetCall(), Outcome: m.GetOutcome(), Times: m.GetTimes(),
	}
	for _, n := range m.GetNamed() {
		r.Named = append(r.Named, audit.Named{Field: n.GetField(), Value: string(n.GetValue())})
	}
	copy(r.Previous[:], m.GetPrevious()) // of another length it is another hash
	copy(r.Hash[:], m.GetHash())
	return r
}

// auditLineMost is far above the longest row, which has some 10 KiB.
const auditLineMost = 1 << 20

// auditFile reads what export wrote.
func (a *app) auditFile(path string, each func(*keepwardv1.AuditRow) error) error {
	r := a.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return errs.New(errs.KindOf(err), "audit.file", "read audit log: %w", err)
		}
		defer func() { _ = f.Close() }() // only read
		r = f
	}
	lines := bufio.NewReader(r)
	for number := 1; ; number++ {
		line, err := readLine(lines)
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		if err != nil && err != io.EOF {
			return errs.New(errs.KindOf(err), "audit.file", "read audit log %s: line %d: %w", path, number, err)
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		m := &keepwardv1.AuditRow{}
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(line, m); err != nil {
			return errs.New(errs.Corrupt, audit.CodeBroken, "check audit log %s: line %d is no row: %w", path, number, err)
		}
		if err := each(m); err != nil {
			return err
		}
	}
}

func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > auditLineMost {
			return nil, errs.New(errs.Corrupt, audit.CodeBroken, "it is longer than any row")
		}
		if err != bufio.ErrBufferFull {
			return line, err
		}
	}
}
