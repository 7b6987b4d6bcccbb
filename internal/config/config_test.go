package config

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
)

var site = Site{Computers: []string{"web1", "web2"}, Repositories: []string{"main"}, Transports: []string{"t1"}, Groups: []*keepwardv1.Group{{Name: "lab"}}}

func goodJob() *keepwardv1.Job {
	j := &keepwardv1.Job{
		Name: "docs", Computers: []string{"web1"}, Repository: "main", Schedule: "daily 22:00",
		Files: &keepwardv1.FileSelection{Include: []string{"/usr/share", `C:\Users`}, Exclude: []string{"*.pyc"}},
	}
	CompleteJob(j)
	return j
}

func TestJobMustKeepTheRules(t *testing.T) {
	if f := CheckJob(goodJob(), site); len(f) != 0 {
		t.Fatalf("a good job has faults: %v", Error(f))
	}
	for _, tt := range []struct {
		change func(*keepwardv1.Job)
		field  string
		kind   errs.Kind
		hint   string
	}{
		{func(j *keepwardv1.Job) { j.Name = "a b" }, "name", errs.Invalid, "names are letters, digits, dots, underscores and dashes, and begin with a letter or digit"},
		{func(j *keepwardv1.Job) { j.Type = "copy" }, "type", errs.Invalid, ""},
		{func(j *keepwardv1.Job) { j.Mode = "nobody" }, "mode", errs.Invalid, ""},
		{func(j *keepwardv1.Job) { j.Mode, j.Schedule = "agent", "continuously" }, "schedule", errs.Invalid, "for example: daily 22:00"},
		{func(j *keepwardv1.Job) { j.Mode, j.FullReadEvery = "agent", 7 }, "full_read_every", errs.Invalid, ""},
		{func(j *keepwardv1.Job) {
			j.Mode, j.Applications = "agent", []*keepwardv1.Application{{Kind: "postgresql", Name: "pg", Mode: "disable"}}
		}, "applications", errs.Invalid, ""},
		{func(j *keepwardv1.Job) {
			j.Mode, j.Scripts = "agent", &keepwardv1.Scripts{AgentBefore: &keepwardv1.Script{Path: "/bin/true"}}
		}, "scripts", errs.Invalid, ""},
		{func(j *keepwardv1.Job) { j.Missed = "sometimes" }, "missed", errs.Invalid, ""},
		{func(j *keepwardv1.Job) { j.Computers = nil }, "computers", errs.Invalid, ""},
		{func(j *keepwardv1.Job) { j.Computers = []string{"web1", "wbe2"} }, "computers[1]", errs.NotFound, "did you mean web2?"},
		{func(j *keepwardv1.Job) { j.Computers = []string{"web1", "web1"} }, "computers[1]", errs.Invalid, ""},
		{func(j *keepwardv1.Job) { j.Repository = "" }, "repository", errs.Invalid, ""},
		{func(j *keepwardv1.Job) { j.Repository = "mian" }, "repository", errs.NotFound, "did you mean main?"},
		{func(j *keepwardv1.Job) { j.Files.Include = nil }, "files.include", errs.Invalid, ""},
		{func(j *keepwardv1.Job) { j.Files.Include = []string{"/a", "share"} }, "files.include[1]", errs.Invalid, ""},
		{func(j *keepwardv1.Job) { j.Files.Include = []string{"/a\x00"} }, "files.include[0]", errs.Invalid, ""},
		{func(j *keepwardv1.Job) { j.Files.Exclude = []string{"*.o", "[a"} }, "files.exclude[1]", errs.Invalid, ""},
		{func(j *keepwardv1.Job) { j.Files.Only = []string{"*.o", "docs/"} }, "files.only[1]", errs.Invalid, ""},
		{func(j *keepwardv1.Job) { j.Files.Only = []string{"!*.o"} }, "files.only", errs.Invalid, ""},
		{func(j *keepwardv1.Job) { j.Overrides = override("web2", nil) }, "overrides.web2", errs.Invalid, ""},
		{func(j *keepwardv1.Job) {
			j.Overrides = append(override("web1", []string{"/a"}), override("web1", nil)...)
		}, "overrides.web1", errs.Invalid, ""},
		{func(j *keepwardv1.Job) { j.Overrides = override("web1", []string{}) }, "overrides.web1.include", errs.Invalid, ""},
		{func(j *keepwardv1.Job) { j.Overrides = override("web1", []string{"/a", "b"}) }, "overrides.web1.include[1]", errs.Invalid, ""},
		{func(j *keepwardv1.Job) { j.Compression = "max" }, "compression", errs.Invalid, ""},
		{func(j *keepwardv1.Job) { j.Schedule = "sometimes" }, "schedule", errs.Invalid, "for example: daily 22:00, daily 06:00,18:00, weekly mon,fri 03:30"},
		{func(j *keepwardv1.Job) { j.FullReadEvery = -1 }, "full_read_every", errs.Invalid, ""},
		{func(j *keepwardv1.Job) { j.OnBattery = "30" }, "on_battery", errs.Invalid, ""},
		{func(j *keepwardv1.Job) { j.OnMetered = "50%" }, "on_metered", errs.Invalid, ""},
		{func(j *keepwardv1.Job) { j.Processors = -1 }, "processors", errs.Invalid, ""},
		{func(j *keepwardv1.Job) { j.Connections = 17 }, "connections", errs.Invalid, ""},
		{func(j *keepwardv1.Job) { j.Attempts = -1 }, "attempts", errs.Invalid, ""},
		{func(j *keepwardv1.Job) { j.RestartInterval = durationpb.New(-time.Second) }, "restart_interval", errs.Invalid, ""},
	} {
		j := goodJob()
		tt.change(j)
		f := CheckJob(j, site)
		if len(f) != 1 || f[0].Field != tt.field || f[0].Err.Kind != tt.kind {
			t.Errorf("%s: got %v (%v)", tt.field, f, Error(f))
			continue
		}
		if tt.hint != "" && f[0].Err.Hint != tt.hint {
			t.Errorf("%s: hint %q, want %q", tt.field, f[0].Err.Hint, tt.hint)
		}
	}
}

