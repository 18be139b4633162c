package main

import (
	"fmt"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"

	"github.com/ethereum-validator-monitor/validator-monitor/collector"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/exposition/process"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/watch"
)

// collectorWithNodes closes the nodes after the collector that asks them.
type collectorWithNodes struct {
	*collector.Collector
	nodes *beacon.Pool
}

func (c collectorWithNodes) Close() {
	c.Collector.Close()
	c.nodes.Close()
}

// buildCollector is the builder of the program.
func buildCollector(s *settings, headers http.Header, watcher *watch.Watcher, logger *slog.Logger) (exporter, error) {
	nodes, err := beacon.New(beacon.Config{
		URLs:    s.beaconURLs,
		Headers: headers,
		Timeout: s.beaconTimeout,
		Logger:  logger.With("component", "beacon"),
	})
	if err != nil {
		return nil, fmt.Errorf("--beacon.url: %w", err)
	}
	self := []prometheus.Collector{nodes, watcher, versioncollector.NewCollector("validator_exporter")}
	if !s.disableExporterMetrics {
		self = append(self, collectors.NewGoCollector(), process.NewCollector())
	}
	c, err := collector.New(collector.Config{
		Source:           nodes,
		Watch:            watcher,
		Window:           duty.WindowConfig{Epochs: uint64(s.windowEpochs), ResetSlots: uint64(s.resetSlots)},
		CompletedWindows: s.completedWindows,
		IndividualLimit:  s.individualLimit,
		OffenderLimit:    s.offenderLimit,
		MaxAge:           s.maxAge,
		NetworkStake:     collector.NetworkStake(s.networkStake),
		NetworkName:      s.networkName,
		Logger:           logger,
	}, self...)
	if err != nil {
		nodes.Close()
		return nil, err
	}
	return collectorWithNodes{c, nodes}, nil
}
