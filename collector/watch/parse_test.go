package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
)

const (
	pubkeyA = "0x93247f2209abcacf57b75a51dafae777f9dd38bc7053d1af526f220a7489a6d3a2753e5f3e8b1cfe39b56f43611df74a"
	pubkeyB = "0xa1d1ad0714035353258038e964ae9675dc0252ee22cea896825c01458e1807bfad2f9969338798548d9858a571f7425c"
)

// files serves the pubkeys files of a test.
type files map[string]string

func (f files) read(path string) ([]byte, error) {
	text, ok := f[path]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return []byte(text), nil
}

// render writes a list the way the tests below expect it.
func render(l *List) string {
	var out []string
	for i := range l.Entries {
		e := &l.Entries[i]
		line := e.Key()
		for _, label := range e.Labels {
			line += " " + label.Name + "=" + label.Value
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

func TestParseReadsEveryKindOfEntry(t *testing.T) {
	for name, tc := range map[string]struct {
		yaml  string
		files files
		want  string
		names []string
	}{
		"index 0 is a validator": {
			yaml: "validators: [{index: 0}]",
			want: "0",
		},
		"labels are sorted by name": {
			yaml:  "validators:\n  - index: 1234\n    labels: {operator: acme, client: lighthouse}\n",
			want:  "1234 client=lighthouse operator=acme",
			names: []string{"client", "operator"},
		},
		"ranges and lists": {
			yaml: "validators:\n  - indices: \"1, 5,10-12\"\n  - indices: 20-21\n  - indices: [30, 32-33]\n",
			want: "1\n5\n10\n11\n12\n20\n21\n30\n32\n33",
		},
		"public keys, quoted, bare, without 0x, in capitals": {
			yaml: "validators:\n  - pubkey: \"" + pubkeyA + "\"\n  - pubkey: " + pubkeyA + "\n  - pubkey: " + pubkeyA[2:] + "\n  - pubkey: 0x" + strings.ToUpper(pubkeyB[2:]) + "\n",
			want: pubkeyA + "\n" + pubkeyB,
		},
		"a file of public keys, relative to the list": {
			yaml:  "validators:\n  - pubkeys_file: keys/a.txt\n    labels: {operator: acme}\n",
			files: files{"conf/keys/a.txt": "\ufeff# keys of acme\r\n" + pubkeyA + "  # the first\r\n\r\n" + pubkeyB[2:]},
			want:  pubkeyA + " operator=acme\n" + pubkeyB + " operator=acme",
			names: []string{"operator"},
		},
		"a file of public keys with an absolute path": {
			yaml:  "validators:\n  - pubkeys_file: /keys.txt\n",
			files: files{"/keys.txt": pubkeyA},
			want:  pubkeyA,
		},
		"the same validator twice with the same labels": {
			yaml:  "validators:\n  - {index: 7, labels: {a: x, b: y}}\n  - {indices: 6-8, labels: {b: y, a: x}}\n",
			want:  "7 a=x b=y\n6 a=x b=y\n8 a=x b=y",
			names: []string{"a", "b"},
		},
		"label values are texts, whatever YAML thinks of them": {
			yaml:  "validators:\n  - {index: 7, labels: {a: 1.50, b: yes, c: \"Zürich \\\"1\\\"\"}}\n",
			want:  "7 a=1.50 b=yes c=Zürich \"1\"",
			names: []string{"a", "b", "c"},
		},
		"an empty label value is no label": {
			yaml: "validators:\n  - {index: 7, labels: {a: \"\"}}\n  - index: 7\n",
			want: "7",
		},
		"aliases": {
			yaml:  "validators:\n  - {index: 1, labels: &acme {operator: acme}}\n  - {index: 2, labels: *acme}\n",
			want:  "1 operator=acme\n2 operator=acme",
			names: []string{"operator"},
		},
		"an empty list is said aloud": {yaml: "validators: []"},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := Parse("conf/watch.yaml", []byte(tc.yaml), tc.files.read)
			if err != nil {
				t.Fatal(err)
			}
			if got := render(list); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
			if !slices.Equal(list.LabelNames, tc.names) {
				t.Errorf("label names %q, want %q", list.LabelNames, tc.names)
			}
		})
	}
}

func TestParseErrorsNameTheLineAndSayWhatToDo(t *testing.T) {
	manyNames := "validators:\n  - index: 1\n    labels:\n"
	for i := range MaxLabelNames + 1 {
		manyNames += fmt.Sprintf("      label_%d: x\n", i)
	}
	for name, tc := range map[string]struct{ yaml, keys, want string }{
		"empty file": {"", "", `watch.yaml: the file is empty; write "validators: []" to watch none`},
		"no list":    {"{}", "", `watch.yaml:1:1: no list "validators"; write "validators: []" to watch none`},
		"not a mapping": {
			"- index: 1", "",
			`watch.yaml:1:1: the watch list must be a mapping with validators`,
		},
		"validators is no list": {
			"validators:\n  index: 1\n", "",
			`watch.yaml:2:3: validators must be a list; start each entry with a dash, or write "validators: []" to watch none`,
		},
		"validators is nothing": {
			"validators:\n", "",
			`watch.yaml:1:12: validators must be a list; start each entry with a dash, or write "validators: []" to watch none`,
		},
		"an entry that is no mapping": {
			"validators:\n  - 1234\n", "",
			`watch.yaml:2:5: an entry must be a mapping with index, indices, pubkey, pubkeys_file or labels`,
		},
		"unknown field": {
			"validators:\n  - index: 1\n    label: {a: b}\n", "",
			`watch.yaml:3:5: unknown field "label"; an entry knows index, indices, pubkey, pubkeys_file or labels`,
		},
		"unknown field at the top": {
			"validators: []\nvalidator: []\n", "",
			`watch.yaml:2:1: unknown field "validator"; the watch list knows validators`,
		},
		"field twice": {
			"validators:\n  - index: 1\n    index: 2\n", "",
			`watch.yaml:3:5: field "index" is given twice; remove one`,
		},
		"two names for an entry": {
			"validators:\n  - index: 1\n    pubkey: " + pubkeyA, "",
			`watch.yaml:2:5: an entry needs exactly one of index, indices, pubkey and pubkeys_file; this one has 2`,
		},
		"no name for an entry": {
			"validators:\n  - labels: {a: b}\n", "",
			`watch.yaml:2:5: an entry needs exactly one of index, indices, pubkey and pubkeys_file; this one has 0`,
		},
		"index without value": {
			"validators:\n  - index:\n", "",
			`watch.yaml:2:11: index needs a value`,
		},
		"negative index": {
			"validators:\n  - index: -1\n", "",
			`watch.yaml:2:12: "-1" is not a validator index; ranges and lists go into indices`,
		},
		"hexadecimal index": {
			"validators:\n  - index: 0x10\n", "",
			`watch.yaml:2:12: "0x10" is not a validator index; an index is a number from 0 on, a range is 2000-2999`,
		},
		"range in index": {
			"validators:\n  - index: 1-2\n", "",
			`watch.yaml:2:12: "1-2" is not a validator index; ranges and lists go into indices`,
		},
		"index past every chain": {
			"validators:\n  - index: 1099511627776\n", "",
			`watch.yaml:2:12: validator index "1099511627776" is too large; no chain holds more than 1099511627776 validators`,
		},
		"index past 64 bits": {
			"validators:\n  - index: 18446744073709551616\n", "",
			`watch.yaml:2:12: validator index "18446744073709551616" is too large; no chain holds more than 1099511627776 validators`,
		},
		"a range of everything": {
			"validators:\n  - indices: \"0-18446744073709551615\"\n", "",
			`watch.yaml:2:14: validator index "18446744073709551615" is too large; no chain holds more than 1099511627776 validators`,
		},
		"a huge range": {
			"validators:\n  - indices: \"0-1000000\"\n", "",
			`watch.yaml:2:14: range "0-1000000" holds more than 1000000 validators; check its ends`,
		},
		"a range backwards": {
			"validators:\n  - indices: 9-7\n", "",
			`watch.yaml:2:14: range "9-7" ends before it starts; write it as 7-9`,
		},
		"an open range": {
			"validators:\n  - indices: 9-\n", "",
			`watch.yaml:2:14: "" is not a validator index; an index is a number from 0 on, a range is 2000-2999`,
		},
		"a trailing comma": {
			"validators:\n  - indices: \"9,\"\n", "",
			`watch.yaml:2:14: "" is not a validator index; an index is a number from 0 on, a range is 2000-2999`,
		},
		"a short public key": {
			"validators:\n  - pubkey: \"0x93247f\"\n", "",
			`watch.yaml:2:13: public key "0x93247f" has 6 characters after 0x; a public key is 0x and 96 hexadecimal digits`,
		},
		"a public key with a typo": {
			"validators:\n  - pubkey: \"0xz" + pubkeyA[3:] + "\"\n", "",
			`watch.yaml:2:13: public key "0xz` + pubkeyA[3:] + `" is not hexadecimal; a public key is 0x and 96 hexadecimal digits`,
		},
		"no pubkeys file": {
			"validators:\n  - pubkeys_file: nowhere.txt\n", "",
			`watch.yaml:2:19: cannot read pubkeys_file: open nowhere.txt: file does not exist`,
		},
		"a bad line in the pubkeys file": {
			"validators:\n  - pubkeys_file: keys.txt\n", "# ours\n" + pubkeyA + "\n1234\n",
			`keys.txt:3: public key "1234" has 4 characters after 0x; a public key is 0x and 96 hexadecimal digits`,
		},
		"other labels for the same index": {
			"validators:\n  - {index: 7, labels: {a: x}}\n  - indices: 5-9\n", "",
			`watch.yaml:3:14: validator 7 stands at watch.yaml:2:13 with other labels; keep one of the two`,
		},
		"other labels for the same public key": {
			"validators:\n  - pubkeys_file: keys.txt\n  - {pubkey: " + pubkeyA + ", labels: {a: x}}\n", pubkeyB + "\n" + pubkeyA + "\n",
			`watch.yaml:3:14: validator ` + pubkeyA + ` stands at keys.txt:2 with other labels; keep one of the two`,
		},
		"labels that are no mapping": {
			"validators:\n  - index: 1\n    labels: acme\n", "",
			`watch.yaml:3:13: labels must be a mapping; write labels: {operator: acme}`,
		},
		"label name with a dash": {
			"validators:\n  - index: 1\n    labels: {fee-recipient: x}\n", "",
			`watch.yaml:3:14: "fee-recipient" is not a label name; use letters, digits and _, and no digit first`,
		},
		"reserved label": {
			"validators:\n  - index: 1\n    labels: {status: x}\n", "",
			`watch.yaml:3:14: label name "status" is reserved; choose another`,
		},
		"label of Prometheus' own": {
			"validators:\n  - index: 1\n    labels: {__name__: x}\n", "",
			`watch.yaml:3:14: label name "__name__" is reserved; choose another`,
		},
		"the group of all": {
			"validators:\n  - index: 1\n    labels: {all: x}\n", "",
			`watch.yaml:3:14: label name "all" is reserved; choose another`,
		},
		"label twice": {
			"validators:\n  - index: 1\n    labels: {a: x, a: x}\n", "",
			`watch.yaml:3:20: label "a" is already given at watch.yaml:3:14; remove one`,
		},
		"label without value": {
			"validators:\n  - index: 1\n    labels:\n      a:\n", "",
			`watch.yaml:4:9: label "a" needs a text as value`,
		},
		"label value that is a list": {
			"validators:\n  - index: 1\n    labels: {a: [x]}\n", "",
			`watch.yaml:3:17: label "a" needs a text as value`,
		},
		"long label value": {
			"validators:\n  - index: 1\n    labels: {a: " + strings.Repeat("é", 65) + "}\n", "",
			`watch.yaml:3:17: the value of label "a" has 130 bytes; at most 128 are allowed`,
		},
		"too many label names": {
			manyNames, "",
			`watch.yaml:2:12: more than 32 label names in the watch list; use fewer`,
		},
		"a second document": {
			"validators: []\n---\nvalidators: []\n", "",
			`watch.yaml:2:1: a second YAML document starts here; the watch list is one document`,
		},
		"tabs": {
			"validators:\n  - index: 1\n\t  labels: {}\n", "",
			`watch.yaml:3:1: not valid YAML: a tab in the indentation; use spaces`,
		},
		"broken quotes": {
			"validators:\n  - index: 1\n  - pubkey: \"0x12\n", "",
			`watch.yaml:3:3: not valid YAML: found unexpected end of stream`,
		},
		"not UTF-8": {
			"validators: \xff", "",
			`watch.yaml: not valid YAML: invalid leading UTF-8 octet`,
		},
		"an alias to itself": {
			"validators: &a [*a]", "",
			`watch.yaml:1:13: an entry must be a mapping with index, indices, pubkey, pubkeys_file or labels`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			served := files{}
			if tc.keys != "" {
				served["keys.txt"] = tc.keys
			}
			_, err := Parse("watch.yaml", []byte(tc.yaml), served.read)
			if err == nil {
				t.Fatal("no error")
			}
			if err.Error() != tc.want {
				t.Errorf("got  %s\nwant %s", err, tc.want)
			}
		})
	}
}

