package alerts

// burning tells where the budget goes; both alerts need it.
const burning = `
Which groups, and what is left of the budget?

	sort_desc(group:attestation_own_effectiveness:burnrate1h)
	sort(group:attestation_own_effectiveness:ratio1h)
	group:attestation_own_effectiveness:ratio30d

Groups overlap: the group that is worst and smallest names the cause. Which validators, and what is it that they lose?

	bottomk(10, validator:attestation_own_effectiveness:ratio1h)
	max by (network, group_by, group, vote, cause) (group:attestation_votes_lost:increase1h{cause!="network"}) > 0
` + byCause + "\n" + recounted

func burnFastRunbook() Runbook {
	return Runbook{
		Meaning: `
The objective allows a small loss over its period: the error budget. At present a group loses so much by its own fault that
the budget would be gone in days, over a long range and over a short one: the long range says that it matters, the short one
that it still goes on. Votes lost to the network are not counted.`,
		Impact: `
What the objective promises for the whole period will be missed if nothing is done within hours.`,
		Diagnosis: burning + "\n" + atTheClients,
		Mitigation: `
Do what the alert that names the cause says: ValidatorGroupDown, ValidatorDown, ValidatorEffectivenessCritical. When it is
repaired, the short range forgets first and the alert resolves, while the budget stays spent. No risky change should be made
until some of it has come back.
` + oneSigner,
	}
}

func burnSlowRunbook() Runbook {
	return Runbook{
		Meaning: `
A group loses more by its own fault than the objective allows, over a day or longer, and still does. It is not much at any
moment, so that other alerts may be silent.`,
		Impact: `
If it goes on, the budget is used up before the period is over.`,
		Diagnosis: burning + `

Compare with the network, to see whether the objective can be met at all:

	network:attestation_own_effectiveness:ratio1d
	sort(group:attestation_own_effectiveness:difference1d)`,
		Mitigation: `
- Single validators that are down for days: bring them back or exit them.
- Late and wrong head votes: see ValidatorEffectivenessBelowNetwork.
- An outage that is over: nothing; the alert resolves as the ranges pass it.
- The network as a whole does not reach the objective either: set a lower one.`,
	}
}
