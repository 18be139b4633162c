package dashboards

import (
	"errors"
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// gridWidth is how many columns Grafana's grid has.
const gridWidth = 24

// section is a row's heading and the lines of panels below it.
type section struct {
	title string
	lines []panelLine
}

// panelLine is panels side by side, all of one height. It must fill the grid's width,
// so that there is no gap for Grafana to pull other panels into.
type panelLine struct {
	height uint32
	panels []*panel
}

func newSection(title string, lines ...panelLine) section { return section{title, lines} }

// line puts panels side by side. Those without a width of their own share what is left.
func line(height uint32, panels ...*panel) panelLine { return panelLine{height, panels} }

// place gives every panel its position and its number, which are unique and run from
// 1 in the order of reading.
func place(sections []section) ([]dashboard.PanelOrRowPanel, error) {
	var (
		out      []dashboard.PanelOrRowPanel
		problems []error
		id, y    uint32
	)
	for _, s := range sections {
		id++
		out = append(out, dashboard.PanelOrRowPanel{RowPanel: &dashboard.RowPanel{
			Type: "row", Title: &s.title, Id: id, Panels: []dashboard.Panel{},
			GridPos: &dashboard.GridPos{X: 0, Y: y, W: gridWidth, H: 1},
		}})
		y++
		for i, l := range s.lines {
			widths, err := l.widths()
			if err != nil {
				problems = append(problems, fmt.Errorf("section %q, line %d: %w", s.title, i+1, err))
				continue
			}
			x := uint32(0)
			for j, p := range l.panels {
				id++
				p.model.Id = ptr(id)
				p.model.GridPos = &dashboard.GridPos{X: x, Y: y, W: widths[j], H: l.height}
				x += widths[j]
				out = append(out, dashboard.PanelOrRowPanel{Panel: &p.model})
			}
			y += l.height
		}
	}
	return out, errors.Join(problems...)
}

// widths are the panels' widths; they add up to the grid's.
func (l panelLine) widths() ([]uint32, error) {
	left, sharing := gridWidth, 0
	for _, p := range l.panels {
		left -= int(p.width)
		if p.width == 0 {
			sharing++
		}
	}
	if l.height == 0 || left < sharing || sharing == 0 && left != 0 {
		return nil, fmt.Errorf("%d panels of height %d leave %d of %d columns", len(l.panels), l.height, left, gridWidth)
	}
	out := make([]uint32, len(l.panels))
	for i, p := range l.panels {
		out[i] = p.width
		if p.width == 0 {
			share := left / sharing
			out[i] = uint32(share)
			left, sharing = left-share, sharing-1
		}
	}
	return out, nil
}
