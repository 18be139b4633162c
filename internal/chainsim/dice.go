package chainsim

// Every chance is a hash of the seed and of what it is for, never a stream: the
// order in which things are asked for cannot change them.

// topic keeps the chances of different things apart.
type topic uint64

const (
	topicVote topic = iota + 1
	topicVoteFault
	topicProposer
	topicEmptySlot
	topicProposalFault
	topicSync
	topicSyncFault
	topicSyncSeat
	topicShuffle
	topicPubkey
	topicCredentials
	topicEffectiveBalance
	topicBalance
	topicBlock
	topicSubset
	topicPayload
)

type dice struct{ seed uint64 }

// roll returns 64 random bits.
func (d dice) roll(t topic, a, b uint64) uint64 {
	return mix(mix(mix(d.seed+uint64(t)*0x9e3779b97f4a7c15)+a) + b)
}

// mix is the finaliser of splitmix64: a bijection whose output bits all depend on all input bits.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// unmix undoes mix.
func unmix(x uint64) uint64 {
	x = (x ^ x>>31 ^ x>>62) * 0x319642b2d24d8ec3
	x = (x ^ x>>27 ^ x>>54) * 0x96de1b173f119089
	x = x ^ x>>30 ^ x>>60
	return x - 0x9e3779b97f4a7c15
}

// unit turns random bits into a number in [0,1).
func unit(r uint64) float64 { return float64(r>>11) / (1 << 53) }

// happens tells whether random bits hit a chance, where 0 means always.
func happens(r uint64, probability float64) bool {
	return probability == 0 || unit(r) < probability
}

// fill writes random bytes.
func (d dice) fill(b []byte, t topic, a uint64) {
	for i := 0; i < len(b); i += 8 {
		r := d.roll(t, a, uint64(i))
		for j := i; j < min(i+8, len(b)); j++ {
			b[j] = byte(r)
			r >>= 8
		}
	}
}
