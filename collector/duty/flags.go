package duty

// FlagInput is what decides which votes of an included attestation are earned.
// The source vote has no field: a block that includes an attestation with the
// wrong source is invalid.
type FlagInput struct {
	SlotsPerEpoch uint64
	// Delay is the inclusion delay in slots, at least 1.
	Delay uint64
	// TargetMatches: the target root is the canonical one. HeadMatches: the voted
	// block is the newest canonical one at the attestation's slot. PayloadMatches:
	// the payload-status vote is right; always true before Gloas.
	TargetMatches, HeadMatches, PayloadMatches bool
}

// Flags returns the votes that an included attestation earns, by
// get_attestation_participation_flag_indices of Deneb (EIP-7045: a late target
// counts) to Gloas (EIP-7732: the head needs the payload-status vote too).
func Flags(in FlagInput) (source, target, head bool) {
	source = in.Delay <= timelySourceSlots(in.SlotsPerEpoch)
	target = in.TargetMatches
	head = headRight(in) && in.Delay == 1
	return source, target, head
}

// headRight tells whether the head vote would count if it were included in time.
func headRight(in FlagInput) bool {
	return in.TargetMatches && in.HeadMatches && in.PayloadMatches
}

// timelySourceSlots is integer_squareroot(SLOTS_PER_EPOCH), the largest delay
// that earns the source vote: 5 on mainnet, 4 on Gnosis, 2 on minimal.
func timelySourceSlots(slotsPerEpoch uint64) uint64 {
	root := uint64(0)
	for (root+1)*(root+1) <= slotsPerEpoch {
		root++
	}
	return root
}
