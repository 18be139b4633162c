package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon/wire"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// committee is an entry of an answer.
func committee(slot duty.Slot, index int, members ...int) string {
	return fmt.Sprintf(`{"index":"%d","slot":"%d","validators":["%s"]}`,
		index, slot, strings.Join(strings.Fields(strings.Trim(fmt.Sprint(members), "[]")), `","`))
}

// epochOfCommittees are the entries of an epoch, perSlot in each slot, in order;
// sizes vary, and so does the number of digits of the members.
func epochOfCommittees(spec *duty.Spec, epoch duty.Epoch, perSlot, size int) (entries []string) {
	next := 0
	for slot := spec.FirstSlot(epoch); slot <= spec.LastSlot(epoch); slot++ {
		for i := range perSlot {
			members := make([]int, size+i%2)
			for j := range members {
				members[j] = next * next % 1_000_003
				next++
			}
			entries = append(entries, committee(slot, i, members...))
		}
	}
	return entries
}

func answer(entries []string) string {
	return `{"execution_optimistic":false,"finalized":false,"data":[` + strings.Join(entries, ",") + `]}`
}

func TestCommitteesAreFlatInSlotOrder(t *testing.T) {
	entries := make([]string, 0, 16)
	for slot := duty.Slot(16); slot < 24; slot++ {
		entries = append(entries, committee(slot, 0, int(slot), 4294967295), committee(slot, 1, 7))
	}
	got := must[*duty.Committees](t)(wire.ReadCommittees(strings.NewReader(answer(entries)), minimal(), 2, nil))
	if got.Epoch != 2 || got.PerSlot != 2 || len(got.Members) != 24 || len(got.Offsets) != 17 {
		t.Fatalf("got %+v", got)
	}
	if members := got.SlotMembers(3); !reflect.DeepEqual(members, []uint32{19, 4294967295, 7}) {
		t.Errorf("members of the fourth slot: %v", members)
	}
	if members := got.Committee(7, 1); !reflect.DeepEqual(members, []uint32{7}) {
		t.Errorf("members of the last committee: %v", members)
	}
}

func TestCommitteesInAnyFormAreTheSame(t *testing.T) {
	entries := epochOfCommittees(minimal(), 9, 4, 5)
	want := must[*duty.Committees](t)(wire.ReadCommittees(strings.NewReader(answer(entries)), minimal(), 9, nil))
	shuffled := append([]string(nil), entries...)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(shuffled), func(i, j int) {
		shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
	})
	text := answer(entries)
	everywhere := strings.NewReplacer(`{`, " {\n", `}`, "\t}", `[`, " [ ", `]`, " ] ", `,`, "\r\n, ", `:`, " : ")
	keyOrder := make([]string, len(entries))
	for i, entry := range entries {
		at := strings.Index(entry, `,"validators"`)
		keyOrder[i] = `{` + strings.TrimSuffix(entry[at+1:], "}") + `,` + entry[1:at] + `}`
	}
	for name, form := range map[string]string{
		"entries in another order": answer(shuffled),
		"white space":              everywhere.Replace(text),
		"keys in another order":    answer(keyOrder),
		"bare numbers":             regexp.MustCompile(`"(\d+)"`).ReplaceAllString(text, "$1"),
		"data first":               `{"data":[` + strings.Join(entries, ",") + `],"execution_optimistic":true}` + "\n",
		"unknown keys":             strings.ReplaceAll(text, `{"index"`, `{"new":{"a":[1,{"b":"}\"]"}],"c":null,"d":-1.5e3},"an unknown key longer than any that is known":[],"index"`),
		"escaped keys":             strings.ReplaceAll(text, `"slot"`, `"sl\u006ft"`),
	} {
		got, err := wire.ReadCommittees(strings.NewReader(form), minimal(), 9, nil)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: error %v, got %+v", name, err, got)
		}
	}
}

func TestCommitteesAreTheSameHoweverTheyArrive(t *testing.T) {
	// More than one window long, and shifted so that its edges fall everywhere.
	entries := epochOfCommittees(mainnet(), 3, 8, 40)
	text := answer(entries)
	if len(text) < 70_000 {
		t.Fatalf("only %d bytes", len(text))
	}
	want := must[*duty.Committees](t)(wire.ReadCommittees(strings.NewReader(text), mainnet(), 3, nil))
	var scratch wire.CommitteeScratch
	for shift := range 60 {
		r := io.MultiReader(strings.NewReader(strings.Repeat(" ", shift)), strings.NewReader(text))
		if got := must[*duty.Committees](t)(wire.ReadCommittees(r, mainnet(), 3, &scratch)); !reflect.DeepEqual(got, want) {
			t.Fatalf("shifted by %d: not the same", shift)
		}
	}
	for name, slow := range map[string]func(io.Reader) io.Reader{
		"byte by byte": iotest.OneByteReader, "halves": iotest.HalfReader, "error with data": iotest.DataErrReader,
	} {
		if got := must[*duty.Committees](t)(wire.ReadCommittees(slow(strings.NewReader(text)), mainnet(), 3, &scratch)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: not the same", name)
		}
	}
}

