package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/containerd/nri/pkg/adaptation"
	"github.com/containerd/nri/pkg/api"
	"google.golang.org/protobuf/proto"
)

// runtime is the state of a container runtime that hosts plugins.
type runtime struct {
	adaptation *adaptation.Adaptation

	mu         sync.Mutex
	pods       []*api.PodSandbox
	containers []*api.Container
	failed     []*api.ContainerUpdate
	failure    string
}

// hostCommand is one line on stdin.
type hostCommand struct {
	Do         string            `json:"do"`
	ID         any               `json:"id"`
	Async      bool              `json:"async"`
	CancelMs   int               `json:"cancel_ms"`
	Pods       []json.RawMessage `json:"pods"`
	Containers []json.RawMessage `json:"containers"`
	Failed     []json.RawMessage `json:"failed"`
	Error      string            `json:"error"`
	Request    json.RawMessage   `json:"request"`
}

// host runs the reference's adaptation until stdin ends.
func host(args []string) error {
	set := flag.NewFlagSet("host", flag.ContinueOnError)
	socket := set.String("socket", "", "socket for external plugins; none without")
	plugins := set.String("plugins", "/nonexistent", "folder of plugins to launch")
	config := set.String("config", "/nonexistent", "folder of their configuration")
	name := set.String("name", "go-host", "runtime name")
	version := set.String("version", "v1.2.3", "runtime version")
	registration := set.Int("registration-timeout", 5000, "milliseconds")
	request := set.Int("request-timeout", 2000, "milliseconds")
	if err := set.Parse(args); err != nil {
		return err
	}
	adaptation.SetPluginRegistrationTimeout(time.Duration(*registration) * time.Millisecond)
	adaptation.SetPluginRequestTimeout(time.Duration(*request) * time.Millisecond)

	r := &runtime{}
	options := []adaptation.Option{
		adaptation.WithPluginPath(*plugins),
		adaptation.WithPluginConfigPath(*config),
		adaptation.WithMetrics(&counts{}),
	}
	if *socket == "" {
		options = append(options, adaptation.WithDisabledExternalConnections())
	} else {
		options = append(options, adaptation.WithSocketPath(*socket))
	}
	var err error
	r.adaptation, err = adaptation.New(*name, *version, r.synchronize, r.update, options...)
	if err != nil {
		return err
	}
	defer r.adaptation.Stop()

	var running sync.WaitGroup
	defer running.Wait()
	return eachLine(os.Stdin, func(line []byte) error {
		var c hostCommand
		if err := json.Unmarshal(line, &c); err != nil {
			return fmt.Errorf("bad command: %w", err)
		}
		if c.Async {
			running.Go(func() { r.run(c) })
		} else {
			r.run(c)
		}
		return nil
	})
}

func (r *runtime) run(c hostCommand) {
	start := time.Now()
	response, err := r.do(c)
	line := result(c.Do, err, fields{"response": message(response)})
	line["elapsed_us"] = time.Since(start).Microseconds()
	if c.ID != nil {
		line["id"] = c.ID
	}
	out.print(line)
}

func (r *runtime) do(c hostCommand) (proto.Message, error) {
	switch c.Do {
	case "start":
		if err := r.set(c); err != nil {
			return nil, err
		}
		return nil, r.adaptation.Start()
	case "state", "failed":
		return nil, r.set(c)
	case "stop":
		r.adaptation.Stop()
		return nil, nil
	}
	relay, known := relays[c.Do]
	if !known {
		return nil, fmt.Errorf("unknown command %q", c.Do)
	}
	ctx := context.Background()
	if c.CancelMs > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(c.CancelMs)*time.Millisecond)
		defer cancel()
	}
	return relay(ctx, r.adaptation, c.Request)
}

// set takes over the state, or the answer to unsolicited updates.
func (r *runtime) set(c hostCommand) error {
	pods, err := readList[api.PodSandbox](c.Pods)
	if err != nil {
		return err
	}
	containers, err := readList[api.Container](c.Containers)
	if err != nil {
		return err
	}
	failed, err := readList[api.ContainerUpdate](c.Failed)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.Do == "failed" {
		r.failed, r.failure = failed, c.Error
	} else {
		r.pods, r.containers = pods, containers
	}
	return nil
}

func (r *runtime) synchronize(ctx context.Context, with adaptation.SyncCB) error {
	r.mu.Lock()
	pods, containers := r.pods, r.containers
	r.mu.Unlock()
	updates, err := with(ctx, pods, containers)
	out.print(result("synchronized", err, fields{"update": messages(updates)}))
	return err
}

func (r *runtime) update(_ context.Context, updates []*api.ContainerUpdate) ([]*api.ContainerUpdate, error) {
	out.print(fields{"event": "UpdateContainers", "update": messages(updates)})
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure != "" {
		return r.failed, errors.New(r.failure)
	}
	return r.failed, nil
}

// counts prints how many plugins are registered, whenever it may have changed.
type counts struct {
	mu   sync.Mutex
	last int
}

func (c *counts) RecordPluginInvocation(string, string, error)                               {}
func (c *counts) RecordPluginLatency(string, string, time.Duration)                          {}
func (c *counts) RecordPluginAdjustments(string, string, *api.ContainerAdjustment, int, int) {}

func (c *counts) UpdatePluginCount(count int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if count != c.last {
		c.last = count
		out.print(fields{"event": "plugins", "count": count})
	}
}
