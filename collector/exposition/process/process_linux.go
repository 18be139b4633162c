package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
)

// collector reads /proc/self. Files of proc may be read again and again from
// their start, also by several goroutines.
type collector struct {
	stat, netstat *os.File
	// started is in Unix seconds.
	started float64

	cpu, fds, maxFDs, vsize, maxVsize, rss, start, received, sent *prometheus.Desc
}

// NewCollector returns a collector of this process's metrics. What the system
// does not tell is absent.
func NewCollector() prometheus.Collector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("process_"+name, help, nil, nil)
	}
	c := &collector{
		cpu:      desc("cpu_seconds_total", "Total user and system CPU time spent in seconds."),
		fds:      desc("open_fds", "Number of open file descriptors."),
		maxFDs:   desc("max_fds", "Maximum number of open file descriptors."),
		vsize:    desc("virtual_memory_bytes", "Virtual memory size in bytes."),
		maxVsize: desc("virtual_memory_max_bytes", "Maximum amount of virtual memory available in bytes."),
		rss:      desc("resident_memory_bytes", "Resident memory size in bytes."),
		start:    desc("start_time_seconds", "Start time of the process since unix epoch in seconds."),
		received: desc("network_receive_bytes_total", "Number of bytes received by the process over the network."),
		sent:     desc("network_transmit_bytes_total", "Number of bytes sent by the process over the network."),
	}
	// Reading a nil *os.File is an error, by which the metrics stay absent.
	c.stat, _ = os.Open("/proc/self/stat")
	c.netstat, _ = os.Open("/proc/self/net/netstat")
	c.started, _ = startTime(c.stat)
	return c
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.cpu, c.fds, c.maxFDs, c.vsize, c.maxVsize, c.rss, c.start, c.received, c.sent} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v)
	}
	gauge := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	if s, err := readStat(c.stat); err == nil {
		counter(c.cpu, (s.user+s.system)/clockTicks)
		gauge(c.vsize, s.vsize)
		gauge(c.rss, s.rss*float64(os.Getpagesize()))
	}
	if c.started > 0 {
		gauge(c.start, c.started)
	}
	if n, err := openFiles(); err == nil {
		gauge(c.fds, n)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err == nil {
		gauge(c.maxFDs, float64(limit.Cur))
	}
	if err := syscall.Getrlimit(syscall.RLIMIT_AS, &limit); err == nil {
		gauge(c.maxVsize, float64(limit.Cur))
	}
	if received, sent, err := octets(c.netstat); err == nil {
		counter(c.received, received)
		counter(c.sent, sent)
	}
}

// clockTicks is USER_HZ, 100 on every architecture that Go runs on.
const clockTicks = 100

// stat holds fields of /proc/self/stat, see proc_pid_stat(5).
type stat struct {
	user, system, start float64 // in clock ticks
	vsize               float64 // in bytes
	rss                 float64 // in pages
}

func readStat(file *os.File) (s stat, err error) {
	text, err := read(file, make([]byte, 1024))
	if err != nil {
		return stat{}, err
	}
	// The program's name comes second, in parentheses, and may hold spaces and
	// parentheses itself. The field behind it is number 3.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	for _, f := range []struct {
		number int
		to     *float64
	}{{14, &s.user}, {15, &s.system}, {22, &s.start}, {23, &s.vsize}, {24, &s.rss}} {
		if f.number-3 >= len(fields) {
			return stat{}, fmt.Errorf("read /proc/self/stat: no field %d", f.number)
		}
		if *f.to, err = strconv.ParseFloat(fields[f.number-3], 64); err != nil {
			return stat{}, fmt.Errorf("read /proc/self/stat: field %d: %w", f.number, err)
		}
	}
	return s, nil
}

// startTime is the time of boot and the ticks from there to the start.
func startTime(file *os.File) (float64, error) {
	s, err := readStat(file)
	if err != nil {
		return 0, err
	}
	system, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(system), "\nbtime ")
	line, _, _ := strings.Cut(after, "\n")
	boot, err := strconv.ParseFloat(line, 64)
	if err != nil {
		return 0, fmt.Errorf("read btime from /proc/stat: %w", err)
	}
	return boot + s.start/clockTicks, nil
}

// openFiles returns the size of /proc/self/fd, which is the number of open files
// since Linux 6.2 and 0 before.
func openFiles() (float64, error) {
	info, err := os.Stat("/proc/self/fd")
	if err == nil && info.Size() > 0 {
		return float64(info.Size()), nil
	}
	names, err := os.ReadDir("/proc/self/fd")
	return float64(len(names)), err
}

// octets reads two columns of a table with a line of names and one of values.
func octets(file *os.File) (received, sent float64, err error) {
	text, err := read(file, make([]byte, 8<<10))
	if err != nil {
		return 0, 0, err
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		rest, found := strings.CutPrefix(line, "IpExt: ")
		if !found {
			continue
		}
		if names == nil {
			names = strings.Fields(rest)
			continue
		}
		for i, value := range strings.Fields(rest) {
			to := &received
			switch {
			case i < len(names) && names[i] == "InOctets":
			case i < len(names) && names[i] == "OutOctets":
				to = &sent
			default:
				continue
			}
			if *to, err = strconv.ParseFloat(value, 64); err != nil {
				return 0, 0, fmt.Errorf("read /proc/self/net/netstat: %w", err)
			}
		}
		return received, sent, nil
	}
	return 0, 0, fmt.Errorf("read /proc/self/net/netstat: no IpExt line")
}

func read(file *os.File, buf []byte) ([]byte, error) {
	n, err := file.ReadAt(buf, 0)
	if n == 0 {
		return nil, err
	}
	return buf[:n], nil
}
