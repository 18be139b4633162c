package collector

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/watch"
)

const (
	defaultPageSize = 100
	maxPageSize     = 10_000
)

// validatorsAnswer is the body of GET /api/v1/validators. Amounts are in gwei,
// times in seconds since the Unix epoch; what is not known is absent.
type validatorsAnswer struct {
	Network      string  `json:"network"`
	HeadSlot     uint64  `json:"head_slot"`
	SettledEpoch *uint64 `json:"settled_epoch,omitempty"`
	// The epochs that counters sum over; absent while they are read back.
	FirstEpoch *uint64 `json:"counters_first_epoch,omitempty"`
	LastEpoch  *uint64 `json:"counters_last_epoch,omitempty"`
	// Total is the number of validators that match; Offset the place of the first shown.
	Total      int             `json:"total"`
	Offset     int             `json:"offset"`
	Validators []validatorJSON `json:"validators"`
}

type validatorJSON struct {
	Index             *uint64           `json:"index,omitempty"`
	Pubkey            string            `json:"pubkey,omitempty"`
	Status            string            `json:"status"`
	Labels            map[string]string `json:"labels,omitempty"`
	WithdrawalType    string            `json:"withdrawal_type,omitempty"`
	Balance           *uint64           `json:"balance_gwei,omitempty"`
	EffectiveBalance  *uint64           `json:"effective_balance_gwei,omitempty"`
	Slashed           bool              `json:"slashed,omitempty"`
	ActivationEpoch   *uint64           `json:"activation_epoch,omitempty"`
	ExitEpoch         *uint64           `json:"exit_epoch,omitempty"`
	WithdrawableEpoch *uint64           `json:"withdrawable_epoch,omitempty"`

	MissedStreak    *int     `json:"missed_attestation_streak,omitempty"`
	Overdue         *uint64  `json:"attestations_overdue,omitempty"`
	BlocksMissed    *uint64  `json:"blocks_missed_unsettled,omitempty"`
	SyncMissed      *uint64  `json:"sync_missed_unsettled,omitempty"`
	NextAttestation *float64 `json:"next_attestation_timestamp_seconds,omitempty"`
	NextProposal    *float64 `json:"next_proposal_timestamp_seconds,omitempty"`
	SyncCommittee   []string `json:"sync_committee,omitempty"`

	Counters *countersJSON `json:"counters,omitempty"`
}

// countersJSON are the anchored counters of the current window.
type countersJSON struct {
	AttestationsExpected uint64                       `json:"attestations_expected"`
	AttestationsIncluded uint64                       `json:"attestations_included"`
	SourceVotes          uint64                       `json:"source_votes"`
	TargetVotes          uint64                       `json:"target_votes"`
	HeadVotes            uint64                       `json:"head_votes"`
	InclusionDelay       uint64                       `json:"inclusion_delay_slots"`
	VotesLost            map[string]map[string]uint64 `json:"votes_lost,omitempty"`
	StakePossible        uint64                       `json:"stake_possible_gwei"`
	StakeAchievable      uint64                       `json:"stake_achievable_gwei"`
	StakeEarned          uint64                       `json:"stake_earned_gwei"`
	BlocksExpected       uint64                       `json:"blocks_expected"`
	BlocksProposed       uint64                       `json:"blocks_proposed"`
	SyncExpected         uint64                       `json:"sync_committee_expected"`
	SyncIncluded         uint64                       `json:"sync_committee_included"`
}

