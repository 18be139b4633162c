// Command chain measures what it costs to follow a network of a million validators
// and prints a table of it. It exits with 1 when something costs more than its
// bound allows. Times are CPU times of a process that does nothing else, compared
// with downloading the same bytes in the same run, because absolute times say
// little on a shared machine.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	role := flag.String("role", "", "internal: what a child process does")
	validators := flag.Int("validators", 1_000_000, "size of the network")
	rounds := flag.Int("rounds", 30, "epochs of each kind")
	url := flag.String("url", "", "internal: the beacon node of a child")
	few := flag.Int("few", 0, "internal: number of validators watched by a child's first collector")
	many := flag.Int("many", 0, "internal: number of validators watched by its second")
	exporter := flag.String("exporter", "bin/validator-exporter", "binary whose memory is measured; empty leaves that out")
	flag.Parse()

	var err error
	ok := true
	switch *role {
	case "":
		ok, err = compare(os.Stdout, *validators, *rounds, *exporter)
	case "serve":
		err = serve(*validators)
	case "follow":
		err = follow(*url, *few, *many, *rounds)
	default:
		err = fmt.Errorf("no role %q", *role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}
