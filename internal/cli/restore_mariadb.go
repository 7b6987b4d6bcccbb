package cli

import (
	"github.com/spf13/cobra"

	"keepward/internal/job"
)

func (a *app) restoreMariaDB() *cobra.Command {
	return a.restoreApplication(job.MariaDB, &cobra.Command{
		Use: "mariadb --computer C --to DIR", Short: "Bring MariaDB back, as of a point or of any time between two",
		Long: `Restores a MariaDB server into a new data directory, DIR/files/data.

Without --start and --to-time it is left as it is to be started: the server recovers then. With one of
them a server is started there, for nobody else to connect; it is brought to the time by its binary
logs, all tables are checked, and it is ended again. With --into, one database is loaded from there
into a server that runs. Times are whole seconds.`,
		Example: `  keepward restore mariadb --computer db1 --point latest --to /srv/my --start --wait
  keepward restore mariadb --computer db1 --to-time "2026-11-01 14:03:20" --to /srv/my --wait
  keepward restore mariadb --computer db1 --to /var/tmp/my --database shop --as shop_before --into /run/mysqld/mysqld.sock --credential my`,
	})
}
