// Lints the PEM certificates on standard input with zlint and prints one JSON line for each.
//
// The rules of RFCs and of zlint's community count. Those of browsers and their forum do not: they
// ask for what only the public web has, as DNS names and certificate transparency.
package main

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"os"
	"sort"

	"github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	"github.com/zmap/zlint/v3/lint"
)

var sources = lint.SourceList{
	lint.RFC3279, lint.RFC5280, lint.RFC5480, lint.RFC5891, lint.RFC8813, lint.Community,
}

// Verdict names the rules that one certificate breaks, sorted.
type Verdict struct {
	Errors   []string `json:"errors"`
	Warnings []string `json:"warnings"`
	Notices  []string `json:"notices"`
	// Passed counts the rules that apply and hold.
	Passed int `json:"passed"`
}

func main() {
	log.SetFlags(0)
	rest, err := io.ReadAll(os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	registry, err := lint.GlobalRegistry().Filter(lint.FilterOptions{IncludeSources: sources})
	if err != nil {
		log.Fatal(err)
	}
	output := json.NewEncoder(os.Stdout)
	for {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			return
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			log.Fatal(err)
		}
		if err := output.Encode(verdict(zlint.LintCertificateEx(certificate, registry))); err != nil {
			log.Fatal(err)
		}
	}
}

func verdict(results *zlint.ResultSet) Verdict {
	found := Verdict{Errors: []string{}, Warnings: []string{}, Notices: []string{}}
	for name, result := range results.Results {
		switch result.Status {
		case lint.Error, lint.Fatal:
			found.Errors = append(found.Errors, name)
		case lint.Warn:
			found.Warnings = append(found.Warnings, name)
		case lint.Notice:
			found.Notices = append(found.Notices, name)
		case lint.Pass:
			found.Passed++
		}
	}
	for _, names := range [][]string{found.Errors, found.Warnings, found.Notices} {
		sort.Strings(names)
	}
	return found
}
