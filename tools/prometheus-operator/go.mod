module github.com/ethereum-validator-monitor/validator-monitor/tools/prometheus-operator

go 1.26.0

// Nothing of it is built: its example/ has the custom resource definitions that objects are checked against.
require github.com/prometheus-operator/prometheus-operator v0.85.0
