package catalog

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// All returns every family, sorted by name.
func All() []Family { return slices.Clone(table().families) }

// Get returns the family called name; ok is false when there is none.
func Get(name string) (f Family, ok bool) {
	i, ok := table().index[name]
	if !ok {
		return Family{}, false
	}
	return table().families[i], true
}

// MustGet is Get for names written in code: an unknown one is a mistake of the
// programmer and panics.
func MustGet(name string) Family {
	f, ok := Get(name)
	if !ok {
		panic(fmt.Sprintf("catalog: no family %q: add it to the table", name))
	}
	return f
}

// Window returns the family that holds f's totals of completed windows; ok is
// false when f is not a counter anchored to the chain.
func (f Family) Window() (w Family, ok bool) {
	for _, s := range subjects {
		if name, found := strings.CutPrefix(f.Name, s.prefix+"_"); found && f.Type == Counter && f.Origin == Chain {
			return Get(s.prefix + "_window_" + strings.TrimSuffix(name, "_total"))
		}
	}
	return Family{}, false
}

type indexed struct {
	families []Family
	index    map[string]int
}

var table = sync.OnceValue(func() indexed {
	t := indexed{
		families: slices.Concat(anchoredFamilies(), validatorFamilies(), groupFamilies(),
			chainFamilies(), beaconFamilies(), exporterFamilies()),
		index: map[string]int{},
	}
	slices.SortFunc(t.families, func(a, b Family) int { return strings.Compare(a.Name, b.Name) })
	for i, f := range t.families {
		t.index[f.Name] = i
	}
	return t
})
