package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// format is how a command writes its answer.
type format string

const (
	formatTable format = "table"
	formatWide  format = "wide"
	formatJSON  format = "json"
	formatYAML  format = "yaml"
)

func (f *format) String() string { return string(*f) }
func (*format) Type() string     { return "format" }
func (f *format) Set(s string) error {
	if !slices.Contains([]format{formatTable, formatWide, formatJSON, formatYAML}, format(s)) {
		return fmt.Errorf("write table, wide, json or yaml")
	}
	*f = format(s)
	return nil
}

// machine says whether programs read the answer.
func (f format) machine() bool { return f == formatJSON || f == formatYAML }

// print writes an answer of the API as JSON or YAML, or lets table write it for people.
func (a *app) print(m proto.Message, table func()) error {
	if !a.format.machine() {
		table()
		return nil
	}
	text, err := toJSON(m)
	if err != nil {
		return err
	}
	return a.printJSON(text)
}

// printValue writes a value that is no message of the API.
func (a *app) printValue(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write answer as JSON: %w", err)
	}
	return a.printJSON(text)
}

// printJSON writes JSON, indented, or as YAML if that was asked for.
func (a *app) printJSON(text []byte) error {
	if a.format == formatYAML {
		return writeYAML(a.out, text)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err := b.WriteTo(a.out)
	return err
}

// printLine writes one message of many: one line of JSON, or one document of YAML.
func (a *app) printLine(m proto.Message) error {
	text, err := toJSON(m)
	if err != nil {
		return err
	}
	if a.format == formatYAML {
		if _, err := io.WriteString(a.out, "---\n"); err != nil {
			return err
		}
		return writeYAML(a.out, text)
	}
	_, err = fmt.Fprintf(a.out, "%s\n", text)
	return err
}

// toJSON is the stable form: names in lowerCamelCase, every field that is not a message
// present, 64-bit numbers as strings and bytes in base64 as protobuf defines it. The
// spaces that protojson puts at random are taken out.
func toJSON(m proto.Message) ([]byte, error) {
	text, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write answer as JSON: %w", err)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// writeYAML writes JSON, which is YAML, in the block style of people.
func writeYAML(w io.Writer, text []byte) error {
	var n yaml.Node
	if err := yaml.Unmarshal(text, &n); err != nil {
		return fmt.Errorf("write answer as YAML: %w", err)
	}
	blockStyle(&n)
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(&n); err != nil {
		return err
	}
	return enc.Close()
}

func blockStyle(n *yaml.Node) {
	if n.Kind != yaml.ScalarNode {
		n.Style &^= yaml.FlowStyle
	} else if n.Tag == "!!str" {
		n.Style = 0 // quotes only where they are needed
	}
	for _, c := range n.Content {
		blockStyle(c)
	}
}

// stream writes an answer of unknown length as one object with one list, without
// keeping it. The list's name comes first, Close ends it.
type stream struct {
	a     *app
	name  string
	begun bool
}

func (s *stream) add(m proto.Message) error {
	text, err := toJSON(m)
	if err != nil {
		return err
	}
	if s.a.format == formatYAML {
		return s.addYAML(text)
	}
	lead := ",\n"
	if !s.begun {
		lead = fmt.Sprintf("{%q:[\n", s.name)
	}
	s.begun = true
	_, err = fmt.Fprintf(s.a.out, "%s%s", lead, text)
	return err
}

func (s *stream) addYAML(text []byte) error {
	var b bytes.Buffer
	if err := writeYAML(&b, slices.Concat([]byte("["), text, []byte("]"))); err != nil {
		return err
	}
	if !s.begun {
		s.begun = true
		if _, err := fmt.Fprintf(s.a.out, "%s:\n", s.name); err != nil {
			return err
		}
	}
	_, err := b.WriteTo(s.a.out)
	return err
}

func (s *stream) close() error {
	end := "\n]}\n"
	switch {
	case !s.a.format.machine():
		return nil
	case s.a.format == formatYAML && s.begun:
		return nil
	case s.a.format == formatYAML:
		end = s.name + ": []\n"
	case !s.begun:
		end = fmt.Sprintf("{%q:[]}\n", s.name)
	}
	_, err := io.WriteString(s.a.out, end)
	return err
}

// remark tells people something beside the answer.
func (a *app) remark(format string, args ...any) {
	if !a.quiet && !a.format.machine() {
		fmt.Fprintln(a.errOut, safe(strings.TrimSpace(fmt.Sprintf(format, args...))))
	}
}
