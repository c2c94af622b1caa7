package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/stub"
)

// bench is the Go side of the measurements: a host or a plugin, each a process
// of its own, so that it can be pinned.
func bench(args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "wire":
			return benchWire(args[1:])
		case "adaptation":
			return benchAdaptation(args[1:])
		case "plugin":
			return benchPlugin(args[1:])
		}
	}
	return errors.New("usage: bench wire|adaptation|plugin -socket PATH …")
}

// round is one line on stdin.
type round struct {
	What    string `json:"what"` // small, create; adaptation: also parallel
	Size    int    `json:"size"` // of the encoded container
	Calls   int    `json:"calls"`
	Warm    int    `json:"warm"` // calls before the measured ones
	Samples bool   `json:"samples"`
}

// measure times each of the calls. Each gets a prepared call, made outside the
// measured time.
func (r round) measure(prepare func() func() error) (fields, error) {
	took := make([]int64, 0, r.Calls)
	for n := range r.Warm + r.Calls {
		call := prepare()
		start := time.Now()
		err := call()
		ns := time.Since(start).Nanoseconds()
		if err != nil {
			return nil, err
		}
		if n >= r.Warm {
			took = append(took, ns)
		}
	}
	return r.summary(took), nil
}

func (r round) summary(took []int64) fields {
	line := fields{"what": r.What, "size": r.Size, "calls": len(took)}
	if r.Samples {
		line["ns"] = slices.Clone(took)
	}
	if len(took) > 0 {
		slices.Sort(took)
		line["p50_ns"] = took[len(took)/2]
		line["p99_ns"] = took[len(took)*99/100]
		line["min_ns"] = took[0]
	}
	return line
}

// rounds runs one for each line on stdin.
func rounds(run func(round) (fields, error)) error {
	return eachLine(os.Stdin, func(text []byte) error {
		r := round{Calls: 1000}
		if err := json.Unmarshal(text, &r); err != nil {
			return err
		}
		line, err := run(r)
		if err != nil {
			return err
		}
		out.print(line)
		return nil
	})
}

// counted counts the bytes over a connection.
type counted struct {
	net.Conn
	in, out *atomic.Int64
}

func (c counted) Read(buf []byte) (int, error) {
	n, err := c.Conn.Read(buf)
	c.in.Add(int64(n))
	return n, err
}

func (c counted) Write(buf []byte) (int, error) {
	n, err := c.Conn.Write(buf)
	c.out.Add(int64(n))
	return n, err
}

// benchWire speaks to one plugin over mux and ttRPC alone.
func benchWire(args []string) error {
	set := flag.NewFlagSet("bench wire", flag.ContinueOnError)
	socket := set.String("socket", "", "where the plugin connects")
	if err := set.Parse(args); err != nil {
		return err
	}
	_ = os.Remove(*socket)
	listener, err := net.Listen("unix", *socket)
	if err != nil {
		return err
	}
	defer listener.Close()
	out.print(fields{"event": "listening"})
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	var in, sent atomic.Int64
	plugin, end, err := directHost(counted{conn, &in, &sent})
	if err != nil {
		return err
	}
	defer end()
	if err := introduce(plugin); err != nil {
		return err
	}
	out.print(fields{"event": "ready"})
	return rounds(func(r round) (fields, error) {
		call, err := wireCall(plugin, r)
		if err != nil {
			return nil, err
		}
		in.Store(0)
		sent.Store(0)
		line, err := r.measure(func() func() error { return call })
		if all := int64(r.Warm + r.Calls); err == nil && all > 0 {
			line["request_bytes"], line["response_bytes"] = sent.Load()/all, in.Load()/all
		}
		return line, err
	})
}

// introduce configures and synchronizes the plugin.
func introduce(plugin api.PluginService) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := plugin.Configure(ctx, &api.ConfigureRequest{
		RuntimeName: "bench", RuntimeVersion: "v1", NRIVersion: "v0.12.5", RegistrationTimeout: 5000, RequestTimeout: 2000,
	}); err != nil {
		return err
	}
	_, err := plugin.Synchronize(ctx, &api.SynchronizeRequest{})
	return err
}

// wireCall gives the call to measure, with the time-out that the adaptation has.
func wireCall(plugin api.PluginService, r round) (func() error, error) {
	timed := func(call func(context.Context) error) func() error {
		return func() error {
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			return call(ctx)
		}
	}
	switch r.What {
	case "small":
		request := &api.RunPodSandboxRequest{Pod: samplePod("p0")}
		return timed(func(ctx context.Context) error {
			_, err := plugin.RunPodSandbox(ctx, request)
			return err
		}), nil
	case "create":
		request := &api.CreateContainerRequest{Pod: samplePod("p0"), Container: sampleContainer("c0", "p0", r.Size)}
		return timed(func(ctx context.Context) error {
			_, err := plugin.CreateContainer(ctx, request)
			return err
		}), nil
	}
	return nil, fmt.Errorf("cannot measure %q", r.What)
}

// fixed is the plugin of the measurements: one small adjustment, always the same.
type fixed struct{ sleep time.Duration }

func (fixed) RunPodSandbox(context.Context, *api.PodSandbox) error { return nil }

func (f fixed) CreateContainer(context.Context, *api.PodSandbox, *api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate, error) {
	if f.sleep > 0 {
		time.Sleep(f.sleep)
	}
	return adjustment(), nil, nil
}

func (fixed) Synchronize(context.Context, []*api.PodSandbox, []*api.Container) ([]*api.ContainerUpdate, error) {
	return nil, nil
}

// adjustment is what the plugin answers. Ours answers the same.
func adjustment() *api.ContainerAdjustment {
	a := &api.ContainerAdjustment{}
	a.AddEnv("BENCH", "1")
	a.AddAnnotation("example.com/bench", "1")
	a.SetLinuxMemoryLimit(256 << 20)
	return a
}

// free is fixed, but it adjusts nothing that another plugin could claim too.
type free struct{ fixed }

func (f free) CreateContainer(context.Context, *api.PodSandbox, *api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate, error) {
	time.Sleep(f.sleep)
	return nil, nil, nil
}

func benchPlugin(args []string) error {
	set := flag.NewFlagSet("bench plugin", flag.ContinueOnError)
	socket := set.String("socket", "", "socket of the host")
	name := set.String("name", "bench", "name to register with")
	index := set.String("index", "10", "index to register with")
	sleep := set.Duration("sleep", 0, "time that CreateContainer takes, for example 20ms; no adjustment then")
	if err := set.Parse(args); err != nil {
		return err
	}
	closed := make(chan struct{})
	var once sync.Once
	options := []stub.Option{
		stub.WithPluginName(*name), stub.WithPluginIdx(*index),
		stub.WithOnClose(func() { once.Do(func() { close(closed) }) }),
	}
	if *socket != "" {
		options = append(options, stub.WithSocketPath(*socket))
	}
	var p any = fixed{}
	if *sleep > 0 {
		p = free{fixed{*sleep}}
	}
	s, err := stub.New(p, options...)
	if err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	<-closed
	return nil
}
