package devnet

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// freePorts finds n ports of 127.0.0.1 that are free for TCP and UDP. They lie below
// the range from which the kernel takes ports for outgoing connections, so that none
// is taken by chance before its program listens.
func freePorts(n int) ([]int, error) {
	const low, high = 10240, 32000
	ports := make([]int, 0, n)
	for tries := 0; len(ports) < n; tries++ {
		if tries > 100*n {
			return nil, fmt.Errorf("find %d free ports between %d and %d on 127.0.0.1: too few are free", n, low, high)
		}
		port := low + rand.IntN(high-low)
		tcp, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err != nil {
			continue
		}
		udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err == nil {
			ports = append(ports, port)
			// Held until all are found, so that no port is found twice.
			defer udp.Close()
		}
		defer tcp.Close()
	}
	return ports, nil
}
