package receiver

import (
	"strings"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"
)

// What no window has, of whatever length and chain. Views add windows up in 64 bits, or
// subtract one from another, and one sample that overflows them makes an error of every
// row that it is in.
const (
	// A window of mainnet has 16 million attestations, and at most 64 slots of delay for
	// each: a thousandth of this. 170,000 windows weighted as votes are, with 54 each, fit
	// 64 bits, which are six years of Gnosis.
	mostCounted = 1e12
	// All ether that exists is an eighth of this.
	mostBalance = 1e18
	// The balance behind each attestation, which is that of all validators in each epoch: of
	// mainnet's, a window of 250,000 epochs, or three years, reaches this. Up to it samples are
	// summed exactly, and sums have no limit in Postgres.
	mostStake = 9e21
)

// greatestValues has the families that views show, which are those that the catalogue
// knows, and the greatest value that each may have. Of others any is kept.
func greatestValues() map[string]float64 {
	greatest := map[string]float64{}
	for _, family := range catalog.All() {
		if !isWindowed(family) {
			continue
		}
		switch {
		case strings.HasSuffix(family.Name, "_balance_gwei"):
			greatest[family.Name] = mostBalance
		case strings.HasSuffix(family.Name, "_gwei"):
			greatest[family.Name] = mostStake
		default:
			greatest[family.Name] = mostCounted
		}
	}
	return greatest
}
