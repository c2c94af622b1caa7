// The smallest plugin that the reference allows: it registers and waits. Its
// resident memory and stripped size are what ours is compared with.
package main

import (
	"context"
	"log"
	"os"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/stub"
)

type idle struct{}

func (idle) RunPodSandbox(context.Context, *api.PodSandbox) error { return nil }

func main() {
	// Launched by a host, the environment says name, index and socket.
	var options []stub.Option
	if len(os.Args) > 1 {
		options = []stub.Option{
			stub.WithPluginName("idle"), stub.WithPluginIdx("50"), stub.WithSocketPath(os.Args[1]),
		}
	}
	s, err := stub.New(idle{}, options...)
	if err != nil {
		log.Fatal(err)
	}
	if err := s.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
