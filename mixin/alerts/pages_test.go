package alerts

import (
	"strings"
	"testing"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

func TestEveryAlertHasItsPage(t *testing.T) {
	got, err := Pages(mixin.Presets())
	if err != nil {
		t.Fatal(err)
	}
	if len(got["README.md"]) == 0 {
		t.Error("no index")
	}
	delete(got, "README.md")
	for _, s := range Sections(mixin.Solo()) {
		for _, a := range s.Alerts {
			if len(got[a.Name+".md"]) == 0 {
				t.Errorf("no page of %s", a.Name)
			}
			delete(got, a.Name+".md")
		}
	}
	for name := range got {
		t.Errorf("%s belongs to no alert", name)
	}
}

func TestPage(t *testing.T) {
	solo, operator := config(), config()
	operator.Preset = "operator"
	operator.Alerts.Severities = map[string]mixin.Severity{"ThingDown": mixin.Critical}
	other := whole()
	other.Expr, other.For = `up{job="other"} == 0`, 5*time.Minute
	got, err := pages([]mixin.Config{solo, operator}, [][]Section{sectionOf(whole()), sectionOf(other)})
	if err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll(`<!-- Generated from mixin/alerts by make generate. Edit it there. -->

# ThingDown

A thing is down.

Start it.

| preset | severity | waits | keeps firing | dashboard |
|---|---|---|---|---|
| solo | warning | 1m | 2m | beacon-nodes |
| operator | critical | 5m | 2m | beacon-nodes |

Condition in solo:

'''promql
up{job="thing"} == 0
'''

Condition in operator:

'''promql
up{job="other"} == 0
'''

## Meaning

It is 'down'.

## Impact

All of it.

## Diagnosis

Ask:

'''
up == 0
'''

and see.

## Mitigation

Start it.
`, "'", "`")
	if page := string(got["ThingDown.md"]); page != want {
		t.Errorf("got:\n%s\nwant:\n%s", page, want)
	}
	const line = "| [ThingDown](ThingDown.md) | warning | critical | A thing is down. |\n"
	if index := string(got["README.md"]); !strings.Contains(index, line) || !strings.Contains(index, "\n## Things\n\nAbout things.\n") {
		t.Errorf("the index lacks the section or %q:\n%s", line, index)
	}
}

func TestCodeOfAPageIsFencedFromItsFirstLineOn(t *testing.T) {
	const code = "'''\nup == 0\n'''"
	for text, want := range map[string]string{
		"\tup == 0":                code,
		"\n\tup == 0\n":            code,
		"\n\tup == 0\n\nThen\n":    code + "\n\nThen",
		"First:\n\n\tup == 0\n":    "First:\n\n" + code,
		"\tup == 0\n\tdown == 0\n": "'''\nup == 0\ndown == 0\n'''",
		"no code\n":                "no code",
	} {
		if got := strings.ReplaceAll(markdown(text), "```", "'''"); got != want {
			t.Errorf("%q becomes\n%s\nwant\n%s", text, got, want)
		}
	}
}

func TestPagesSayWhatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Alert)
		want   string
	}{
		{"text of one preset", func(a *Alert) { a.Runbook.Impact = "More of it." }, "text differs between presets"},
		{"alert of one preset", func(a *Alert) { a.Name = "ThingUp" }, "not in every preset"},
		{"broken expression", func(a *Alert) { a.Expr = "up ==" }, "parse query"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := whole()
			tt.change(&a)
			_, err := pages([]mixin.Config{config(), config()}, [][]Section{sectionOf(whole()), sectionOf(a)})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
	a := whole()
	a.Runbook.Impact = " "
	_, err := pages([]mixin.Config{config()}, [][]Section{sectionOf(a)})
	if err == nil || !strings.Contains(err.Error(), "Impact is missing") {
		t.Errorf("got %v, want the missing part named", err)
	}
}