func TestJobWithoutComputersMayOnlyBeDisabled(t *testing.T) {
	j := goodJob()
	j.Computers, j.Disabled = nil, true
	if f := CheckJob(j, site); len(f) != 0 {
		t.Error(Error(f))
	}
}

const sample = `# the site
kind: repository
name: main
transport: t1
path: /srv/repo
---
kind: job
name: docs
computers: [web1, web2]
files:
  include:
    - /usr/share
  exclude: ['*.pyc', "a: b"]
  one_file_system: true
repository: main
schedule: daily 22:00
full_read_every: 30
attempts: 3
restart_interval: 1d12h
---
`

func files(texts ...string) []*keepwardv1.SourceFile {
	var out []*keepwardv1.SourceFile
	for i, text := range texts {
		out = append(out, &keepwardv1.SourceFile{Name: string(rune('a'+i)) + ".yaml", Content: []byte(text)})
	}
	return out
}

func TestParseReadsWhatExportWrites(t *testing.T) {
	docs, faults := Parse(files(sample))
	if len(faults) != 0 || len(docs) != 2 {
		t.Fatalf("%d documents, faults %v", len(docs), faults)
	}
	want := &keepwardv1.Job{
		Name: "docs", Type: "backup", Mode: "server", Compression: "auto", Missed: "run once", OnBattery: job.DefaultOnBattery, OnMetered: job.DefaultOnMetered,
		Computers: []string{"web1", "web2"}, Repository: "main", Schedule: "daily 22:00", Attempts: 3, FullReadEvery: 30,
		RestartInterval: durationpb.New(36 * time.Hour),
		Files:           &keepwardv1.FileSelection{Include: []string{"/usr/share"}, Exclude: []string{"*.pyc", "a: b"}, OneFileSystem: true},
	}
	if diff := cmp.Diff(want, docs[1].Job, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	first, err := Export([]*keepwardv1.Repository{docs[0].Repository}, []*keepwardv1.Job{docs[1].Job})
	if err != nil {
		t.Fatal(err)
	}
	again, faults := Parse(files(string(first)))
	if len(faults) != 0 {
		t.Fatalf("the export has faults: %v\n%s", faults, first)
	}
	if diff := cmp.Diff(docs[0].Repository, again[0].Repository, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(docs[1].Job, again[1].Job, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	second, err := Export([]*keepwardv1.Repository{again[0].Repository}, []*keepwardv1.Job{again[1].Job})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(first), string(second)); diff != "" {
		t.Errorf("the export is not stable:\n%s", diff)
	}
}

func TestParseTellsEveryFaultWithItsPlace(t *testing.T) {
	_, got := Parse(files(
		"kind: job\nname: a\nrepositry: main\nattempts: many\nfiles:\n  include: /usr\n  one_file_system: 3\n",
		"kind: job\nname: b\nrestart_interval: soon\ncomputers: [{a: b}]\n---\nkind: jub\n---\nname: c\n---\n- 1\n",
		"kind: job\n\tname: c\n",
		"kind: repository\nname: r\nname: s\nstreams: 99999999999\n---\nkind: repository\nname: q\n---\nkind: repository\nname: q\n",
	))
	want := []*keepwardv1.ConfigFault{
		{File: "a.yaml", Line: 3, Column: 1, Field: "repositry", Text: "there is no field repositry; did you mean repository?"},
		{File: "a.yaml", Line: 4, Column: 11, Field: "attempts", Text: `attempts must be a whole number, this is "many"`},
		{File: "a.yaml", Line: 6, Column: 12, Field: "files.include", Text: `files.include must be a list, this is "/usr"`},
		{File: "a.yaml", Line: 7, Column: 20, Field: "files.one_file_system", Text: `files.one_file_system must be true or false, this is "3"`},
		{File: "b.yaml", Line: 3, Column: 19, Field: "restart_interval", Text: `restart_interval must be a duration such as 90s, 20m, 2h or 7d, this is "soon"`},
		{File: "b.yaml", Line: 4, Column: 13, Field: "computers[0]", Text: "computers[0] must be text, this is a group of fields"},
		{File: "b.yaml", Line: 6, Column: 7, Field: "kind", Text: `there is no kind "jub"; it is computer, repository, group, job, window, activity, limit, priority or traffic`},
		{File: "b.yaml", Line: 8, Column: 1, Field: "kind", Text: "the field kind is missing; it is computer, repository, group, job, window, activity, limit, priority or traffic"},
		{File: "b.yaml", Line: 10, Column: 1, Text: "a document must be a list of fields with values, this is a list"},
		{File: "c.yaml", Line: 2, Column: 1, Text: "read YAML: found a tab character that violates indentation"},
		{File: "d.yaml", Line: 3, Column: 1, Field: "name", Text: "the field name stands twice, or has no name"},
		{File: "d.yaml", Line: 4, Column: 10, Field: "streams", Text: `streams must be a whole number, this is "99999999999"`},
		{File: "d.yaml", Line: 9, Column: 1, Field: "name", Text: `repository "q" stands already at d.yaml:6`},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

func TestFaultOfAFieldStandsAtItsLine(t *testing.T) {
	docs, faults := Parse(files(sample))
	if len(faults) != 0 {
		t.Fatal(faults)
	}
	var got []int32
	for _, field := range []string{"computers[1]", "files.exclude[0]", "files.one_file_system", "compression", "computers[9]"} {
		f := docs[1].Fault(Fault{Field: field, Err: errs.New(errs.Invalid, "", "x")})
		got = append(got, f.Line)
	}
	// A field that is left out stands where the document does, an item where its list does.
	if diff := cmp.Diff([]int32{9, 13, 14, 7, 9}, got); diff != "" {
		t.Error(diff)
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "20m": 20 * time.Minute, "1h30m": 90 * time.Minute, "7d": 7 * day, "1d12h": 36 * time.Hour, "0s": 0, "2h": 2 * time.Hour,
	} {
		got, err := ParseDuration(text)
		if err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
		if back, err := ParseDuration(FormatDuration(want)); err != nil || back != want {
			t.Errorf("%s is written %q", want, FormatDuration(want))
		}
	}
	if got := FormatDuration(20 * time.Minute); got != "20m" {
		t.Errorf("20m is written %q", got)
	}
	for _, bad := range []string{"", "d", "5", "x", "1d-2h", "99999999d", "-1d", "1d30h"} {
		if d, err := ParseDuration(bad); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %v, %v, want invalid", bad, d, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("kind: job\nname: &a [*a]\nfiles: *a\n"))
	f.Add([]byte("a: &a\n  <<: *a\n"))
	f.Add([]byte("kind: job\nname: 007\nattempts: 0x10\nrestart_interval: 1d\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		docs, faults := Parse([]*keepwardv1.SourceFile{{Name: "f", Content: content}})
		if len(faults) > 0 {
			return
		}
		var repositories []*keepwardv1.Repository
		var jobs []*keepwardv1.Job
		for _, d := range docs {
			if d.Job != nil {
				_ = CheckJob(d.Job, site)
				jobs = append(jobs, d.Job)
			} else {
				_ = CheckRepository(d.Repository, site)
				repositories = append(repositories, d.Repository)
			}
		}
		text, err := Export(repositories, jobs)
		if err != nil {
			t.Fatal(err)
		}
		again, faults := Parse([]*keepwardv1.SourceFile{{Name: "f", Content: text}})
		if len(faults) > 0 || len(again) != len(docs) {
			t.Fatalf("%d documents read back as %d: %v\n%s", len(docs), len(again), faults, text)
		}
		repositories, jobs = nil, nil
		for _, d := range again {
			if d.Job != nil {
				jobs = append(jobs, d.Job)
			} else {
				repositories = append(repositories, d.Repository)
			}
		}
		text2, err := Export(repositories, jobs)
		if err != nil || !bytes.Equal(text, text2) {
			t.Fatalf("the export is not stable: %v\n%s\n%s", err, text, text2)
		}
	})
}

func TestEveryFieldIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/user/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	var walk func(fields []field, prefix string)
	walk = func(fields []field, prefix string) {
		for _, f := range fields {
			if _, ok := f.value.(fileOverrides); ok {
				walk(overrideFields(&keepwardv1.FileOverride{}), prefix+f.name+".COMPUTER.")
			} else if _, ok := f.value.(applicationList); ok {
				walk(applicationFields(&keepwardv1.Application{}), prefix+f.name+".")
			} else if _, ok := f.value.(commandSources); ok {
				walk(commandFields(&keepwardv1.CommandSource{}), prefix+f.name+".NAME.")
			} else if group, ok := f.value.([]field); ok {
				name := f.name
				if prefix == "scripts." {
					name = "PLACE" // the same at each
				}
				walk(group, prefix+name+".")
			} else if !bytes.Contains(page, []byte("| `"+prefix+f.name+"` |")) {
				t.Errorf("%s%s has no row in docs/user/configuration.md", prefix, f.name)
			}
		}
	}
	walk(repositoryFields(&keepwardv1.Repository{}), "")
	walk(jobFields(&keepwardv1.Job{}), "")
	walk(groupFields(&keepwardv1.Group{}), "")
	walk(tagsFields(&keepwardv1.ComputerTags{}), "")
}
