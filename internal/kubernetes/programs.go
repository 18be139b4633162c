package kubernetes

import (
	"errors"
	"os/exec"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/devnet"
)

// programs are the paths of the third-party programs.
type programs struct{ etcd, apiserver, kubectl string }

// find looks for the programs of bin/tools in dir, or in the module's bin/tools when dir
// is empty, and for etcd in PATH: distributions package it.
func find(dir string) (programs, error) {
	var p programs
	err := devnet.FindTools(dir, map[string]*string{"kube-apiserver": &p.apiserver, "kubectl": &p.kubectl})
	if err != nil {
		return programs{}, err
	}
	if p.etcd, err = exec.LookPath("etcd"); err != nil {
		return programs{}, errors.New("no etcd in PATH: install it with scripts/etcd.sh, or with apt-get install etcd-server")
	}
	return p, nil
}
