// The server: ends tunnels and connects to the authority of each.

package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"net"
	"net/http"

	"istio.io/istio/pkg/hbone"
)

// arrival is one CONNECT as the server saw it.
type arrival struct {
	Authority string      `json:"authority"`
	Peer      string      `json:"peer"`
	Protocol  string      `json:"protocol"`
	ALPN      string      `json:"alpn"`
	TLS       string      `json:"tls"`
	Headers   http.Header `json:"headers"`
}

func runServer(words []string) error {
	flags := flag.NewFlagSet("server", flag.ExitOnError)
	own := identityFlags(flags)
	listen := flags.String("listen", "127.0.0.1:15008", "IP:PORT")
	forward := flags.String("forward-to", "", "IP:PORT to connect to, whatever the authority")
	double := flags.Bool("double", false, "end a tunnel in a tunnel")
	if err := flags.Parse(words); err != nil {
		return err
	}
	config, err := own.config(x509.ExtKeyUsageClientAuth)
	if err != nil {
		return err
	}
	server := hbone.NewServer()
	if *double {
		server = hbone.NewDoubleHBONEServer(config.Clone())
	}
	handler := server.Handler
	server.Handler = http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		tell(arrivalOf(request))
		if *forward != "" {
			request.Host = *forward
		}
		handler.ServeHTTP(writer, request)
	})
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	tell(map[string]string{"listening": listener.Addr().String()})
	return server.Serve(tls.NewListener(listener, config))
}

func arrivalOf(request *http.Request) arrival {
	found := arrival{
		Authority: request.Host,
		Peer:      peerOf(request.TLS),
		Protocol:  request.Proto,
		Headers:   request.Header,
	}
	if request.TLS != nil {
		found.ALPN = request.TLS.NegotiatedProtocol
		found.TLS = tls.VersionName(request.TLS.Version)
	}
	return found
}