// ServeValidators answers GET /api/v1/validators: every watched validator and its
// state, at any scale. Filters: index, pubkey, status, label=name:value (all
// repeatable), offending=true. Paging: limit (1 to 10,000, default 100), offset.
func (c *Collector) ServeValidators(w http.ResponseWriter, r *http.Request) {
	s := c.snapshot.Load()
	if s == nil || c.withheld() {
		_, why := c.Ready()
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"error": why})
		return
	}
	q, err := parseQuery(r)
	if err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	answer := validatorsAnswer{Network: s.spec.Network, HeadSlot: uint64(s.slot), Offset: q.offset, Validators: []validatorJSON{}}
	if s.isSettled {
		answer.SettledEpoch = number(s.settled)
	}
	if s.counters {
		answer.FirstEpoch, answer.LastEpoch = number(s.firstEpoch), number(s.shown.Last)
	}
	take := func(matches bool, v func() validatorJSON) {
		if !matches {
			return
		}
		if answer.Total >= q.offset && len(answer.Validators) < q.limit {
			answer.Validators = append(answer.Validators, v())
		}
		answer.Total++
	}
	for i := range s.roster.members {
		take(q.matchesMember(s, i), func() validatorJSON { return s.validatorJSON(i) })
	}
	for i := range s.roster.unknown {
		take(q.matchesUnknown(&s.roster.unknown[i]), func() validatorJSON { return unknownJSON(&s.roster.unknown[i]) })
	}
	writeJSON(w, http.StatusOK, answer)
}

func number[N ~uint64 | ~uint32 | ~uint16 | ~uint8](n N) *uint64 {
	u := uint64(n)
	return &u
}

func scheduled(e duty.Epoch) *uint64 {
	if e == duty.FarFutureEpoch {
		return nil
	}
	return number(e)
}

func (s *snapshot) validatorJSON(i int) validatorJSON {
	m, v, settled := &s.roster.members[i], &s.validators[i], &s.settledBy[i]
	j := validatorJSON{
		Index:             number(m.record.Index),
		Pubkey:            pubkeyString(m.record.Pubkey),
		Status:            m.record.Status,
		Labels:            labelMap(m.labels),
		WithdrawalType:    withdrawalType(m.record.Credentials),
		Balance:           number(m.record.Balance),
		EffectiveBalance:  number(m.record.EffectiveBalance),
		Slashed:           m.record.Slashed,
		ActivationEpoch:   scheduled(m.record.ActivationEpoch),
		ExitEpoch:         scheduled(m.record.ExitEpoch),
		WithdrawableEpoch: scheduled(m.record.WithdrawableEpoch),
	}
	if settled.streak >= 0 {
		streak := int(settled.streak)
		j.MissedStreak = &streak
	}
	if s.live {
		j.Overdue, j.BlocksMissed, j.SyncMissed = number(v.overdue), number(v.blocksMissed), number(v.syncMissed)
		j.NextAttestation, j.NextProposal = s.startOf(v.nextAttestation), s.startOf(v.nextProposal)
		if v.syncCurrent {
			j.SyncCommittee = append(j.SyncCommittee, "current")
		}
		if v.syncNext {
			j.SyncCommittee = append(j.SyncCommittee, "next")
		}
	}
	if s.counters && settled.counted {
		j.Counters = newCountersJSON(s.spec, &settled.totals)
	}
	return j
}

func (s *snapshot) startOf(slot duty.Slot) *float64 {
	if slot == 0 {
		return nil
	}
	at := start(s.spec, slot)
	return &at
}

func newCountersJSON(spec *duty.Spec, t *duty.Totals) *countersJSON {
	j := &countersJSON{
		AttestationsExpected: t.AttestationsExpected, AttestationsIncluded: t.AttestationsIncluded,
		SourceVotes: t.SourceVotes, TargetVotes: t.TargetVotes, HeadVotes: t.HeadVotes,
		InclusionDelay:  t.InclusionDelay,
		StakePossible:   duty.StakeGwei(spec, t.StakePossible),
		StakeAchievable: duty.StakeGwei(spec, t.StakeAchievable),
		StakeEarned:     duty.StakeGwei(spec, t.StakeEarned),
		BlocksExpected:  t.BlocksExpected, BlocksProposed: t.BlocksProposed,
		SyncExpected: t.SyncExpected, SyncIncluded: t.SyncIncluded,
	}
	for _, l := range lostVotes {
		if n := t.Lost[l.vote][l.cause]; n > 0 {
			if j.VotesLost == nil {
				j.VotesLost = map[string]map[string]uint64{}
			}
			if j.VotesLost[l.vote.String()] == nil {
				j.VotesLost[l.vote.String()] = map[string]uint64{}
			}
			j.VotesLost[l.vote.String()][l.cause.String()] = n
		}
	}
	return j
}

