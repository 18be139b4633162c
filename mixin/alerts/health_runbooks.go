package alerts

func effectivenessLowRunbook() Runbook {
	return Runbook{Meaning: "x", Impact: "x", Diagnosis: "x", Mitigation: "x"}
}
func effectivenessCriticalRunbook() Runbook {
	return Runbook{Meaning: "x", Impact: "x", Diagnosis: "x", Mitigation: "x"}
}
func belowNetworkRunbook() Runbook {
	return Runbook{Meaning: "x", Impact: "x", Diagnosis: "x", Mitigation: "x"}
}
func participationLowRunbook() Runbook {
	return Runbook{Meaning: "x", Impact: "x", Diagnosis: "x", Mitigation: "x"}
}
func downRunbook() Runbook {
	return Runbook{Meaning: "x", Impact: "x", Diagnosis: "x", Mitigation: "x"}
}
func groupDownRunbook() Runbook {
	return Runbook{Meaning: "x", Impact: "x", Diagnosis: "x", Mitigation: "x"}
}
func balanceDecreasingRunbook() Runbook {
	return Runbook{Meaning: "x", Impact: "x", Diagnosis: "x", Mitigation: "x"}
}
func slashedRunbook() Runbook {
	return Runbook{Meaning: "x", Impact: "x", Diagnosis: "x", Mitigation: "x"}
}
func exitingRunbook() Runbook {
	return Runbook{Meaning: "x", Impact: "x", Diagnosis: "x", Mitigation: "x"}
}
func unknownRunbook() Runbook {
	return Runbook{Meaning: "x", Impact: "x", Diagnosis: "x", Mitigation: "x"}
}
func credentialsChangedRunbook() Runbook {
	return Runbook{Meaning: "x", Impact: "x", Diagnosis: "x", Mitigation: "x"}
}
