package update

import (
	"bufio"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"regexp"

	"keepward/internal/errs"
)

// mark is how a program carries its version: the linker puts it there, see Makefile.
var mark = regexp.MustCompile(`\{keepward:([0-9A-Za-z][0-9A-Za-z.+_-]{0,63})\}`)

// markMost is as long as a mark can be.
const markMost = 80

// Inspect tells from the bytes of a program what it is, without running it. version, where it is
// given, is taken for its version.
func Inspect(r io.ReaderAt, size int64, version string) (Package, error) {
	p := Package{Size: size, Version: version}
	info, err := buildinfo.Read(r)
	if err == nil && info.Path != "keepward/cmd/keepward" && version == "" {
		return p, errs.New(errs.Invalid, "package.program", "look at package: it is the program %q", info.Path)
	}
	if p.OS, p.Arch = platformOf(r); info != nil {
		for _, s := range info.Settings {
			switch s.Key {
			case "GOOS":
				p.OS = s.Value
			case "GOARCH":
				p.Arch = s.Value
			}
		}
	}
	if p.OS == "" || p.Arch == "" {
		return p, errs.New(errs.Invalid, "package.program", "look at package: it is no program for a platform that is known").
			WithHint("give the programs that 'make cross' builds, not archives of them")
	}
	sum := sha256.New()
	found, err := scan(io.TeeReader(io.NewSectionReader(r, 0, size), sum))
	if err != nil {
		return p, errs.New(errs.KindOf(err), "package.read", "look at package: %w", err)
	}
	p.SHA256 = hex.EncodeToString(sum.Sum(nil))
	switch {
	case p.Version != "":
	case len(found) == 1:
		p.Version = found[0]
	default:
		return p, errs.New(errs.Invalid, "package.version", "look at package for %s: it does not say which version it is", p.Platform()).
			WithHint("give it: --version V; what it answers to 'keepward version' there")
	}
	return p, p.Check()
}

// scan finds the different marks in a program.
func scan(r io.Reader) ([]string, error) {
	var found []string
	in := bufio.NewReaderSize(r, 1<<20)
	for {
		b, err := in.Peek(1 << 20)
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			return nil, err
		}
		for _, m := range mark.FindAllSubmatch(b, -1) {
			if v := string(m[1]); len(found) == 0 || found[len(found)-1] != v {
				found = append(found, v)
			}
		}
		if last {
			_, err := io.Copy(io.Discard, in)
			return found, err
		}
		if _, err := in.Discard(len(b) - markMost); err != nil {
			return nil, err
		}
	}
}

// platformOf reads the platform from a program's head; empty where it says nothing of it.
func platformOf(r io.ReaderAt) (os, arch string) {
	if f, err := elf.NewFile(r); err == nil {
		os = "linux"
		switch f.OSABI {
		case elf.ELFOSABI_FREEBSD:
			os = "freebsd"
		case elf.ELFOSABI_NETBSD:
			os = "netbsd"
		case elf.ELFOSABI_OPENBSD:
			os = "openbsd"
		}
		return os, map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64", elf.EM_386: "386", elf.EM_ARM: "arm", elf.EM_RISCV: "riscv64"}[f.Machine]
	}
	if f, err := pe.NewFile(r); err == nil {
		return "windows", map[uint16]string{pe.IMAGE_FILE_MACHINE_AMD64: "amd64", pe.IMAGE_FILE_MACHINE_ARM64: "arm64", pe.IMAGE_FILE_MACHINE_I386: "386"}[f.Machine]
	}
	if f, err := macho.NewFile(r); err == nil && f.ByteOrder == binary.LittleEndian {
		return "darwin", map[macho.Cpu]string{macho.CpuAmd64: "amd64", macho.CpuArm64: "arm64"}[f.Cpu]
	}
	return "", ""
}
