// Stands for /bin/bash in the suite's pods, which have nothing else in them: runs the one command
// of `-c`. Without SCTP in the kernel a server of nothing else would end at once, and its pod would
// never be ready: it sleeps instead.
package main

import (
	"os"
	"strings"
	"syscall"
)

func main() {
	if len(os.Args) != 3 || os.Args[1] != "-c" {
		os.Stderr.WriteString("usage: bash -c COMMAND\n")
		os.Exit(2)
	}
	words := strings.Fields(os.Args[2])
	if servesOnlySCTP(words) && !kernelHasSCTP() {
		os.Stderr.WriteString("Cannot serve SCTP: the kernel has none; sleeping\n")
		words = []string{words[0], "pause"}
	}
	err := syscall.Exec(words[0], words, os.Environ())
	os.Stderr.WriteString("Cannot run " + os.Args[2] + ": " + err.Error() + "\n")
	os.Exit(127)
}

// Ports of `agnhost porter` are in its environment, by protocol.
func servesOnlySCTP(words []string) bool {
	if words[len(words)-1] != "porter" {
		return false
	}
	for _, variable := range os.Environ() {
		if strings.HasPrefix(variable, "SERVE_") && !strings.HasPrefix(variable, "SERVE_SCTP_PORT_") {
			return false
		}
	}
	return true
}

func kernelHasSCTP() bool {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, syscall.IPPROTO_SCTP)
	if err != nil {
		return false
	}
	syscall.Close(socket)
	return true
}
