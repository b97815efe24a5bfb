// TLS with identities in place of host names.

package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// identity is what a peer proves itself with and what it asks of the other.
type identity struct {
	chainFile, keyFile, rootsFile string
	peerID                        string
	oldTLS                        bool
}

// config is the TLS of both modes. usage is what the other's certificate must allow.
func (own *identity) config(usage x509.ExtKeyUsage) (*tls.Config, error) {
	pem, err := os.ReadFile(own.rootsFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate", own.rootsFile)
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2"},
		// Go would check a host name, of which there is none: verify does the rest.
		InsecureSkipVerify: true,
		ClientAuth:         tls.RequireAnyClientCert,
		VerifyConnection: func(state tls.ConnectionState) error {
			return own.verify(state, roots, usage)
		},
	}
	if own.oldTLS {
		config.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	}
	if own.chainFile != "" {
		pair, err := tls.LoadX509KeyPair(own.chainFile, own.keyFile)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func (own *identity) verify(
	state tls.ConnectionState, roots *x509.CertPool, usage x509.ExtKeyUsage,
) error {
	leaf, between := state.PeerCertificates[0], x509.NewCertPool()
	for _, certificate := range state.PeerCertificates[1:] {
		between.AddCert(certificate)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{usage},
	})
	if err != nil {
		return err
	}
	if found := peerOf(&state); own.peerID != "" && found != own.peerID {
		return fmt.Errorf("the peer is %q, not %q", found, own.peerID)
	}
	return nil
}

// peerOf is the one URI of the other's certificate, "" when there are more or none.
func peerOf(state *tls.ConnectionState) string {
	if state == nil || len(state.PeerCertificates) == 0 {
		return ""
	}
	if uris := state.PeerCertificates[0].URIs; len(uris) == 1 {
		return uris[0].String()
	}
	return ""
}
