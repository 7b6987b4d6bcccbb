package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

// Document is one document of a file: a computer, a repository, a job, a group or a rule of the queue,
// completed but not checked.
type Document struct {
	Kind       string
	Name       string
	Repository *keepwardv1.Repository   // of KindRepository
	Job        *keepwardv1.Job          // of KindJob
	Window     *keepwardv1.Window       // of KindWindow
	Group      *keepwardv1.Group        // of KindGroup
	Tags       *keepwardv1.ComputerTags // of KindComputer
	Traffic    *keepwardv1.TrafficRule  // of KindTraffic
	// Of KindActivity, KindLimit and KindPriority; the name of the document is their level.
	Activity *keepwardv1.ActivityControl
	Limit    *keepwardv1.SessionLimit
	Priority *keepwardv1.PriorityDigit
	// Connection is how a computer is reached, of KindComputer.
	Connection *keepwardv1.ComputerConnection

	file string
	root *yaml.Node
	at   map[string]*yaml.Node // where each field stands
}

// Fault says what is wrong with a field of the document, and where it stands. A field that
// the document leaves out stands where the nearest above it does.
func (d *Document) Fault(f Fault) *keepwardv1.ConfigFault {
	n := d.root
	for field := f.Field; field != ""; field = parent(field) {
		if found := d.at[field]; found != nil {
			n = found
			break
		}
	}
	text := f.Err.Error()
	if hint := errs.HintOf(f.Err); hint != "" {
		text += " (" + hint + ")"
	}
	return fault(d.file, n, f.Field, text)
}

// parent is the field that f is a part of, or "".
func parent(f string) string {
	for i := len(f) - 1; i >= 0; i-- {
		if f[i] == '.' || f[i] == '[' {
			return f[:i]
		}
	}
	return ""
}

func fault(file string, n *yaml.Node, field, text string) *keepwardv1.ConfigFault {
	return &keepwardv1.ConfigFault{File: file, Line: int32(n.Line), Column: int32(n.Column), Field: field, Text: text}
}

// Parse reads files, and lists everything that is wrong with their form: no YAML, an unknown
// field, a wrong type, a thing named twice.
func Parse(files []*keepwardv1.SourceFile) ([]*Document, []*keepwardv1.ConfigFault) {
	p := &parser{named: map[string]*Document{}}
	for _, f := range files {
		p.file(f.Name, f.Content)
	}
	return p.documents, p.faults
}

type parser struct {
	documents []*Document
	faults    []*keepwardv1.ConfigFault
	named     map[string]*Document
}

func (p *parser) file(name string, content []byte) {
	dec := yaml.NewDecoder(bytes.NewReader(content))
	for {
		var root yaml.Node
		err := dec.Decode(&root)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			line, text := syntax(err)
			p.faults = append(p.faults, &keepwardv1.ConfigFault{File: name, Line: line, Column: 1, Text: text})
			return // what follows cannot be told apart
		}
		p.document(name, &root)
	}
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)

// syntax takes the line out of an error of the YAML parser, which has it as text only.
func syntax(err error) (line int32, text string) {
	m := yamlLine.FindStringSubmatch(err.Error())
	if m == nil {
		return 1, err.Error()
	}
	n, convErr := strconv.ParseInt(m[1], 10, 32)
	if convErr != nil {
		n = 1
	}
	return int32(n), "read YAML: " + m[2]
}

func (p *parser) document(file string, root *yaml.Node) {
	body := root
	if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
		body = root.Content[0]
	}
	if body.Kind == yaml.ScalarNode && body.Tag == "!!null" {
		return // an empty document, such as one of comments
	}
	d := &Document{file: file, root: body, at: map[string]*yaml.Node{}}
	r := &reader{document: d}
	fields := d.open(r)
	if fields != nil {
		r.mapping(body, fields, "", map[string]bool{"kind": true})
	}
	p.faults = append(p.faults, r.faults...)
	if len(r.faults) > 0 {
		return
	}
	d.complete()
	key := d.Kind + " " + d.Name
	if first := p.named[key]; first != nil {
		p.faults = append(p.faults, fault(file, body, "name", fmt.Sprintf("%s %q stands already at %s:%d", d.Kind, d.Name, first.file, first.root.Line)))
		return
	}
	p.named[key] = d
	p.documents = append(p.documents, d)
}

