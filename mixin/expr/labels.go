package expr

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Schema tells which labels the series of a metric may have, those of the scrape
// included; ok is false when there is no such metric.
type Schema func(metric string) (labels []string, ok bool)

// Labels follows the labels through a query and returns those that its result may
// have, sorted. The error names every metric that the schema does not know, and every
// label that is matched, grouped by, joined on or rewritten where no series has it:
// PromQL itself takes such a query for a valid one, and answers nothing or too much.
func Labels(q string, schema Schema) ([]string, error) {
	e, err := Parse(q)
	if err != nil {
		return nil, err
	}
	f := &flow{schema: schema}
	out := f.of(e)
	if err := errors.Join(f.problems...); err != nil {
		return nil, fmt.Errorf("%w; in query %q", err, q)
	}
	return slices.Sorted(maps.Keys(out.names)), nil
}

// set is the labels that a vector may have. Any label may be in an open one, which is
// what follows from an unknown metric: one mistake, one message.
type set struct {
	names map[string]bool
	open  bool
}

func setOf(names ...string) set {
	s := set{names: map[string]bool{}}
	for _, n := range names {
		s.names[n] = true
	}
	return s
}

func (s set) has(name string) bool { return s.open || s.names[name] || name == model.MetricNameLabel }

func (s set) with(names ...string) set {
	out := set{names: maps.Clone(s.names), open: s.open}
	for _, n := range names {
		out.names[n] = true
	}
	return out
}

func (s set) without(names ...string) set {
	out := s.with()
	for _, n := range names {
		delete(out.names, n)
	}
	return out
}

func (s set) union(other set) set {
	out := s.with(slices.Collect(maps.Keys(other.names))...)
	out.open = s.open || other.open
	return out
}

type flow struct {
	schema   Schema
	problems []error
}

func (f *flow) problem(format string, args ...any) {
	f.problems = append(f.problems, fmt.Errorf(format, args...))
}

// need reports each of names that no series of s has. where says who names it.
func (f *flow) need(s set, where string, names ...string) {
	for _, n := range names {
		if !s.has(n) {
			f.problem("%s: no series here has the label %q", where, n)
		}
	}
}

func (f *flow) of(e parser.Expr) set {
	switch e := e.(type) {
	case *parser.VectorSelector:
		return f.selector(e)
	case *parser.MatrixSelector:
		return f.of(e.VectorSelector)
	case *parser.SubqueryExpr:
		return f.of(e.Expr)
	case *parser.ParenExpr:
		return f.of(e.Expr)
	case *parser.UnaryExpr:
		return f.of(e.Expr)
	case *parser.StepInvariantExpr:
		return f.of(e.Expr)
	case *parser.AggregateExpr:
		return f.aggregate(e)
	case *parser.BinaryExpr:
		return f.binary(e)
	case *parser.Call:
		return f.call(e)
	case *parser.NumberLiteral, *parser.StringLiteral:
		return setOf()
	}
	f.problem("%s: a %T, whose labels are not known", e, e)
	return set{open: true}
}

func (f *flow) selector(s *parser.VectorSelector) set {
	u, err := use(s)
	if err != nil {
		f.problems = append(f.problems, err)
		return set{names: map[string]bool{}, open: true}
	}
	names, ok := f.schema(u.Metric)
	if !ok {
		f.problem("there is no metric %s", u.Metric)
		return set{names: map[string]bool{}, open: true}
	}
	out := setOf(names...)
	for _, m := range u.Matchers {
		f.need(out, s.String(), m.Name)
	}
	return out
}

func (f *flow) aggregate(e *parser.AggregateExpr) set {
	in := f.of(e.Expr)
	if e.Param != nil {
		f.of(e.Param)
	}
	where := e.Op.String() + " by"
	if e.Without {
		where = e.Op.String() + " without"
	}
	f.need(in, where, e.Grouping...)
	switch e.Op {
	case parser.TOPK, parser.BOTTOMK, parser.LIMITK, parser.LIMIT_RATIO:
		return in // they choose among series, and keep all labels
	}
	out := setOf(e.Grouping...)
	if e.Without {
		out = in.without(e.Grouping...)
	}
	if s, ok := e.Param.(*parser.StringLiteral); ok && e.Op == parser.COUNT_VALUES {
		out = out.with(s.Val)
	}
	return out
}

func (f *flow) binary(e *parser.BinaryExpr) set {
	left, right := f.of(e.LHS), f.of(e.RHS)
	m := e.VectorMatching
	switch {
	case m == nil && e.LHS.Type() == parser.ValueTypeVector:
		return left
	case m == nil:
		return right
	}
	if m.On {
		f.need(left, e.Op.String()+" on, left side", m.MatchingLabels...)
		f.need(right, e.Op.String()+" on, right side", m.MatchingLabels...)
	} else {
		f.need(left.union(right), e.Op.String()+" ignoring", m.MatchingLabels...)
	}
	switch m.Card {
	case parser.CardManyToOne:
		f.need(right, e.Op.String()+" group_left", m.Include...)
		return left.with(m.Include...)
	case parser.CardOneToMany:
		f.need(left, e.Op.String()+" group_right", m.Include...)
		return right.with(m.Include...)
	case parser.CardManyToMany:
		if e.Op == parser.LOR {
			return left.union(right)
		}
		return left
	}
	if m.On {
		return setOf(m.MatchingLabels...)
	}
	return left.without(m.MatchingLabels...)
}

func (f *flow) call(e *parser.Call) set {
	var in set
	for _, a := range e.Args {
		s := f.of(a)
		if t := a.Type(); t == parser.ValueTypeVector || t == parser.ValueTypeMatrix {
			in = s
		}
	}
	if in.names == nil {
		in = setOf() // time(), vector(1) and the like
	}
	switch e.Func.Name {
	case "absent", "absent_over_time":
		return setOf(equal(e.Args[0])...)
	case "scalar":
		return setOf()
	case "histogram_quantile", "histogram_fraction":
		f.need(in, e.Func.Name, "le")
		return in.without("le")
	case "label_replace":
		if source := text(e.Args[3]); source != "" { // without one, the label gets a constant
			f.need(in, e.Func.Name, source)
		}
		return in.with(text(e.Args[1]))
	case "label_join":
		for _, a := range e.Args[3:] {
			f.need(in, e.Func.Name, text(a))
		}
		return in.with(text(e.Args[1]))
	}
	return in
}

// equal lists the labels that absent() takes from its argument: those that a selector
// matches by equality.
func equal(e parser.Expr) []string {
	for {
		switch x := e.(type) {
		case *parser.ParenExpr:
			e = x.Expr
			continue
		case *parser.MatrixSelector:
			e = x.VectorSelector
			continue
		case *parser.VectorSelector:
			var names []string
			for _, m := range x.LabelMatchers {
				if m.Type == labels.MatchEqual && m.Name != model.MetricNameLabel {
					names = append(names, m.Name)
				}
			}
			return names
		}
		return nil
	}
}

func text(e parser.Expr) string {
	if s, ok := e.(*parser.StringLiteral); ok {
		return s.Val
	}
	return ""
}
