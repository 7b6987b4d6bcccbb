package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"keepward/internal/durable"
	"keepward/internal/errs"
)

// clientConfig is what a client needs to reach a server: the file client.yaml.
type clientConfig struct {
	Address string `yaml:"address"`
	// CA is the authority of the server, PEM. Empty: the system's authorities.
	CA       string `yaml:"ca,omitempty"`
	Token    string `yaml:"token"`
	ServerID string `yaml:"server_id,omitempty"`
}

// configPath is the file that --config, the environment or the default names.
func (a *app) configPath() (path string, chosen bool) {
	if a.config != "" {
		return a.config, true
	}
	if p := a.env("KEEPWARD_CONFIG"); p != "" {
		return p, true
	}
	dir := a.env("XDG_CONFIG_HOME")
	if dir == "" {
		dir = filepath.Join(a.env("HOME"), ".config")
	}
	return filepath.Join(dir, "keepward", "client.yaml"), false
}

// loadConfig reads where the server is. An address in the environment goes before the
// default file, but not before a file that was named on the command line.
func (a *app) loadConfig() (clientConfig, error) {
	if addr := a.env("KEEPWARD_ADDR"); addr != "" && a.config == "" {
		return a.envConfig(addr)
	}
	path, chosen := a.configPath()
	c, err := readConfig(path)
	if errors.Is(err, fs.ErrNotExist) && !chosen {
		return c, errs.New(errs.Denied, "client.not-logged-in", "no server is known: there is no file %s", path).
			WithHint("run 'keepward login HOST:7480', or name the client.yaml of a server's data directory with --config")
	}
	if err != nil {
		return c, errs.New(errs.KindOf(err), "client.config", "read client file: %w", err)
	}
	return c, nil
}

func (a *app) envConfig(addr string) (clientConfig, error) {
	c := clientConfig{Address: addr, Token: a.env("KEEPWARD_TOKEN")}
	if file := a.env("KEEPWARD_CA"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return c, errs.New(errs.KindOf(err), "client.config", "read KEEPWARD_CA: %w", err)
		}
		c.CA = string(pem)
	}
	return c, nil
}

func readConfig(path string) (clientConfig, error) {
	var c clientConfig
	text, err := os.ReadFile(path)
	if err != nil {
		return c, err
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		return c, errs.New(errs.Invalid, "client.config", "%s: %w", path, err)
	}
	if c.Address == "" {
		return c, errs.New(errs.Invalid, "client.config", "%s names no address", path)
	}
	return c, nil
}

// writeConfig keeps c where only the user can read it.
func writeConfig(path string, c clientConfig) error {
	text, err := yaml.Marshal(c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return durable.WriteFile(path, text, 0o600)
}
