// The client: opens tunnels through a proxy and exchanges bytes with an echo behind it.

package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"time"

	"istio.io/istio/pkg/hbone"
)

// outcome is what became of one tunnel.
type outcome struct {
	// Error is "" when all that was sent came back.
	Error string `json:"error"`
	// Opened tells whether CONNECT was answered with 200.
	Opened   bool `json:"opened"`
	Received int  `json:"received"`
}

func runClient(words []string) error {
	flags := flag.NewFlagSet("client", flag.ExitOnError)
	own := identityFlags(flags)
	proxy := flags.String("proxy", "", "IP:PORT of the HBONE server")
	target := flags.String("target", "", "IP:PORT, the authority of CONNECT")
	inner := flags.String("inner-peer-id", "", "tunnel in a tunnel: whom the inner one must reach")
	streams := flags.Int("streams", 1, "tunnels at the same time, on one TLS session")
	send := flags.Int("send", 1024, "bytes for each; they must come back")
	timeout := flags.Duration("timeout", 20*time.Second, "for all of it")
	if err := flags.Parse(words); err != nil {
		return err
	}
	outer, err := own.config(x509.ExtKeyUsageServerAuth)
	if err != nil {
		return err
	}
	dialer := hbone.NewDialer(hbone.Config{ProxyAddress: *proxy, TLS: outer})
	if *inner != "" {
		other := *own
		other.peerID = *inner
		config, err := other.config(x509.ExtKeyUsageServerAuth)
		if err != nil {
			return err
		}
		dialer = doubleDialer(*proxy, outer, config)
	}
	time.AfterFunc(*timeout, func() { fail(fmt.Errorf("no end within %v", *timeout)) })
	return exchangeAll(dialer, *target, *streams, *send)
}

func doubleDialer(proxy string, outer, inner *tls.Config) hbone.Dialer {
	config := func(tls *tls.Config) hbone.Config {
		return hbone.Config{ProxyAddress: proxy, TLS: tls}
	}
	return hbone.NewDoubleDialer(config(outer), config(inner), inner)
}

func exchangeAll(dialer hbone.Dialer, target string, streams, send int) error {
	outcomes := make(chan outcome)
	for range streams {
		go func() { outcomes <- exchange(dialer, target, send) }()
	}
	for range streams {
		tell(<-outcomes)
	}
	return nil
}

// exchange sends bytes and reads as many.
func exchange(dialer hbone.Dialer, target string, send int) outcome {
	connection, err := dialer.Dial("tcp", target)
	if err != nil {
		return outcome{Error: err.Error()}
	}
	defer connection.Close()
	sent := pattern(send)
	go connection.Write(sent)
	received := make([]byte, send)
	count, err := io.ReadFull(connection, received)
	found := outcome{Opened: true, Received: count}
	if err != nil {
		found.Error = err.Error()
	} else if !bytes.Equal(sent, received) {
		found.Error = "other bytes came back"
	}
	return found
}

// pattern is bytes in which a lost or doubled block shows.
func pattern(length int) []byte {
	bytes := make([]byte, length)
	for i := range bytes {
		bytes[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return bytes
}
