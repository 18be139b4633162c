// Package kubernetes gives tests a real Kubernetes API server of their own: etcd and
// kube-apiserver in a temporary folder, on free ports of 127.0.0.1. It validates,
// defaults, admits (Pod Security too) and stores objects as that of a cluster does.
// There is no controller and no kubelet, so what is stored is never run.
//
// It must not know what is applied to it.
package kubernetes
