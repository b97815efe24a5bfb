// Judges flows under NetworkPolicies with cyclonus's matcher, or prints cyclonus's generated cases.
//
// `judge` reads one world a line on standard input and prints one line of answers for each; `cases`
// prints one generated case a line.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/mattfenwick/cyclonus/pkg/generator"
)

// longest is for one line: a world of hundreds of pods has a few hundred thousand bytes.
const longest = 64 << 20

func main() {
	modes := map[string]func([]string, *bufio.Writer) error{"judge": judgeAll, "cases": printCases}
	if len(os.Args) < 2 || modes[os.Args[1]] == nil {
		fail(fmt.Errorf("usage: cyclonus-oracle judge | cases POD-ADDRESS"))
	}
	output := bufio.NewWriter(os.Stdout)
	if err := modes[os.Args[1]](os.Args[2:], output); err != nil {
		fail(err)
	}
	if err := output.Flush(); err != nil {
		fail(err)
	}
}

func judgeAll(_ []string, output *bufio.Writer) error {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, longest)
	answers := json.NewEncoder(output)
	for lines.Scan() {
		if err := answers.Encode(judgeLine(lines.Bytes())); err != nil {
			return err
		}
		if err := output.Flush(); err != nil {
			return err
		}
	}
	return lines.Err()
}

// printCases prints all cases for pods a, b and c in namespaces x, y and z, where the address is
// that of z/c.
func printCases(words []string, output *bufio.Writer) error {
	if len(words) != 1 {
		return fmt.Errorf("cases: want the address of z/c: got %q", words)
	}
	namespaces := []string{"x", "y", "z"}
	cases := generator.NewTestCaseGenerator(true, words[0], namespaces, nil, nil)
	lines := json.NewEncoder(output)
	for _, one := range cases.GenerateAllTestCases() {
		if err := lines.Encode(one); err != nil {
			return err
		}
	}
	return nil
}

func fail(err error) {
	_, _ = io.WriteString(os.Stderr, err.Error()+"\n")
	os.Exit(1)
}
