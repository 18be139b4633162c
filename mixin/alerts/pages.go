package alerts

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/expr"
)

const generatedNote = "<!-- Generated from mixin/alerts by make generate. Edit it there. -->\n\n"

// Pages returns the runbooks by their file names: a page for each alert, and
// README.md, which lists them. What the alert says in each of configs is in a table,
// so the text itself must be the same for all.
//
// In runbooks, «these marks» stand for backticks, which Go's raw strings cannot
// hold, and lines that begin with a tab become a code block.
func Pages(configs []mixin.Config) (map[string][]byte, error) {
	var each [][]Section
	for _, c := range configs {
		each = append(each, Sections(c))
	}
	return pages(configs, each)
}

func pages(configs []mixin.Config, each [][]Section) (map[string][]byte, error) {
	out := map[string][]byte{}
	var problems []error
	var index strings.Builder
	index.WriteString(generatedNote + "# Runbooks\n\n" +
		"One page for each alert: what it means, what it costs, how to find the cause, what to do. Severities: critical wakes\n" +
		"someone, warning is for working hours, info is worth knowing.\n")
	for i, s := range each[0] {
		if len(s.Alerts) == 0 {
			continue
		}
		fmt.Fprintf(&index, "\n## %s\n\n%s\n\n| alert |", s.Title, s.About)
		for _, c := range configs {
			fmt.Fprintf(&index, " %s |", c.Preset)
		}
		index.WriteString(" what is wrong |\n|---|" + strings.Repeat("---|", len(configs)) + "---|\n")
		for j, a := range s.Alerts {
			var variants []Alert
			for _, sections := range each {
				if i < len(sections) && j < len(sections[i].Alerts) {
					variants = append(variants, sections[i].Alerts[j])
				}
			}
			page, err := page(configs, variants)
			if err != nil {
				problems = append(problems, fmt.Errorf("runbook of %s: %w", a.Name, err))
				continue
			}
			out[a.Name+".md"] = []byte(page)
			fmt.Fprintf(&index, "| [%s](%s.md) |", a.Name, a.Name)
			for i, c := range configs {
				fmt.Fprintf(&index, " %s |", severityOf(c, variants[i]))
			}
			fmt.Fprintf(&index, " %s |\n", strings.ReplaceAll(a.Summary, "|", `\|`))
		}
	}
	out["README.md"] = []byte(index.String())
	return out, errors.Join(problems...)
}

// page is the runbook of one alert; variants are what it is in each of configs.
func page(configs []mixin.Config, variants []Alert) (string, error) {
	a := variants[0]
	for _, v := range variants {
		if len(variants) != len(configs) || v.Name != a.Name {
			return "", errors.New("it is not in every preset")
		}
		if v.Runbook != a.Runbook || v.Summary != a.Summary || v.Action != a.Action {
			return "", errors.New("its text differs between presets; thresholds belong into the description")
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, generatedNote+"# %s\n\n%s\n\n%s\n\n", a.Name, a.Summary, a.Action)
	b.WriteString("| preset | severity | waits | keeps firing | dashboard |\n|---|---|---|---|---|\n")
	conditions := map[string][]string{}
	var order []string
	for i, v := range variants {
		c := configs[i]
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n",
			c.Preset, severityOf(c, v), mixin.Duration(v.For), mixin.Duration(v.KeepFiringFor), v.Dashboard)
		condition, err := expr.Pretty(v.Expr)
		if err != nil {
			return "", fmt.Errorf("its expression: %w", err)
		}
		if !slices.Contains(order, condition) {
			order = append(order, condition)
		}
		conditions[condition] = append(conditions[condition], c.Preset)
	}
	for _, condition := range order {
		fmt.Fprintf(&b, "\nCondition in %s:\n\n```promql\n%s\n```\n", strings.Join(conditions[condition], " and "), condition)
	}
	for _, part := range []struct{ title, text string }{
		{"Meaning", a.Runbook.Meaning},
		{"Impact", a.Runbook.Impact},
		{"Diagnosis", a.Runbook.Diagnosis},
		{"Mitigation", a.Runbook.Mitigation},
	} {
		text := markdown(part.text)
		if text == "" {
			return "", fmt.Errorf("%s is missing", part.title)
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", part.title, text)
	}
	return b.String(), nil
}

// markdown turns the marks of runbooks into Markdown.
func markdown(text string) string {
	var out []string
	code := false
	for line := range strings.SplitSeq(strings.Trim(text, "\n")+"\n", "\n") {
		if strings.HasPrefix(line, "\t") != code {
			code = !code
			out = append(out, "```")
		}
		out = append(out, strings.TrimPrefix(line, "\t"))
	}
	text = strings.Join(out, "\n")
	return strings.TrimSpace(strings.NewReplacer("«", "`", "»", "`").Replace(text))
}
