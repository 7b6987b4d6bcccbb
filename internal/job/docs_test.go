package job_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/job"
)

var update = flag.Bool("update", false, "rewrite docs/reference/jobs.md")

// TestDocumentationPrintsTheTables holds docs/reference/jobs.md to the program:
// go test ./internal/job -run Documentation -update writes it anew.
func TestDocumentationPrintsTheTables(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "reference", "jobs.md")
	want := reference()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("jobs.md differs from the tables; run this test with -update (-tables +page):\n%s", d)
	}
}

func reference() []byte {
	var b bytes.Buffer
	b.WriteString("# Jobs: statuses, types, reasons, limits\n\n" +
		"Printed from the tables in `internal/job` by its test; do not edit by hand.\n\n")
	statuses(&b)
	jobTypes(&b)
	reservations(&b)
	sets(&b)
	reasons(&b)
	settings(&b)
	scripts(&b)
	agents(&b)
	return b.Bytes()
}

func table(b *bytes.Buffer, head string, rows [][]string) {
	columns := strings.Split(head, "|")
	line := func(cells []string) {
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	line(columns)
	b.WriteString(strings.Repeat("|---", len(columns)) + "|\n")
	for _, r := range rows {
		line(r)
	}
	b.WriteString("\n")
}

func statuses(b *bytes.Buffer) {
	b.WriteString("## Statuses\n\nA task is in exactly one. A session shows the first of these that any of its tasks has: Running,\n" +
		"Running (cannot be verified), Interrupt Pending, Suspend Pending, Kill Pending, Cleanup, Waiting, Pending,\n" +
		"Queued, Suspended. When all are over: what all of them are; else Failed if none left a restore point or\n" +
		"result, Completed w/ warnings if those are the worst, Completed w/ errors otherwise.\n\n")
	var rows [][]string
	for _, r := range job.Statuses {
		rows = append(rows, []string{string(r.Status), string(r.Class), r.Holds, string(r.Status.Result()), r.Meaning})
	}
	table(b, "status|class|holds resources|result|meaning", rows)

	b.WriteString("## Moves\n\nWhat is not in this table does not happen.\n\n")
	rows = nil
	for _, m := range job.Transitions {
		from := string(m.From)
		if m.From == job.None {
			from = "(new)"
		}
		rows = append(rows, []string{from, string(m.To), m.Cause})
	}
	table(b, "from|to|cause", rows)
}

func flags(p job.Phase) string {
	s := p.Name
	if p.Preemptable {
		s += " P"
	}
	if p.Restartable {
		s += " R"
	}
	if p.ByAgent {
		s += ", P by agent"
	}
	if p.Only != "" {
		s += " (where " + p.Only + ")"
	}
	return s
}

func yes(v bool) string {
	if v {
		return "yes"
	}
	return "no"
}

func jobTypes(b *bytes.Buffer) {
	b.WriteString("## Job types\n\nP preemptable: may be interrupted or suspended, and goes on from its checkpoint. R restartable: is tried\n" +
		"again from its beginning. The priority is the three digits operation, client and agent; the lower number\n" +
		"goes first. *Default* is that number where nobody set anything.\n\n")
	var rows [][]string
	for _, r := range job.Types {
		var phases []string
		for _, p := range r.Phases {
			phases = append(phases, flags(p))
		}
		rows = append(rows, []string{
			"`" + string(r.Type) + "`", r.Title, strings.Join(phases, " · "),
			fmt.Sprintf("%03d", job.DefaultPriority(r.Type)), string(r.Preempts), yes(r.Implemented), r.Note,
		})
	}
	table(b, "type|what|phases|default|preempts others|implemented|note", rows)
}

func reservations(b *bytes.Buffer) {
	b.WriteString("## What a task takes, and where it waits\n\nA set is taken all or nothing. Infrastructure is something switched off or unreachable, contention\n" +
		"something in use; where both apply, infrastructure decides.\n\n")
	var rows [][]string
	for _, r := range job.Reservations {
		var names []string
		for _, t := range r.Types {
			names = append(names, "`"+string(t)+"`")
		}
		rows = append(rows, step(strings.Join(names, ", "), "a", r.A))
		if r.B != nil {
			rows = append(rows, step(strings.Join(names, ", "), "b", *r.B))
		}
	}
	table(b, "types|step|takes|lacking, infrastructure|lacking, contention|retry|holds while waiting", rows)
}

func step(types, name string, s job.Step) []string {
	retry := "on every release that matters"
	if s.Every > 0 {
		retry = "every " + duration(s.Every)
	}
	if s.Tries > 0 {
		retry += fmt.Sprintf(", at most %d times", s.Tries)
	}
	holds := s.Holds
	if holds == "" {
		holds = "nothing"
		if name == "b" {
			holds = "the set of step a"
		}
	}
	return []string{types, name, s.Takes, string(s.Infrastructure), string(s.Contention), retry, holds}
}

func reasons(b *bytes.Buffer) {
	b.WriteString("## Reasons for delay\n\n")
	var rows [][]string
	for _, r := range job.Reasons {
		rows = append(rows, []string{"`" + string(r.Code) + "`", string(r.Group), strings.Join(r.Args, ", "), r.Sentence})
	}
	table(b, "code|group|arguments|sentence", rows)
}

func settings(b *bytes.Buffer) {
	b.WriteString("## Limits and switches\n\n")
	var rows [][]string
	for _, s := range job.Settings {
		rows = append(rows, []string{"`" + s.Name + "`", value(s.Default), s.Meaning, yes(s.Implemented)})
	}
	table(b, "name|default|meaning|implemented", rows)
}

func value(v any) string {
	switch v := v.(type) {
	case time.Duration:
		return duration(v)
	case bool:
		if !v {
			return "off"
		}
		return "on"
	}
	return fmt.Sprint(v)
}

func duration(d time.Duration) string {
	for _, u := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}} {
		if d%u.size == 0 {
			return fmt.Sprintf("%d %s", d/u.size, u.name)
		}
	}
	return fmt.Sprintf("%d s", d/time.Second)
}

func agents(b *bytes.Buffer) {
	b.WriteString("## Agents\n\nWhether the transfer of an agent may be preempted and restarted, by operation.\n\n")
	var rows [][]string
	for _, r := range job.Agents {
		rows = append(rows, []string{r.Agent, yes(r.Database), string(r.Operation), r.Phase, yes(r.Preemptable), yes(r.Restartable), yes(r.Implemented)})
	}
	table(b, "agent|database|operation|phase|preemptable|restartable|implemented", rows)
}
