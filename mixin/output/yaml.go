package output

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// encode writes v as YAML below a comment.
func encode(text string, v any) ([]byte, error) {
	out := bytes.NewBuffer(comment(text))
	encoder := yaml.NewEncoder(out)
	encoder.SetIndent(2)
	if err := errors.Join(encoder.Encode(v), encoder.Close()); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	return out.Bytes(), nil
}

// comment puts "# " before each line of text.
func comment(text string) []byte {
	var out bytes.Buffer
	for line := range strings.Lines(text) {
		out.WriteString("# " + strings.TrimSpace(line) + "\n")
	}
	return out.Bytes()
}

// commented is a YAML value below a comment. Reading it, the comment is lost.
type commented[T any] struct {
	comment string
	value   T
}

// MarshalYAML is called by the encoder.
func (c commented[T]) MarshalYAML() (any, error) {
	node := &yaml.Node{}
	if err := node.Encode(c.value); err != nil {
		return nil, err
	}
	node.HeadComment = c.comment
	return node, nil
}

// UnmarshalYAML is called by the decoder.
func (c *commented[T]) UnmarshalYAML(node *yaml.Node) error { return node.Decode(&c.value) }
