package pki

import (
	"strings"

	"keepward/internal/errs"
)

// nameMost keeps a name within one label of a host name, and safe as a file name.
const nameMost = 63

// CheckName refuses what cannot be the name of a thing ("computer", "job", …): names stand in
// certificates, file names, command lines and tables.
func CheckName(thing, name string) error {
	if name == "" {
		return errs.New(errs.Invalid, "name.empty", "check name: %s needs a name", article(thing))
	}
	if len(name) > nameMost {
		return errs.New(errs.Invalid, "name.long", "check name: the name of %s has at most %d characters, this one %d", article(thing), nameMost, len(name))
	}
	for i := range len(name) {
		if alphanumeric(name[i]) || i > 0 && (name[i] == '.' || name[i] == '_' || name[i] == '-') {
			continue
		}
		return errs.New(errs.Invalid, "name.characters", "check name: %q cannot be the name of %s", name, article(thing)).
			WithHint("names are letters, digits, dots, underscores and dashes, and begin with a letter or digit")
	}
	return nil
}

func article(thing string) string {
	if thing != "" && strings.ContainsRune("aeiou", rune(thing[0])) {
		return "an " + thing
	}
	return "a " + thing
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