func TestTooManyValidatorsAreRefused(t *testing.T) {
	b := newBuilder()
	if b.limit != MaxValidators {
		t.Errorf("limit %d", b.limit)
	}
	b.limit = 3
	at := position{"watch.yaml", 3, 14}
	if err := b.addIndices(at, "7-8, 8", nil); err != nil {
		t.Errorf("3 validators refused: %v", err)
	}
	const want = "watch.yaml:3:14: more than 3 validators; split the watch list over several exporters"
	// Repetitions count, or a small file could keep the exporter busy for hours.
	if err := b.addIndices(at, "8", nil); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestFromFlags(t *testing.T) {
	list, err := FromFlags([]string{"0", "7, 9-10", pubkeyA + ",7"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := render(list), "0\n7\n9\n10\n"+pubkeyA; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for value, want := range map[string]string{
		"":       `--validator=: "" is neither a validator index nor a public key (0x and 96 hexadecimal digits)`,
		"1,abc":  `--validator=1,abc: "abc" is neither a validator index nor a public key (0x and 96 hexadecimal digits)`,
		"0x1234": `--validator=0x1234: public key "0x1234" has 4 characters after 0x; a public key is 0x and 96 hexadecimal digits`,
		"-3":     `--validator=-3: "-3" is neither a validator index nor a public key (0x and 96 hexadecimal digits)`,
		"3x":     `--validator=3x: "3x" is not a validator index; an index is a number from 0 on, a range is 2000-2999`,
	} {
		if _, err := FromFlags([]string{value}); err == nil || err.Error() != want {
			t.Errorf("%q: got  %v\nwant %s", value, err, want)
		}
	}
}

func TestMergeRefusesOtherLabelsAndKeepsTheRest(t *testing.T) {
	file, err := Parse("watch.yaml", []byte("validators:\n  - index: 1\n  - {index: 2, labels: {a: x}}\n"), files{}.read)
	if err != nil {
		t.Fatal(err)
	}
	flags := func(values ...string) *List {
		l, err := FromFlags(values)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	merged, err := Merge(file, flags("1", "3"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := render(merged), "1\n2 a=x\n3"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if !slices.Equal(merged.LabelNames, []string{"a"}) {
		t.Errorf("label names %q", merged.LabelNames)
	}
	const want = "--validator=2: validator 2 stands at watch.yaml:3:13 with other labels; keep one of the two"
	if _, err := Merge(file, flags("2")); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestEntriesWithTheSameLabelsShareThem(t *testing.T) {
	list, err := Parse("watch.yaml", []byte("validators:\n  - {index: 1, labels: {a: x, b: y}}\n  - {index: 2, labels: {b: y, a: x}}\n"), files{}.read)
	if err != nil {
		t.Fatal(err)
	}
	if &list.Entries[0].Labels[0] != &list.Entries[1].Labels[0] {
		t.Error("two copies of the same labels")
	}
}

// FuzzParse: whatever the file holds, parsing ends with a list that keeps its
// promises or with a one-line error that names the file.
func FuzzParse(f *testing.F) {
	f.Add("validators:\n  - index: 0\n    labels: {operator: acme}\n  - indices: \"2000-2003,7\"\n  - pubkey: "+pubkeyA+"\n  - pubkeys_file: keys.txt\n", pubkeyB+" # ours\n")
	f.Add("validators:\n  - indices: \"0-18446744073709551615\"\n", "")
	f.Add("validators: &a [*a]\n", "\n")
	f.Add("a: &a {b: *a}\n---\n", "0x")
	f.Fuzz(func(t *testing.T, yaml, keys string) {
		p := parser{name: "watch.yaml", builder: newBuilder(), readFile: func(path string) ([]byte, error) {
			if path != "keys.txt" {
				return nil, errors.New("no such file")
			}
			return []byte(keys), nil
		}}
		p.builder.limit = 1000
		list, err := p.parse([]byte(yaml))
		if err != nil {
			if text := err.Error(); strings.Contains(text, "\n") || !strings.HasPrefix(text, "watch.yaml:") && !strings.HasPrefix(text, "keys.txt:") {
				t.Fatalf("not one line about the file: %q", text)
			}
			return
		}
		if len(list.Entries) > p.builder.limit || len(list.LabelNames) > MaxLabelNames || !slices.IsSorted(list.LabelNames) {
			t.Fatalf("%d entries, label names %q", len(list.Entries), list.LabelNames)
		}
		seen := map[string]bool{}
		for i := range list.Entries {
			e := &list.Entries[i]
			if e.HasIndex == e.HasPubkey || seen[e.Key()] {
				t.Fatalf("entry %+v", e)
			}
			seen[e.Key()] = true
			if !slices.IsSortedFunc(e.Labels, func(a, b Label) int { return strings.Compare(a.Name, b.Name) }) {
				t.Fatalf("labels %v", e.Labels)
			}
		}
	})
}

func BenchmarkParse100000Pubkeys(b *testing.B) {
	var yaml strings.Builder
	yaml.WriteString("validators:\n")
	for i := range 100_000 {
		fmt.Fprintf(&yaml, "  - pubkey: \"0x%096x\"\n    labels: {operator: op%d, client: teku}\n", i, i%50)
	}
	text := []byte(yaml.String())
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("watch.yaml", text, files{}.read); err != nil {
			b.Fatal(err)
		}
	}
}
