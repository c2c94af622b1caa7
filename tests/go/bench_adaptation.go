package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/nri/pkg/adaptation"
	"github.com/containerd/nri/pkg/api"
	nrigen "github.com/containerd/nri/pkg/runtime-tools/generate"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	ocigen "github.com/opencontainers/runtime-tools/generate"
	"google.golang.org/protobuf/proto"
)

// benchAdaptation measures the whole host: plugins, merge, and the spec.
func benchAdaptation(args []string) error {
	set := flag.NewFlagSet("bench adaptation", flag.ContinueOnError)
	socket := set.String("socket", "", "where plugins connect")
	plugins := set.Int("plugins", 1, "how many plugins to wait for")
	containers := set.Int("containers", 0, "containers to synchronize plugins with")
	size := set.Int("size", 3<<10, "their encoded size")
	if err := set.Parse(args); err != nil {
		return err
	}
	pods, state := sampleState(*containers, *size)
	registered := &latencies{registrations: make(registrations, 64)}
	var listening atomic.Bool
	synchronize := func(ctx context.Context, with adaptation.SyncCB) error {
		if !listening.Load() {
			// The plugin directory, where there is none.
			_, err := with(ctx, nil, nil)
			return err
		}
		start := time.Now()
		_, err := with(ctx, pods, state)
		out.print(result("synchronized", err, fields{"containers": len(state), "ns": time.Since(start).Nanoseconds()}))
		return err
	}
	update := func(context.Context, []*api.ContainerUpdate) ([]*api.ContainerUpdate, error) { return nil, nil }
	a, err := adaptation.New("bench", "v1", synchronize, update,
		adaptation.WithPluginPath("/nonexistent"), adaptation.WithSocketPath(*socket), adaptation.WithMetrics(registered))
	if err != nil {
		return err
	}
	if err := a.Start(); err != nil {
		return err
	}
	listening.Store(true)
	defer a.Stop()
	defer os.Remove(*socket)
	out.print(fields{"event": "listening"})
	if err := registered.wait(*plugins); err != nil {
		return err
	}
	out.print(fields{"event": "ready"})
	return rounds(func(r round) (fields, error) { return adapt(a, registered, r) })
}

// latencies hears from the adaptation how long a plugin's CreateContainer took.
type latencies struct {
	registrations
	last atomic.Int64
}

func (l *latencies) RecordPluginLatency(_, operation string, took time.Duration) {
	if operation == api.Event_CREATE_CONTAINER.PrettyName() {
		l.last.Store(took.Nanoseconds())
	}
}

func adapt(a *adaptation.Adaptation, calls *latencies, r round) (fields, error) {
	switch r.What {
	case "small":
		request := &api.RunPodSandboxRequest{Pod: samplePod("p0")}
		return r.measure(func() func() error {
			return func() error { return a.RunPodSandbox(ctx, request) }
		})
	case "create":
		sample := sampleContainer("c0", "p0", r.Size)
		return r.measure(func() func() error {
			c := proto.Clone(sample).(*api.Container)
			spec := sampleSpec(c)
			return func() error { return adjusted(a, c, spec) }
		})
	case "call", "rpc":
		return measureCall(a, calls, r)
	case "parallel":
		return r.parallel(a)
	}
	return nil, fmt.Errorf("cannot measure %q", r.What)
}

// measureCall times creations without what the runtime then does with the
// spec: the whole ("call"), or the plugin's CreateContainer alone ("rpc"), which
// the validation is not part of. A plugin that is further away may still be on
// its way when the round begins, so its adjustment is waited for.
func measureCall(a *adaptation.Adaptation, calls *latencies, r round) (fields, error) {
	sample := sampleContainer("c0", "p0", r.Size)
	create := func() (int64, error) {
		request := &api.CreateContainerRequest{Pod: samplePod("p0"), Container: proto.Clone(sample).(*api.Container)}
		start := time.Now()
		response, err := a.CreateContainer(ctx, request)
		took := time.Since(start).Nanoseconds()
		if err == nil && len(response.GetAdjust().GetEnv()) == 0 {
			err = errUnadjusted
		}
		if r.What == "rpc" {
			took = calls.last.Load()
		}
		return took, err
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		if _, err := create(); err == nil {
			break
		} else if !errors.Is(err, errUnadjusted) || time.Now().After(deadline) {
			return nil, err
		}
		time.Sleep(10 * time.Millisecond)
	}
	took := make([]int64, 0, r.Calls)
	for n := range r.Warm + r.Calls {
		ns, err := create()
		if err != nil {
			return nil, err
		}
		if n >= r.Warm {
			took = append(took, ns)
		}
	}
	return r.summary(took), nil
}

var errUnadjusted = errors.New("no plugin adjusts the container")

// sampleState gives containers, ten to a pod. The reference never ends when
// it must split a synchronization with few pods, so there are many.
func sampleState(containers, size int) ([]*api.PodSandbox, []*api.Container) {
	var (
		pods  []*api.PodSandbox
		state []*api.Container
	)
	for n := range containers {
		pod := fmt.Sprintf("p%05d", n/10)
		if n%10 == 0 {
			pods = append(pods, samplePod(pod))
		}
		state = append(state, sampleContainer(fmt.Sprintf("c%06d", n), pod, size))
	}
	return pods, state
}

// adjusted creates the container and applies what comes of it to the spec.
func adjusted(a *adaptation.Adaptation, c *api.Container, spec *specs.Spec) error {
	response, err := a.CreateContainer(ctx, &api.CreateContainerRequest{Pod: samplePod("p0"), Container: c})
	if err != nil {
		return err
	}
	editor := ocigen.NewFromSpec(spec)
	return nrigen.SpecGenerator(&editor).Adjust(response.Adjust)
}

// parallel starts all calls at once; the one sample is the time until the last has ended.
func (r round) parallel(a *adaptation.Adaptation) (fields, error) {
	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		fault error
	)
	start := time.Now()
	for n := range r.Calls {
		c := sampleContainer(fmt.Sprintf("c%d", n), "p0", r.Size)
		all.Go(func() {
			err := adjusted(a, c, sampleSpec(c))
			mu.Lock()
			defer mu.Unlock()
			fault = errors.Join(fault, err)
		})
	}
	all.Wait()
	line := r.summary([]int64{time.Since(start).Nanoseconds()})
	line["calls"] = r.Calls
	return line, fault
}

// sampleSpec is the OCI spec of a sample container.
func sampleSpec(c *api.Container) *specs.Spec {
	spec := &specs.Spec{
		Version:     "1.1.0",
		Process:     &specs.Process{Args: c.Args, Env: append([]string(nil), c.Env...), Cwd: "/"},
		Root:        &specs.Root{Path: "rootfs"},
		Annotations: map[string]string{},
		Linux: &specs.Linux{
			CgroupsPath: c.Linux.CgroupsPath,
			Namespaces:  []specs.LinuxNamespace{{Type: "pid"}, {Type: "ipc", Path: "/proc/1/ns/ipc"}},
			Resources:   &specs.LinuxResources{Memory: &specs.LinuxMemory{}, CPU: &specs.LinuxCPU{Cpus: "0-3"}},
		},
	}
	for key, value := range c.Annotations {
		spec.Annotations[key] = value
	}
	for _, m := range c.Mounts {
		spec.Mounts = append(spec.Mounts, specs.Mount{Destination: m.Destination, Source: m.Source, Type: m.Type, Options: m.Options})
	}
	return spec
}
