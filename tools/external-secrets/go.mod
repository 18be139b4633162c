module github.com/ethereum-validator-monitor/validator-monitor/tools/external-secrets

go 1.26.0

// Nothing of it is built: its config/crds has the custom resource definitions that objects are checked against.
require github.com/external-secrets/external-secrets v1.3.2
