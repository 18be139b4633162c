// Package deploy proves what is in deploy/, the image and the pages about them: files are
// valid and hardened, hold together, and do what they say when the real programs read them.
//
// Without a build tag its tests need nothing but Go and Postgres. With the tag e2e they
// start Prometheus, Alertmanager, a Kubernetes API server and others from bin/tools, as
// `make deploy-check` and `make e2e` do.
//
// It must not know how the programs work: it has their flags, their files and what they
// answer.
package deploy
