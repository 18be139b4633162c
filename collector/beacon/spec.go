package beacon

import (
	"context"
	"fmt"
	"time"

	"github.com/attestantio/go-eth2-client/api"
	eth2http "github.com/attestantio/go-eth2-client/http"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// specAge is how long the spec is believed before it is read again: a node that was
// updated knows of forks that it did not know before.
const specAge = time.Hour

// The weights of the three attestation votes (Altair beacon-chain.md, "Incentivization
// weights"). They are constants on every chain, and some clients do not serve them.
const (
	timelySourceWeight = 14
	timelyTargetWeight = 26
	timelyHeadWeight   = 14
)

type agedSpec struct {
	*duty.Spec
	until time.Time
}

// Spec returns the constants of the chain. Once read they hold for the life of the
// pool; only fork epochs that were not scheduled before are taken from later
// readings, once an hour.
func (p *Pool) Spec(ctx context.Context) (*duty.Spec, error) {
	if known := p.spec.Load(); known != nil && p.cfg.Now().Before(known.until) {
		return known.Spec, nil
	}
	select {
	case p.specTurn <- struct{}{}:
		defer func() { <-p.specTurn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("reading the spec: %w", ctx.Err())
	}
	known := p.spec.Load()
	if known != nil {
		if p.cfg.Now().Before(known.until) {
			return known.Spec, nil
		}
		// There is one to go on with, so do not hold up the caller for long.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.cfg.ProbeTimeout)
		defer cancel()
	}
	spec, err := p.readSpec(ctx)
	switch {
	case known == nil && err != nil:
		return nil, err
	case err != nil:
		p.cfg.Logger.Debug("Spec not read again, using the one from before", "error", err)
		spec = known.Spec
	case known != nil:
		spec = withForks(known.Spec, spec)
	}
	p.spec.Store(&agedSpec{spec, p.cfg.Now().Add(specAge)})
	return spec, nil
}

func (p *Pool) readSpec(ctx context.Context) (spec *duty.Spec, err error) {
	err = p.ask(ctx, opSpec, "the spec", func(ctx context.Context, n *node, service *eth2http.Service) (bool, error) {
		constants, err := service.Spec(ctx, &api.SpecOpts{})
		if err != nil {
			return false, err
		}
		genesis, err := service.Genesis(ctx, &api.GenesisOpts{})
		if err != nil {
			return false, err
		}
		spec, err = parseSpec(constants.Data, genesis.Data.GenesisTime, duty.Root(genesis.Data.GenesisValidatorsRoot))
		return true, err
	})
	if err != nil {
		return nil, err
	}
	return spec, nil
}

// withForks returns known, with the fork epochs that only fresh knows.
func withForks(known, fresh *duty.Spec) *duty.Spec {
	merged := *known
	for _, fork := range []struct{ known, fresh *duty.Epoch }{
		{&merged.ElectraForkEpoch, &fresh.ElectraForkEpoch},
		{&merged.FuluForkEpoch, &fresh.FuluForkEpoch},
		{&merged.GloasForkEpoch, &fresh.GloasForkEpoch},
	} {
		if *fork.known == duty.FarFutureEpoch {
			*fork.known = *fork.fresh
		}
	}
	if merged == *known {
		return known
	}
	return &merged
}

// parseSpec reads what the client library made of /eth/v1/config/spec.
func parseSpec(constants map[string]any, genesisTime time.Time, genesisValidatorsRoot duty.Root) (*duty.Spec, error) {
	var err error
	number := func(name string, otherwise ...uint64) uint64 {
		value, ok := asNumber(constants[name])
		if !ok && len(otherwise) > 0 {
			return otherwise[0]
		}
		if (!ok || value == 0) && err == nil {
			err = fmt.Errorf("the spec has no usable %s", name)
		}
		return value
	}
	fork := func(name string) duty.Epoch {
		if value, ok := asNumber(constants[name]); ok {
			return duty.Epoch(value)
		}
		return duty.FarFutureEpoch
	}
	spec := &duty.Spec{
		GenesisTime:                  genesisTime,
		GenesisValidatorsRoot:        genesisValidatorsRoot,
		SlotsPerEpoch:                number("SLOTS_PER_EPOCH"),
		MaxCommitteesPerSlot:         number("MAX_COMMITTEES_PER_SLOT"),
		SyncCommitteeSize:            number("SYNC_COMMITTEE_SIZE"),
		EpochsPerSyncCommitteePeriod: number("EPOCHS_PER_SYNC_COMMITTEE_PERIOD"),
		EffectiveBalanceIncrement:    duty.Gwei(number("EFFECTIVE_BALANCE_INCREMENT")),
		SourceWeight:                 number("TIMELY_SOURCE_WEIGHT", timelySourceWeight),
		TargetWeight:                 number("TIMELY_TARGET_WEIGHT", timelyTargetWeight),
		HeadWeight:                   number("TIMELY_HEAD_WEIGHT", timelyHeadWeight),
		ElectraForkEpoch:             fork("ELECTRA_FORK_EPOCH"),
		FuluForkEpoch:                fork("FULU_FORK_EPOCH"),
		GloasForkEpoch:               fork("GLOAS_FORK_EPOCH"),
	}
	if milliseconds, ok := asNumber(constants["SLOT_DURATION_MS"]); ok && milliseconds > 0 {
		spec.SlotDuration = time.Duration(milliseconds) * time.Millisecond
	} else if duration, ok := constants["SECONDS_PER_SLOT"].(time.Duration); ok && duration > 0 {
		spec.SlotDuration = duration
	} else if seconds, ok := asNumber(constants["SECONDS_PER_SLOT"]); ok && seconds > 0 {
		spec.SlotDuration = time.Duration(seconds) * time.Second
	} else if err == nil {
		err = fmt.Errorf("the spec has neither SLOT_DURATION_MS nor SECONDS_PER_SLOT")
	}
	if err != nil {
		return nil, err
	}
	if name := fmt.Sprint(constants["CONFIG_NAME"]); constants["CONFIG_NAME"] != nil && name != "" {
		spec.Network = oneLine(name)
	} else {
		spec.Network = fmt.Sprintf("unnamed-%x", genesisValidatorsRoot[:4])
	}
	return spec, nil
}

// asNumber accepts also numbers that a node did not put in quotes.
func asNumber(value any) (uint64, bool) {
	switch v := value.(type) {
	case uint64:
		return v, true
	case float64:
		if v >= 0 && v == float64(uint64(v)) {
			return uint64(v), true
		}
	}
	return 0, false
}
