// A peer that speaks HBONE with the code of Istio's own package, as client or as server.
//
// It prints JSON lines on standard output, and what Istio's package logs on standard error.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"

	istiolog "istio.io/istio/pkg/log"
)

func main() {
	options := istiolog.DefaultOptions()
	options.OutputPaths = []string{"stderr"}
	if err := istiolog.Configure(options); err != nil {
		fail(err)
	}
	modes := map[string]func([]string) error{"client": runClient, "server": runServer}
	if len(os.Args) < 2 || modes[os.Args[1]] == nil {
		fail(fmt.Errorf("usage: hbone-peer client|server FLAG..."))
	}
	if err := modes[os.Args[1]](os.Args[2:]); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// tell prints one JSON line.
func tell(line any) {
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		fail(err)
	}
}

// identityFlags adds what both modes need to prove an identity and to check the other's.
func identityFlags(flags *flag.FlagSet) *identity {
	own := &identity{}
	flags.StringVar(&own.chainFile, "cert", "", "PEM file, the leaf first; none: no certificate")
	flags.StringVar(&own.keyFile, "key", "", "PEM file")
	flags.StringVar(&own.rootsFile, "ca", "", "PEM file of the roots that are trusted")
	flags.StringVar(&own.peerID, "peer-id", "", "the URI that the other must prove; none: any")
	flags.BoolVar(&own.oldTLS, "tls12", false, "speak TLS 1.2 only")
	return own
}
