package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// engine is a program under measurement. Its steps come in the order of the fields'
// use: prepare, backup (three times), restore.
type engine interface {
	// name with version and settings, for the table.
	name() string
	// prepare makes a new repository.
	prepare(ctx context.Context, dir string) error
	backup(ctx context.Context, src string) (usage, error)
	// restore brings the newest state of src back below to.
	restore(ctx context.Context, src, to string) (usage, error)
	// repository is the directory whose size counts.
	repository() string
	close() error
}

// variants are the settings of each peer that a goal is set against. Keepward's are beside them.
var variants = []struct {
	program string
	make    func(version string) engine
}{
	{"restic", func(v string) engine { return &restic{version: v, compression: "fastest"} }},
	{"restic", func(v string) engine { return &restic{version: v, compression: "auto"} }},
	{"kopia", func(v string) engine { return &kopia{version: v, compression: "s2-default"} }},
	{"borg", func(v string) engine { return &borg{version: v} }},
}

// engines are Keepward's two and the peers that there are.
func engines(o options) []engine {
	all := []engine{
		&keepward{bin: o.bin, compression: "zstd"},
		&keepward{bin: o.bin, compression: "fast"},
	}
	for _, v := range variants {
		if _, err := exec.LookPath(v.program); err == nil {
			all = append(all, v.make(version(v.program)))
		}
	}
	return all
}

// missingPeers are the programs that cannot be measured.
func missingPeers() []string {
	var missing []string
	for _, v := range variants {
		if _, err := exec.LookPath(v.program); err != nil && !slices.Contains(missing, v.program) {
			missing = append(missing, v.program)
		}
	}
	return missing
}

// usePeers lets programs in the directories of PEERS_BIN come before those in PATH.
func usePeers() error {
	dirs := os.Getenv("PEERS_BIN")
	if dirs == "" {
		return nil
	}
	for _, dir := range filepath.SplitList(dirs) {
		if _, err := os.Stat(dir); err != nil {
			return fmt.Errorf("PEERS_BIN: %w", err)
		}
	}
	return os.Setenv("PATH", dirs+string(filepath.ListSeparator)+os.Getenv("PATH"))
}

// version is the program's own word for it, without its name.
func version(program string) string {
	arg := "--version"
	if program == "restic" {
		arg = "version"
	}
	out, err := exec.Command(program, arg).Output()
	if err != nil {
		return "of unknown version"
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	for _, word := range strings.Fields(line) {
		if word[0] >= '0' && word[0] <= '9' {
			return word
		}
	}
	return line
}

// password of the peers' repositories; it protects nothing here.
const password = "benchmark"

type restic struct{ version, compression, repo string }

func (r *restic) name() string       { return "restic " + r.version + ", " + r.compression }
func (r *restic) repository() string { return r.repo }
func (r *restic) close() error       { return nil }

func (r *restic) prepare(ctx context.Context, dir string) error {
	r.repo = filepath.Join(dir, "repository")
	_, err := r.run(ctx, dir, "init")
	return err
}

func (r *restic) backup(ctx context.Context, src string) (usage, error) {
	return r.run(ctx, filepath.Dir(r.repo), "backup", "--quiet", src)
}

func (r *restic) restore(ctx context.Context, _, to string) (usage, error) {
	return r.run(ctx, filepath.Dir(r.repo), "restore", "latest", "--quiet", "--target", to)
}

func (r *restic) run(ctx context.Context, dir string, args ...string) (usage, error) {
	env := []string{"RESTIC_REPOSITORY=" + r.repo, "RESTIC_PASSWORD=" + password, "RESTIC_COMPRESSION=" + r.compression, "RESTIC_CACHE_DIR=" + filepath.Join(dir, "cache")}
	return command(ctx, dir, env, "restic", args...)
}

type kopia struct{ version, compression, dir string }

func (k *kopia) name() string       { return "kopia " + k.version + ", " + k.compression }
func (k *kopia) repository() string { return filepath.Join(k.dir, "repository") }
func (k *kopia) close() error       { return nil }

func (k *kopia) prepare(ctx context.Context, dir string) error {
	k.dir = dir
	_, err := k.run(ctx, "repository", "create", "filesystem", "--path", k.repository(), "--cache-directory", filepath.Join(dir, "cache"))
	if err != nil {
		return err
	}
	_, err = k.run(ctx, "policy", "set", "--global", "--compression", k.compression)
	return err
}

func (k *kopia) backup(ctx context.Context, src string) (usage, error) {
	return k.run(ctx, "snapshot", "create", "--no-progress", src)
}

func (k *kopia) restore(ctx context.Context, src, to string) (usage, error) {
	return k.run(ctx, "restore", "--no-progress", src, to)
}

func (k *kopia) run(ctx context.Context, args ...string) (usage, error) {
	env := []string{
		"KOPIA_PASSWORD=" + password, "KOPIA_CHECK_FOR_UPDATES=false",
		"KOPIA_CONFIG_PATH=" + filepath.Join(k.dir, "config"), "KOPIA_LOG_DIR=" + filepath.Join(k.dir, "log"),
	}
	return command(ctx, k.dir, env, "kopia", append(args, "--no-use-keyring")...)
}

type borg struct {
	version, dir string
	archives     int
}

func (b *borg) name() string       { return "borg " + b.version }
func (b *borg) repository() string { return filepath.Join(b.dir, "repository") }
func (b *borg) close() error       { return nil }

func (b *borg) prepare(ctx context.Context, dir string) error {
	b.dir, b.archives = dir, 0
	_, err := b.run(ctx, dir, "init", "--encryption", "repokey-blake2", b.repository())
	return err
}

func (b *borg) backup(ctx context.Context, src string) (usage, error) {
	b.archives++
	return b.run(ctx, b.dir, "create", b.archive(), src)
}

func (b *borg) restore(ctx context.Context, _, to string) (usage, error) {
	// borg extracts into the working directory.
	if err := os.MkdirAll(to, 0o755); err != nil {
		return usage{}, err
	}
	return b.run(ctx, to, "extract", b.archive())
}

func (b *borg) archive() string { return fmt.Sprintf("%s::a%d", b.repository(), b.archives) }

func (b *borg) run(ctx context.Context, dir string, args ...string) (usage, error) {
	env := []string{"BORG_PASSPHRASE=" + password, "BORG_BASE_DIR=" + b.dir}
	return command(ctx, dir, env, "borg", args...)
}
