// The peers and oracles that the Rust tests run against: the reference's stub
// and adaptation, driven by JSON lines on stdin, with JSON lines on stdout.
// README.md says how to use each of them.
package main

import (
	"fmt"
	"os"

	"github.com/sirupsen/logrus"
)

var commands = map[string]func(args []string) error{
	"plugin": plugin,
	"host":   host,
	"oracle": oracle,
	"golden": golden,
	"bench":  bench,
}

func main() {
	logrus.SetLevel(logrus.WarnLevel)
	if os.Getenv("NRI_TEST_VERBOSE") != "" {
		logrus.SetLevel(logrus.DebugLevel)
	}

	args := os.Args[1:]
	if len(args) == 0 && os.Getenv("NRI_PLUGIN_SOCKET") != "" {
		// A host launched us from its plugin directory.
		args = []string{"plugin"}
	}
	if len(args) == 0 || commands[args[0]] == nil {
		fmt.Fprintln(os.Stderr, "usage: go-peers COMMAND …, see tests/go/README.md")
		os.Exit(2)
	}
	if err := commands[args[0]](args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "go-peers %s: %v\n", args[0], err)
		os.Exit(1)
	}
}
