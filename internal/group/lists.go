package group

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"keepward/internal/errs"
	"keepward/internal/pki"
)

// Bounds of a list from elsewhere: what is above them is no list of computers.
const (
	fileMost  = 16 << 20
	cloudMost = 4 << 20
	namesMost = 100_000
)

// A list is all or nothing: of one that is broken in any line nobody knows what else is missing, and
// a computer that is missing is not protected. What it says is not quoted beyond a name: it may be a
// file that somebody named by mistake.

// ParseFile reads a list by its name's ending: .csv, .yaml or .yml.
func ParseFile(name string, content []byte) ([]string, error) {
	var list []string
	var err error
	switch strings.ToLower(filepath.Ext(name)) {
	case ".csv":
		list, err = parseCSV(content)
	case ".yaml", ".yml":
		list, err = parseYAML(content)
	default:
		err = errors.New("its name must end in .csv, .yaml or .yml")
	}
	if err != nil {
		return nil, errs.New(errs.Invalid, "group.file", "read group file %s: %w", name, err).
			WithHint("the last good list holds; put the file right, and read it again with: keepward group rescan")
	}
	return normal(list), nil
}

// normal is a list without what stands in it twice.
func normal(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// parseCSV takes the column called name, or the first where no line says what the columns are.
func parseCSV(content []byte) ([]string, error) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))))
	r.Comment, r.TrimLeadingSpace, r.FieldsPerRecord = '#', true, -1
	list, column, lines := []string{}, 0, 0
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			var at *csv.ParseError
			if errors.As(err, &at) {
				return nil, fmt.Errorf("line %d: %w", at.Line, at.Err)
			}
			return nil, err
		}
		line, _ := r.FieldPos(0)
		lines++
		if lines == 1 {
			if i := slices.IndexFunc(record, func(f string) bool { return strings.EqualFold(strings.TrimSpace(f), "name") }); i >= 0 {
				column = i
				continue
			}
		}
		if column >= len(record) {
			return nil, fmt.Errorf("line %d: it has no column %d, where the names are", line, column+1)
		}
		name := strings.TrimSpace(record[column])
		if err := checkName(name, len(list)); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		list = append(list, name)
	}
	if lines == 0 {
		return nil, errors.New("it is empty; a list of nobody has a line that says name")
	}
	return list, nil
}

func checkName(name string, before int) error {
	if before >= namesMost {
		return fmt.Errorf("it has more than %d names", namesMost)
	}
	if pki.CheckName("computer", name) != nil {
		return errors.New("what stands where a name should be is none: letters, digits, dots, underscores and dashes")
	}
	return nil
}

// parseYAML takes a list of names, or of things with a name, at the top or below computers.
func parseYAML(content []byte) ([]string, error) {
	dec := yaml.NewDecoder(bytes.NewReader(content))
	var root, more yaml.Node
	if err := dec.Decode(&root); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("it is empty; a list of nobody is []")
		}
		return nil, errors.New("it is no YAML")
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something behind its list")
	}
	n := &root
	if n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
		n = n.Content[0]
	}
	if n.Kind == yaml.MappingNode {
		if n = field(n, "computers"); n == nil {
			return nil, errors.New("it has no field computers")
		}
	}
	if n.Kind != yaml.SequenceNode {
		return nil, fmt.Errorf("line %d: there must be a list of computers", n.Line)
	}
	list := []string{}
	for _, item := range n.Content {
		at := item.Line
		if item.Kind == yaml.MappingNode {
			item = field(item, "name")
		}
		// A name such as 0815 or on is one, whatever YAML takes it for.
		if item == nil || item.Kind != yaml.ScalarNode || item.Tag == "!!null" {
			return nil, fmt.Errorf("line %d: there must be the name of a computer", at)
		}
		if err := checkName(item.Value, len(list)); err != nil {
			return nil, fmt.Errorf("line %d: %w", at, err)
		}
		list = append(list, item.Value)
	}
	return list, nil
}

func field(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// ParseCloud reads what a command printed, or a URL answered: JSON, a list of names or of objects
// with a name, at the top or below computers. Fields it does not know do not matter.
func ParseCloud(content []byte) ([]string, error) {
	list, err := parseJSON(content)
	if err != nil {
		return nil, errs.New(errs.Invalid, "group.cloud", "read list of cloud machines: %w", err).
			WithHint(`it is JSON such as ["web1", "web2"], or {"computers": [{"name": "web1"}]}; the last good list holds`)
	}
	return normal(list), nil
}

func parseJSON(content []byte) ([]string, error) {
	if len(content) > cloudMost {
		return nil, fmt.Errorf("it has more than %d bytes", cloudMost)
	}
	if !json.Valid(content) {
		return nil, errors.New("it is no JSON")
	}
	var items []json.RawMessage
	if json.Unmarshal(content, &items) != nil || items == nil {
		var object struct {
			Computers []json.RawMessage `json:"computers"`
		}
		if json.Unmarshal(content, &object) != nil || object.Computers == nil {
			return nil, errors.New("there is no list of computers in it")
		}
		items = object.Computers
	}
	list := make([]string, 0, min(len(items), namesMost))
	for i, item := range items {
		name, err := nameIn(item)
		if err == nil {
			err = checkName(name, len(list))
		}
		if err != nil {
			return nil, fmt.Errorf("computer %d: %w", i+1, err)
		}
		list = append(list, name)
	}
	return list, nil
}

func nameIn(item json.RawMessage) (string, error) {
	var name string
	if json.Unmarshal(item, &name) == nil && !bytes.Equal(bytes.TrimSpace(item), []byte("null")) {
		return name, nil
	}
	var object struct {
		Name *string `json:"name"`
	}
	if json.Unmarshal(item, &object) != nil || object.Name == nil {
		return "", errors.New("it is neither a name nor has it one")
	}
	return *object.Name, nil
}
