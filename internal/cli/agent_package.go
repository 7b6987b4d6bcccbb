package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

func (a *app) agentPackageCommand() *cobra.Command {
	cmd := a.noun("agent-package", "Programs that agents are updated with",
		"The server holds a program for each platform of its agents: its own for its own platform, others that are imported here.\nWith the import the authority of the site signs it; agents take nothing else.")
	cmd.AddCommand(a.packageImport(), a.packageList(), a.packageRemove())
	return cmd
}

func (a *app) packageImport() *cobra.Command {
	var version string
	cmd := &cobra.Command{
		Use: "import FILE...", Short: "Bring programs to the server that agents can become",
		Long: "Sends programs to the server, such as 'make cross' builds. Which platform and version each is, it says itself; a program of\n" +
			"another build may need --version. The program is not run by the server.",
		Example: "  keepward agent-package import dist/keepward-linux-arm64 dist/keepward-windows-amd64.exe",
		Args:    cobra.MinimumNArgs(1),
	}
	cmd.Flags().StringVar(&version, "version", "", "the version that the programs are, where they do not say it")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		out := &keepwardv1.ListPackagesResponse{}
		for _, path := range args {
			p, err := sendPackage(ctx, c, path, version)
			if err != nil {
				return err
			}
			out.Packages = append(out.Packages, p)
		}
		return a.print(out, func() { a.packageTable(out.GetPackages()) })
	})
	return cmd
}

// partOfPackage is what one message takes.
const partOfPackage = 4 << 20

func sendPackage(ctx context.Context, c *client, path, version string) (*keepwardv1.AgentPackage, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errs.New(errs.KindOf(err), "package.open", "import agent package: %w", err)
	}
	defer func() { _ = f.Close() }()
	req := &keepwardv1.UploadPackageRequest{Version: version}
	b := make([]byte, partOfPackage)
	for {
		n, err := io.ReadFull(f, b)
		req.Last = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !req.Last {
			return nil, errs.New(errs.KindOf(err), "package.open", "import agent package %s: %w", path, err)
		}
		req.Data = b[:n]
		res, err := call(ctx, c.updates.UploadPackage, req)
		if err != nil {
			return nil, errs.New(errs.KindOf(err), errs.CodeOf(err), "%s: %w", path, err)
		}
		if req.Last {
			return res.GetPackage(), nil
		}
		req.Upload, req.Offset = res.GetUpload(), req.GetOffset()+int64(n)
	}
}

func (a *app) packageTable(list []*keepwardv1.AgentPackage) {
	t := a.newTable("PLATFORM", "VERSION", "SIZE", "FROM", "PROBLEM", "|", "IMPORTED", "SHA-256")
	for _, p := range list {
		from := "the server's own program"
		if p.GetImported() != nil {
			from = "imported by " + p.GetUser()
		}
		t.row(p.GetOs()+"/"+p.GetArch(), p.GetVersion(), size(p.GetSizeBytes()), from, p.GetProblem(), a.stamp(p.GetImported()), p.GetSha256())
	}
	t.print()
}

func (a *app) packageList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the programs that agents can become", Example: "  keepward agent-package list -o wide", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			m, err := call(ctx, c.updates.ListPackages, &keepwardv1.ListPackagesRequest{})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.packageTable(m.GetPackages()) })
		}),
	}
}

func (a *app) packageRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove PLATFORM VERSION", Short: "Forget a program that was imported", Example: "  keepward agent-package remove linux/arm64 v1.2.3",
		Args: exactly("PLATFORM", "VERSION"),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			os, arch, ok := strings.Cut(args[0], "/")
			if !ok {
				return usage("%q is no platform; write it as linux/arm64", args[0])
			}
			m, err := call(ctx, c.updates.RemovePackage, &keepwardv1.RemovePackageRequest{Os: os, Arch: arch, Version: args[1]})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.remark("%s for %s is removed; agents that are it stay so", args[1], args[0]) })
		}),
	}
}
