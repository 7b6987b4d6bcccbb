package cli

import (
	"context"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
)

func (a *app) settingCommand() *cobra.Command {
	cmd := a.noun("setting", "Limits and switches of the whole server",
		"A setting holds for the whole server and from the moment on in which it is changed. Those of repositories and jobs are\nchanged with 'keepward repository edit' and 'keepward job edit'.")
	cmd.AddCommand(a.settingList(), a.settingSet(), a.settingReset())
	return cmd
}

func (a *app) settingList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the settings, their values and defaults", Example: "  keepward setting list -o wide", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			m, err := call(ctx, c.settings.ListSettings, &keepwardv1.ListSettingsRequest{})
			if err != nil {
				return err
			}
			return a.print(m, func() {
				t := a.newTable("NAME", "VALUE", "DEFAULT", "MEANING", "|", "ALLOWED")
				for _, s := range m.GetSettings() {
					t.row(s.GetName(), s.GetValue(), s.GetDefault(), s.GetMeaning(), s.GetBounds())
				}
				t.print()
			})
		}),
	}
}

func (a *app) settingSet() *cobra.Command {
	return &cobra.Command{
		Use: "set NAME VALUE", Short: "Change a setting", Long: "Changes a setting. 'keepward setting list -o wide' shows what each may be.",
		Example: "  keepward setting set claim_after 2h\n  keepward setting set restores_preempt_backups on",
		Args:    exactly("NAME", "VALUE"), ValidArgsFunction: a.complete(settingNames),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			m, err := call(ctx, c.settings.SetSetting, &keepwardv1.SetSettingRequest{Name: args[0], Value: args[1]})
			if err != nil {
				return err
			}
			return a.print(m.GetSetting(), func() {
				a.remark("%s is %s now; the default is %s", m.GetSetting().GetName(), m.GetSetting().GetValue(), m.GetSetting().GetDefault())
			})
		}),
	}
}

func (a *app) settingReset() *cobra.Command {
	return &cobra.Command{
		Use: "reset NAME", Short: "Give a setting its default back", Example: "  keepward setting reset claim_after",
		Args: exactly("NAME"), ValidArgsFunction: a.complete(settingNames),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			m, err := call(ctx, c.settings.ResetSetting, &keepwardv1.ResetSettingRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return a.print(m.GetSetting(), func() { a.remark("%s is %s again", m.GetSetting().GetName(), m.GetSetting().GetValue()) })
		}),
	}
}

func settingNames(ctx context.Context, c *client) ([]string, error) {
	m, err := call(ctx, c.settings.ListSettings, &keepwardv1.ListSettingsRequest{})
	return namesOf(m.GetSettings()), err
}
