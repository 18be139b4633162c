package dashboards

import (
	"strings"
	"testing"
)

func blank(width uint32) *panel { return newText("blank", "nothing").wide(width) }

func TestPanelsShareALine(t *testing.T) {
	for _, tc := range []struct {
		name   string
		widths []uint32 // 0 shares what is left
		want   []uint32
	}{
		{"one", []uint32{0}, []uint32{24}},
		{"three", []uint32{0, 0, 0}, []uint32{8, 8, 8}},
		{"what does not divide", []uint32{0, 0, 0, 0, 0}, []uint32{4, 5, 5, 5, 5}},
		{"beside a wide one", []uint32{16, 0}, []uint32{16, 8}},
		{"fixed", []uint32{6, 18}, []uint32{6, 18}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var panels []*panel
			for _, w := range tc.widths {
				panels = append(panels, blank(w))
			}
			out, err := place([]section{newSection("row", line(4, panels...), line(2, blank(0)))})
			if err != nil {
				t.Fatal(err)
			}
			x := uint32(0)
			for i, want := range tc.want {
				p := out[i+1].Panel
				if g := *p.GridPos; g.X != x || g.Y != 1 || g.W != want || g.H != 4 || *p.Id != uint32(i+2) {
					t.Errorf("panel %d is number %d at %+v, want width %d at column %d", i, *p.Id, g, want, x)
				}
				x += want
			}
			if last := out[len(out)-1].Panel.GridPos; last.Y != 5 || last.X != 0 || last.W != 24 {
				t.Errorf("the next line is at %+v", *last)
			}
		})
	}
}

func TestLinesThatDoNotFitAreErrors(t *testing.T) {
	for name, l := range map[string]panelLine{
		"too wide":             line(4, blank(16), blank(12)),
		"too narrow":           line(4, blank(16), blank(4)),
		"no room for a sharer": line(4, blank(24), blank(0)),
		"no height":            line(0, blank(0)),
		"no panel":             line(4),
	} {
		_, err := place([]section{newSection("Here", line(4, blank(0)), l)})
		if err == nil || !strings.Contains(err.Error(), `section "Here", line 2`) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestReadable(t *testing.T) {
	const in, want = `{"a":"x \u003e 1 \u0026\u0026 y \u003c 2","b":"\\u003e","c":"\u00e9"}`, `{"a":"x > 1 && y < 2","b":"\\u003e","c":"\u00e9"}`
	if got := string(readable([]byte(in))); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRefIDs(t *testing.T) {
	for n, want := range map[int]string{0: "A", 25: "Z", 26: "AA", 27: "AB", 51: "AZ", 52: "BA", 701: "ZZ", 702: "AAA"} {
		if got := refID(n); got != want {
			t.Errorf("query %d is %s, want %s", n, got, want)
		}
	}
}