func unknownJSON(e *watch.Entry) validatorJSON {
	j := validatorJSON{Status: "unknown", Labels: labelMap(e.Labels)}
	if e.HasIndex {
		j.Index = number(e.Index)
	} else {
		j.Pubkey = pubkeyString(e.Pubkey)
	}
	return j
}

func labelMap(labels []watch.Label) map[string]string {
	if len(labels) == 0 {
		return nil
	}
	m := make(map[string]string, len(labels))
	for _, l := range labels {
		m[l.Name] = l.Value
	}
	return m
}

// query is what a request asks for. Values of one filter are alternatives,
// different filters must all match.
type query struct {
	limit, offset int
	indices       map[string]bool
	pubkeys       map[string]bool
	statuses      map[string]bool
	labels        map[watch.Label]bool
	offending     bool
}

func parseQuery(r *http.Request) (q query, err error) {
	q = query{limit: defaultPageSize}
	for name, values := range r.URL.Query() {
		for _, value := range values {
			switch name {
			case "limit":
				if q.limit, err = strconv.Atoi(value); err != nil || q.limit < 1 || q.limit > maxPageSize {
					return q, fmt.Errorf("limit is %q, must be a number from 1 to %d", value, maxPageSize)
				}
			case "offset":
				if q.offset, err = strconv.Atoi(value); err != nil || q.offset < 0 {
					return q, fmt.Errorf("offset is %q, must be a number from 0", value)
				}
			case "index":
				put(&q.indices, value)
			case "pubkey":
				put(&q.pubkeys, "0x"+strings.TrimPrefix(strings.ToLower(value), "0x"))
			case "status":
				put(&q.statuses, value)
			case "label":
				label, wanted, ok := strings.Cut(value, ":")
				if !ok {
					return q, fmt.Errorf("label is %q, must be name:value", value)
				}
				put(&q.labels, watch.Label{Name: label, Value: wanted})
			case "offending":
				if q.offending, err = strconv.ParseBool(value); err != nil {
					return q, fmt.Errorf("offending is %q, must be true or false", value)
				}
			default:
				return q, fmt.Errorf("unknown parameter %q; known are index, pubkey, status, label, offending, limit and offset", name)
			}
		}
	}
	return q, nil
}

func put[K comparable](set *map[K]bool, key K) {
	if *set == nil {
		*set = map[K]bool{}
	}
	(*set)[key] = true
}

func (q *query) matches(index, pubkey, status string, labels []watch.Label) bool {
	if q.indices != nil && !q.indices[index] || q.pubkeys != nil && !q.pubkeys[pubkey] || q.statuses != nil && !q.statuses[status] {
		return false
	}
	if q.labels == nil {
		return true
	}
	for _, l := range labels {
		if q.labels[l] {
			return true
		}
	}
	return false
}

func (q *query) matchesMember(s *snapshot, i int) bool {
	m, v, settled := &s.roster.members[i], &s.validators[i], &s.settledBy[i]
	if q.offending && !m.record.Slashed && settled.streak <= 0 && v.overdue == 0 && v.blocksMissed == 0 && v.syncMissed == 0 &&
		settled.totals.BlocksExpected == settled.totals.BlocksProposed {
		return false
	}
	var index, pubkey string
	if q.indices != nil {
		index = strconv.FormatUint(uint64(m.record.Index), 10)
	}
	if q.pubkeys != nil {
		pubkey = pubkeyString(m.record.Pubkey)
	}
	return q.matches(index, pubkey, m.record.Status, m.labels)
}

func (q *query) matchesUnknown(e *watch.Entry) bool {
	if q.offending {
		return false
	}
	var index, pubkey string
	if e.HasIndex {
		index = strconv.FormatUint(e.Index, 10)
	} else {
		pubkey = pubkeyString(e.Pubkey)
	}
	return q.matches(index, pubkey, "unknown", e.Labels)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// An error here means that the client has gone: nobody is left to tell.
	_ = json.NewEncoder(w).Encode(body)
}
