package watch

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Parse reads a watch list file. name is its path: it opens error messages, and
// paths of pubkeys_file are relative to its directory and read with readFile.
//
// Errors are one line, "file:line:column: what is wrong; what to do". Unknown
// fields, fields given twice and contradicting entries are errors.
func Parse(name string, text []byte, readFile func(path string) ([]byte, error)) (*List, error) {
	p := parser{name: name, readFile: readFile, builder: newBuilder()}
	return p.parse(text)
}

type parser struct {
	name     string
	readFile func(path string) ([]byte, error)
	builder  *builder
}

func (p *parser) parse(text []byte) (*List, error) {
	if len(text) > MaxFileSize {
		return nil, position{file: p.name}.errorf("the file has more than %d MiB; split the watch list over several exporters", MaxFileSize>>20)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, position{file: p.name}.errorf(`the file is empty; write "validators: []" to watch none`)
	case err != nil:
		return nil, syntaxError(p.name, text, err)
	}
	if err := p.document(document.Content[0]); err != nil {
		return nil, err
	}
	var second yaml.Node
	switch err := decoder.Decode(&second); {
	case err == nil:
		return nil, p.at(&second).errorf("a second YAML document starts here; the watch list is one document")
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(p.name, text, err)
	}
	return p.builder.list(), nil
}

// reservedLabels are names the exporter, Prometheus or its rules give a meaning.
var reservedLabels = []string{
	"all", "cause", "component", "group", "group_by", "instance", "job", "le", "network", "offence", "period",
	"pubkey", "quantile", "status", "validator_index", "vote", "window", "withdrawal_type",
}

var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

func (p *parser) at(n *yaml.Node) position { return position{p.name, n.Line, n.Column} }

func (p *parser) document(root *yaml.Node) error {
	fields, err := p.fields(root, "the watch list", "validators")
	if err != nil {
		return err
	}
	validators, ok := fields["validators"]
	if !ok {
		return p.at(root).errorf(`no list "validators"; write "validators: []" to watch none`)
	}
	if validators.Kind != yaml.SequenceNode {
		return p.at(validators).errorf(`validators must be a list; start each entry with a dash, or write "validators: []" to watch none`)
	}
	for _, item := range validators.Content {
		if err := p.entry(item); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) entry(n *yaml.Node) error {
	fields, err := p.fields(n, "an entry", "index", "indices", "pubkey", "pubkeys_file", "labels")
	if err != nil {
		return err
	}
	var labels []Label
	if l, ok := fields["labels"]; ok {
		if labels, err = p.labels(l); err != nil {
			return err
		}
		delete(fields, "labels")
	}
	if len(fields) != 1 {
		return p.at(n).errorf("an entry needs exactly one of index, indices, pubkey and pubkeys_file; this one has %d", len(fields))
	}
	for name, value := range fields {
		err = p.validators(name, value, labels)
	}
	return err
}

// validators adds what one of an entry's four naming fields names.
func (p *parser) validators(field string, value *yaml.Node, labels []Label) error {
	if field == "indices" && value.Kind == yaml.SequenceNode {
		for _, item := range value.Content {
			if err := p.validators(field, resolve(item), labels); err != nil {
				return err
			}
		}
		return nil
	}
	if value.Kind != yaml.ScalarNode || value.Tag == "!!null" {
		return p.at(value).errorf("%s needs a value", field)
	}
	switch field {
	case "pubkey":
		return p.builder.addPubkey(p.at(value), strings.TrimSpace(value.Value), labels)
	case "pubkeys_file":
		return p.pubkeysFile(value, labels)
	case "index":
		if strings.ContainsAny(value.Value, ",-") {
			return p.at(value).errorf("%s is not a validator index; ranges and lists go into indices", shown(value.Value))
		}
	}
	return p.builder.addIndices(p.at(value), value.Value, labels)
}

// pubkeysFile reads one public key a line; blank lines and what follows a # do
// not count.
func (p *parser) pubkeysFile(n *yaml.Node, labels []Label) error {
	path := n.Value
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(p.name), path)
	}
	text, err := p.readFile(path)
	if err != nil {
		return p.at(n).errorf("cannot read pubkeys_file: %w", err)
	}
	line := 0
	for key := range strings.Lines(string(bytes.TrimPrefix(text, []byte("\ufeff")))) {
		line++
		key, _, _ = strings.Cut(key, "#")
		if key = strings.TrimSpace(key); key == "" {
			continue
		}
		if err := p.builder.addPubkey(position{file: path, line: line}, key, labels); err != nil {
			return err
		}
	}
	return nil
}

