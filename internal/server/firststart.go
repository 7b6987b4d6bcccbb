package server

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.yaml.in/yaml/v3"

	"keepward/internal/catalog"
	"keepward/internal/durable"
	"keepward/internal/errs"
	"keepward/internal/pki"
)

const (
	adminName  = "admin"
	clientFile = "client.yaml"

	// tokenPrefix lets a scanner for leaked secrets know an API token.
	tokenPrefix = "kwt1."
)

// clientConfig is what a client needs to reach this server; see docs/user/cli.md.
type clientConfig struct {
	Address string `yaml:"address"`
	CA      string `yaml:"ca"`
	Token   string `yaml:"token"`
}

// newAPIToken is 256 random bits as text.
func newAPIToken() string { return tokenPrefix + pki.NewSecret() + pki.NewSecret() }

// ensureAdmin makes the first administrator and the client file of the data directory, and
// keeps the latter true when the address changes. The password is told before it counts: a
// crash in between makes a new one at the next start, never one that nobody knows.
func (d *dataDir) ensureAdmin(ctx context.Context, address string, out io.Writer) error {
	return d.db.Write(ctx, func(tx *sql.Tx) error {
		has, err := catalog.HasUsers(ctx, tx)
		if err != nil {
			return err
		}
		now := time.Now()
		password := ""
		if !has {
			password = pki.NewSecret()
			u := catalog.User{Name: adminName, Role: roleAdmin, Password: catalog.HashPassword(password), Created: now}
			if _, err := catalog.AddUser(ctx, tx, u); err != nil {
				return err
			}
		}
		if err := d.writeClient(ctx, tx, address, now); err != nil {
			return err
		}
		if password != "" {
			_, err = fmt.Fprintf(out, "administrator: %s\npassword: %s\nThe password is shown only this once.\n", adminName, password)
		}
		return err
	})
}

func (d *dataDir) writeClient(ctx context.Context, tx *sql.Tx, address string, now time.Time) error {
	path := filepath.Join(d.path, clientFile)
	had, err := readClient(path)
	if err != nil {
		return err
	}
	want := clientConfig{Address: address, CA: string(pki.EncodeCertificate(d.authority.Certificate.Raw)), Token: had.Token}
	user, good, err := catalog.UserOfToken(ctx, tx, had.Token, now)
	if err != nil {
		return err
	}
	good = good && user.Role == roleAdmin && len(user.Groups) == 0 // it may have been demoted: who is here is the administrator
	if good && want == had {
		return nil
	}
	if !good {
		owner, err := anAdministrator(ctx, tx)
		if err != nil {
			return err
		}
		want.Token = newAPIToken()
		if err := catalog.AddAPIToken(ctx, tx, want.Token, catalog.APIToken{UserID: owner.ID, Kind: catalog.TokenFile, Label: clientFile, Created: now}); err != nil {
			return err
		}
	}
	text, err := yaml.Marshal(want)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return durable.WriteFile(path, text, 0o600)
}

// anAdministrator is the first one, if it still is one, or else another.
func anAdministrator(ctx context.Context, tx *sql.Tx) (catalog.User, error) {
	list, err := catalog.ListUsers(ctx, tx)
	if err != nil {
		return catalog.User{}, err
	}
	var other *catalog.User
	for _, u := range list {
		if u.Role != roleAdmin || len(u.Groups) > 0 {
			continue
		}
		if u.Name == adminName {
			return u, nil
		}
		other = &u
	}
	if other == nil {
		return catalog.User{}, errs.New(errs.Corrupt, "user.admin-missing", "write %s: there is no administrator", clientFile)
	}
	return *other, nil
}

// readClient reads an earlier client file. One that is gone or unreadable is made anew: who
// may write here is the administrator.
func readClient(path string) (clientConfig, error) {
	var c clientConfig
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("read client file: %w", err)
	}
	if yaml.Unmarshal(text, &c) != nil {
		return clientConfig{}, nil
	}
	return c, nil
}
