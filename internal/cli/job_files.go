package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/config"
)

// fileFlags are what a job takes, as flags: of all its computers, or of some.
type fileFlags struct {
	files keepwardv1.FileSelection
	// computers are those alone for which it holds; asOthers: they have nothing of their own any more.
	computers []string
	asOthers  bool
}

// filesFlags are the flags that say what is taken.
var filesFlags = []string{"include", "exclude", "only", "one-file-system", "include-caches", "include-temporary", "live", "no-tracking"}

func (s *fileFlags) add(f *pflag.FlagSet) {
	f.StringArrayVar(&s.files.Include, "include", nil, "directory or file to take, absolute; may be repeated")
	f.StringArrayVar(&s.files.Exclude, "exclude", nil, "pattern of what to leave out, as in .gitignore; may be repeated")
	f.StringArrayVar(&s.files.Only, "only", nil, "mask: take only files that match, for instance '*.docx'; may be repeated")
	f.BoolVar(&s.files.OneFileSystem, "one-file-system", false, "do not cross into other file systems")
	f.BoolVar(&s.files.IncludeCaches, "include-caches", false, "take directories that CACHEDIR.TAG marks, too")
	f.BoolVar(&s.files.IncludeTemporary, "include-temporary", false, "take what is left out by itself, too: temporary folders, caches, swap files")
	f.BoolVar(&s.files.Live, "live", false, "read the files as they are at their turn: take no snapshot")
	f.BoolVar(&s.files.NoTracking, "no-tracking", false, "keep nothing on the computer to tell the next backup what has changed: compare every file")
}

// addFor adds the flags that choose computers.
func (s *fileFlags) addFor(a *app, cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&s.computers, "for", nil, "let what is written of files hold for this computer of the job alone; may be repeated")
	f.BoolVar(&s.asOthers, "as-others", false, "with --for: take of this computer what is taken of the others again")
	noError(cmd.RegisterFlagCompletionFunc("for", a.completeFlag(computerNames)))
}

// changed tells whether any of the flags was written.
func (s *fileFlags) changed(f *pflag.FlagSet) bool {
	return slices.ContainsFunc(filesFlags, f.Changed)
}

// check finds what is wrong without asking the server.
func (s *fileFlags) check(f *pflag.FlagSet) error {
	if len(s.computers) == 0 {
		if s.asOthers {
			return usage("--as-others wants --for COMPUTER")
		}
		return nil
	}
	if s.asOthers == s.changed(f) {
		return usage("--for %s wants either --as-others, or what is taken of it", s.computers[0])
	}
	var err error
	f.Visit(func(one *pflag.Flag) {
		if err == nil && f.Lookup("for") != one && one.Name != "as-others" && !slices.Contains(filesFlags, one.Name) && jobWide(one.Name) {
			err = usage("--%s holds for the whole job and cannot be changed with --for", one.Name)
		}
	})
	return err
}

// jobWide tells a flag of a job from those of every command.
func jobWide(name string) bool {
	return !slices.Contains([]string{"config", "output", "quiet", "no-color", "help"}, name)
}

// apply puts the flags that were written into what a job takes of all its computers.
func (s *fileFlags) apply(f *pflag.FlagSet, to *keepwardv1.FileSelection) {
	for name, set := range map[string]func(){
		"include":           func() { to.Include = written(s.files.Include) },
		"exclude":           func() { to.Exclude = written(s.files.Exclude) },
		"only":              func() { to.Only = written(s.files.Only) },
		"one-file-system":   func() { to.OneFileSystem = s.files.OneFileSystem },
		"include-caches":    func() { to.IncludeCaches = s.files.IncludeCaches },
		"include-temporary": func() { to.IncludeTemporary = s.files.IncludeTemporary },
		"live":              func() { to.Live = s.files.Live },
		"no-tracking":       func() { to.NoTracking = s.files.NoTracking },
	} {
		if f.Changed(name) {
			set()
		}
	}
}

// written is a list of a flag. An empty text alone empties it.
func written(list []string) []string {
	if len(list) == 1 && list[0] == "" {
		return nil
	}
	return list
}

// applyFor puts the flags that were written into what a job takes of some computers alone.
func (s *fileFlags) applyFor(f *pflag.FlagSet, j *keepwardv1.Job) {
	for _, c := range s.computers {
		j.Overrides = slices.DeleteFunc(j.Overrides, func(o *keepwardv1.FileOverride) bool { return s.asOthers && o.GetComputer() == c })
		if s.asOthers {
			continue
		}
		o := config.OverrideOf(j, c)
		if o == nil {
			o = &keepwardv1.FileOverride{Computer: c}
			j.Overrides = append(j.Overrides, o)
		}
		for name, set := range map[string]func(){
			"include":           func() { o.Include = &keepwardv1.TextList{Items: written(s.files.Include)} },
			"exclude":           func() { o.Exclude = &keepwardv1.TextList{Items: written(s.files.Exclude)} },
			"only":              func() { o.Only = &keepwardv1.TextList{Items: written(s.files.Only)} },
			"one-file-system":   func() { o.OneFileSystem = &s.files.OneFileSystem },
			"include-caches":    func() { o.IncludeCaches = &s.files.IncludeCaches },
			"include-temporary": func() { o.IncludeTemporary = &s.files.IncludeTemporary },
			"live":              func() { o.Live = &s.files.Live },
			"no-tracking":       func() { o.NoTracking = &s.files.NoTracking },
		} {
			if f.Changed(name) {
				set()
			}
		}
	}
}

// overrideFields says what a job takes of single computers, as names and values.
func overrideFields(j *keepwardv1.Job) (pairs []string) {
	for _, o := range j.GetOverrides() {
		var parts []string
		for _, l := range []struct {
			name string
			list *keepwardv1.TextList
		}{{"include", o.Include}, {"exclude", o.Exclude}, {"only", o.Only}} {
			switch {
			case l.list == nil:
			case len(l.list.GetItems()) == 0:
				parts = append(parts, l.name+" nothing")
			default:
				parts = append(parts, l.name+" "+strings.Join(l.list.GetItems(), ", "))
			}
		}
		for _, b := range []struct {
			name string
			on   *bool
		}{{"one file system", o.OneFileSystem}, {"tagged caches", o.IncludeCaches}, {"temporary files", o.IncludeTemporary}, {"live file system", o.Live}, {"no change tracking", o.NoTracking}} {
			if b.on != nil {
				parts = append(parts, b.name+" "+yesNo(*b.on))
			}
		}
		pairs = append(pairs, "only of "+o.GetComputer(), strings.Join(parts, "; "))
	}
	return pairs
}
