package expr

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// variable matches a Grafana variable, with its name in one of three groups, and
// before that, to step over it, a template action of Prometheus such as
// {{ $labels.group }}. Names do not begin with a digit: $1 belongs to label_replace.
var variable = regexp.MustCompile(`\{\{.*?\}\}` +
	`|\$([A-Za-z_]\w*)` +
	`|\$\{([A-Za-z_]\w*)(?:[.:][^}]*)?\}` +
	`|\[\[([A-Za-z_]\w*)(?::[^\]]*)?\]\]`)

// Variables lists the names of the Grafana variables in a query, built-in ones too,
// sorted and each once. They are written $name, ${name}, ${name:format} or [[name]].
func Variables(q string) []string {
	names := map[string]bool{}
	for _, groups := range variable.FindAllStringSubmatch(q, -1) {
		if name := strings.Join(groups[1:], ""); name != "" {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// Fill puts values in the place of Grafana's variables, whatever their format; those
// that are not among the values come from Builtins. One that is in neither is an error.
func Fill(q string, values map[string]string) (string, error) {
	builtins := Builtins()
	var problems []error
	filled := variable.ReplaceAllStringFunc(q, func(text string) string {
		name := strings.Join(variable.FindStringSubmatch(text)[1:], "")
		if name == "" {
			return text
		}
		if v, ok := values[name]; ok {
			return v
		}
		if v, ok := builtins[name]; ok {
			return v
		}
		problems = append(problems, fmt.Errorf("query %q: no value for variable %s", q, text))
		return text
	})
	if err := errors.Join(problems...); err != nil {
		return "", err
	}
	return filled, nil
}

// Builtins are values for the variables that Grafana itself has, as they would be for
// a panel that shows six hours of series scraped twice a minute.
func Builtins() map[string]string {
	return map[string]string{
		"__interval": "1m", "__interval_ms": "60000", "__rate_interval": "2m",
		"__range": "6h", "__range_s": "21600", "__range_ms": "21600000",
		"__from": "1767204000000", "__to": "1767225600000",
	}
}
