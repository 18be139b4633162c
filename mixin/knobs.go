package mixin

import (
	"bytes"
	_ "embed" // the source of the knobs, for their comments
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"reflect"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

//go:embed config.go
var source string

// Overlay returns c with the knobs changed that a YAML document names, such as
//
//	select: {cluster_label: region}
//	alerts: {beacon: {peers: 20, for: 10m}}
//
// Lists and maps replace what was there. An unknown knob is an error that names its
// line; whether the values go together is for Validate to say.
func (c Config) Overlay(document []byte) (Config, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(document))
	decoder.KnownFields(true)
	// First into an empty Config, since decoding into a map adds to it.
	var named Config
	if err := decoder.Decode(&named); err != nil && !errors.Is(err, io.EOF) {
		return Config{}, err
	}
	if err := decoder.Decode(&struct{}{}); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("more than one YAML document")
	}
	if named.Alerts.Labels != nil {
		c.Alerts.Labels = nil
	}
	if named.Alerts.Severities != nil {
		c.Alerts.Severities = nil
	}
	if named.Kubernetes.RuleLabels != nil {
		c.Kubernetes.RuleLabels = nil
	}
	if err := yaml.Unmarshal(document, &c); err != nil {
		return Config{}, err
	}
	return c, nil
}

// Knobs writes every knob of c as YAML that Overlay reads, each below the comment that
// it has in Config.
func (c Config) Knobs() ([]byte, error) {
	comments, err := fieldComments(source)
	if err != nil {
		return nil, fmt.Errorf("read the knobs' comments: %w", err)
	}
	root, err := knobNode(reflect.ValueOf(c), comments)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := errors.Join(encoder.Encode(root), encoder.Close()); err != nil {
		return nil, fmt.Errorf("write the knobs as YAML: %w", err)
	}
	return out.Bytes(), nil
}

// knobNode is the YAML of v. A struct of this package becomes a mapping with comments,
// a duration is written without its zero units: 3m and not 3m0s.
func knobNode(v reflect.Value, comments map[string]string) (*yaml.Node, error) {
	if d, ok := v.Interface().(time.Duration); ok {
		return &yaml.Node{Kind: yaml.ScalarNode, Value: knobDuration(d)}, nil
	}
	switch {
	case v.Kind() == reflect.Struct:
		mapping := &yaml.Node{Kind: yaml.MappingNode}
		for i := range v.NumField() {
			field := v.Type().Field(i)
			value, err := knobNode(v.Field(i), comments)
			if err != nil {
				return nil, err
			}
			key := &yaml.Node{Kind: yaml.ScalarNode, Value: field.Tag.Get("yaml"), HeadComment: comments[v.Type().Name()+"."+field.Name]}
			mapping.Content = append(mapping.Content, key, value)
		}
		return mapping, nil
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		sequence := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range v.Len() {
			element, err := knobNode(v.Index(i), nil)
			if err != nil {
				return nil, err
			}
			element.Style = yaml.FlowStyle
			sequence.Content = append(sequence.Content, element)
		}
		return sequence, nil
	}
	node := &yaml.Node{}
	if err := node.Encode(v.Interface()); err != nil {
		return nil, fmt.Errorf("write %v as YAML: %w", v.Interface(), err)
	}
	return node, nil
}

// knobDuration writes d for people, in a way that YAML reads: 3m and not 3m0s.
func knobDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// fieldComments are the doc comments of the fields of every struct in a Go file, by
// "Struct.Field", in which fields are called as in YAML. A field that has none, and
// whose type is a struct, has the type's.
func fieldComments(source string) (map[string]string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", source, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	structs := map[string]*ast.StructType{}
	ofType := map[string]string{}
	for _, declaration := range file.Decls {
		types, ok := declaration.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range types.Specs {
			named, ok := spec.(*ast.TypeSpec)
			if !ok {
				continue
			}
			if structure, ok := named.Type.(*ast.StructType); ok {
				structs[named.Name.Name], ofType[named.Name.Name] = structure, types.Doc.Text()
			}
		}
	}
	comments := map[string]string{}
	for name, structure := range structs {
		var goNames []string
		inYAML := map[string]string{}
		for _, field := range structure.Fields.List {
			if field.Tag == nil || len(field.Names) != 1 {
				continue
			}
			goName := field.Names[0].Name
			goNames = append(goNames, goName)
			inYAML[goName] = reflect.StructTag(strings.Trim(field.Tag.Value, "`")).Get("yaml")
			comment := field.Doc.Text()
			if kind, ok := field.Type.(*ast.Ident); ok && comment == "" {
				comment = strings.Replace(ofType[kind.Name], kind.Name, goName, 1)
			}
			comments[name+"."+goName] = strings.TrimSpace(comment)
		}
		if len(goNames) == 0 {
			continue
		}
		words := regexp.MustCompile(`\b(` + strings.Join(goNames, "|") + `)\b`)
		for _, goName := range goNames {
			key := name + "." + goName
			comments[key] = words.ReplaceAllStringFunc(comments[key], func(word string) string { return inYAML[word] })
		}
	}
	return comments, nil
}
