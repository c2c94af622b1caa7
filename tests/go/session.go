package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/nri/pkg/adaptation"
	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/net/multiplex"
	"github.com/containerd/ttrpc"
)

// session is a conversation to be recorded.
type session struct {
	name, about string
	flags       pluginFlags // style and failure policy
	script      string
	pods        []*api.PodSandbox
	containers  []*api.Container
	// host speaks once the plugin is registered; tell gives the plugin a command.
	host func(a *adaptation.Adaptation, tell func(string))
	// failure is what the host answers to unsolicited updates.
	failure string
	// by replaces the adaptation on the host's side.
	by func(net.Conn) error
}

func writeSessions(dir string) error {
	out.redirect(io.Discard)
	for _, s := range sessions() {
		t, err := s.record()
		if err != nil {
			return fmt.Errorf("session %q: %w", s.name, err)
		}
		text, err := json.MarshalIndent(t, "", " ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, fileName(s.name)), append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) record() (*transcript, error) {
	dir, err := os.MkdirTemp("", "golden-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)

	t := &transcript{About: s.about}
	commands, tell := io.Pipe()
	f := s.flags
	f.name, f.index, f.socket = "golden", "10", filepath.Join(dir, "nri.sock")
	f.stdin, f.script = commands, "given"
	f.raw.registrations = 1
	f.wrap = func(c net.Conn) net.Conn { return recorded{c, t} }
	p := &player{}
	if s.script != "" {
		if err := p.load([]byte(s.script)); err != nil {
			return nil, err
		}
	}

	ended := make(chan error, 1)
	run := runRaw
	if f.style == "" {
		run = runStub
	}
	start := func() { go func() { ended <- run(f, p) }() }
	if s.by != nil {
		err = s.serve(f.socket, start)
	} else {
		err = s.adapt(f.socket, start, func(line string) { fmt.Fprintln(tell, line) })
	}
	if err != nil {
		return nil, err
	}
	tell.Close()
	if err := <-ended; err != nil {
		return nil, err
	}
	return t, t.finish()
}

// adapt lets the reference's adaptation be the host.
func (s *session) adapt(socket string, start func(), tell func(string)) error {
	registered := make(registrations, 64)
	synchronize := func(ctx context.Context, with adaptation.SyncCB) error {
		_, err := with(ctx, s.pods, s.containers)
		return err
	}
	update := func(_ context.Context, list []*api.ContainerUpdate) ([]*api.ContainerUpdate, error) {
		if s.failure != "" {
			return nil, errors.New(s.failure)
		}
		return list[:1], nil
	}
	a, err := adaptation.New("golden-host", "v1.2.3", synchronize, update,
		adaptation.WithPluginPath("/nonexistent"), adaptation.WithSocketPath(socket), adaptation.WithMetrics(registered))
	if err != nil {
		return err
	}
	if err := a.Start(); err != nil {
		return err
	}
	defer a.Stop()
	start()
	if err := registered.wait(1); err != nil {
		return err
	}
	if s.host != nil {
		s.host(a, tell)
	}
	return nil
}

// serve lets s.by be the host.
func (s *session) serve(socket string, start func()) error {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	defer listener.Close()
	start()
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	return s.by(conn)
}

// registrations hears from the adaptation how many plugins are registered.
type registrations chan int

func (registrations) RecordPluginInvocation(string, string, error)                               {}
func (registrations) RecordPluginLatency(string, string, time.Duration)                          {}
func (registrations) RecordPluginAdjustments(string, string, *api.ContainerAdjustment, int, int) {}

func (r registrations) UpdatePluginCount(count int) {
	select {
	case r <- count:
	default: // nobody waits any more
	}
}

// wait returns once there are that many plugins.
func (r registrations) wait(plugins int) error {
	late := time.After(30 * time.Second)
	for {
		select {
		case count := <-r:
			if count >= plugins {
				return nil
			}
		case <-late:
			return errors.New("plugins did not register")
		}
	}
}

// registrar is the least that a host's service can do.
type registrar struct{ registered chan struct{} }

func (r registrar) RegisterPlugin(context.Context, *api.RegisterPluginRequest) (*api.Empty, error) {
	close(r.registered)
	return &api.Empty{}, nil
}

func (registrar) UpdateContainers(context.Context, *api.UpdateContainersRequest) (*api.UpdateContainersResponse, error) {
	return &api.UpdateContainersResponse{}, nil
}

// directHost speaks to a plugin without the adaptation, over the reference's mux and ttRPC.
func directHost(conn net.Conn) (api.PluginService, func(), error) {
	mux := multiplex.Multiplex(conn, multiplex.WithBlockedRead())
	trunk, err := mux.Open(multiplex.PluginServiceConn)
	if err != nil {
		return nil, nil, err
	}
	client := ttrpc.NewClient(trunk)
	server, err := ttrpc.NewServer()
	if err != nil {
		return nil, nil, err
	}
	r := registrar{make(chan struct{})}
	api.RegisterRuntimeService(server, r)
	listener, err := mux.Listen(multiplex.RuntimeServiceConn)
	if err != nil {
		return nil, nil, err
	}
	go func() { _ = server.Serve(context.Background(), listener) }()
	mux.Unblock()

	end := func() {
		client.Close()
		server.Close()
		mux.Close()
	}
	select {
	case <-r.registered:
		return api.NewPluginClient(client), end, nil
	case <-time.After(10 * time.Second):
		end()
		return nil, nil, errors.New("the plugin did not register")
	}
}