// labels reads a mapping of label names to values. A label with the empty value
// is left out: to Prometheus that is the same as none.
func (p *parser) labels(n *yaml.Node) ([]Label, error) {
	if n.Kind != yaml.MappingNode {
		return nil, p.at(n).errorf("labels must be a mapping; write labels: {operator: acme}")
	}
	labels := make([]Label, 0, len(n.Content)/2)
	seen := map[string]*yaml.Node{}
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], resolve(n.Content[i+1])
		name := key.Value
		switch first, repeated := seen[name]; {
		case key.Kind != yaml.ScalarNode || !labelName.MatchString(name):
			return nil, p.at(key).errorf("%s is not a label name; use letters, digits and _, and no digit first", shown(name))
		case strings.HasPrefix(name, "__") || slices.Contains(reservedLabels, name):
			return nil, p.at(key).errorf("label name %q is reserved; choose another", name)
		case repeated:
			return nil, p.at(key).errorf("label %q is already given at %s; remove one", name, p.at(first))
		case value.Kind != yaml.ScalarNode || value.Tag == "!!null":
			return nil, p.at(n.Content[i+1]).errorf("label %q needs a text as value", name)
		case len(value.Value) > MaxLabelValue:
			return nil, p.at(value).errorf("the value of label %q has %d bytes; at most %d are allowed", name, len(value.Value), MaxLabelValue)
		}
		seen[name] = key
		if value.Value != "" {
			labels = append(labels, Label{name, value.Value})
		}
	}
	return p.builder.shared(labels), nil
}

// shared sorts labels and returns the one copy of them that all entries use.
func (b *builder) shared(labels []Label) []Label {
	if len(labels) == 0 {
		return nil
	}
	slices.SortFunc(labels, func(x, y Label) int { return strings.Compare(x.Name, y.Name) })
	var text strings.Builder
	for _, l := range labels {
		text.WriteString(l.Name + "=" + strconv.Quote(l.Value) + ",")
	}
	if known, ok := b.labelSets[text.String()]; ok {
		return known
	}
	b.labelSets[text.String()] = labels
	return labels
}

// fields returns a mapping's values by key and refuses keys other than known.
func (p *parser) fields(n *yaml.Node, what string, known ...string) (map[string]*yaml.Node, error) {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		return nil, p.at(n).errorf("%s must be a mapping with %s", what, orList(known))
	}
	fields := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || !slices.Contains(known, key.Value) {
			return nil, p.at(key).errorf("unknown field %s; %s knows %s", shown(key.Value), what, orList(known))
		}
		if _, repeated := fields[key.Value]; repeated {
			return nil, p.at(key).errorf("field %q is given twice; remove one", key.Value)
		}
		fields[key.Value] = resolve(n.Content[i+1])
	}
	return fields, nil
}

// resolve follows a YAML alias to what it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func orList(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): (.*)$`)

// syntaxError turns an error of the YAML reader into one with line and column.
// The reader names no column, and the line where the broken construct starts: so
// the column is that of the line's text, except that a tab is looked up.
func syntaxError(name string, text []byte, err error) error {
	found := yamlLine.FindStringSubmatch(strings.ReplaceAll(err.Error(), "\n", " "))
	if found == nil {
		return position{file: name}.errorf("not valid YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	reported, _ := strconv.Atoi(found[1])
	number := 0
	for line := range bytes.Lines(text) {
		number++
		indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
		tab := bytes.IndexByte(indent, '\t')
		switch {
		case number < reported:
		case tab >= 0:
			return position{name, number, tab + 1}.errorf("not valid YAML: a tab in the indentation; use spaces")
		case number == reported && !strings.Contains(found[2], "tab character"):
			return position{name, number, len(indent) + 1}.errorf("not valid YAML: %s", found[2])
		}
	}
	return position{file: name, line: reported}.errorf("not valid YAML: %s", found[2])
}