func TestCommitteesOfAWrongEpochAreRefused(t *testing.T) {
	text := answer(epochOfCommittees(minimal(), 8, 2, 3))
	if _, err := wire.ReadCommittees(strings.NewReader(text), minimal(), 9, nil); !errors.Is(err, wire.ErrWrongEpoch) {
		t.Errorf("all of another epoch: error %v, want ErrWrongEpoch", err)
	}
	entries := epochOfCommittees(minimal(), 9, 2, 3)
	entries[len(entries)-1] = committee(80, 1, 5)
	if _, err := wire.ReadCommittees(strings.NewReader(answer(entries)), minimal(), 9, nil); !errors.Is(err, wire.ErrWrongEpoch) {
		t.Errorf("one of another epoch: error %v, want ErrWrongEpoch", err)
	}
}

func TestOddCommitteesAreRefused(t *testing.T) {
	const first = duty.Slot(72)
	entries := epochOfCommittees(minimal(), 9, 2, 3)
	with := func(i int, entry string) string {
		changed := append([]string(nil), entries...)
		changed[i] = entry
		return answer(changed)
	}
	for name, test := range map[string]struct{ text, want string }{
		"no committees":       {`{"data":[]}`, "slot 72 has no committee 0"},
		"null":                {`{"data":null}`, "slot 72 has no committee 0"},
		"missing slot":        {answer(entries[:14]), "slot 79"},
		"missing committee":   {answer(append(entries[:5:5], entries[6:]...)), "slot 74"},
		"missing first":       {answer(entries[1:]), "slot 72 has no committee 0"},
		"unequal":             {with(0, entries[0]+","+committee(first, 2, 1)), "though slot 72 has 3"},
		"twice":               {with(0, entries[0]+","+entries[0]), "committee 0 twice"},
		"index too large":     {with(0, committee(first, 4, 1)), "has a committee 4"},
		"member too large":    {with(0, committee(first, 0, 4294967296)), "does not fit 32 bits"},
		"later member large":  {with(0, committee(first, 0, 1, 99999999999, 1)), "does not fit 32 bits"},
		"negative":            {with(0, committee(first, 0, -1)), "negative"},
		"slot beyond 64 bits": {with(0, `{"index":"0","slot":"18446744073709551616","validators":[]}`), "does not fit 64 bits"},
		"fraction":            {with(0, `{"index":0,"slot":72.5,"validators":[]}`), `unexpected '.'`},
		"text":                {with(0, `{"index":"0","slot":"0x48","validators":[]}`), `unexpected 'x'`},
		"no slot":             {with(0, `{"index":"0","validators":[]}`), "without slot"},
		"no validators":       {with(0, `{"index":"0","slot":"72"}`), "without slot"},
		"slot twice":          {with(0, `{"index":"0","slot":"72","slot":"73","validators":[]}`), "twice"},
		"trailing comma":      {with(0, `{"index":"0","slot":"72","validators":["1",]}`), `unexpected ']'`},
		"no data":             {`{"code":500,"message":"boom"}`, `no "data"`},
		"data twice":          {`{"data":[],"data":[]}`, "twice"},
		"two documents":       {answer(entries) + "{}", "follows the document"},
		"empty":               {"", "unexpected EOF"},
		"not JSON":            {"<html>", `unexpected '<'`},
		"too deep":            {`{"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `,"data":[]}`, "nested too deep"},
		"endless string":      {`{"` + strings.Repeat("x", 70_000) + `":1,"data":[]}`, "string of more than"},
	} {
		got, err := wire.ReadCommittees(strings.NewReader(test.text), minimal(), 9, nil)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %+v, error %v; want one with %q", name, got, err, test.want)
		}
	}
}

func TestSkippedStringsMayBeLong(t *testing.T) {
	entries := epochOfCommittees(minimal(), 9, 2, 3)
	long := `{"note":"` + strings.Repeat(`x\"`, 70_000) + `\\","data":[` + strings.Join(entries, ",") + `]}`
	must[*duty.Committees](t)(wire.ReadCommittees(strings.NewReader(long), minimal(), 9, nil))
}

func TestLongTokensFailTheSameHoweverTheyArrive(t *testing.T) {
	for name, token := range map[string]string{
		"bare": strings.Repeat("x", 3000), "zeros": strings.Repeat("0", 3000),
		"quoted zeros": `"` + strings.Repeat("0", 3000) + `"`, "string": `"` + strings.Repeat("x", 3000) + `"`,
	} {
		for _, key := range []string{"slot", "other"} {
			text := `{"data":[{"` + key + `":` + token + `,"index":"0"}]}`
			_, err := wire.ReadCommittees(strings.NewReader(text), minimal(), 9, nil)
			_, slow := wire.ReadCommittees(iotest.OneByteReader(strings.NewReader(text)), minimal(), 9, nil)
			if err == nil || slow == nil || err.Error() != slow.Error() {
				t.Errorf("%s under %q: at once %v, byte by byte %v", name, key, err, slow)
			}
		}
	}
}

func TestTruncatedCommitteesAreRefused(t *testing.T) {
	text := answer(epochOfCommittees(minimal(), 9, 1, 2))
	for n := range text {
		if _, err := wire.ReadCommittees(strings.NewReader(text[:n]), minimal(), 9, nil); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%d of %d bytes: error %v, want %v", n, len(text), err, io.ErrUnexpectedEOF)
		}
	}
	broken := errors.New("connection lost")
	r := io.MultiReader(strings.NewReader(text[:100]), iotest.ErrReader(broken))
	if _, err := wire.ReadCommittees(r, minimal(), 9, nil); !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
}

// endless repeats a text for ever.
type endless struct {
	text string
	at   int
}

func (e *endless) Read(p []byte) (n int, err error) {
	for n < len(p) {
		copied := copy(p[n:], e.text[e.at:])
		e.at = (e.at + copied) % len(e.text)
		n += copied
	}
	return n, nil
}

func TestEndlessAnswersEnd(t *testing.T) {
	for name, test := range map[string]struct {
		start, forever string
		bytes          int64
		want           string
	}{
		"members":     {`{"data":[{"validators":[`, `"0",`, 34 << 20, "more than 8388608 numbers"},
		"white space": {`{"data"`, " ", 1 << 20, "connection lost"},
		"digits":      {`{"data":[{"slot":"`, "0", 1 << 20, "unexpected '0'"},
		"committees":  {`{"data":[`, `{"index":"0","slot":"72","validators":[]},`, 1 << 20, "twice"},
	} {
		forever := io.LimitReader(&endless{text: strings.Repeat(test.forever, 1000)}, test.bytes)
		r := io.MultiReader(strings.NewReader(test.start), forever, iotest.ErrReader(errors.New("connection lost")))
		if _, err := wire.ReadCommittees(r, minimal(), 9, nil); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, test.want)
		}
	}
}

func TestCommitteesOutliveTheirScratch(t *testing.T) {
	var scratch wire.CommitteeScratch
	read := func(epoch duty.Epoch, entries []string) *duty.Committees {
		return must[*duty.Committees](t)(wire.ReadCommittees(strings.NewReader(answer(entries)), minimal(), epoch, &scratch))
	}
	inOrder, reversed := epochOfCommittees(minimal(), 9, 2, 3), epochOfCommittees(minimal(), 9, 2, 3)
	slices.Reverse(reversed)
	first, second := read(9, inOrder), read(9, reversed)
	if !reflect.DeepEqual(first, second) {
		t.Fatalf("in order %+v, reversed %+v", first, second)
	}
	for range 2 { // with either kind of result still held
		read(10, epochOfCommittees(minimal(), 10, 2, 4))
		if fresh := must[*duty.Committees](t)(wire.ReadCommittees(strings.NewReader(answer(inOrder)), minimal(), 9, nil)); !reflect.DeepEqual(first, fresh) || !reflect.DeepEqual(second, fresh) {
			t.Fatal("a later reading changed an earlier result")
		}
	}
}

func TestMemoryDoesNotGrowWithCommittees(t *testing.T) {
	text := answer(epochOfCommittees(mainnet(), 3, 8, 40))
	scratch := wire.CommitteeScratch{Expect: 32 * 8 * 41}
	r := strings.NewReader("")
	allocations := testing.AllocsPerRun(10, func() {
		r.Reset(text)
		if _, err := wire.ReadCommittees(r, mainnet(), 3, &scratch); err != nil {
			t.Fatal(err)
		}
	})
	if allocations > 6 {
		t.Errorf("%v allocations for %d committees", allocations, 8*32)
	}
}

func FuzzReadCommittees(f *testing.F) {
	recorded(f, "committees/*5.json", func(_ string, _ *duty.Spec, epoch uint64, raw []byte) { f.Add(raw, epoch) })
	f.Add([]byte(answer(epochOfCommittees(minimal(), 9, 4, 5))), uint64(9))
	f.Add([]byte(`{"data":[{"v\u0061lidators":["1" ,2],"x":{"y":[null,-1.5]},"slot":72,"index":"0"}]}`), uint64(9))
	f.Fuzz(func(t *testing.T, raw []byte, epoch uint64) {
		got, err := wire.ReadCommittees(bytes.NewReader(raw), minimal(), duty.Epoch(epoch), nil)
		slow, slowErr := wire.ReadCommittees(iotest.OneByteReader(bytes.NewReader(raw)), minimal(), duty.Epoch(epoch), nil)
		if fmt.Sprint(err) != fmt.Sprint(slowErr) || !reflect.DeepEqual(got, slow) {
			t.Fatalf("read at once: %v, %v; byte by byte: %v, %v", got, err, slow, slowErr)
		}
		if err != nil {
			return
		}
		if 2*len(got.Members) > len(raw) || len(got.Offsets) != 8*got.PerSlot+1 {
			t.Fatalf("%d members, %d offsets from %d bytes", len(got.Members), len(got.Offsets), len(raw))
		}
		for n := range 8 {
			_ = got.SlotMembers(n)
		}
	})
}
