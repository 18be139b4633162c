package expr

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// CountsOnce returns an error for each sum, average or count that takes a validator
// more than once. Groups overlap: a validator is in one group for each label that the
// watch list gives it, and in the group of all. Within one group_by they do not. So
// whatever adds up rows of ethereum_group_… or group:… must keep group_by, or must have
// chosen one by an equality matcher.
func CountsOnce(q string) error {
	e, err := Parse(q)
	if err != nil {
		return err
	}
	o := &overlap{}
	o.of(e)
	if err := errors.Join(o.problems...); err != nil {
		return fmt.Errorf("%w; in query %q", err, q)
	}
	return nil
}

const groupBy = "group_by"

type overlap struct{ problems []error }

// of says whether the rows of e's result may overlap: whether they are of groups of
// more than one group_by.
func (o *overlap) of(e parser.Expr) bool {
	switch e := e.(type) {
	case *parser.VectorSelector:
		return overlaps(e)
	case *parser.MatrixSelector:
		return o.of(e.VectorSelector)
	case *parser.SubqueryExpr:
		return o.of(e.Expr)
	case *parser.ParenExpr:
		return o.of(e.Expr)
	case *parser.UnaryExpr:
		return o.of(e.Expr)
	case *parser.StepInvariantExpr:
		return o.of(e.Expr)
	case *parser.AggregateExpr:
		return o.aggregate(e)
	case *parser.BinaryExpr:
		return o.binary(e)
	case *parser.Call:
		result := false
		for _, a := range e.Args {
			result = o.of(a) || result
		}
		switch e.Func.Name {
		case "absent", "absent_over_time", "scalar":
			return false
		}
		return result
	}
	return false
}

func overlaps(s *parser.VectorSelector) bool {
	name := s.Name
	for _, m := range s.LabelMatchers {
		switch {
		case m.Name == model.MetricNameLabel:
			name = m.Value
		case m.Name == groupBy && m.Type == labels.MatchEqual && m.Value != "":
			return false
		}
	}
	return strings.HasPrefix(name, "ethereum_group_") || strings.HasPrefix(name, "group:")
}

func (o *overlap) aggregate(e *parser.AggregateExpr) bool {
	if !o.of(e.Expr) {
		return false
	}
	if slices.Contains(e.Grouping, groupBy) != e.Without {
		return true
	}
	switch e.Op {
	case parser.TOPK, parser.BOTTOMK, parser.LIMITK, parser.LIMIT_RATIO:
		return true // rows are chosen, not added up
	case parser.MAX, parser.MIN, parser.GROUP:
		return false // a validator that is looked at twice changes nothing
	}
	o.problems = append(o.problems, fmt.Errorf("%s over groups of every %s: a validator is in several of them", e.Op, groupBy))
	return false
}

func (o *overlap) binary(e *parser.BinaryExpr) bool {
	left, right := o.of(e.LHS), o.of(e.RHS)
	m := e.VectorMatching
	switch {
	case m == nil || e.Op == parser.LOR:
		return left || right
	case m.Card == parser.CardManyToMany, m.Card == parser.CardManyToOne:
		return left || slices.Contains(m.Include, groupBy) && right
	case m.Card == parser.CardOneToMany:
		return right || slices.Contains(m.Include, groupBy) && left
	}
	// One to one: group_by stays in the result when it is among what is matched.
	return (left || right) && slices.Contains(m.MatchingLabels, groupBy) == m.On
}
