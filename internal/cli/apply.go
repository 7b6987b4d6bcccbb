package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

func (a *app) applyCommand() *cobra.Command {
	var files []string
	var dryRun bool
	cmd := &cobra.Command{
		Use: "apply -f FILE...", Short: "Make the configuration as YAML files say",
		Long:    "Creates and changes what the files name and leaves the rest. All or nothing: with any fault in any file nothing is applied.",
		Example: "  keepward apply -f jobs.yaml --dry-run\n  keepward export | keepward --config other.yaml apply -f -",
		Args:    exactly(),
	}
	cmd.Flags().StringArrayVarP(&files, "file", "f", nil, "YAML file; - is standard input; may be repeated")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only show what would change")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, _ []string) error {
		if err := required(cmd, "file"); err != nil {
			return err
		}
		req := &keepwardv1.ApplyRequest{DryRun: dryRun}
		for _, name := range files {
			f, err := a.sourceFile(name)
			if err != nil {
				return err
			}
			req.Files = append(req.Files, f)
		}
		m, err := call(ctx, c.config.Apply, req)
		if err != nil {
			return err
		}
		if len(m.GetFaults()) > 0 {
			return a.faults(m)
		}
		return a.print(m, func() {
			a.changeTable(m.GetChanges(), dryRun)
			a.warnings(m.GetWarnings())
		})
	})
	return cmd
}

func (a *app) sourceFile(name string) (*keepwardv1.SourceFile, error) {
	if name == "-" {
		text, err := io.ReadAll(a.in)
		return &keepwardv1.SourceFile{Name: "standard input", Content: text}, err
	}
	text, err := os.ReadFile(name)
	return &keepwardv1.SourceFile{Name: name, Content: text}, err
}

// faults prints a line for each fault, as compilers do.
func (a *app) faults(m *keepwardv1.ApplyResponse) error {
	if a.format.machine() {
		if err := a.print(m, nil); err != nil {
			return err
		}
		return &statusError{status: exitUsage}
	}
	for _, f := range m.GetFaults() {
		place := fmt.Sprintf("%s:%d:%d", f.GetFile(), f.GetLine(), f.GetColumn())
		if f.GetColumn() == 0 {
			place = fmt.Sprintf("%s:%d", f.GetFile(), f.GetLine())
		}
		if f.GetField() != "" {
			place += ": " + f.GetField()
		}
		fmt.Fprintln(a.errOut, safe(place+": "+f.GetText()))
	}
	return errs.New(errs.Invalid, "config.faults", "%s; nothing was applied", plural(int64(len(m.GetFaults())), "fault"))
}

func (a *app) changeTable(list []*keepwardv1.ConfigChange, dryRun bool) {
	if len(list) == 0 {
		a.remark("nothing to change")
		return
	}
	t := a.newTable("ACTION", "KIND", "NAME", "FIELDS")
	for _, c := range list {
		t.row(c.GetAction(), c.GetKind(), c.GetName(), strings.Join(c.GetFields(), ", "))
	}
	t.print()
	for _, c := range list {
		if c.GetRecoveryKey() != "" {
			a.remark("the recovery key of %s %s; keep it somewhere else than the server:", c.GetKind(), c.GetName())
			fmt.Fprintln(a.out, safe(c.GetRecoveryKey()))
		}
	}
	if dryRun {
		a.remark("nothing was changed: --dry-run")
	}
}

func (a *app) exportCommand() *cobra.Command {
	return &cobra.Command{
		Use: "export", Short: "Print the whole configuration as YAML",
		Long:    "Prints all repositories, jobs, windows, disabled activities, limits and priorities as YAML documents that 'keepward apply' takes. Secrets are not in it. With -o json one object with the documents.",
		Example: "  keepward export > site.yaml", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			m, err := call(ctx, c.config.Export, &keepwardv1.ExportRequest{})
			if err != nil {
				return err
			}
			if a.format == formatJSON {
				return a.exportJSON(m.GetYaml())
			}
			_, err = a.out.Write(m.GetYaml())
			return err
		}),
	}
}

func (a *app) exportJSON(text []byte) error {
	documents := []any{}
	for dec := yaml.NewDecoder(strings.NewReader(string(text))); ; {
		var v any
		err := dec.Decode(&v)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read exported YAML: %w", err)
		}
		documents = append(documents, v)
	}
	return a.printValue(map[string]any{"documents": documents})
}