// open finds out what a document is about, and answers the fields it may have.
func (d *Document) open(r *reader) []field {
	if d.root.Kind != yaml.MappingNode {
		r.fault(d.root, "", "a document must be a list of fields with values, this is "+describe(d.root))
		return nil
	}
	kind := value(d.root, "kind")
	if kind == nil {
		r.fault(d.root, "kind", "the field kind is missing; it is "+kinds)
		return nil
	}
	var text string
	r.scalar(kind, "kind", &text)
	d.Kind = text
	switch text {
	case KindRepository:
		d.Repository = &keepwardv1.Repository{}
		return append([]field{{name: "name", value: &d.Name}}, repositoryFields(d.Repository)...)
	case KindJob:
		d.Job = &keepwardv1.Job{Retention: &keepwardv1.Retention{}, Check: &keepwardv1.CheckSelection{}, Scripts: allScripts()}
		return append([]field{{name: "name", value: &d.Name}}, jobFields(d.Job)...)
	case KindWindow:
		d.Window = &keepwardv1.Window{}
		return append([]field{{name: "name", value: &d.Name}}, windowFields(d.Window)...)
	case KindTraffic:
		d.Traffic = &keepwardv1.TrafficRule{}
		return append([]field{{name: "name", value: &d.Name}}, trafficFields(d.Traffic)...)
	case KindActivity:
		d.Activity = &keepwardv1.ActivityControl{}
		return append([]field{{name: "name", value: &d.Name}}, activityFields(d.Activity)...)
	case KindLimit:
		d.Limit = &keepwardv1.SessionLimit{}
		return append([]field{{name: "name", value: &d.Name}}, limitFields(d.Limit)...)
	case KindGroup:
		d.Group = &keepwardv1.Group{}
		return append([]field{{name: "name", value: &d.Name}}, groupFields(d.Group)...)
	case KindComputer:
		d.Connection, d.Tags = &keepwardv1.ComputerConnection{}, &keepwardv1.ComputerTags{}
		return slices.Concat([]field{{name: "name", value: &d.Name}}, connectionFields(d.Connection), tagsFields(d.Tags))
	case KindPriority:
		d.Priority = &keepwardv1.PriorityDigit{}
		return append([]field{{name: "name", value: &d.Name}}, priorityFields(d.Priority)...)
	}
	if len(r.faults) == 0 {
		r.fault(kind, "kind", fmt.Sprintf("there is no kind %q; it is %s", text, kinds))
	}
	return nil
}

func (d *Document) complete() {
	switch d.Kind {
	case KindJob:
		d.Job.Name = d.Name
		CompleteJob(d.Job)
	case KindRepository:
		d.Repository.Name = d.Name
		CompleteRepository(d.Repository)
	case KindWindow:
		d.Window.Name = d.Name
	case KindGroup:
		d.Group.Name = d.Name
		CompleteGroup(d.Group)
	case KindComputer:
		CompleteConnection(d.Connection)
		d.Tags.Computer = d.Name
		CompleteTags(d.Tags)
	case KindTraffic:
		d.Traffic.Name = d.Name
	case KindActivity:
		d.Activity.Level = d.Name
	case KindLimit:
		d.Limit.Level = d.Name
	case KindPriority:
		d.Priority.Level = d.Name
	}
}

// value finds the value of a key.
func value(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return resolve(mapping.Content[i+1])
		}
	}
	return nil
}

// resolve follows an alias to what it stands for. Only as deep as the fields go, so a
// circle of aliases ends.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}
