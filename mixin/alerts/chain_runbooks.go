package alerts

func proposalMissedRunbook() Runbook {
	return Runbook{Meaning: "x", Impact: "x", Diagnosis: "x", Mitigation: "x"}
}
func proposalOrphanedRunbook() Runbook {
	return Runbook{Meaning: "x", Impact: "x", Diagnosis: "x", Mitigation: "x"}
}
func proposalUpcomingRunbook() Runbook {
	return Runbook{Meaning: "x", Impact: "x", Diagnosis: "x", Mitigation: "x"}
}
func syncParticipationLowRunbook() Runbook {
	return Runbook{Meaning: "x", Impact: "x", Diagnosis: "x", Mitigation: "x"}
}
func syncMissingRunbook() Runbook {
	return Runbook{Meaning: "x", Impact: "x", Diagnosis: "x", Mitigation: "x"}
}
func syncUpcomingRunbook() Runbook {
	return Runbook{Meaning: "x", Impact: "x", Diagnosis: "x", Mitigation: "x"}
}
func burnFastRunbook() Runbook {
	return Runbook{Meaning: "x", Impact: "x", Diagnosis: "x", Mitigation: "x"}
}
func burnSlowRunbook() Runbook {
	return Runbook{Meaning: "x", Impact: "x", Diagnosis: "x", Mitigation: "x"}
}
func finalityDelayedRunbook() Runbook {
	return Runbook{Meaning: "x", Impact: "x", Diagnosis: "x", Mitigation: "x"}
}
func chainParticipationLowRunbook() Runbook {
	return Runbook{Meaning: "x", Impact: "x", Diagnosis: "x", Mitigation: "x"}
}
func reorgDeepRunbook() Runbook {
	return Runbook{Meaning: "x", Impact: "x", Diagnosis: "x", Mitigation: "x"}
}
func chainSlashingRunbook() Runbook {
	return Runbook{Meaning: "x", Impact: "x", Diagnosis: "x", Mitigation: "x"}
}
